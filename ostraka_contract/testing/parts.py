"""What the double is made of: contracts, calls under way, and the lanes between shards."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from contracts.outcomes import Invocation, Reply
from contracts.session import Session
from contracts.values import Data, read
from ostraka_contract.scheduler import Execution, Task
from primitives.addresses import format_address
from primitives.identifiers import PublicKey

if TYPE_CHECKING:
    from ostraka_contract.testing.shards import Shards


def address(name: str) -> str:
    """An account's address for tests, always the same for a name; nobody has its key."""
    return format_address(PublicKey(sha256(name.encode()).digest()))


@dataclass(frozen=True)
class Code:
    """A source, compiled under its own path so that debuggers and coverage find it."""

    path: Path
    compiled: CodeType
    methods: frozenset[str]
    """Functions that the source defines at its top, whatever else is bound to a public name."""

    @classmethod
    def of(cls, source: str | Path | ModuleType) -> "Code":
        """Read a file, or the file of an imported module."""
        path = Path(str(source.__file__) if isinstance(source, ModuleType) else source)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        methods = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        return cls(path, compile(tree, str(path), "exec", dont_inherit=True), frozenset(methods))

    def load(self) -> dict[str, Any]:
        """Run the module anew, as the machine does for each call."""
        module = ModuleType(self.path.stem)
        module.__dict__["__file__"] = str(self.path)
        exec(self.compiled, module.__dict__)  # noqa: S102 - the author's own file, under the author's debugger
        return module.__dict__


@dataclass
class Account:
    """What one deployed contract has."""

    code: Code
    shard: int
    name: str
    balance: int = 0
    storage: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def principal(self) -> str:
        """What other contracts see as `msg.sender`."""
        return f"{self.name}@{self.shard}"


@dataclass
class Ticket:
    """A call sent from outside: its result, once it has one."""

    done: bool = False
    _result: Any = None
    _error: BaseException | None = None

    def result(self) -> Any:
        """What the method returned; raises what it raised.

        Raises:
            RuntimeError: it is still under way.

        """
        if not self.done:
            raise RuntimeError("the call is still under way; settle() delivers what there is to deliver")
        if self._error is not None:
            raise self._error
        return self._result

    def finish(self, result: Any, error: BaseException | None) -> None:
        """Take the outcome."""
        self.done, self._result, self._error = True, result, error


@dataclass
class Open:
    """One call under way at its contract, on the code that it began with."""

    invocation: Invocation
    account: Account
    code: Code
    ticket: Ticket | None
    caller: "Open | None"
    number: int
    execution: Execution
    session: Session
    main: Task | None = None
    arrived: list[Reply] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    committed: bool = False


@dataclass(frozen=True)
class Contract:
    """A handle on a deployed contract."""

    shards: "Shards"
    account: Account

    def send(self, method: str, *args: Data, sender: str = "alice", value: int = 0) -> Ticket:
        """Call a method from outside; its first stretch has run when this returns."""
        return self.shards.send(self.account, method, args, sender, value)

    def view(self, method: str, *args: Data) -> Any:
        """Call a method that only reads, and get its result."""
        return self.send(method, *args).result()

    def upgrade(self, source: str | Path | ModuleType, *, sender: str = "alice") -> None:
        """Replace the code and run its `migrate`, if it has one; calls under way finish on the code they began with."""
        self.shards.upgrade(self.account, source, sender)

    def get(self, key: str) -> Any:
        """Look into the storage."""
        raw = self.account.storage.get(key.encode())
        return None if raw is None else read(raw)

    @property
    def balance(self) -> int:
        """Base units held."""
        return self.account.balance


@dataclass
class Lanes:
    """Messages and replies under way: in order from one shard to another, in any order between such lanes."""

    choose: Callable[[int], int]
    halted: set[int] = field(default_factory=set)
    _under_way: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)

    def send(self, source: int, destination: int, deliver: Callable[[], None]) -> None:
        """Put a delivery at the end of its lane."""
        self._under_way.append((source, destination, deliver))

    def take(self) -> Callable[[], None] | None:
        """The first delivery of one of the lanes, of those whose destination is not halted; None: there is none."""
        heads: dict[tuple[int, int], int] = {}
        for index, (source, destination, _) in enumerate(self._under_way):
            if destination not in self.halted:
                heads.setdefault((source, destination), index)
        if not heads:
            return None
        return self._under_way.pop(list(heads.values())[self.choose(len(heads))])[2]
