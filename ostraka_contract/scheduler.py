"""How one call of a contract runs: coroutines, replies, and the same order every time.

An `Execution` advances until every coroutine waits; that stretch is one atomic transaction. The host commits it and
delivers replies, in a recorded order, and the next stretch begins. Nothing here depends on time or on anything but
that order, so repeating the stretches with the same replies repeats the call: this is what a replay is.

The same file runs in the machine, where a suspended call is replayed from its journal, and under ordinary CPython in
the double (`ostraka_contract.testing`), where its coroutines simply stay alive.
"""

import json
from collections.abc import Coroutine, Generator, Sequence
from typing import Any, NamedTuple, Protocol

from contracts.operations import BYTES, DECLINED, REPLY_OK, REPLY_UNKNOWN, Operation
from contracts.values import encode, read
from ostraka_contract import errors
from ostraka_contract.errors import CallFailed, ContractError, LeaseLost, OutcomeUnknown


class Host(Protocol):
    """Whoever keeps the ledger: the machine's host, or the double."""

    def ask(self, operation: int, request: bytes) -> bytes:
        """Do what `contracts.operations` says and answer."""
        ...


class Message(NamedTuple):
    """Why this method runs."""

    sender: str
    """An address (`osk1...`), or a contract as `name@shard`."""
    value: int
    """Base units that came with the call (1 obol = 10**6)."""
    shard: int
    """The shard this runs on."""
    contract: str
    """This contract's name."""
    trace: str
    """Hex id of the transaction at the root of all calls."""
    call: str
    """Hex id of this call."""


class Block(NamedTuple):
    """The block that this stretch is executed in."""

    height: int
    time_ms: int
    """Unix time in milliseconds."""

    @property
    def time(self) -> int:
        """Unix time in seconds."""
        return self.time_ms // 1000


class Wait(NamedTuple):
    """What a coroutine yields: it continues when all `items` are done, or, when `early`, as soon as one has failed."""

    items: "tuple[Call | Task, ...]"
    early: bool = False

    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return all(item.done for item in self.items) or (self.early and any(item.failed for item in self.items))


class Call:
    """A call under way. Await it for its result; a call that nobody awaits happens all the same."""

    def __init__(self, execution: "Execution", number: int) -> None:
        self.number = number
        self.done = False
        self.failed = False
        self.order = 0
        self._execution = execution
        self._kind = ""
        self._raw = b""
        self._failure: tuple[str, str, str, int] = ("", "", "", 0)

    def settle(self, kind: str, raw: bytes, failure: tuple[str, str, str, int]) -> None:
        """Take the reply; `raw` is the encoded result."""
        self.done = True
        self.failed = kind != REPLY_OK
        self.order = self._execution.next_order()
        self._kind, self._raw, self._failure = kind, raw, failure

    def result(self) -> Any:
        """The result, decoded anew for each reader.

        Raises:
            CallFailed: it did not happen.
            OutcomeUnknown: it may still happen.

        """
        if self._kind == REPLY_OK:
            return read(self._raw)
        if self._kind == REPLY_UNKNOWN:
            raise OutcomeUnknown(self._failure[1] or "no reply within the call's patience; it may still happen")
        error, message, traceback, returned = self._failure
        raise CallFailed(self._kind, error, message, traceback, returned)

    def __await__(self) -> Generator[Wait, None, Any]:
        """Every await of a call is a commit point, even when the reply is already there."""
        yield Wait((self,))
        self._execution.check_leases(self.result)
        return self.result()


class Task:
    """A coroutine that runs beside others of the same call."""

    def __init__(self, coroutine: Coroutine[Any, None, Any], leases: "list[Lease] | None" = None) -> None:
        self.coroutine = coroutine
        self.done = False
        self.failed = False
        self.order = 0
        self.value: Any = None
        self.error: BaseException | None = None
        self.wait: Wait | None = None
        self.leases: list[Lease] = [] if leases is None else leases

    def result(self) -> Any:
        """What the coroutine returned, or what it raised."""
        if self.error is not None:
            raise self.error
        return self.value


class Gather:
    """Several calls and coroutines under way at once; await it for the list of their results."""

    def __init__(self, execution: "Execution", items: "tuple[Call | Task, ...]", *, return_exceptions: bool) -> None:
        self._execution = execution
        self._items = items
        self._return_exceptions = return_exceptions

    def _results(self) -> list[Any]:
        if not self._return_exceptions:
            failed = [item for item in self._items if item.failed]
            if failed:
                min(failed, key=lambda item: item.order).result()
        return [_result_or_error(item) for item in self._items]

    def __await__(self) -> Generator[Wait, None, list[Any]]:
        """Raise the first failure, unless `return_exceptions`; the others run on."""
        wait = Wait(self._items, early=not self._return_exceptions)
        if any(isinstance(item, Call) for item in self._items) or not wait.is_over():
            yield wait
        self._execution.check_leases(self._results)
        return self._results()


def _result_or_error(item: "Call | Task") -> Any:
    try:
        return item.result()
    except Exception as error:  # noqa: BLE001 - return_exceptions means all of them
        return error


class Lease(NamedTuple):
    """A lock held by this call until `until_ms` of block time."""

    key: str
    until_ms: int


class Execution:
    """One call of one method, from its first stretch to its end."""

    def __init__(self, host: Host, message: Message, block: Block) -> None:
        self.message = message
        self.block = block
        self.task: Task | None = None
        """The coroutine that runs just now."""
        self.host = host
        self._ready: list[Task] = []
        self._blocked: list[Task] = []
        self._calls: dict[int, Call] = {}
        self._order = 0

    def ask(self, operation: Operation, request: bytes) -> bytes:
        """Ask the host.

        Raises:
            ContractError: of the type that the host names, when it declines.

        """
        answer = self.host.ask(operation, request)
        if answer[0] == DECLINED:
            match read(answer[1:]):
                case [str(error), str(text)]:
                    raise getattr(errors, error, ContractError)(text)
                case other:
                    raise ContractError(f"the host declined with {other!r}")
        return answer[1:]

    def next_order(self) -> int:
        """Number the ends of calls and coroutines as they come."""
        self._order += 1
        return self._order

    def add_call(self, number: int) -> Call:
        """Keep the place that a reply will come to."""
        call = self._calls[number] = Call(self, number)
        return call

    def spawn(self, coroutine: Coroutine[Any, None, Any]) -> Task:
        """Run a coroutine from the next turn on."""
        task = Task(coroutine)
        self._ready.append(task)
        return task

    def drive(self, main: Task) -> bool:
        """Run through stretches until `main` is done (True) or the host has no more replies (False)."""
        while not self.advance(main):
            answer = self.ask(Operation.COMMIT, encode([self.continues(), self.waits()]))
            if not answer:
                return False
            height, time_ms, replies = json.loads(answer)
            self.begin(Block(height, time_ms), replies)
        return True

    def advance(self, main: Task) -> bool:
        """Run until `main` is done (True) or every coroutine waits (False)."""
        while not main.done and self._ready:
            self._step(self._ready.pop(0))
            self._wake(tasks_only=True)
        if main.done:
            return True
        if not self._blocked or not (self.continues() or self.waits()):
            main.coroutine.close()
            main.done = main.failed = True
            main.error = ContractError("nothing is under way that this call could wait for")
            return True
        return False

    def continues(self) -> bool:
        """Whether a coroutine can go on without another reply: it awaits one that is already there."""
        return any(task.wait is not None and task.wait.is_over() for task in self._blocked)

    def waits(self) -> list[tuple[list[int], bool]]:
        """For each coroutine that awaits calls: the numbers of those without a reply, and whether a failure ends it."""
        found = []
        for task in self._blocked:
            if task.wait is not None and not task.wait.is_over():
                numbers = [item.number for item in task.wait.items if isinstance(item, Call) and not item.done]
                if numbers:
                    found.append((numbers, task.wait.early))
        return found

    def begin(self, block: Block, replies: Sequence[Sequence[Any]]) -> None:
        """Begin the next stretch: for each reply what `contracts.outcomes.Reply.listed` says."""
        self.block = block
        for number, kind, result, error, message, traceback, returned in replies:
            call = self._calls.get(number)
            if call is not None and not call.done:
                call.settle(kind, result.encode(BYTES), (error, message, traceback, returned))
        self._wake(tasks_only=False)

    def check_leases(self, reply: Any) -> None:
        """Refuse to go on under a lock whose lease ran out during the await."""
        lost = [lease for lease in (self.task.leases if self.task else ()) if lease.until_ms <= self.block.time_ms]
        if not lost:
            return
        try:
            value = reply()
        except Exception as failure:
            raise LeaseLost(lost[0].key, failure=failure) from failure
        raise LeaseLost(lost[0].key, reply=value)

    def _step(self, task: Task) -> None:
        self.task = task
        try:
            wait = task.coroutine.send(None)
        except StopIteration as stop:
            task.value = stop.value
            task.done = True
        except BaseException as error:  # noqa: BLE001 - whatever ends a coroutine is its result
            task.error = error
            task.done = task.failed = True
        else:
            self._block(task, wait)
        finally:
            self.task = None
        if task.done:
            task.order = self.next_order()

    def _block(self, task: Task, wait: object) -> None:
        if isinstance(wait, Wait):
            task.wait = wait
            self._blocked.append(task)
            return
        task.coroutine.close()
        task.done = task.failed = True
        task.error = TypeError("a contract can await call(...), gather(...) and its own coroutines, nothing else")

    def _wake(self, *, tasks_only: bool) -> None:
        """Let go on whoever has waited for what is now there; for calls, only at the beginning of a stretch."""
        waiting = []
        for task in self._blocked:
            wait = task.wait
            held = wait is not None and tasks_only and any(isinstance(item, Call) for item in wait.items)
            if wait is None or held or not wait.is_over():
                waiting.append(task)
            else:
                task.wait = None
                self._ready.append(task)
        self._blocked = waiting
