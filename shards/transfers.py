"""Transactions: what an included one costs and does.

An included transaction always consumes its nonce, pays for what it used and leaves one receipt. Its operations
happen all or none: everything that could fail is checked before anything is done, so there is nothing to take back.
When it fails, it has used the gas at home; the gas prepaid for messages was not spent and stays with the sender.
"""

from typing import NamedTuple

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.errors import Refused, invariant
from primitives.identifiers import CallId, ShardId
from shards.gas import GAS_PRICE, MESSAGE_GAS, REPLY_GAS, gas_at_home
from shards.inclusion import check_inclusion_terms
from shards.lanes import room
from shards.limits import MAX_OPEN_CALLS_PER_ACCOUNT, MAX_VALIDITY_MS
from shards.messages import Call, call_id_of
from shards.receipts import SentMessage, TransactionReceipt
from shards.state import OpenCall
from shards.transactions import RemoteTransfer, SignedTransaction, Transfer
from shards.working_state import AccountDraft, WorkingState

_TRAVELLING = Amount(GAS_PRICE * MESSAGE_GAS)
"""Prepaid gas that leaves with a call, beside its value."""

_SET_ASIDE = Amount(GAS_PRICE * REPLY_GAS)
"""Prepaid gas for the reply, that stays here."""


class Failure(NamedTuple):
    """Why an included transaction did nothing but pay: a stable code and a sentence."""

    code: str
    detail: str


def execute_transaction(state: WorkingState, transaction: SignedTransaction) -> None:
    """Execute one included transaction, whose signature was checked before the vote."""
    body = transaction.body
    sender = state.account(body.sender)
    invariant(
        body.chain_id == state.chain_id and body.shard == state.shard, "a transaction is executed where it belongs"
    )
    invariant(body.nonce == sender.nonce, "a block's transactions continue their senders' nonces")
    sender.nonce += 1
    remote = [operation for operation in body.operations if isinstance(operation, RemoteTransfer)]
    gas = gas_at_home(body)
    fee = GAS_PRICE * gas
    failure = _failure(state, transaction, sender, remote, fee + len(remote) * (_TRAVELLING + _SET_ASIDE))
    sent: list[SentMessage] = []
    if failure is None:
        sender.balance -= fee
        for ordinal, operation in enumerate(body.operations):
            if isinstance(operation, Transfer):
                amount = unpack_amount(operation.amount)
                sender.balance -= amount
                state.account(operation.to).balance += amount
            else:
                sent.append(_send_transfer(state, transaction, sender, ordinal, operation))
        held = fee + len(remote) * _SET_ASIDE
        state.held_fees += held
        fee = held + len(remote) * _TRAVELLING
    else:
        fee = min(fee, sender.balance)
        sender.balance -= fee
        state.held_fees += fee
    state.add_receipt(
        TransactionReceipt(
            transaction_id=transaction.id,
            failure=failure.code if failure else "",
            detail=failure.detail if failure else "",
            fee=pack_amount(Amount(fee)),
            gas_used=gas,
            sent=tuple(sent),
        )
    )


def _failure(
    state: WorkingState, transaction: SignedTransaction, sender: AccountDraft, remote: list[RemoteTransfer], fee: int
) -> Failure | None:
    """First reason why the operations cannot all happen, or None."""
    body = transaction.body
    try:
        check_inclusion_terms(body, state.context, state.shard, state.time_ms)
    except Refused as refused:
        return Failure(refused.code, refused.detail)
    needed = fee + sum([unpack_amount(operation.amount) for operation in body.operations])
    if needed > sender.balance:
        return Failure("overdraft", f"amounts and fees are {needed} base units, the balance is {sender.balance}")
    return _remote_failure(state, sender, remote) if remote else None


def _remote_failure(state: WorkingState, sender: AccountDraft, remote: list[RemoteTransfer]) -> Failure | None:
    """First reason why the remote transfers cannot all be sent, or None."""
    if sender.open_calls + len(remote) > MAX_OPEN_CALLS_PER_ACCOUNT:
        return Failure("too_many_open_calls", f"an account has at most {MAX_OPEN_CALLS_PER_ACCOUNT} unanswered calls")
    wanted: dict[ShardId, int] = {}
    for operation in remote:
        destination = operation.destination
        wanted[destination] = wanted.get(destination, 0) + 1
        lane = state.lane(destination)
        if lane.frozen:
            return Failure(
                "frozen", f"the streams with shard {destination} are frozen: its validators contradicted themselves"
            )
        if wanted[destination] > room(lane):
            return Failure("stream_full", f"too many calls to shard {destination} are unacknowledged; try again later")
        if operation.deadline_ms <= state.time_ms:
            return Failure(
                "deadline_past", f"the deadline {operation.deadline_ms} ms is not after the block's {state.time_ms} ms"
            )
        if operation.deadline_ms > state.time_ms + MAX_VALIDITY_MS:
            return Failure("deadline_too_far", f"a deadline is at most {MAX_VALIDITY_MS} ms after the block")
    return None


def _send_transfer(
    state: WorkingState, transaction: SignedTransaction, sender: AccountDraft, ordinal: int, operation: RemoteTransfer
) -> SentMessage:
    """Send a call without a method: what it carries leaves the sender and the shard at once."""
    call_id: CallId = call_id_of(state.chain_id, state.shard, transaction.id, ordinal)
    amount = unpack_amount(operation.amount)
    sender.balance -= amount + _TRAVELLING + _SET_ASIDE
    sender.open_calls += 1
    call = Call(
        call_id=call_id,
        trace_id=transaction.id,
        parent_call_id=b"",
        depth=0,
        sender=transaction.body.sender,
        target=operation.to,
        method="",
        arguments=b"",
        value=operation.amount,
        gas=MESSAGE_GAS,
        reply_gas=REPLY_GAS,
        deadline_ms=operation.deadline_ms,
    )
    sent = state.send(operation.destination, call, call_id, transaction.id, Amount(amount + _TRAVELLING))
    state.put_open_call(
        call_id,
        OpenCall(
            sender=transaction.body.sender,
            destination=operation.destination,
            sequence=sent.sequence,
            value=operation.amount,
            gas=MESSAGE_GAS,
            deadline_ms=operation.deadline_ms,
            trace_id=transaction.id,
        ),
    )
    return sent
