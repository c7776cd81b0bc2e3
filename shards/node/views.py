"""Records of the ledger as the API shows them."""

from typing import Any, Final

from msgspec.structs import replace

from consensus.block import Block, block_id_of
from contracts.values import BadValue, read
from primitives.addresses import format_address
from primitives.amounts import AmountBytes, unpack_amount
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import PublicKey, ShardId
from shards.bundles import decode_bundle
from shards.chain_store import sent_by
from shards.commitments import Commitment, CommitmentCertificate, Supply, certificate_decoder, commitment_hash
from shards.items import ItemKind, unpack_item
from shards.messages import Outcome
from shards.node import api_types as api
from shards.node.json_values import to_json
from shards.queries import SentStatus
from shards.receipts import (
    CallReceipt,
    DiscardReceipt,
    FreezeReceipt,
    Receipt,
    RunReceipt,
    RunState,
    SentMessage,
    TransactionReceipt,
)
from shards.streams import StreamHead
from shards.transactions import (
    ContractCall,
    Deploy,
    Operation,
    RemoteCall,
    RemoteTransfer,
    SignedTransaction,
    TopUp,
    Transaction,
    Transfer,
    Upgrade,
    amount_of,
    parse_transaction,
)


def amount_text(raw: AmountBytes) -> str:
    """Base units in decimal."""
    return str(unpack_amount(raw))


def transaction_view(transaction: SignedTransaction) -> api.TransactionView:
    """A transaction, readable; a memo that is not text is shown with replacement characters."""
    body = transaction.body
    return api.TransactionView(
        id=transaction.id.hex(),
        sender=format_address(body.sender),
        nonce=body.nonce,
        valid_until_ms=body.valid_until_ms,
        fee_limit=amount_text(body.fee_limit),
        operations=[_operation_view(body, operation) for operation in body.operations],
        memo=body.memo.decode("utf-8", "replace"),
        raw=transaction.raw.hex(),
    )


def _operation_view(body: Transaction, operation: Operation) -> api.OperationView:
    kind = _KINDS[type(operation)]
    amount = str(amount_of(operation))
    if isinstance(operation, Transfer | RemoteTransfer):
        remote = operation if isinstance(operation, RemoteTransfer) else None
        return api.OperationView(
            kind=kind,
            destination=body.shard if remote is None else remote.destination,
            amount=amount,
            deadline_ms=None if remote is None else remote.deadline_ms,
            to=format_address(PublicKey(operation.to)),
        )
    if isinstance(operation, TopUp):
        return api.OperationView(kind, body.shard, amount, None, gas=operation.gas, call_id=operation.call_id.hex())
    contract, method = (
        (operation.name, None) if isinstance(operation, Deploy | Upgrade) else (operation.contract, operation.method)
    )
    return api.OperationView(
        kind=kind,
        destination=operation.destination if isinstance(operation, RemoteCall) else body.shard,
        amount=amount,
        deadline_ms=operation.deadline_ms if isinstance(operation, RemoteCall) else None,
        contract=contract,
        method=method,
        arguments=_arguments_json(operation.arguments),
        gas=operation.gas,
    )


_KINDS: Final[dict[type[Operation], api.OperationKind]] = {
    Transfer: "transfer",
    RemoteTransfer: "remote_transfer",
    Deploy: "deploy",
    Upgrade: "upgrade",
    ContractCall: "call",
    RemoteCall: "remote_call",
    TopUp: "top_up",
}


def _arguments_json(raw: bytes) -> Any:
    """Arguments of a transaction; null where its sender wrote what is no value."""
    try:
        return to_json(read(raw)) if raw else []
    except BadValue:
        return None


def item_view(item: bytes) -> api.ItemView:
    """An item of a finalized block."""
    kind, raw = unpack_item(item)
    view = api.ItemView(kind=kind.name.lower(), size_bytes=len(item))
    if kind is ItemKind.TRANSACTION:
        return api.ItemView(view.kind, view.size_bytes, transaction=transaction_view(parse_transaction(raw)))
    if kind is ItemKind.BUNDLE:
        bundle = decode_bundle(raw)
        shown = api.BundleView(
            source=bundle.head.source,
            certified_height=bundle.certificate.commitment.height,
            first=bundle.first,
            messages=len(bundle.bodies),
            size_bytes=len(raw),
        )
        return api.ItemView(view.kind, view.size_bytes, bundle=shown)
    return view


def block_summary(block: Block, size_bytes: int, *, executed: bool, certified: bool) -> api.BlockSummary:
    """A block in a list."""
    return api.BlockSummary(
        height=block.header.height,
        block_id=block_id_of(block.header).hex(),
        time_ms=block.header.time_ms,
        items=block.header.item_count,
        size_bytes=size_bytes,
        executed=executed,
        certified=certified,
    )


def anchor_height(block: Block) -> int | None:
    """Height that a block's anchor certifies; None without an anchor."""
    if not block.anchor:
        return None
    try:
        return certificate_decoder.decode(block.anchor).commitment.height
    except Refused:
        return None


def sent_view(sent: SentMessage) -> api.SentView:
    """A sent message."""
    return api.SentView(
        destination=sent.destination,
        sequence=sent.sequence,
        message_id=sent.message_id.hex(),
        call_id=sent.call_id.hex(),
    )


def receipt_view(receipt: Receipt) -> api.ReceiptView:
    """A receipt, readable."""
    if isinstance(receipt, TransactionReceipt):
        return api.ReceiptView(
            kind="transaction",
            outcome=receipt.failure or "ok",
            detail=receipt.detail,
            transaction_id=receipt.transaction_id.hex(),
            trace_id=receipt.transaction_id.hex(),
            fee=amount_text(receipt.fee),
            call_id=receipt.call_id.hex() or None,
            gas_used=receipt.gas_used,
            sent=[sent_view(each) for each in receipt.sent],
        )
    if isinstance(receipt, RunReceipt):
        return _run_view(receipt)
    if isinstance(receipt, FreezeReceipt):
        return api.ReceiptView(kind="freeze", outcome=receipt.reason, detail=receipt.detail, source=receipt.source)
    consumed = api.ReceiptView(
        kind="discard",
        outcome="refused",
        detail=receipt.detail,
        message_id=receipt.message_id.hex(),
        source=receipt.source,
        sequence=receipt.sequence,
    )
    if isinstance(receipt, DiscardReceipt):
        return consumed
    settled = replace(
        consumed,
        kind="reply",
        outcome=Outcome(receipt.outcome).name.lower(),
        trace_id=receipt.trace_id.hex(),
        call_id=receipt.call_id.hex(),
    )
    if isinstance(receipt, CallReceipt):
        return replace(
            settled, kind="call", gas_used=receipt.gas_used, sent=[sent_view(each) for each in sent_by(receipt)]
        )
    return replace(settled, returned=amount_text(receipt.returned))


def _run_view(receipt: RunReceipt) -> api.ReceiptView:
    return api.ReceiptView(
        kind="run",
        outcome=receipt.kind or RunState(receipt.state).name.lower(),
        detail=f"{receipt.error_type}: {receipt.error_text}" if receipt.error_type else receipt.error_text,
        trace_id=receipt.trace_id.hex(),
        call_id=receipt.call_id.hex(),
        gas_used=receipt.gas_used,
        contract=receipt.contract,
        method=receipt.method,
        sent=[sent_view(each) for each in sent_by(receipt)],
    )


def sent_status_view(status: SentStatus) -> api.SentStatusView:
    """A sent message with what its source knows of it."""
    answer = status.answer
    return api.SentStatusView(
        message=sent_view(status.message),
        state=status.state.value,
        outcome=None if answer is None else answer.outcome.name.lower(),
        detail="" if answer is None else answer.detail,
        returned=None if answer is None else str(answer.returned),
        answered_height=None if answer is None else answer.place.height,
    )


def commitment_view(commitment: Commitment, certificate: CommitmentCertificate | None) -> api.CommitmentAnswer:
    """A commitment with its certificate, if there is one."""
    return api.CommitmentAnswer(
        height=commitment.height,
        block_id=commitment.block_id.hex(),
        time_ms=commitment.time_ms,
        commitment_hash=commitment_hash(commitment).hex(),
        state_root=commitment.state_root.hex(),
        receipts_root=commitment.receipts_root.hex(),
        outbox_root=commitment.outbox_root.hex(),
        history_root=commitment.history_root.hex(),
        validator_set_hash=commitment.validator_set_hash.hex(),
        supply=_supply_view(commitment.supply),
        signers=[] if certificate is None else list(certificate.quorum.indices()),
        certificate=None if certificate is None else encode(certificate).hex(),
    )


def _supply_view(supply: Supply) -> api.SupplyView:
    return api.SupplyView(
        genesis=amount_text(supply.genesis),
        balances=amount_text(supply.balances),
        bonds=amount_text(supply.bonds),
        held_fees=amount_text(supply.held_fees),
        escrow=amount_text(supply.escrow),
        burnt=amount_text(supply.burnt),
        sent=amount_text(supply.sent),
        received=amount_text(supply.received),
    )


def streams_view(
    certificate: CommitmentCertificate, heads: tuple[StreamHead, ...], shard: ShardId
) -> api.StreamsAnswer:
    """The newest certificate with the heads of all streams to other shards."""
    return api.StreamsAnswer(
        height=certificate.commitment.height,
        certificate=encode(certificate).hex(),
        heads=[_head_view(head) for head in heads if head.destination != shard],
        encoded_heads=encode(heads).hex(),
    )


def _head_view(head: StreamHead) -> api.HeadView:
    return api.HeadView(
        destination=head.destination,
        begin=head.begin,
        end=head.end,
        ack_next=head.ack_next,
        mmr_root=head.mmr_root.hex(),
        value_sent=amount_text(head.value_sent),
        value_received=amount_text(head.value_received),
    )
