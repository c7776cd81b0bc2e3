"""The functions a contract calls. Each works on the call that runs just now (`running`)."""

from collections.abc import Callable, Coroutine
from types import CoroutineType, TracebackType
from typing import Any, Self, TypeVar, cast

from contracts import limits
from contracts.operations import HIDDEN, Operation
from contracts.values import MAX_VALUE_BYTES, Data, encode, read
from ostraka_contract.errors import ContractError, LimitExceeded, Locked
from ostraka_contract.scheduler import Block, Call, Execution, Gather, Lease, Message, Task

Method = TypeVar("Method", bound=Callable[..., Any])

_PAIR = b"\x92"
"""Head of an encoded list of two."""

DEFAULT_DEADLINE_S = 60
"""Block time at the destination: hundreds of blocks, and soon enough for a person who waits."""

_stack: list[Execution] = []


def running() -> Execution:
    """The call that runs just now.

    Raises:
        ContractError: none does: a contract's functions work while one of its methods is called.

    """
    if not _stack:
        raise ContractError(
            "no method is being called: a module cannot use the ledger while it is loaded; under ordinary Python use "
            "ostraka_contract.testing.Shards"
        )
    return _stack[-1]


class _Running:
    """Makes an execution the one that the API works on."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __enter__(self) -> None:
        _stack.append(self._execution)

    def __exit__(self, *_error: object) -> None:
        _stack.pop()


def run_as(execution: Execution) -> _Running:
    """Context manager: contract code inside it belongs to `execution`."""
    return _Running(execution)


class _MessageNow:
    """`msg`: who called this method, and with what."""

    def __getattr__(self, name: str) -> Any:
        return getattr(running().message, name)


class _BlockNow:
    """`block`: the block that this stretch of code is executed in."""

    def __getattr__(self, name: str) -> Any:
        return getattr(running().block, name)


msg = cast("Message", _MessageNow())
block = cast("Block", _BlockNow())


def get(key: str, default: Any = None) -> Any:
    """Read a value of this contract's storage, decoded afresh; `default` when there is none."""
    raw = running().ask(Operation.GET, _key(key))
    return read(raw) if raw else default


def put(key: str, value: Data) -> None:
    """Write a value, encoded at once; None deletes the key.

    Raises:
        BadValue: not plain data, or too large.

    """
    _put(_key(key), value)


def delete(key: str) -> None:
    """Delete a key; nothing happens when there is none."""
    _put(_key(key), None)


def keys(prefix: str = "", after: str | None = None, limit: int = 100) -> list[str]:
    """Keys that begin with `prefix` and come after `after`, in byte order, at most `limit` of them."""
    return cast("list[str]", read(running().ask(Operation.KEYS, encode([prefix, after, limit])), max_bytes=1 << 20))


def call(
    shard: int,
    contract: str,
    method: str,
    *args: Data,
    value: int = 0,
    gas: int | None = None,
    deadline: int = DEFAULT_DEADLINE_S,
    patience: int | None = None,
) -> Call:
    """Call a method of a contract, on any shard. The message leaves when this method suspends or returns.

    `value` is sent along, in base units; `gas` is set aside for the call out of this one's own (None: 100,000), and
    what it leaves comes back. It expires when it was not executed after `deadline` seconds of block time. After
    `patience` seconds without a reply the await raises OutcomeUnknown (None: it waits for the reply, which always
    comes).

    An address for `contract` and an empty `method` pay `value` to an account of that shard.
    """
    execution = running()
    request = [shard, contract, method, encode(list(args)), value, gas, deadline * 1000, (patience or 0) * 1000]
    number = cast("int", read(execution.ask(Operation.CALL, encode(request, max_bytes=2 * MAX_VALUE_BYTES))))
    return execution.add_call(number)


def gather(*awaitables: Call | Coroutine[Any, Any, Any], return_exceptions: bool = False) -> Gather:
    """Await calls and coroutines concurrently; the results stand in the order of the arguments.

    Without `return_exceptions` the first failure is raised at once and the others run on, as in asyncio.
    """
    execution = running()
    items: list[Call | Task] = []
    for awaitable in awaitables:
        if isinstance(awaitable, CoroutineType):
            items.append(execution.spawn(awaitable))
        elif isinstance(awaitable, Call):
            items.append(awaitable)
        else:
            raise TypeError(f"gather takes call(...) and coroutines, not {type(awaitable).__name__}")
    return Gather(execution, tuple(items), return_exceptions=return_exceptions)


def transfer(to: str, amount: int) -> None:
    """Pay `amount` base units to an account on this shard, with this stretch's other effects or not at all.

    Raises:
        InsufficientBalance: the contract holds less.

    """
    running().ask(Operation.TRANSFER, encode([to, amount]))


def self_balance() -> int:
    """Base units that this contract holds."""
    return cast("int", read(running().ask(Operation.BALANCE, b"")))


def emit(name: str, **data: Data) -> None:
    """Record an event for whoever watches; it cannot be read back by contracts."""
    if type(name) is not str or not 0 < len(name) <= limits.MAX_NAME_LENGTH:
        raise LimitExceeded(f"the name of an event has 1 to {limits.MAX_NAME_LENGTH} characters")
    encoded = encode(data)
    if len(encoded) > limits.MAX_EVENT_BYTES:
        raise LimitExceeded(f"an event's data of more than {limits.MAX_EVENT_BYTES} bytes")
    running().ask(Operation.EMIT, _PAIR + encode(name) + encoded)


def log(*values: object, sep: str = " ", end: str = "") -> None:
    """What `print` does in a contract: a line in the call's log, bounded, for people; dropped while a module loads."""
    if not _stack:
        return
    running().ask(Operation.LOG, (sep.join(map(str, values)) + end)[:MAX_LOG_LINE].encode(errors="replace"))


MAX_LOG_LINE = 1000
"""Characters of one print; the host bounds their sum."""


def view(method: Method) -> Method:
    """Mark a method that only reads: it may be called without a transaction."""
    method.__ostraka_view__ = True  # type: ignore[attr-defined]  # a mark for people and tools; the host reads the source
    return method


class Lock:
    """Guards what must not interleave with other calls of this contract; see `lock`."""

    def __init__(self, key: str, lease: int) -> None:
        self._key = key
        self._raw = _key(key, prefix=HIDDEN + "lock/")
        self._lease = lease
        self._held: Lease | None = None

    async def __aenter__(self) -> Self:
        """Take the key or raise `Locked` at once; it never waits."""
        execution = running()
        raw = execution.ask(Operation.GET, self._raw)
        if raw:
            _holder, until_ms = cast("tuple[str, int]", read(raw))
            if execution.block.time_ms < until_ms:
                raise Locked(
                    f"{self._key!r} is held by another call for at most {until_ms - execution.block.time_ms} ms"
                )
        self._held = Lease(self._key, execution.block.time_ms + self._lease * 1000)
        _put(self._raw, self._mark(execution))
        if execution.task is not None:
            execution.task.leases.append(self._held)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go, unless somebody else holds the key by now."""
        execution = running()
        if execution.task is not None and self._held in execution.task.leases:
            execution.task.leases.remove(self._held)
        if execution.ask(Operation.GET, self._raw) == encode(self._mark(execution)):
            _put(self._raw, None)

    def _mark(self, execution: Execution) -> list[Data]:
        until_ms = self._held.until_ms if self._held is not None else 0
        return [execution.message.call, until_ms]


def lock(key: str, lease: int = 60) -> Lock:
    """Keep other calls of this contract out of a block of code, entered by `async with`.

    The lease, in seconds of block time, frees a key whose holder never comes back; a holder that resumes later gets
    `LeaseLost` with the reply attached.
    """
    return Lock(key, lease)


def _key(key: str, prefix: str = "") -> bytes:
    if type(key) is not str:
        raise TypeError(f"a storage key is a str, not {type(key).__name__}")
    raw = (prefix + key).encode()
    if not key or len(raw) > limits.MAX_KEY_BYTES or (not prefix and key.startswith(HIDDEN)):
        raise ValueError(f"a storage key has 1 to {limits.MAX_KEY_BYTES} bytes and does not begin with NUL")
    return raw


def _put(raw_key: bytes, value: Data) -> None:
    raw = b"" if value is None else encode(value)
    running().ask(Operation.PUT, len(raw_key).to_bytes(2, "big") + raw_key + raw)
