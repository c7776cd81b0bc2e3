"""What has happened on all shards, read from the validators' stores: receipts by trace, and the calls they tell of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.outcomes import Event
from primitives.identifiers import CallId, Height, Milliseconds, ShardId, TransactionId
from primitives.storage import Reader
from shards.chain_store import commitment_at, decode_receipt, executed_height, receipts_at, transaction_place
from shards.messages import Outcome
from shards.receipts import (
    CallReceipt,
    MadeCall,
    Receipt,
    ReplyReceipt,
    RunReceipt,
    RunState,
    TransactionReceipt,
)
from shards.run_store import run_note
from shards.transactions import ContractCall, Deploy, Operation, RemoteCall, RemoteTransfer, Upgrade

OK = "ok"
PENDING = "pending"
FAILED = "failed"
RAISED = "raised"
STARVED = "starved"


class Found(NamedTuple):
    """A receipt with its place."""

    shard: ShardId
    height: Height
    time_ms: Milliseconds
    receipt: Receipt


class History:
    """Receipts of all shards, taken in as their validators store them. `reader_of` gives a shard's best store."""

    def __init__(self, shards: int, reader_of: Callable[[ShardId], Reader]) -> None:
        self._reader_of = reader_of
        self._heights = [0] * shards
        self._by_trace: dict[bytes, list[Found]] = {}

    def of(self, trace_id: TransactionId) -> list[Found]:
        """Receipts of one trace, in order of time."""
        for shard in range(len(self._heights)):
            self._take_in(ShardId(shard))
        return sorted(self._by_trace.get(trace_id, ()), key=lambda found: (found.time_ms, found.shard))

    def is_final(self, shard: ShardId, transaction_id: TransactionId) -> bool:
        """Whether a transaction is in a final block."""
        return transaction_place(self._reader_of(shard), transaction_id) is not None

    def log_of(self, found: Found) -> tuple[str, ...]:
        """What a run printed."""
        receipt = found.receipt
        if not isinstance(receipt, RunReceipt):
            return ()
        note = run_note(self._reader_of(found.shard), found.height, CallId(receipt.call_id), receipt.run)
        return () if note is None else note.log

    def _take_in(self, shard: ShardId) -> None:
        reader = self._reader_of(shard)
        for height in range(self._heights[shard] + 1, executed_height(reader) + 1):
            commitment = commitment_at(reader, Height(height))
            if commitment is None:
                return
            self._heights[shard] = height
            for raw in receipts_at(reader, Height(height)):
                receipt = decode_receipt(raw)
                trace_id = _trace_of(receipt)
                if trace_id is not None:
                    found = Found(shard, Height(height), commitment.time_ms, receipt)
                    self._by_trace.setdefault(trace_id, []).append(found)


def _trace_of(receipt: Receipt) -> bytes | None:
    if isinstance(receipt, TransactionReceipt):
        return receipt.transaction_id
    return receipt.trace_id if isinstance(receipt, RunReceipt | CallReceipt | ReplyReceipt) else None


@dataclass(slots=True)
class CallStory:
    """What became of one call of a trace, or of its root transaction."""

    shard: int
    """Where it is executed."""
    name: str
    """`contract.method`, or `transfer`."""
    parent: bytes = b""
    outcome: str = PENDING
    """`ok`, `failed`, `expired`, `refused`, `lane_full`, `starved`, or `pending` while it is under way."""
    kind: str = ""
    """Of a failure: `raised`, or what stopped it (`out_of_gas`, `no_method`, ...)."""
    error: str = ""
    """The exception's type where it raised, else the kind."""
    message: str = ""
    traceback: str = ""
    result: bytes = b""
    answered: bool = False
    """Whether its end has come home, or, of the root, whether it has ended."""
    events: list[Event] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it has ended where it is executed."""
        return self.outcome not in (PENDING, STARVED)


def name_of(operation: Operation) -> str:
    """What a story calls an operation."""
    match operation:
        case ContractCall() | RemoteCall():
            return f"{operation.contract}.{operation.method}"
        case Deploy() | Upgrade():
            return f"{operation.name}.{type(operation).__name__.lower()}"
        case _:
            return "transfer" if not hasattr(operation, "call_id") else "top_up"


class Story:
    """All calls of one transaction; the first is the transaction itself."""

    def __init__(self, shard: int, operations: tuple[Operation, ...], found: list[Found]) -> None:
        self.root = CallStory(shard, name_of(operations[0]))
        self._operations = operations
        self._calls: dict[bytes, CallStory] = {}
        self._root_id = b""
        self.main = self.root
        """The call that people mean: where the transaction does nothing but send one elsewhere, that one."""
        roots = [each for each in found if isinstance(each.receipt, TransactionReceipt)]
        # A call's first run stands before its transaction's receipt, which says which call that is.
        for each in roots + [each for each in found if each not in roots]:
            self._take(each)

    def __iter__(self) -> Iterator[CallStory]:
        yield self.root
        yield from self._calls.values()

    @property
    def settled(self) -> bool:
        """Whether it has ended, and every call it led to is answered."""
        return all(call.answered for call in self)

    @property
    def waits_for(self) -> list[CallStory]:
        """Calls that keep it from being settled."""
        return [call for call in self if not call.answered]

    def _call(self, call_id: bytes, shard: int, name: str) -> CallStory:
        if call_id == self._root_id and call_id:
            return self.root
        return self._calls.setdefault(call_id, CallStory(shard, name))

    def _take(self, found: Found) -> None:
        match found.receipt:
            case TransactionReceipt() as receipt:
                self._transaction(receipt)
            case RunReceipt() as receipt:
                self._run(found, receipt)
            case CallReceipt() as receipt:
                call = self._call(receipt.call_id, found.shard, "?")
                if receipt.outcome != Outcome.UNDER_WAY and not call.over:
                    call.outcome, call.message = Outcome(receipt.outcome).name.lower(), receipt.detail
            case ReplyReceipt() as receipt:
                call = self._call(receipt.call_id, receipt.source, "?")
                call.answered = True
                if not call.over:
                    call.outcome, call.message = Outcome(receipt.outcome).name.lower(), receipt.detail
            case _:
                pass

    def _transaction(self, receipt: TransactionReceipt) -> None:
        root = self.root
        self._root_id = receipt.call_id
        if receipt.failure:
            root.outcome, root.message, root.answered = FAILED, receipt.detail, True
            root.kind = root.error = receipt.failure
        elif not receipt.call_id:
            root.outcome, root.answered = OK, True
        remote = [each for each in self._operations if isinstance(each, RemoteCall | RemoteTransfer)]
        for sent, operation in zip(receipt.sent, remote, strict=False):
            call = self._calls[sent.call_id] = CallStory(sent.destination, name_of(operation))
            if len(self._operations) == 1:
                self.main = call

    def _run(self, found: Found, receipt: RunReceipt) -> None:
        call = self._call(receipt.call_id, found.shard, f"{receipt.contract}.{receipt.method}")
        call.name = call.name if call is self.root else f"{receipt.contract}.{receipt.method}"
        call.parent = receipt.parent_call_id
        call.events.extend(receipt.events)
        for made in receipt.calls:
            self._made(made, receipt.call_id)
        match RunState(receipt.state):
            case RunState.COMPLETED:
                call.outcome, call.result = OK, receipt.result
            case RunState.FAILED:
                call.outcome = FAILED
                call.kind = receipt.kind
                call.error = receipt.error_type if receipt.kind == RAISED else receipt.kind
                call.message, call.traceback = receipt.error_text, receipt.traceback
            case RunState.STARVED:
                call.outcome = STARVED
            case RunState.SUSPENDED:
                call.outcome = PENDING
        if call is self.root:
            call.answered = call.over

    def _made(self, made: MadeCall, parent: bytes) -> None:
        name = f"{made.target}.{made.method}" if made.method else "transfer"
        call = self._call(made.call_id, made.shard, name)
        call.name, call.parent = name, parent
