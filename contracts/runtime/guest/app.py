"""The guest: what runs inside the machine around a contract's code. Built into the image by `contracts.runtime.build`.

The image is a snapshot taken at the end of this module: the interpreter is up, everything a contract may import is
imported, and the paths that each call takes are warm. A contract's module is loaded at exactly this snapshot, and every
call of it begins at exactly the snapshot after that (the host restores the whole memory), so nothing a contract patches
outlives the call, and a call costs the same alone and in any batch.

Nothing here is a security boundary. Code in a contract can reach all of it; it is still inside the sandbox, and the
host decides namespace, sender, value and gas and checks whatever it is asked or told.
"""

import ast
import builtins
import gc
import importlib
import json
import linecache
import marshal
import re
import sys
import types
import warnings
from typing import Any, NoReturn, cast

import wit_world

from contracts.operations import BYTES, COMPLETED, DONE, FILENAME, Operation
from contracts.values import BadValue, Value, encode, read
from ostraka_contract import api, scheduler
from ostraka_contract.buffer import Asked, Buffer
from ostraka_contract.errors import CallFailed

ALLOWED = (
    "__future__",
    "abc",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "numbers",
    "operator",
    "ostraka_contract",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "types",
    "typing",
    "unicodedata",
)
"""Pure modules of the standard library. Not `random`: its seed is part of the image, so it would be no entropy."""

HELPERS = ("_pylong", "_strptime")
"""Imported by the arithmetic of long integers and by datetime, in the name of the code that runs."""

NEEDED_LATER = (
    "_pylong",
    "_strptime",
    "annotationlib",
    "collections.abc",
    "encodings.ascii",
    "encodings.cp1252",
    "encodings.hex_codec",
    "encodings.latin_1",
    "encodings.utf_16",
    "encodings.utf_32",
    "inspect",
    "random",
    "traceback",
)
"""What the library, or componentize-py's bindings, import at first use; nothing can be imported after the snapshot."""

WITHHELD = ("breakpoint", "compile", "eval", "exec", "exit", "help", "input", "open", "quit")
"""Builtins that make no sense here, or that hide code from whoever reviews a contract."""

RECURSION_LIMIT = 400
"""Python frames; the native stack holds several times as many, so deep recursion is a RecursionError, not a trap."""

MAX_FRAMES = 16
MAX_TEXT = 1024
MAX_NAME = 64
"""Bounds of what a failure says of itself; the host cuts again."""

MODULE = "contract"


class Ledger:
    """The host."""

    def ask(self, operation: int, request: bytes) -> bytes:
        """Ask through the one import."""
        return wit_world.ask(operation, request.decode(BYTES)).encode(BYTES)


def restricted_import(name: str, *details: Any, **named: Any) -> types.ModuleType:
    """`__import__` for contract code: the allow-list, and nothing else."""
    level = details[3] if len(details) > 3 else named.get("level", 0)
    if level or (name.partition(".")[0] not in ALLOWED and name not in HELPERS):
        raise ImportError(f"contracts cannot import {name!r}; they can import: {', '.join(ALLOWED)}")
    return real_import(name, *details, **named)


real_import = builtins.__import__
BUILTINS = {name: value for name, value in vars(builtins).items() if name not in WITHHELD}
BUILTINS["__import__"] = restricted_import
BUILTINS["print"] = api.log


loaded: dict[str, types.ModuleType] = {}
"""The contract's module, once it is loaded."""


def load(code: bytes) -> bytes:
    """Run the contract's module code, with no call under way."""
    module = types.ModuleType(MODULE)
    module.__dict__["__builtins__"] = BUILTINS
    sys.modules[MODULE] = module  # dataclasses and typing look their module up
    try:
        exec(marshal.loads(code), module.__dict__)  # noqa: S102, S302 - what the machine is for; compile() below made it
    except BaseException as error:  # noqa: BLE001 - a contract may raise anything
        return failure(error)
    loaded["module"] = module
    return encode(["loaded"])


def method_of(name: str) -> Any:
    """Find the method; the host has checked that the source defines it."""
    method = vars(loaded["module"]).get(name)
    if not callable(method):
        raise TypeError(f"{name!r} is no method: the module has bound its name to a {type(method).__name__}")
    return method


def perform(host: Asked, invocation: str) -> bytes:
    """One call, or its replay up to where it is now and one stretch beyond."""
    # JSON, because its reader is in C; nothing but the host has written it.
    method, arguments, sender, value, shard, contract, trace, call, height, time_ms, read_only = json.loads(invocation)
    ledger = Buffer(host, read_only=read_only)
    message = scheduler.Message(sender, value, shard, contract, trace, call)
    execution = scheduler.Execution(ledger, message, scheduler.Block(height, time_ms))
    with api.run_as(execution):
        try:
            result = method_of(method)(*cast("list[Value]", read(arguments.encode(BYTES))))
            if isinstance(result, types.CoroutineType):
                main = execution.spawn(result)
                if not execution.drive(main):
                    return encode(["suspended"])
                result = main.result()
            try:
                returned = encode(result)
            except BadValue as error:
                raise BadValue(f"{method} returned what is not a value: {error}") from None
            return b"".join((COMPLETED, len(returned).to_bytes(4, "big"), returned, ledger.take()))
        except BaseException as error:  # noqa: BLE001 - a contract may raise anything; it is the outcome
            return failure(error)


def failure(error: BaseException) -> bytes:
    """Describe how the call failed: type, text, the frames in the contract, the other contract's traceback."""
    remote = error.remote_traceback if type(error) is CallFailed else ""
    frames = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename == FILENAME:
            frames.append([step.tb_lineno, code.co_qualname[:MAX_NAME]])
        step = step.tb_next
    shown = frames if len(frames) <= MAX_FRAMES else frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]
    text = plain(lambda: str(error), MAX_TEXT)
    name = plain(lambda: type(error).__name__, MAX_NAME)
    return encode(["failed", name, text, shown, plain(lambda: remote, 8 * MAX_TEXT)], max_bytes=1 << 16)


def plain(text: Any, limit: int) -> str:
    """Text from what may be anything: an exception's own methods are the contract's code."""
    try:
        return "".join(text())[:limit].encode(errors="replace").decode()
    except BaseException:  # noqa: BLE001 - as above
        return "(its text cannot be shown)"


def methods_of(tree: ast.Module) -> list[list[Any]]:
    """The public functions: name, whether a view, parameters, first line of the docstring."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            found.append([node.name[:MAX_NAME], "view" in marks, ast.unparse(node.args)[:256], summary[:256]])
    return found


def compiled(source: str) -> bytes:
    """Compile a contract; its code is not executed."""
    try:
        tree = ast.parse(source, FILENAME)
        code = marshal.dumps(compile(tree, FILENAME, "exec", dont_inherit=True))
        return encode(["compiled", code, methods_of(tree)], max_bytes=1 << 20)
    except SyntaxError as error:
        return encode(["rejected", f"{type(error).__name__}: {error.msg}"[:MAX_TEXT], error.lineno or 0])
    except (ValueError, RecursionError, MemoryError) as error:
        return encode(["rejected", f"{type(error).__name__}: {error}"[:MAX_TEXT], 0])


class WitWorld(wit_world.WitWorld):
    """The exports of the component."""

    def compile(self, source: str) -> str:
        """Compile a contract; its code is not executed."""
        return compiled(source).decode(BYTES)

    def load(self, code: str) -> str:
        """Run the contract's module code, with no call under way."""
        return load(code.encode(BYTES)).decode(BYTES)

    def run(self, invocation: str) -> str:
        """See `perform`."""
        return perform(Ledger(), invocation).decode(BYTES)


REHEARSALS = 60

REHEARSED = """
from dataclasses import dataclass
from ostraka_contract import *

class NotEnough(Exception): ...

def balance_of(who):
    return get(f"balance/{who}", 0)

def moves(to: str, amount: int) -> int:
    have = balance_of(msg.sender)
    if have < amount:
        raise NotEnough(f"have {have}, need {amount}")
    put(f"balance/{msg.sender}", have - amount)
    put(f"balance/{to}", balance_of(to) + amount)
    emit("Transfer", sender=msg.sender, to=to, amount=amount)
    return have - amount

async def sends(to: str, amount: int) -> bool:
    put("supply", get("supply", 0) + amount)
    put("supply", get("supply", 0) - amount)
    transfer(to, self_balance() // 2)
    return block.time > 0

def writes(to: str, amount: int) -> None:
    put("k", {"a": [1, b"x", None, 2**70, "text", True], "b": {}})
    get("k"), keys("k"), delete("k"), print("line", amount)

async def awaits(to: str, amount: int) -> None:
    x, y = await gather(call(1, "c", "m", to), call(1, "c", "m", amount), return_exceptions=True)
    raise ValueError(x)
"""


def warm_up() -> None:
    """Take each common path often enough for the interpreter to have specialised it before the snapshot."""
    answers = {Operation.GET: 10**6, Operation.BALANCE: 10**9, Operation.KEYS: ["a", "b"]}
    replies = [[0, "ok", "\x01", "", "", "", 0], [1, "failed", "", "E", "text", "", 0]]

    class Rehearsal:
        def __init__(self) -> None:
            self.calls = 0

        def ask(self, operation: int, request: bytes) -> bytes:
            if operation == Operation.COMMIT:
                return bytes((DONE,)) + json.dumps([1, 1, replies]).encode()
            if operation == Operation.CALL:
                self.calls += 1
                return bytes((DONE,)) + encode(self.calls - 1)
            answer = answers.get(Operation(operation))
            return bytes((DONE,)) + (b"" if answer is None else encode(answer))

    code = cast("list[bytes]", read(compiled(REHEARSED), max_bytes=1 << 20))[1]
    for method in ["moves", "sends", "writes", "awaits"] * REHEARSALS:
        arguments = json.dumps([method, encode(["osk1x", 1]).decode(BYTES), "s", 0, 0, "c", "t", "i", 1, 1, False])
        load(code)
        ended = perform(Rehearsal(), arguments)
        if (ended[:1] == COMPLETED) != (method != "awaits"):
            raise RuntimeError(f"the rehearsal of {method} ended with {ended!r}")
    loaded.clear()


def fail_import(name: str, _path: object = None, _target: object = None) -> NoReturn:
    """The only finder left after the snapshot."""
    raise ImportError(f"{name!r} is not part of the machine")


def refuse_files(event: str, _details: tuple[object, ...]) -> None:
    """Fail what opens a file: the compiler would, for the text of a faulty line, and there opening one is a trap."""
    if event == "open":
        raise PermissionError("there are no files")


ROOM = 2 << 20
"""Free memory in the snapshot: a call that needs no more leaves an instance that can be used again."""


def seal() -> None:
    """Close what the build needed open."""
    bytearray(ROOM)  # its memory is free from now on
    sys.addaudithook(refuse_files)
    sys.modules.pop(MODULE, None)
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _unraisable: None
    sys.path[:] = []
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [types.SimpleNamespace(find_spec=fail_import)]
    sys.setrecursionlimit(RECURSION_LIMIT)
    linecache.clearcache()
    re.purge()
    for _ in range(3):
        gc.collect()
    gc.freeze()
    # A call's memory lives as long as the call; the memory limit bounds what a cycle can hold.
    gc.disable()


for module in (*ALLOWED, *NEEDED_LATER):
    importlib.import_module(module)
warm_up()
seal()
