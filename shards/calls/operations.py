"""What a transaction does with contracts: deploy and upgrade them, call them, and give a starved call more gas.

Such an operation stands alone in its transaction. When it fails, it has used gas and changed nothing else.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from contracts.outcomes import Compilation, Compiled, Method, Rejected
from contracts.values import encode as encode_value
from primitives.addresses import format_address
from primitives.amounts import AmountBytes, unpack_amount
from primitives.codec import encode
from primitives.errors import invariant
from primitives.identifiers import CallId, Hash
from shards.calls.arrivals import RESERVED_METHODS
from shards.calls.batches import CallBatch
from shards.calls.records import Code, Contract, Origin, SuspendedCall, code_key
from shards.calls.runs import Attempt, feed, run_at_once, store, suspended_call
from shards.gas import GAS_PRICE
from shards.messages import call_id_of
from shards.receipts import RunCause, RunReceipt, RunState
from shards.state import ZERO_AMOUNT
from shards.transactions import Alone, ContractCall, Deploy, SignedTransaction, TopUp, Upgrade, amount_of
from shards.working_state import WorkingState

_NO_ARGUMENTS = encode_value([])


class Done(NamedTuple):
    """What became of an operation. Its gas and amount were in hand; what is not told here has been given back."""

    failure: str = ""
    detail: str = ""
    call_id: bytes = b""
    gas_kept: int = 0
    """Of the operation's gas, what is not back with its sender: used, sent on, or held by a call under way."""
    gas_used: int = 0


def execute_alone(
    state: WorkingState,
    transaction: SignedTransaction,
    operation: Alone,
    batch: CallBatch,
    tell: Callable[[Done], None],
) -> None:
    """Execute an operation whose amount and gas have been taken from the sender; `tell` hears what became of it.

    A call is added to `batch`, so `tell` may hear of it later; everything else happens now.
    """
    if isinstance(operation, ContractCall):
        _call(state, transaction, operation, batch, tell)
        return
    batch.flush()
    match operation:
        case TopUp():
            tell(_top_up(state, transaction, operation))
        case Deploy():
            tell(_deploy(state, transaction, operation))
        case Upgrade():
            tell(_upgrade(state, transaction, operation))


def _call(
    state: WorkingState,
    transaction: SignedTransaction,
    operation: ContractCall,
    batch: CallBatch,
    tell: Callable[[Done], None],
) -> None:
    contract = state.contract(operation.contract)
    failure = ""
    if contract is None:
        failure, text = "no_contract", f"there is no contract {operation.contract} on shard {state.shard}"
    elif operation.method in RESERVED_METHODS or operation.method.startswith("_"):
        failure, text = "no_method", f"{operation.method!r} cannot be called"
    if contract is None or failure:
        batch.flush()
        tell(_refused(state, transaction, operation, failure, text))
        return
    call_id, call = _new_call(
        state,
        transaction,
        operation.contract,
        Hash(contract.record.code_hash),
        operation.method,
        operation.arguments,
        operation.amount,
        operation.gas,
    )
    attempt = Attempt(call_id, call, RunCause.TRANSACTION, operation.gas)
    batch.add(attempt, lambda run: tell(_done(run, operation.gas)))


def _top_up(state: WorkingState, transaction: SignedTransaction, operation: TopUp) -> Done:
    call_id = CallId(operation.call_id)
    call = suspended_call(state, call_id)
    if call is None:
        text = "no call of this id is under way on this shard"
        return _refused(state, transaction, operation, "no_call", text)
    state.escrow += GAS_PRICE * operation.gas
    call = msgspec.structs.replace(call, gas_left=call.gas_left + operation.gas)
    store(state, call_id, call)
    feed(state, call_id, call)
    return Done(gas_kept=operation.gas)


def _deploy(state: WorkingState, transaction: SignedTransaction, operation: Deploy) -> Done:
    if state.contract(operation.name) is not None:
        text = f"shard {state.shard} has a contract {operation.name}; choose another name, or upgrade it"
        return _refused(state, transaction, operation, "name_taken", text)
    compiled = _compiled(state, operation)
    if isinstance(compiled, Rejected):
        return _rejected(state, transaction, operation, compiled)

    def deploy() -> None:
        _put_code(state, operation.source, compiled)
        record = Contract(
            code_hash=compiled.code_hash,
            owner=operation.owner,
            balance=ZERO_AMOUNT,
            open_calls=0,
            deployed=state.height,
            upgrades=0,
        )
        state.add_contract(operation.name, record)

    return _install(state, transaction, operation, compiled, ("init", RunCause.DEPLOY), deploy)


def _upgrade(state: WorkingState, transaction: SignedTransaction, operation: Upgrade) -> Done:
    contract = state.contract(operation.name)
    if contract is None:
        text = f"there is no contract {operation.name} on shard {state.shard}"
        return _refused(state, transaction, operation, "no_contract", text)
    if contract.record.owner != transaction.body.sender:
        text = "only its owner upgrades a contract" if contract.record.owner else "this contract is never upgraded"
        return _refused(state, transaction, operation, "not_owner", text)
    compiled = _compiled(state, operation)
    if isinstance(compiled, Rejected):
        return _rejected(state, transaction, operation, compiled)

    def upgrade() -> None:
        _put_code(state, operation.source, compiled)
        upgrades = contract.record.upgrades + 1
        contract.record = msgspec.structs.replace(contract.record, code_hash=compiled.code_hash, upgrades=upgrades)

    return _install(state, transaction, operation, compiled, ("migrate", RunCause.UPGRADE), upgrade)


def _compiled(state: WorkingState, operation: Deploy | Upgrade) -> Compilation:
    """Compile what is to be installed."""
    compilation = state.machine.compile(operation.source, operation.gas)
    invariant(compilation.gas_used <= operation.gas, "compiling takes no more gas than it was given")
    return compilation


def _install(
    state: WorkingState,
    transaction: SignedTransaction,
    operation: Deploy | Upgrade,
    compiled: Compiled,
    entry: tuple[str, RunCause],
    install: Callable[[], None],
) -> Done:
    """Run the code's entry point when it has one, and install the code unless that fails."""
    method, cause = entry
    amount = operation.amount if isinstance(operation, Deploy) else ZERO_AMOUNT
    state.held_fees += GAS_PRICE * compiled.gas_used
    gas = operation.gas - compiled.gas_used
    if not _has(compiled.methods, method):
        if operation.arguments != _NO_ARGUMENTS:
            _give_back(state, transaction, GAS_PRICE * gas + unpack_amount(amount))
            text = f"there are arguments, and no {method} that takes them"
            return Done("bad_arguments", text, gas_kept=compiled.gas_used, gas_used=compiled.gas_used)
        install()
        state.existing_contract(operation.name).balance += unpack_amount(amount)
        _give_back(state, transaction, GAS_PRICE * gas)
        return Done(gas_kept=compiled.gas_used, gas_used=compiled.gas_used)
    call_id, call = _new_call(
        state, transaction, operation.name, Hash(compiled.code_hash), method, operation.arguments, amount, gas
    )
    new_code = (Hash(compiled.code_hash), operation.source)
    run = run_at_once(state, Attempt(call_id, call, cause, gas, new_code), install)
    done = _done(run, gas)
    return done._replace(gas_kept=done.gas_kept + compiled.gas_used, gas_used=done.gas_used + compiled.gas_used)


def _new_call(
    state: WorkingState,
    transaction: SignedTransaction,
    contract: str,
    code_hash: Hash,
    method: str,
    arguments: bytes,
    amount: AmountBytes,
    gas: int,
) -> tuple[CallId, SuspendedCall]:
    """A call by a transaction of this shard, which is at the root of its trace."""
    sender = transaction.body.sender
    call = SuspendedCall(
        contract=contract,
        code_hash=code_hash,
        method=method,
        arguments=arguments,
        sender=format_address(sender),
        value=amount,
        trace_id=transaction.id,
        parent_call_id=b"",
        depth=0,
        origin=Origin.TRANSACTION,
        payer=sender,
        reply_to=state.shard,
        reply_gas=0,
        gas=gas,
        gas_left=gas,
        gas_used=0,
        runs=0,
        journal=(),
        waits=(),
        arrived=(),
        starved_until_ms=0,
    )
    return call_id_of(state.chain_id, state.shard, transaction.id, 0), call


def _done(run: RunReceipt, gas: int) -> Done:
    if run.state in (RunState.SUSPENDED, RunState.STARVED):
        return Done(call_id=run.call_id, gas_kept=gas, gas_used=run.gas_used)
    detail = f"{run.error_type}: {run.error_text}" if run.error_type else run.error_text
    return Done(run.kind, detail, run.call_id, gas_kept=gas - run.gas_left, gas_used=run.gas_used)


def _refused(state: WorkingState, transaction: SignedTransaction, operation: Alone, failure: str, detail: str) -> Done:
    """Nothing ran: all of the operation's amount and gas goes back."""
    _give_back(state, transaction, amount_of(operation) + GAS_PRICE * operation.gas)
    return Done(failure, detail)


def _rejected(
    state: WorkingState, transaction: SignedTransaction, operation: Deploy | Upgrade, rejected: Rejected
) -> Done:
    used = rejected.gas_used
    state.held_fees += GAS_PRICE * used
    _give_back(state, transaction, amount_of(operation) + GAS_PRICE * (operation.gas - used))
    where = f"line {rejected.line}: " if rejected.line else ""
    return Done("compile_error", where + rejected.message, gas_kept=used, gas_used=used)


def _give_back(state: WorkingState, transaction: SignedTransaction, amount: int) -> None:
    state.account(transaction.body.sender).balance += amount


def _put_code(state: WorkingState, source: str, compiled: Compiled) -> None:
    key = code_key(Hash(compiled.code_hash))
    if state.get(key) is None:
        state.put(key, encode(Code(source=source, methods=compiled.methods)))


def _has(methods: tuple[Method, ...], name: str) -> bool:
    return any(method.name == name for method in methods)
