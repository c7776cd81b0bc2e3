"""One run of one call, as the host keeps it: what was asked, what was answered, what is committed.

The guest is not trusted. It may ask anything at any time; what it asks is checked here, happens in this contract's
own storage and from its own balance, and is answered from the journal as long as the run repeats earlier stretches.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Final, Protocol

import msgspec

from contracts import gas, limits, requests
from contracts.operations import DECLINED, DONE, HIDDEN, VIEW_REFUSAL, Operation
from contracts.outcomes import (
    Effects,
    Event,
    Invocation,
    Journal,
    Last,
    OutgoingCall,
    Reply,
    StorageWrite,
    Stretch,
    Transfer,
    Wait,
)
from contracts.port import World
from contracts.requests import Declined
from contracts.values import encode
from primitives.amounts import unpack_amount
from primitives.codec import encode as encode_record
from primitives.identifiers import Hash, Height, Milliseconds


class Stop(Exception):
    """The run ends here, whatever the guest would do next. `kind` is that of `Failed`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Trapped(Exception):
    """The engine stopped: nothing of the call's program ran after it. The text is the engine's name for the trap."""

    def __init__(self, text: str, gas_used: int) -> None:
        super().__init__(text)
        self.gas_used = gas_used


class GasExhausted(Exception):
    """The price of what was asked exceeds the gas that is left."""


class Meter(Protocol):
    """Takes gas from the running call."""

    def left(self) -> int:
        """Gas that the call has left."""
        ...

    def charge(self, amount: int) -> None:
        """Take it.

        Raises:
            GasExhausted: there is less.

        """
        ...


@dataclass(slots=True)
class Pending:
    """What the stretch under way has done so far."""

    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    calls: list[OutgoingCall] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    gas_sent: int = 0
    spent: int = 0


class Session:
    """Answers the guest during one run."""

    def __init__(self, invocation: Invocation, world: World, meter: Meter, *, read_only: bool) -> None:
        self.log: list[str] = []
        self.waits: tuple[Wait, ...] = ()
        self.journal: Journal = invocation.journal
        self.gas_sent = 0
        """Committed by this run; the pending stretch's is in `pending`."""
        self.gas_set_aside = 0
        """Of the run's own gas, for calls, whether their stretch was committed or not."""
        self.pending = Pending()
        self._invocation: Final = invocation
        self._world: Final = world
        self._meter: Final = meter
        self._read_only: Final = read_only
        self._purse = invocation.purse
        self._committed = Pending()
        self._suspended = False
        self._stretch = 0
        self._asked: list[bytes] = []
        """In this stretch."""
        self._answered = 0
        self._calls_before = 0
        self._log_bytes = 0

    @property
    def replaying(self) -> bool:
        """Whether the stretch under way is one that the journal holds."""
        return self._stretch < len(self._invocation.journal)

    def ask(self, code: int, request: bytes) -> bytes:
        """Answer one question.

        Raises:
            Stop: the run cannot go on.
            GasExhausted: its price is not there.

        """
        if self._suspended:
            raise Stop("protocol", "the guest went on after it had suspended")
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise Stop("protocol", f"the guest asked for operation {code}")
        if self.replaying:
            self._meter.charge(gas.REPLAY_ASK_GAS)
        else:
            self._meter.charge(_price_of(operation, request))
        if operation is Operation.COMMIT:
            return self._commit(request)
        self._asked.append(bytes((code,)) + len(request).to_bytes(4, "big") + request)
        answer = self._repeat() if self.replaying else self._perform(operation, request)
        if operation is Operation.CALL and answer[0] == DONE:
            self._calls_before += 1
        return answer

    def following(self, height: Height, time_ms: Milliseconds, replies: tuple[Reply, ...]) -> "Session":
        """A session for the next stretch of a call whose coroutines are still alive: nothing is replayed."""
        now = msgspec.structs.replace(
            self._invocation, height=height, time_ms=time_ms, journal=self.journal, replies=replies
        )
        session = Session(now, self._world, self._meter, read_only=self._read_only)
        session._stretch = len(self.journal)
        session._calls_before = self._calls_before
        return session

    def finish(self, held: bytes = b"") -> None:
        """Commit the last stretch: the method returned, with what was held back, which is paid for."""
        if self._suspended:
            raise Stop("protocol", "the guest returned after it had suspended")
        if self.replaying:
            raise Stop("replay_diverged", "the call ended in a stretch that had suspended before")
        self._take_over(held)
        self._merge()

    @property
    def last(self) -> Last:
        """The first stretch that is not in the journal; when the run was stopped early, it had not even begun."""
        grew = len(self.journal) > len(self._invocation.journal)
        return Last(() if grew else self._invocation.replies, tuple(self.pending.answers))

    @property
    def effects(self) -> Effects:
        """What this run committed."""
        done = self._committed
        writes = tuple(StorageWrite(key, value) for key, value in done.writes.items())
        return Effects(writes, tuple(done.calls), tuple(done.transfers), tuple(done.events))

    def _repeat(self) -> bytes:
        answers = self._invocation.journal[self._stretch].answers
        if self._answered >= len(answers):
            raise Stop("replay_diverged", "the replay asks more than the call did")
        self._answered += 1
        return answers[self._answered - 1]

    def _perform(self, operation: Operation, request: bytes) -> bytes:
        recorded = self._recorded()
        if recorded is None or recorded[:1] == bytes((DONE,)):
            try:
                answer = bytes((DONE,)) + self._HANDLERS[operation](self, request)
            except Declined as declined:
                answer = bytes((DECLINED,)) + encode([declined.error, declined.text])
        if recorded is not None:
            answer = recorded
        self.pending.answers.append(answer)
        return answer

    def _recorded(self) -> bytes | None:
        """What was answered when a run that has ended is repeated offline; its effects are collected all the same."""
        recorded = self._invocation.recorded
        if recorded is None:
            return None
        if len(self.pending.answers) >= len(recorded):
            raise Stop("replay_diverged", "the replay asks more than the call did")
        return recorded[len(self.pending.answers)]

    def _commit(self, request: bytes) -> bytes:
        """End a stretch and begin the next, when there is one to begin."""
        continues, waits = requests.read_commit(request)
        if self.replaying:
            self._check_replay()
        else:
            self._append_stretch()
            self._merge()
            if not continues:
                self._suspended = True
                self.waits = waits
                return bytes((DONE,))
        self._stretch += 1
        self._asked.clear()
        self._answered = 0
        return bytes((DONE,)) + self._opening()

    def _opening(self) -> bytes:
        """What the next stretch begins with, from the journal or from now."""
        if self.replaying:
            stretch = self._invocation.journal[self._stretch]
            height, time_ms, replies = stretch.height, stretch.time_ms, stretch.replies
        else:
            height, time_ms = self._invocation.height, self._invocation.time_ms
            replies = self._replies()
        # JSON, because its reader is in C in the guest, where a replay begins as many stretches as there were.
        return msgspec.json.encode([height, time_ms, [reply.listed() for reply in replies]])

    def _digest(self) -> Hash:
        return Hash(sha256(b"".join(self._asked)).digest())

    def _replies(self) -> tuple[Reply, ...]:
        """Those that the stretch under way began with: a run delivers its replies to its first stretch."""
        first = self._stretch == len(self._invocation.journal)
        return self._invocation.replies if first and self._stretch else ()

    def _check_replay(self) -> None:
        stretch = self._invocation.journal[self._stretch]
        if self._answered != len(stretch.answers) or self._digest() != stretch.digest:
            raise Stop("replay_diverged", f"stretch {self._stretch} of the replay differs from the call")

    def _append_stretch(self) -> None:
        if len(self.journal) + 1 >= limits.MAX_STRETCHES:
            raise Stop("too_many_awaits", f"a call may await {limits.MAX_STRETCHES - 1} times")
        stretch = Stretch(
            height=self._invocation.height,
            time_ms=self._invocation.time_ms,
            replies=self._replies(),
            answers=tuple(self.pending.answers),
            digest=self._digest(),
        )
        self._meter.charge(gas.JOURNAL_BYTE_GAS * len(encode_record(stretch)))
        journal = (*self.journal, stretch)
        if len(encode_record(journal)) > limits.MAX_JOURNAL_BYTES:
            raise Stop("journal_too_large", f"what the call read and was told exceeds {limits.MAX_JOURNAL_BYTES} bytes")
        self.journal = journal

    def _merge(self) -> None:
        done, new = self._committed, self.pending
        done.writes.update(new.writes)
        done.calls += new.calls
        done.transfers += new.transfers
        done.events += new.events
        done.spent += new.spent
        self.gas_sent += new.gas_sent
        self.pending = Pending()

    def _get(self, request: bytes) -> bytes:
        return self._stored(requests.read_key(request)) or b""

    def _stored(self, key: bytes) -> bytes | None:
        for layer in (self.pending.writes, self._committed.writes):
            if key in layer:
                return layer[key]
        return self._world.read(self._invocation.contract, key)

    def _put(self, request: bytes) -> bytes:
        self._refuse_in_view("write")
        key, value = requests.read_put(request)
        if key not in self.pending.writes and len(self.pending.writes) >= limits.MAX_WRITES:
            raise Declined("LimitExceeded", limits.TOO_MANY_WRITES)
        self.pending.writes[key] = value
        return b""

    def _keys(self, request: bytes) -> bytes:
        prefix, after, limit = requests.read_keys(request)
        layers = (self._committed.writes, self.pending.writes)
        self._meter.charge(gas.OVERLAY_KEY_GAS * sum(map(len, layers)))
        # Hidden keys sort first and are the host's to leave out.
        floor = max(after, HIDDEN.encode() + b"\xff")
        overlay = {k: value for layer in layers for k, value in layer.items() if k > floor and k.startswith(prefix)}
        deleted = {key for key, value in overlay.items() if value is None}
        stored = self._world.keys(self._invocation.contract, prefix, floor, limit + len(deleted))
        found = (overlay.keys() | set(stored)) - deleted
        return encode([key.decode() for key in sorted(found)[:limit]], max_bytes=1 << 20)

    def _call(self, request: bytes) -> bytes:
        self._refuse_in_view("call")
        if self._calls_before >= limits.MAX_CALLS:
            raise Declined("LimitExceeded", f"a call may make {limits.MAX_CALLS} calls")
        now_ms, gas_left = self._invocation.time_ms, self._purse + self._meter.left()
        outgoing = requests.read_call(request, number=self._calls_before, now_ms=now_ms, gas_left=gas_left)
        self._spend(unpack_amount(outgoing.value))
        from_purse = min(self._purse, outgoing.gas)
        self._meter.charge(outgoing.gas - from_purse)
        self._purse -= from_purse
        self.gas_set_aside += outgoing.gas - from_purse
        self.pending.gas_sent += outgoing.gas
        self.pending.calls.append(outgoing)
        return encode(outgoing.number)

    def _transfer(self, request: bytes) -> bytes:
        self._refuse_in_view("transfer")
        if len(self.pending.transfers) >= limits.MAX_TRANSFERS:
            raise Declined("LimitExceeded", f"more than {limits.MAX_TRANSFERS} transfers between two awaits")
        transfer = requests.read_transfer(request)
        self._spend(unpack_amount(transfer.amount))
        self.pending.transfers.append(transfer)
        return b""

    def _spend(self, amount: int) -> None:
        held = self._held()
        if amount > held:
            raise Declined("InsufficientBalance", f"{amount} base units to be sent, {held} held")
        self.pending.spent += amount

    def _held(self) -> int:
        return self._world.balance(self._invocation.contract) - self._committed.spent - self.pending.spent

    def _balance(self, _request: bytes) -> bytes:
        return encode(self._held())

    def _take_over(self, request: bytes) -> bytes:
        """Writes and events that the guest has held back. It has refused what is not allowed at the line at fault."""
        try:
            for operation, held in requests.read_held(request):
                self._HANDLERS[operation](self, held)
        except Declined as declined:
            raise Stop("protocol", f"the guest handed over what it had to refuse: {declined.text}") from None
        return b""

    def _emit(self, request: bytes) -> bytes:
        self._refuse_in_view("emit")
        if len(self.pending.events) >= limits.MAX_EVENTS:
            raise Declined("LimitExceeded", limits.TOO_MANY_EVENTS)
        self.pending.events.append(requests.read_event(request))
        return b""

    def _print(self, request: bytes) -> bytes:
        if self._log_bytes + len(request) <= limits.MAX_LOG_BYTES:
            self.log.append(request.decode(errors="replace"))
        self._log_bytes += len(request)
        return b""

    def _refuse_in_view(self, verb: str) -> None:
        if self._read_only:
            raise Declined("NotAllowed", VIEW_REFUSAL.format(verb))

    _HANDLERS: ClassVar[dict[Operation, "Callable[[Session, bytes], bytes]"]] = {
        Operation.GET: _get,
        Operation.PUT: _put,
        Operation.KEYS: _keys,
        Operation.CALL: _call,
        Operation.TRANSFER: _transfer,
        Operation.EMIT: _emit,
        Operation.BALANCE: _balance,
        Operation.LOG: _print,
        Operation.HAND_OVER: _take_over,
    }


_OPERATIONS: Final = {int(operation): operation for operation in Operation}


def _price_of(operation: Operation, request: bytes) -> int:
    if operation is not Operation.HAND_OVER:
        return gas.price_of(operation, request)
    return held_price(request)


def held_price(request: bytes) -> int:
    """Gas of what was held back.

    Raises:
        Stop: it is malformed.

    """
    try:
        return gas.price_of_all(requests.read_held(request))
    except Declined as declined:
        raise Stop("protocol", declined.text) from None
