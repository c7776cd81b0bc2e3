"""What the HTTP API says and hears of contracts and their calls, as JSON.

Values of contracts are in the form of `shards.node.json_values`, where nothing is lost; `encoded` beside them is their
canonical bytes in hexadecimal.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from contracts.limits import MAX_CALL_GAS
from shards.node.api_types import AmountText, Answer, Count, HexText, IdText, SentView

AnyValue = Annotated[Any, Meta(description="a contract's value, as shards.node.json_values writes it")]


class MethodView(Answer):
    """A public method, as its source has it."""

    name: str
    view: bool
    parameters: str
    summary: str


class ContractView(Answer):
    """A deployed contract after the block `height`; `source` is there on request."""

    name: str
    shard: Count
    height: Count
    code_hash: IdText
    owner: str | None
    """Address of the account that may upgrade it; null: nobody may."""
    balance: AmountText
    open_calls: Count
    deployed: Count
    upgrades: Count
    methods: list[MethodView]
    source: str | None = None


class ContractsAnswer(Answer):
    """Contracts of this shard in order of their names; `next` is the `after` of the next page."""

    height: Count
    contracts: list[ContractView]
    next: str | None


class EntryView(Answer):
    """A key of a contract's storage. `key` is text; keys are UTF-8."""

    key: str
    value: AnyValue
    encoded: HexText


class StorageAnswer(Answer):
    """Keys in byte order; `next` is the `after` of the next page, null at the end."""

    contract: str
    height: Count
    entries: list[EntryView]
    next: str | None


class ProvedEntry(Answer):
    """A raw state key with its record (null: absent) and the state proof of either."""

    key: HexText
    value: HexText | None
    proof: HexText


class StateEvidence(Answer):
    """Everything that was read, provable with the genesis alone: an encoded CommitmentCertificate, and each entry."""

    certificate: HexText
    entries: list[ProvedEntry]


class StoredAnswer(Answer):
    """One key of a contract's storage; `found` is false when it holds nothing."""

    contract: str
    height: Count
    key: str
    found: bool
    value: AnyValue
    encoded: HexText
    proof: StateEvidence | None = None


class AskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A method to be run on this validator only. Arguments as a list of values, or encoded in hexadecimal."""

    method: str
    arguments: Annotated[list[Any] | None, Meta(description="values, as shards.node.json_values writes them")] = None
    encoded: HexText = ""
    sender: Annotated[str, Meta(max_length=128)] = ""
    """`msg.sender`: an address; the zero account when left out."""
    value: AmountText = "0"
    gas: Annotated[int, Meta(ge=1, le=MAX_CALL_GAS)] | None = None
    proof: bool = False


class FailureView(Answer):
    """Why a run failed: `kind` is `raised`, `out_of_gas`, or names what stopped it."""

    kind: str
    error: str
    message: str
    traceback: str


class ViewAnswer(Answer):
    """Result of a view after the block `height`; `failure` says why there is none.

    With `proof`, whoever runs the contract's proved source on the proved entries gets the same result.
    """

    contract: str
    height: Count
    time_ms: Count
    result: AnyValue
    encoded: HexText
    gas_used: Count
    log: list[str]
    failure: FailureView | None
    proof: StateEvidence | None = None


class PlannedCall(Answer):
    """A call that a run would make."""

    shard: Count
    contract: str
    method: str
    arguments: AnyValue
    value: AmountText
    gas: Count


class EstimateAnswer(Answer):
    """What a call would take if it began now: of its first stretch, and a suggestion for all of it.

    What other contracts do with its calls is not known here; unused gas comes back, so the suggestion is generous
    where the method awaits.
    """

    contract: str
    height: Count
    state: Literal["completed", "suspended", "failed"]
    gas_used: Count
    gas_sent: Count
    """Set aside for the calls it makes."""
    suggested_gas: Count
    calls: list[PlannedCall]
    failure: FailureView | None


class EventView(Answer):
    """What a contract emitted."""

    name: str
    data: AnyValue


class PaymentView(Answer):
    """What a contract paid to an account."""

    to: str
    amount: AmountText


class RunView(Answer):
    """One run of a contract's call; `log` is what it printed, where this validator still has it."""

    run: Count
    height: Count
    time_ms: Count
    cause: str
    state: str
    gas_used: Count
    gas_left: Count
    log: list[str]
    events: list[EventView]
    transfers: list[PaymentView]


class ChildView(Answer):
    """A call that the call made; `outcome` is null while nothing came back."""

    number: Count
    call_id: IdText
    shard: Count
    contract: str
    method: str
    value: AmountText
    gas: Count
    message: SentView | None
    outcome: str | None
    detail: str


class CallAnswer(Answer):
    """A contract's call on this shard, and how it stands."""

    call_id: IdText
    trace_id: IdText
    parent_call_id: IdText | None
    shard: Count
    contract: str
    method: str
    code_hash: IdText
    sender: str
    value: AmountText
    state: Literal["under_way", "starved", "completed", "failed"]
    waits_for: list[int]
    """Numbers of the calls that are not answered."""
    gas_used: Count
    gas_left: Count
    result: AnyValue
    encoded: HexText
    failure: FailureView | None
    runs: list[RunView]
    calls: list[ChildView]


class PlacedRun(Answer):
    """One run of a contract in a list of them."""

    height: Count
    call_id: IdText
    contract: str
    method: str
    run: Count
    state: str
    gas_used: Count


class RunsAnswer(Answer):
    """Runs of contracts in blocks of this shard; `next` is the `from` of the next page, null at the chain's end.

    `height` is the newest block that this validator has executed.
    """

    height: Count
    runs: list[PlacedRun]
    next: Count | None


class RecordedRun(Answer):
    """One run, to be repeated without a ledger: an encoded `contracts.outcomes.Invocation` with all answers in it."""

    run: Count
    height: Count
    record: HexText
    receipt: HexText
    log: list[str]


class RecordAnswer(Answer):
    """A call's runs as this validator kept them, with the source that ran."""

    call_id: IdText
    contract: str
    shard: Count
    source: str
    runs: list[RecordedRun]
