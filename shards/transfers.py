"""Transactions: what an included one costs and does.

An included transaction always consumes its nonce, pays for what it used and leaves one receipt. Its operations
happen all or none: everything that could fail is checked before anything is done, so there is nothing to take back.
When it fails, it has used the gas at home; the gas prepaid for messages was not spent and stays with the sender.
"""

from typing import NamedTuple

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.errors import Refused, invariant
from primitives.identifiers import CallId, ShardId
from primitives.marks import sometimes
from shards.calls.arrivals import MAX_DETAIL
from shards.calls.batches import CallBatch
from shards.calls.operations import Done, execute_alone
from shards.gas import GAS_PRICE, REPLY_GAS, fee_of, gas_at_home, prepaid_gas, travelling_gas
from shards.inclusion import check_inclusion_terms
from shards.lanes import room
from shards.limits import MAX_OPEN_CALLS_PER_ACCOUNT, MAX_VALIDITY_MS
from shards.messages import Call, call_id_of
from shards.receipts import SentMessage, TransactionReceipt
from shards.state import OpenCall
from shards.transactions import (
    Alone,
    ContractCall,
    Remote,
    RemoteCall,
    SignedTransaction,
    Transfer,
    amount_of,
    total_amount,
)
from shards.working_state import AccountDraft, WorkingState


class Failure(NamedTuple):
    """Why an included transaction did nothing but pay: a stable code and a sentence."""

    code: str
    detail: str


def execute_transaction(state: WorkingState, transaction: SignedTransaction, batch: CallBatch) -> None:
    """Execute one included transaction, whose signature was checked before the vote; a call joins `batch`."""
    body = transaction.body
    sender = state.account(body.sender)
    invariant(
        body.chain_id == state.chain_id and body.shard == state.shard, "a transaction is executed where it belongs"
    )
    invariant(body.nonce == sender.nonce, "a block's transactions continue their senders' nonces")
    sender.nonce += 1
    first = body.operations[0]
    if not isinstance(first, ContractCall):
        batch.flush()
    failure = _failure(state, transaction, sender)
    if failure is not None and batch:
        # It may be able to pay once the calls before it have given back what they did not use.
        batch.flush()
        failure = _failure(state, transaction, sender)
    if failure is not None:
        gas = gas_at_home(body) - prepaid_gas(body)
        fee = min(GAS_PRICE * gas, sender.balance)
        sender.balance -= fee
        state.held_fees += fee
        _add_receipt(state, transaction, failure, fee, gas)
    elif isinstance(first, Alone):
        _execute_alone(state, transaction, sender, first, batch)
    else:
        _execute_transfers(state, transaction, sender)


def _execute_transfers(state: WorkingState, transaction: SignedTransaction, sender: AccountDraft) -> None:
    """Do operations that cannot fail any more."""
    body = transaction.body
    gas = gas_at_home(body)
    fee = fee_of(body)
    travelling = 0
    sent: list[SentMessage] = []
    for ordinal, operation in enumerate(body.operations):
        if isinstance(operation, Transfer):
            amount = unpack_amount(operation.amount)
            sender.balance -= amount
            state.account(operation.to).balance += amount
        elif isinstance(operation, Remote):
            travelling += GAS_PRICE * travelling_gas(operation)
            sent.append(_send(state, transaction, sender, ordinal, operation))
    sender.balance -= fee
    state.held_fees += fee - travelling
    _add_receipt(state, transaction, None, fee, gas, sent=tuple(sent))


def _execute_alone(
    state: WorkingState, transaction: SignedTransaction, sender: AccountDraft, operation: Alone, batch: CallBatch
) -> None:
    """Deploy, upgrade, call or feed a contract: what it may take is taken first, what is left comes back."""
    body = transaction.body
    fixed = gas_at_home(body) - operation.gas
    sender.balance -= amount_of(operation) + GAS_PRICE * (fixed + operation.gas)
    state.held_fees += GAS_PRICE * fixed

    def tell(done: Done) -> None:
        failure = Failure(done.failure, done.detail) if done.failure else None
        fee = GAS_PRICE * (fixed + done.gas_kept)
        _add_receipt(state, transaction, failure, fee, fixed + done.gas_used, call_id=done.call_id)

    execute_alone(state, transaction, operation, batch, tell)


def _add_receipt(
    state: WorkingState,
    transaction: SignedTransaction,
    failure: Failure | None,
    fee: int,
    gas: int,
    *,
    call_id: bytes = b"",
    sent: tuple[SentMessage, ...] = (),
) -> None:
    state.add_receipt(
        TransactionReceipt(
            transaction_id=transaction.id,
            failure=failure.code if failure else "",
            detail=failure.detail[:MAX_DETAIL] if failure else "",
            fee=pack_amount(Amount(fee)),
            gas_used=gas,
            call_id=call_id,
            sent=sent,
        )
    )


def _failure(state: WorkingState, transaction: SignedTransaction, sender: AccountDraft) -> Failure | None:
    """First reason why the operations cannot happen, or None."""
    body = transaction.body
    try:
        check_inclusion_terms(body, state.context, state.shard, state.time_ms)
    except Refused as refused:
        return Failure(refused.code, refused.detail)
    needed = fee_of(body) + total_amount(body)
    if needed > sender.balance:
        sometimes("a transaction that cannot pay")
        return Failure("overdraft", f"amounts and fees are {needed} base units, the balance is {sender.balance}")
    remote = [operation for operation in body.operations if isinstance(operation, Remote)]
    return _remote_failure(state, sender, remote) if remote else None


def _remote_failure(state: WorkingState, sender: AccountDraft, remote: list[Remote]) -> Failure | None:
    """First reason why the messages cannot all be sent, or None."""
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
            sometimes("a full stream met by a transaction")
            return Failure("stream_full", f"too many calls to shard {destination} are unacknowledged; try again later")
        if operation.deadline_ms <= state.time_ms:
            sometimes("a deadline that is over when it is included")
            return Failure(
                "deadline_past", f"the deadline {operation.deadline_ms} ms is not after the block's {state.time_ms} ms"
            )
        if operation.deadline_ms > state.time_ms + MAX_VALIDITY_MS:
            return Failure("deadline_too_far", f"a deadline is at most {MAX_VALIDITY_MS} ms after the block")
    return None


def _send(
    state: WorkingState, transaction: SignedTransaction, sender: AccountDraft, ordinal: int, operation: Remote
) -> SentMessage:
    """Send a call: its amount leaves the sender, and with the gas that is in the fee it leaves the shard."""
    call_id: CallId = call_id_of(state.chain_id, state.shard, transaction.id, ordinal)
    amount = unpack_amount(operation.amount)
    gas = travelling_gas(operation)
    sender.balance -= amount
    sender.open_calls += 1
    if isinstance(operation, RemoteCall):
        target = f"{operation.contract}@{operation.destination}".encode()
        method, arguments = operation.method, operation.arguments
    else:
        target, method, arguments = bytes(operation.to), "", b""
    call = Call(
        call_id=call_id,
        trace_id=transaction.id,
        parent_call_id=b"",
        depth=0,
        sender=transaction.body.sender,
        target=target,
        method=method,
        arguments=arguments,
        value=operation.amount,
        gas=gas,
        reply_gas=REPLY_GAS,
        deadline_ms=operation.deadline_ms,
    )
    sent = state.send(operation.destination, call, call_id, transaction.id, Amount(amount + GAS_PRICE * gas))
    state.put_open_call(
        call_id,
        OpenCall(
            sender=transaction.body.sender,
            parent_call_id=b"",
            number=ordinal,
            destination=operation.destination,
            sequence=sent.sequence,
            value=operation.amount,
            gas=gas,
            deadline_ms=operation.deadline_ms,
            resume_gas=0,
            patience_until_ms=0,
            given_up=False,
            trace_id=transaction.id,
        ),
    )
    return sent
