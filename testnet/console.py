"""`ostraka console`: a Python prompt at which `await` works, with the network, its accounts and its contracts."""

import ast
import asyncio
import code
import contextlib
import inspect
import rlcompleter
import sys
import traceback
import types
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.values import Value, read
from primitives.addresses import parse_address
from primitives.errors import Refused
from primitives.identifiers import SecretSeed
from shards.calls.arrivals import RESERVED_METHODS
from shards.node.api_contracts import ContractView, MethodView
from shards.traces import Trace, render_trace
from testnet.client import AsyncNetwork, Settlement
from testnet.contracts import DEPLOY_GAS, Ask, At, Code
from testnet.places import parse_contract
from testnet.run_file import AccountRun, RunInfo

HISTORY_FILE: Final = "console_history"
MAX_HISTORY_LINES: Final = 5_000

SCRIPT: Final = "<stdin>"
"""File name of what is piped in."""

TYPED: Final = "<console>"
"""File name of what is typed at the prompt, as the standard library has it."""

BANNER: Final = """ostraka console · {shards} shards · accounts: {accounts} · contracts: {contracts}
  await alice.call(shop.buy("owl"))      a transaction, and its trace
  await shop.owner_of("owl")             a view
  await alice.deploy("shop.py", shard=0) · contract("shop@0") · net: the asyncio client · Ctrl-D ends it"""


@dataclass(frozen=True)
class PendingCall:
    """A call that nobody has sent yet: `await alice.call(...)` does."""

    at: At
    method: str
    arguments: list[Value]


@dataclass(frozen=True)
class Result:
    """What became of a transaction; shown, it is its trace."""

    settlement: Settlement
    trace: Trace
    names: dict[bytes, str]

    @property
    def outcome(self) -> str:
        """`settled`, `failed`, `expired`, `refused` or `pending`."""
        return self.settlement.outcome

    @property
    def id(self) -> str:
        """Of the transaction."""
        return self.settlement.id.hex()

    @property
    def value(self) -> Value:
        """What the method returned."""
        roots = self.trace.roots
        return read(roots[0].result) if roots and roots[0].result else None

    @property
    def gas(self) -> int:
        """What all contracts took."""
        return self.trace.gas

    def __repr__(self) -> str:
        return render_trace(self.trace, self.names) + f"\n  transaction {self.id}"


class Contract:
    """A contract: its methods are attributes, a view's result is awaited, any other method makes a `PendingCall`."""

    def __init__(self, net: AsyncNetwork, shown: ContractView) -> None:
        self._net = net
        self._methods = {method.name: method for method in shown.methods if method.name not in RESERVED_METHODS}
        self.at: Final = At(shown.name, shown.shard)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = self._methods.get(name)
        if method is None:
            raise AttributeError(f"{self.at} has no method {name!r}; it has {', '.join(self._methods)}")
        return self._function(method)

    def _function(self, method: MethodView) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            plain = [_plain(argument) for argument in arguments]
            if method.view:
                return self._view(Ask(self.at, method.name, plain))
            return PendingCall(self.at, method.name, plain)

        ask.__doc__ = f"{method.name}({method.parameters})\n\n{method.summary}"
        return ask

    async def _view(self, ask: Ask) -> Value:
        answer = await self._net.contracts.view(ask)
        if answer.failure is not None:
            failure = answer.failure
            raise Refused(failure.error or failure.kind, failure.message)
        return read(bytes.fromhex(answer.encoded)) if answer.encoded else None

    def __dir__(self) -> list[str]:
        return [*self._methods, "at"]

    def __repr__(self) -> str:
        methods = ", ".join(f"{each.name}({each.parameters})" for each in self._methods.values())
        return f"<contract {self.at}: {methods}>"


class Account:
    """A development account; as an argument it stands for its address."""

    def __init__(self, console: "Session", name: str, known: AccountRun) -> None:
        self._console = console
        self.name: Final = name
        self.address: Final = known.address
        self._seed: Final = SecretSeed(bytes.fromhex(known.secret_seed))

    async def call(self, pending: PendingCall, *, value: int = 0, gas: int | None = None) -> Result:
        """Send a call and wait for its end; `value` in base units."""
        ask = Ask(pending.at, pending.method, pending.arguments, value, gas)
        net = self._console.net
        return await self._console.result(await net.contracts.call(self._seed, ask))

    async def deploy(
        self, file: str, *, shard: int = 0, name: str = "", args: tuple[Any, ...] = (), gas: int = DEPLOY_GAS
    ) -> Contract:
        """Deploy a file under its own name, or another one, and name the contract at the prompt."""
        at = At(name or Path(file).stem, shard)
        source = await asyncio.to_thread(Path(file).read_text, "utf-8")
        code_of = Code(source, [_plain(argument) for argument in args], gas)
        net = self._console.net
        key = parse_address(self.address)
        result = await self._console.result(await net.contracts.deploy(self._seed, at, code_of, owner=key))
        if result.outcome != "settled":
            raise Refused("not_deployed", repr(result))
        return await self._console.add(at)

    async def transfer(self, to: "Account | str", obol: int, *, shard: int = 0, to_shard: int | None = None) -> Result:
        """Send whole obols."""
        key = parse_address(to.address if isinstance(to, Account) else to)
        destination = shard if to_shard is None else to_shard
        net = self._console.net
        return await self._console.result(await net.send(self._seed, shard, key, destination, obol * 10**6))

    def __repr__(self) -> str:
        return f"<account {self.name} {self.address}>"


def _plain(argument: Any) -> Any:
    """An argument as contracts take it: accounts and contracts by their names in contracts."""
    if isinstance(argument, Account):
        return argument.address
    return str(argument.at) if isinstance(argument, Contract) else argument


class Session:
    """The network, and the names at the prompt."""

    def __init__(self, info: RunInfo, net: AsyncNetwork) -> None:
        self.net = net
        self._info = info
        self._names = {bytes(parse_address(each.address)): name for name, each in info.accounts.items()}
        self.accounts = {name: Account(self, name, each) for name, each in info.accounts.items()}
        self.contracts: dict[str, Contract] = {}
        self.scope: dict[str, Any] = {
            "__name__": "__console__",
            "net": net,
            "accounts": self.accounts,
            "contracts": self.contracts,
            "contract": self.contract,
            **self.accounts,
        }

    async def load(self) -> None:
        """Name every contract that is deployed."""
        for shard in range(self._info.shards):
            for shown in await self.net.contracts.all_of(shard):
                self._name(shown)

    async def add(self, at: At) -> Contract:
        """Name one contract."""
        return self._name(await self.net.contracts.contract(at))

    def contract(self, text: str) -> Contract:
        """A contract by name and shard."""
        at = parse_contract(text, self._info)
        if str(at) not in self.contracts:
            raise Refused("not_found", f"there is no {at}; deployed are {', '.join(self.contracts) or 'none'}")
        return self.contracts[str(at)]

    def _name(self, shown: ContractView) -> Contract:
        found = Contract(self.net, shown)
        self.contracts[str(found.at)] = found
        self.scope[shown.name.replace("-", "_")] = found
        return found

    async def result(self, sent: Any) -> Result:
        """Wait for a transaction's end."""
        settlement = await self.net.wait(sent)
        return Result(settlement, await self.net.trace(sent.id), self._names)

    def banner(self) -> str:
        """What is there, and what to type."""
        return BANNER.format(
            shards=self._info.shards,
            accounts=", ".join(list(self.accounts)[:5]),
            contracts=", ".join(self.contracts) or "none yet",
        )


class Prompt(code.InteractiveConsole):
    """The standard prompt; what awaits is run on the loop of the network's client."""

    def __init__(self, scope: dict[str, Any], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__(scope)
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._run = run

    def runcode(self, code: types.CodeType) -> None:
        """Execute one input."""
        try:
            _execute(code, self.locals, self._run)
        except SystemExit:
            raise
        except Refused as refused:
            self.write(f"✗ {refused.detail} ({refused.code})\n")
        except BaseException as error:  # noqa: BLE001 - as any prompt: it tells and goes on
            self.write("".join(traceback.format_exception(error.with_traceback(_own_frames(error.__traceback__)))))


def _execute(compiled: types.CodeType, scope: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    result = types.FunctionType(compiled, scope)()
    if inspect.iscoroutine(result):
        run(result)


def run_console(info: RunInfo) -> bool:
    """Serve a prompt until its end; whether a script that was piped in went through."""
    with asyncio.Runner() as runner:
        net = AsyncNetwork(info)
        runner.run(net.__aenter__())
        try:
            session = Session(info, net)
            runner.run(session.load())
            if not sys.stdin.isatty():
                return _run_script(session, runner)
            with _line_editing(session.scope, Path(info.home) / HISTORY_FILE):
                Prompt(session.scope, runner.run).interact(session.banner(), "")
            return True
        finally:
            runner.run(net.__aexit__())


def _run_script(session: Session, runner: asyncio.Runner) -> bool:
    """Execute what is piped in, as a script."""
    try:
        compiled = compile(sys.stdin.read(), SCRIPT, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        _execute(compiled, session.scope, runner.run)
    except SyntaxError as error:
        traceback.print_exception(error.with_traceback(None))
        return False
    except Exception as error:  # noqa: BLE001 - the script's own; it is told as Python tells it
        traceback.print_exception(error.with_traceback(_own_frames(error.__traceback__)))
        return False
    return True


def _own_frames(frames: types.TracebackType | None) -> types.TracebackType | None:
    """Frames from the first one on that somebody typed; those before it run the prompt."""
    while frames is not None and frames.tb_frame.f_code.co_filename not in (SCRIPT, TYPED):
        frames = frames.tb_next
    return frames


@contextlib.contextmanager
def _line_editing(scope: dict[str, Any], history: Path) -> Any:
    """Completion of names and a history of its own, where there is a readline."""
    try:
        import readline  # noqa: PLC0415 - not on every platform
    except ImportError:
        yield
        return
    readline.set_completer(rlcompleter.Completer(scope).complete)
    readline.parse_and_bind("tab: complete")
    with contextlib.suppress(OSError):
        readline.read_history_file(history)
    try:
        yield
    finally:
        readline.set_history_length(MAX_HISTORY_LINES)
        with contextlib.suppress(OSError):
            readline.write_history_file(history)
