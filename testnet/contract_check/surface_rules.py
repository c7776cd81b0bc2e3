"""Rules that one look at one place decides: imports, names the machine withholds, floats, signatures, globals."""

import ast
from functools import cache
from importlib.resources import files
from typing import cast

from contracts.limits import MAX_METHODS, MAX_NAME_LENGTH
from testnet.contract_check.findings import Severity
from testnet.contract_check.source import PACKAGE, Function, Source, walk_function

CLOCKS = {"now", "utcnow", "today"}
"""Methods of `datetime` and `date` that would need a clock."""

KEEPERS = {"put": 1, "emit": 1, "transfer": 1, "call": 3}
"""Functions that keep or send what they are given, from this argument on."""

MUTATORS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "reverse", "setdefault", "sort", "update",
}  # fmt: skip

MUTABLE_TYPES = {"Counter", "OrderedDict", "bytearray", "defaultdict", "deque", "dict", "list", "set"}


@cache
def machine_constant(name: str) -> tuple[str, ...]:
    """A constant of the guest, read from its source: the guest itself runs only inside of the machine."""
    tree = ast.parse(files("contracts.runtime.guest").joinpath("app.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return cast("tuple[str, ...]", ast.literal_eval(node.value))
    raise LookupError(f"the guest has no constant {name}")


def check_surface(source: Source) -> None:
    """Apply all rules of this module."""
    _check_signatures(source)
    _check_global_state(source)
    bound = {
        node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    bound |= {node.arg for node in ast.walk(source.tree) if isinstance(node, ast.arg)} | set(source.functions)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _check_import(source, node, alias.name)
        elif isinstance(node, ast.ImportFrom):
            _check_import(source, node, "." * node.level + (node.module or ""))
        elif isinstance(node, ast.Name) and node.id in machine_constant("WITHHELD") and node.id not in bound:
            text = f"{node.id}() does not exist inside the machine"
            source.report(node, "withheld", Severity.ERROR, text, "contracts reach nothing but their own storage")
        elif isinstance(node, ast.Call):
            _check_clock(source, node)
            _check_kept(source, node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            hint = "use integers of the base unit (1 obol = 10**6), or Decimal"
            text = "a float cannot be stored, sent or returned"
            source.report(node, "float", Severity.WARNING, text, hint)
        elif isinstance(node, ast.Return) and source.is_method(source.function_around(node)):
            _check_float(source, node.value, "returned")


def _check_import(source: Source, node: ast.AST, name: str) -> None:
    top = name.partition(".")[0]
    allowed = machine_constant("ALLOWED")
    if top not in allowed:
        text = f"contracts cannot import {name!r}"
        source.report(node, "import", Severity.ERROR, text, f"they can import: {', '.join(allowed)}")
    elif top == PACKAGE and name != PACKAGE:
        text = f"{name} does not exist inside the machine; the API is {PACKAGE} itself"
        source.report(node, "import", Severity.ERROR, text, f"from {PACKAGE} import ...")


def _check_clock(source: Source, node: ast.Call) -> None:
    if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
        owner = ast.unparse(node.func.value).rpartition(".")[2]
        if owner in {"date", "datetime"}:
            text = f"{owner}.{node.func.attr}() asks for a clock, and there is none"
            source.report(node, "clock", Severity.ERROR, text, "block.time is the time of the block, in Unix seconds")


def _check_kept(source: Source, node: ast.Call) -> None:
    first = KEEPERS.get(source.api_call(node))
    if first is not None:
        for argument in [*node.args[first:], *(keyword.value for keyword in node.keywords)]:
            _check_float(source, argument, "kept or sent")


def _check_float(source: Source, value: ast.expr | None, verb: str) -> None:
    """Point at true divisions in what is stored: two ints make a float. Decimals are given the benefit of the doubt."""
    if value is None or "Decimal" in source.text or "Fraction" in source.text:
        return
    pending: list[ast.AST] = [value]
    while pending:
        node = pending.pop()
        division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if division or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"):
            hint = "// divides integers; Decimal keeps digits"
            source.report(node, "float-kept", Severity.ERROR, f"a float is {verb} here, which fails", hint)
            return
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.List | ast.Tuple | ast.Dict | ast.IfExp):
            pending.extend(ast.iter_child_nodes(node))


def _check_signatures(source: Source) -> None:
    methods = [function for name, function in source.functions.items() if not name.startswith("_")]
    if not methods or len(methods) > MAX_METHODS:
        text = f"a contract has 1 to {MAX_METHODS} public functions; this one has {len(methods)}"
        source.report(source.tree, "methods", Severity.ERROR, text)
    for function in methods:
        arguments, name = function.args, function.name
        required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
        if name == "migrate" and required:
            text = "migrate() is run by the upgrade, without arguments"
            source.report(function, "signature", Severity.ERROR, text)
        if name in {"init", "migrate"} and source.is_view(function):
            source.report(function, "signature", Severity.ERROR, f"{name} is there to write; it cannot be a view")
        if any(default is None for default in arguments.kw_defaults):
            text = f"{name} has a keyword-only parameter without a default; calls pass arguments by position"
            source.report(function, "signature", Severity.ERROR, text)
        if len(name) > MAX_NAME_LENGTH:
            text = f"the name of a method has at most {MAX_NAME_LENGTH} characters"
            source.report(function, "signature", Severity.ERROR, text)
        if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in walk_function(function)):
            text = f"{name} is a generator, which is no value that a method could return"
            source.report(function, "generator", Severity.ERROR, text, "return a list, or begin the name with _")


def _check_global_state(source: Source) -> None:
    hint = "every call runs the module anew: keep state with put(), and read it with get()"
    mutable = {name for node in source.tree.body for name in _mutable_names(node)}
    for function in (node for node in ast.walk(source.tree) if isinstance(node, Function)):
        local = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        nodes = list(walk_function(function))
        shared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        local |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} - shared
        for node in nodes:
            changed = _changed_name(node)
            if changed in shared or (changed in mutable - local):
                text = f"the change of the module's {changed!r} is forgotten when the call ends"
                source.report(node, "global-state", Severity.WARNING, text, hint)


def _mutable_names(node: ast.stmt) -> set[str]:
    """Names that a statement at the top of the module binds to a list, dict or set."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return set()
    value = node.value
    literal = isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
    made = isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in MUTABLE_TYPES
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)} if literal or made else set()


def _changed_name(node: ast.AST) -> str:
    """The name whose object a node changes, or that it binds anew."""
    target: ast.AST | None = None
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.id
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        target = node.func.value
    return target.id if isinstance(target, ast.Name) else ""
