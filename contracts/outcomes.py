"""What goes into the machine and what comes out: an Invocation, and exactly one Outcome for it.

An outcome's `effects` are those of the stretches that this run committed; they hold whatever the outcome is. A
stretch that raised, ran out of gas or trapped has no effects.
"""

import re
from typing import Annotated, Final

from msgspec import Meta

from contracts import limits
from contracts.operations import BYTES
from contracts.values import MAX_VALUE_BYTES
from primitives.amounts import AmountField, unpack_amount
from primitives.codec import Decoder, Record
from primitives.hashing import Tag, tagged_hash
from primitives.identifiers import (
    CallIdField,
    CountField,
    Hash,
    HashField,
    HeightField,
    MillisecondsField,
    ShardIdField,
    TransactionIdField,
)

NameField = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_LENGTH)]
MethodField = Annotated[str, Meta(max_length=limits.MAX_NAME_LENGTH)]
"""Empty in a payment to an account."""

CONTRACT_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,25}")
"""Of a contract, unique on its shard; an address (`osk1...`, 62 characters) is none. `name@shard` is then at most 31
bytes, and so never what 32 bytes of an account's key could be taken for."""

ValueField = Annotated[bytes, Meta(max_length=MAX_VALUE_BYTES)]
"""An encoded value of `contracts.values`."""

_CODE = Tag(b"ostraka/contract-code/v1\0")


def code_hash_of(source: str) -> Hash:
    """Name of a contract's code: what a suspended call is pinned to."""
    return tagged_hash(_CODE, source.encode())


def is_contract_name(name: str) -> bool:
    """Whether a contract may be deployed under this name."""
    return CONTRACT_NAME.fullmatch(name) is not None


class Reply(Record):
    """The answer to the call with this number, as the contract will see it."""

    number: CountField
    kind: Annotated[str, Meta(max_length=16)]
    """`ok`, `unknown`, or a kind of CallFailed: `failed`, `expired`, `refused`, `lane_full`."""
    result: ValueField
    error: Annotated[str, Meta(max_length=limits.MAX_NAME_LENGTH)]
    message: Annotated[str, Meta(max_length=limits.MAX_ERROR_LENGTH)]
    traceback: Annotated[str, Meta(max_length=limits.MAX_TRACEBACK_LENGTH)]
    returned: AmountField

    def listed(self) -> list[int | str]:
        """As the scheduler takes it: the result's bytes as the code points 0 to 255, the amount in base units."""
        amount, result = unpack_amount(self.returned), self.result.decode(BYTES)
        return [self.number, self.kind, result, self.error, self.message, self.traceback, amount]


class Stretch(Record):
    """One committed stretch of a call: the block it was executed in, the replies it began with, the host's answers."""

    height: HeightField
    time_ms: MillisecondsField
    replies: tuple[Reply, ...]
    answers: tuple[bytes, ...]
    digest: HashField
    """Over all requests of the stretch, in order: a replay that asks anything else has diverged."""


Journal = tuple[Stretch, ...]
"""A suspended call: everything that is needed to repeat it up to where it waits."""

journal_decoder: Decoder[Journal] = Decoder(Journal, max_bytes=limits.MAX_JOURNAL_BYTES, name="journal")


class Invocation(Record):
    """One run of a call: its first stretch when `journal` is empty, else its next with `replies` delivered together."""

    code_hash: HashField
    contract: NameField
    shard: ShardIdField
    method: NameField
    arguments: ValueField
    """An encoded list."""
    sender: Annotated[str, Meta(min_length=1, max_length=128)]
    value: AmountField
    trace_id: TransactionIdField
    call_id: CallIdField
    height: HeightField
    time_ms: MillisecondsField
    gas: Annotated[int, Meta(ge=0, le=limits.MAX_CALL_GAS)]
    journal: Journal
    replies: tuple[Reply, ...]
    recorded: tuple[bytes, ...] | None = None
    """None: the ledger is asked. Else a run that has ended is repeated, and these are its last stretch's answers."""
    purse: CountField = 0
    """Gas beside `gas` that the run may set aside for calls and not use itself: the block has no room reserved for it.
    """


class OutgoingCall(Record):
    """A call that the method made, or a payment: `contract` is then an address, and `method` is empty.

    `gas` was taken from the run's own; `value` is to be taken from the contract.
    """

    number: CountField
    shard: ShardIdField
    contract: NameField
    method: MethodField
    arguments: ValueField
    value: AmountField
    gas: CountField
    deadline_ms: MillisecondsField
    """Block time at the destination."""
    patience_ms: CountField
    """0: none."""


class StorageWrite(Record):
    """A key of the contract's own storage with its new value, None where deleted."""

    key: Annotated[bytes, Meta(min_length=1, max_length=limits.MAX_KEY_BYTES)]
    value: ValueField | None


class Transfer(Record):
    """A payment from the contract to an account on its shard, in base units."""

    to: NameField
    """An address, as `primitives.addresses` reads it."""
    amount: AmountField


class Event(Record):
    """What `emit` recorded; `data` is an encoded dict."""

    name: NameField
    data: ValueField


class Effects(Record):
    """What is to be done, in order within each kind. A later write to a key replaces an earlier one."""

    writes: tuple[StorageWrite, ...]
    calls: tuple[OutgoingCall, ...]
    transfers: tuple[Transfer, ...]
    events: tuple[Event, ...]


class Wait(Record):
    """A coroutine waits for these calls: for all of them, or, when `early`, for the first that is not `ok`."""

    numbers: tuple[CountField, ...]
    early: bool


class Cost(Record):
    """Gas of one run: spent here, and set aside in outgoing calls. What the invocation had left is not in it."""

    used: CountField
    sent: CountField


class Last(Record):
    """The last stretch of a run that did not suspend; the journal does not hold it."""

    replies: tuple[Reply, ...]
    """That it began with."""
    answers: tuple[bytes, ...]
    """The host's; with the journal they repeat the run (`contracts.replaying`)."""


class Completed(Record, tag=1):
    """The method returned."""

    cost: Cost
    effects: Effects
    log: tuple[str, ...]
    journal: Journal
    last: Last
    result: ValueField


class Suspended(Record, tag=2):
    """The method awaits replies; `journal` takes it up again, `waits` says when that is worthwhile."""

    cost: Cost
    effects: Effects
    log: tuple[str, ...]
    journal: Journal
    waits: tuple[Wait, ...]


class Failed(Record, tag=3):
    """The method raised, or could not go on. `kind` is `raised` or names what stopped it (see `contracts.machine`).

    `journal` holds what is committed by now: when it is empty, nothing of the call ever was.
    """

    cost: Cost
    effects: Effects
    log: tuple[str, ...]
    journal: Journal
    last: Last
    kind: Annotated[str, Meta(max_length=limits.MAX_NAME_LENGTH)]
    error: Annotated[str, Meta(max_length=limits.MAX_NAME_LENGTH)]
    message: Annotated[str, Meta(max_length=limits.MAX_ERROR_LENGTH)]
    traceback: Annotated[str, Meta(max_length=limits.MAX_TRACEBACK_LENGTH)]


class OutOfGas(Record, tag=4):
    """The gas ran out; with more of it the run may be repeated.

    `journal` holds what is committed by now, this run's commits included. When it grew, the replies were consumed:
    the repetition then has none. When it did not, nothing was committed: `effects` are empty.
    """

    cost: Cost
    effects: Effects
    log: tuple[str, ...]
    journal: Journal
    last: Last


Outcome = Completed | Suspended | Failed | OutOfGas


class Method(Record):
    """One public function of a contract, as its source has it."""

    name: NameField
    view: bool
    parameters: Annotated[str, Meta(max_length=256)]
    summary: Annotated[str, Meta(max_length=256)]


class Compiled(Record, tag=1):
    """Code that may be deployed."""

    code_hash: HashField
    methods: tuple[Method, ...]
    gas_used: CountField


class Rejected(Record, tag=2):
    """Source that is no contract; `line` is 0 when there is none to name."""

    message: Annotated[str, Meta(max_length=limits.MAX_ERROR_LENGTH)]
    line: CountField
    gas_used: CountField


Compilation = Compiled | Rejected


def is_worth_resuming(waits: tuple[Wait, ...], arrived: dict[int, str]) -> bool:
    """Whether replies (number to kind) let any coroutine go on, so that running the call would do more than replay."""
    for wait in waits:
        if all(number in arrived for number in wait.numbers):
            return True
        if wait.early and any(arrived.get(number, "ok") != "ok" for number in wait.numbers):
            return True
    return False
