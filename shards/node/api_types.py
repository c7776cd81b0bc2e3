"""What the HTTP API says and hears, as JSON. The OpenAPI document is made from these types.

Hashes, ids and encoded records are lower-case hexadecimal; amounts are base units in decimal text (they exceed what
JSON numbers hold); times are Unix milliseconds; addresses are bech32m ("osk1…").
"""

from typing import Annotated, Any, Literal, dataclass_transform

import msgspec
from msgspec import Meta

HexText = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$", description="bytes in lower-case hexadecimal")]
IdText = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="32 bytes in lower-case hexadecimal")]
AmountText = Annotated[str, Meta(pattern="^[0-9]{1,39}$", description="base units; 1 obol is 1000000")]
AddressText = Annotated[str, Meta(pattern="^osk1[0-9a-z]{58}$", description="an account's public key in bech32m")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

MAX_BODY_BYTES = 2**20
"""Of a request: a thousand transactions and more; four of the largest bundles."""

MAX_SUBMITTED = 8192
"""Transactions in one request: what a body of 1 MiB holds of the smallest ones."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Answer(msgspec.Struct, frozen=True):
    """Base of every answer."""


Fault = Literal["yours", "ours", "not_yet"]


class ErrorBody(Answer):
    """What went wrong: a stable code, words for people, and whose fault it is."""

    code: str
    detail: str
    fault: Fault


class ErrorAnswer(Answer):
    """The body of every answer that is not a success."""

    error: ErrorBody


class SubmitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed transactions in their wire form."""

    transactions: Annotated[list[HexText], Meta(min_length=1, max_length=MAX_SUBMITTED)]


class SubmitResult(Answer):
    """What became of one transaction or bundle; `known` is as good as `accepted` and says that it came before."""

    status: Literal["accepted", "known", "refused"]
    id: HexText
    code: str
    detail: str


class SubmitAnswer(Answer):
    """One result for each transaction, in order."""

    results: list[SubmitResult]


class StatusAnswer(Answer):
    """Where a validator stands."""

    version: str
    chain_id: IdText
    chain_name: str
    development: bool
    shard: Count
    shards: Count
    index: Count
    public_key: IdText
    validators: Count
    quorum: Count
    peers: list[int]
    view: Count
    leader: Count
    finalized_height: Count
    executed_height: Count
    certified_height: Count
    time_ms: Count
    mempool_transactions: Count
    inbox_bundles: Count
    contracts: Count
    blamed: list[int]
    ready: bool
    not_ready: str


class AccountProof(Answer):
    """Evidence for an account that needs no trust in who gives it: check it with the genesis alone.

    `certificate` is an encoded CommitmentCertificate, `key` the raw state key, `value` the stored record (null when
    the account does not exist), `proof` a state proof of the key under the certified state root.
    """

    certificate: HexText
    key: HexText
    value: HexText | None
    proof: HexText


class AccountAnswer(Answer):
    """An account after the block `height`; `next_nonce` counts its waiting transactions too."""

    address: AddressText
    public_key: IdText
    shard: Count
    height: Count
    balance: AmountText
    nonce: Count
    next_nonce: Count
    open_calls: Count
    proof: AccountProof | None = None


class BlockSummary(Answer):
    """A finalized block in a list."""

    height: Count
    block_id: IdText
    time_ms: Count
    items: Count
    size_bytes: Count
    executed: bool
    certified: bool


class BlocksAnswer(Answer):
    """Blocks from a height on, ascending; `next` is the `from` of the next page, null at the end of the chain."""

    blocks: list[BlockSummary]
    next: Count | None


OperationKind = Literal["transfer", "remote_transfer", "deploy", "upgrade", "call", "remote_call", "top_up"]


class OperationView(Answer):
    """One operation of a transaction; `destination` is the shard that it goes to. What does not apply is null."""

    kind: OperationKind
    destination: Count
    amount: AmountText
    deadline_ms: Count | None
    to: AddressText | None = None
    contract: str | None = None
    method: str | None = None
    arguments: Annotated[Any, Meta(description="a list of values, as shards.node.json_values writes it")] = None
    gas: Count | None = None
    call_id: IdText | None = None
    """Of a top-up."""


class TransactionView(Answer):
    """A signed transaction, readable. `memo` is text that its sender chose: show it, never interpret it."""

    id: IdText
    sender: AddressText
    nonce: Count
    valid_until_ms: Count
    fee_limit: AmountText
    operations: list[OperationView]
    memo: str
    raw: HexText


class BundleView(Answer):
    """A bundle in a block."""

    source: Count
    certified_height: Count
    first: Count
    messages: Count
    size_bytes: Count


class ItemView(Answer):
    """One item of a block."""

    kind: str
    size_bytes: Count
    transaction: TransactionView | None = None
    bundle: BundleView | None = None


class SentView(Answer):
    """A message that an execution appended to a stream."""

    destination: Count
    sequence: Count
    message_id: IdText
    call_id: IdText


class ReceiptView(Answer):
    """A receipt. Which fields are filled depends on `kind`."""

    kind: Literal["transaction", "call", "reply", "discard", "freeze", "run"]
    outcome: str
    detail: str
    transaction_id: IdText | None = None
    trace_id: IdText | None = None
    message_id: IdText | None = None
    call_id: IdText | None = None
    source: Count | None = None
    sequence: Count | None = None
    fee: AmountText | None = None
    gas_used: Count | None = None
    returned: AmountText | None = None
    contract: str | None = None
    """Of a run; `/v1/calls/{call_id}` has the rest."""
    method: str | None = None
    sent: list[SentView] = []


class BlockAnswer(Answer):
    """A finalized block with what its execution led to, as far as it is executed."""

    summary: BlockSummary
    parent: IdText
    anchor_height: Count | None
    items: list[ItemView]
    receipts: list[ReceiptView]


class SupplyView(Answer):
    """Where a shard's money is, in base units."""

    genesis: AmountText
    balances: AmountText
    bonds: AmountText
    held_fees: AmountText
    escrow: AmountText
    burnt: AmountText
    sent: AmountText
    received: AmountText


class CommitmentAnswer(Answer):
    """A commitment; `certificate` is the encoded CommitmentCertificate, null while there is none for this height."""

    height: Count
    block_id: IdText
    time_ms: Count
    commitment_hash: IdText
    state_root: IdText
    receipts_root: IdText
    outbox_root: IdText
    history_root: IdText
    validator_set_hash: IdText
    supply: SupplyView
    signers: list[int]
    certificate: HexText | None


Level = Literal["accepted", "finalized", "executed", "certified", "settled"]


class SentStatusView(Answer):
    """A sent message: `outcome` and what follows are filled once it is answered."""

    message: SentView
    state: Literal["pending", "acknowledged", "answered"]
    outcome: str | None
    detail: str
    returned: AmountText | None
    answered_height: Count | None


class BegunCall(Answer):
    """The contract's call that a transaction began, as its runs so far tell it; `failure` is empty unless it failed."""

    call_id: IdText
    state: Literal["under_way", "starved", "completed", "failed"]
    last_height: Count
    failure: str


class TransactionAnswer(Answer):
    """How far a transaction has come; `accepted` means that this validator keeps it in its mempool."""

    id: IdText
    level: Level
    height: Count | None
    index: Count | None
    time_ms: Count | None
    receipt: ReceiptView | None
    sent: list[SentStatusView]
    call: BegunCall | None = None
    """Null where no contract ran for it."""


class PlacedReceipt(Answer):
    """A receipt with its height and its place among the receipts there."""

    height: Count
    index: Count
    receipt: ReceiptView


class MessageAnswer(Answer):
    """A message as this shard knows it: as its source (`received` false) or as its destination."""

    message_id: IdText
    source: Count
    destination: Count
    sequence: Count
    received: bool
    height: Count
    time_ms: Count
    receipt: ReceiptView
    body: HexText | None
    status: SentStatusView | None
    provable: bool


class TraceAnswer(Answer):
    """All receipts of this shard that belong to a trace; the whole trace is the union over all shards."""

    trace_id: IdText
    shard: Count
    receipts: list[PlacedReceipt]
    encoded_part: Annotated[
        str, Meta(pattern="^([0-9a-f]{2})*$", description="MessagePack of shards.trace_parts.TracePart, for assembling")
    ]


class HeadView(Answer):
    """The certified head of the stream towards one destination."""

    destination: Count
    begin: Count
    end: Count
    ack_next: Count
    mmr_root: IdText
    value_sent: AmountText
    value_received: AmountText


class StreamsAnswer(Answer):
    """The newest certificate of this shard and all heads that it covers, readable and encoded (one tuple)."""

    height: Count
    certificate: HexText
    heads: list[HeadView]
    encoded_heads: HexText


class FinalizedEvent(Answer, tag="finalized", tag_field="event"):
    """These transactions are acknowledged and will never be lost."""

    height: Count
    block_id: IdText
    transactions: list[IdText]


class ExecutedEvent(Answer, tag="executed", tag_field="event"):
    """A block is executed; its receipts can be read."""

    height: Count
    block_id: IdText
    time_ms: Count
    receipts: Count
    sent: list[SentView]


class CertifiedEvent(Answer, tag="certified", tag_field="event"):
    """The commitment of this height, and so of all before it, can be shown to anyone."""

    height: Count
    commitment_hash: IdText


ChainEvent = FinalizedEvent | ExecutedEvent | CertifiedEvent
