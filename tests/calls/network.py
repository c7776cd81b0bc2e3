"""A chain whose shards run contracts, audited after every block.

`audit` counts everything that is in the state anew, with no arithmetic of the ledger: what accounts, contracts, calls
under way and queued messages hold, and that records which belong together are there together.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.values import decode as decode_value
from contracts.values import encode as encode_value
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.identifiers import CallId, Milliseconds, ShardId
from shards.bundles import Bundle
from shards.calls.records import (
    RESUME_MARK,
    Contract,
    SuspendedCall,
    contract_key,
    decode_contract,
    decode_queue,
    decode_suspended,
    read_timer,
    reply_key,
    storage_key,
    suspended_key,
)
from shards.items import ItemKind, pack_item
from shards.ledger import Ledger
from shards.messages import Call, message_decoder
from shards.outcome import Execution
from shards.receipts import CallReceipt, ReplyReceipt, RunReceipt, RunState, TransactionReceipt
from shards.state import Namespace, OpenCall, decode_account, decode_open_call
from shards.transactions import ContractCall, Deploy, Operation, RemoteCall, TopUp, Upgrade
from tests.contracts.support import PROGRAMS
from tests.shards.builders import TestAccount, TestChain, next_block, receipts_of

GAS = 400_000
"""More than any test's call uses."""


def program(name: str, folder: Path = PROGRAMS) -> str:
    """Source of a contract."""
    return (folder / f"{name}.py").read_text()


class Network(TestChain):
    """Shards with the real machine; alice signs unless a test says otherwise.

    With `restart`, every shard's ledger is made anew from its stored state before each of its blocks, and each block is
    executed twice.
    """

    def __init__(self, shards: int = 2, *, restart: bool = False, validators: int = 4) -> None:
        super().__init__(shards=shards, validators=validators)
        self.restart = restart
        self.alice, self.bob, self.carol = self.accounts[:3]
        self.stray = Counter[int]()
        """Money in escrow for which nobody asked, by shard: what captured shards' replies leave."""
        self.halted: set[int] = set()
        self.captured: set[int] = set()
        """Shards of which the ledger here is not what their committee certifies."""

    def run(self, shard: int, transactions: Sequence[bytes] = (), bundles: Sequence[Bundle] = ()) -> Execution:
        node = self.shards[shard]
        if self.restart:
            entries = list(node.ledger.entries())
            restored = Ledger.restore(self.context, node.shard, entries[::-1], machine=node.ledger.machine)
            assert restored.commitment == node.ledger.commitment
            node.ledger = restored
            items = [pack_item(ItemKind.TRANSACTION, raw) for raw in transactions]
            items += [pack_item(ItemKind.BUNDLE, encode(bundle)) for bundle in bundles]
            first = restored.execute(next_block(restored, self.context, node.shard, items, self.time_ms + 100))
            execution = super().run(shard, transactions, bundles)
            assert execution.commitment == first.commitment
            assert execution.receipts == first.receipts
        else:
            execution = super().run(shard, transactions, bundles)
        audit(self)
        return execution

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.time_ms += milliseconds

    def exchange(self, rounds: int = 1) -> list[Execution]:
        """A block of every shard, with what the others have sent."""
        going = [shard for shard in range(len(self.shards)) if shard not in self.halted]
        return [self.run(shard, bundles=self.bundles_for(shard)) for _ in range(rounds) for shard in going]

    def bundles_for(self, shard: int) -> list[Bundle]:
        """What the others have sent to a shard."""
        others = [other for other in range(len(self.shards)) if other != shard and self.shards[other].executions]
        return [self.bundle(other, shard) for other in others]

    def quiesce(self, limit: int = 60) -> None:
        """Exchange until nothing that could happen by itself is left."""
        for _ in range(limit):
            if not self.busy():
                return
            self.exchange()
        raise AssertionError("it does not come to rest")

    def busy(self) -> bool:
        for shard, node in enumerate(self.shards):
            if shard in self.halted:
                continue
            if node.ledger.has_local_work(self.time_ms):
                return True
            for other in range(len(self.shards)):
                sent = self.shards[other].ledger.lane(ShardId(shard)).end if other != shard else 0
                if sent > node.ledger.lane(ShardId(other)).recv_next:
                    return True
        return False

    def act(self, shard: int, operation: Operation, who: TestAccount | None = None) -> "Told":
        """A block with one operation; what its receipts tell."""
        return Told(self.run(shard, [self.transaction(shard, who or self.alice, [operation])]))

    def deploy(
        self,
        shard: int,
        name: str,
        source: str | None = None,
        *args: Any,
        value: int = 0,
        gas: int = 600_000,
        owner: bytes | None = None,
        who: TestAccount | None = None,
    ) -> "Told":
        owner = (who or self.alice).key if owner is None else owner
        amount = pack_amount(Amount(value))
        source = program(name) if source is None else source
        return self.act(shard, Deploy(name, source, owner, encode_value(list(args)), amount, gas), who)

    def upgrade(
        self, shard: int, name: str, source: str, *args: Any, gas: int = GAS, who: TestAccount | None = None
    ) -> "Told":
        return self.act(shard, Upgrade(name, source, encode_value(list(args)), gas), who)

    def call(
        self,
        shard: int,
        name: str,
        method: str,
        *args: Any,
        value: int = 0,
        gas: int = GAS,
        who: TestAccount | None = None,
    ) -> "Told":
        return self.act(shard, contract_call(name, method, *args, value=value, gas=gas), who)

    def call_remotely(
        self,
        shard: int,
        destination: int,
        name: str,
        method: str,
        *args: Any,
        value: int = 0,
        gas: int = GAS,
        deadline_ms: int | None = None,
        who: TestAccount | None = None,
    ) -> "Told":
        deadline = Milliseconds(self.time_ms + 600_000 if deadline_ms is None else deadline_ms)
        amount = pack_amount(Amount(value))
        arguments = encode_value(list(args))
        return self.act(shard, RemoteCall(ShardId(destination), name, method, arguments, amount, gas, deadline), who)

    def top_up(self, shard: int, call_id: bytes, gas: int, who: TestAccount | None = None) -> "Told":
        return self.act(shard, TopUp(CallId(call_id), gas), who)

    def contract(self, shard: int, name: str) -> Contract | None:
        raw = self.shards[shard].ledger.get(contract_key(name))
        return None if raw is None else decode_contract(raw)

    def held(self, shard: int, name: str) -> int:
        """Balance of a contract."""
        contract = self.contract(shard, name)
        assert contract is not None
        return unpack_amount(contract.balance)

    def stored(self, shard: int, name: str, key: str) -> Any:
        raw = self.shards[shard].ledger.get(storage_key(name, key.encode()))
        return None if raw is None else decode_value(raw)

    def suspended(self, shard: int, call_id: bytes) -> SuspendedCall | None:
        raw = self.shards[shard].ledger.get(suspended_key(CallId(call_id)))
        return None if raw is None else decode_suspended(raw)

    def under_way(self, shard: int) -> dict[bytes, SuspendedCall]:
        """All calls under way on a shard."""
        return {key: decode_suspended(value) for key, value in _records(self.shards[shard].ledger, Namespace.CALL)}

    def open_calls(self, shard: int) -> list[OpenCall]:
        """All calls sent from a shard that are not answered."""
        found = _records(self.shards[shard].ledger, Namespace.OPEN_CALL)
        return [decode_open_call(value) for _, value in found]

    def runs(self, shard: int | None = None, contract: str = "") -> list[RunReceipt]:
        """All runs so far, by shard and in order."""
        nodes = self.shards if shard is None else [self.shards[shard]]
        told = [run for node in nodes for execution in node.executions for run in Told(execution).runs]
        return [run for run in told if contract in ("", run.contract)]

    def end_of(self, call_id: bytes) -> RunReceipt:
        """The run that ended a call."""
        (end,) = [
            run for run in self.runs() if run.call_id == call_id and run.state in (RunState.COMPLETED, RunState.FAILED)
        ]
        return end


def contract_call(name: str, method: str, *args: Any, value: int = 0, gas: int = 50_000) -> ContractCall:
    """The operation of a call."""
    return ContractCall(name, method, encode_value(list(args)), pack_amount(Amount(value)), gas)


class Told:
    """What the receipts of a block tell."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        receipts = receipts_of(execution)
        self.runs = [receipt for receipt in receipts if isinstance(receipt, RunReceipt)]
        self.calls = [receipt for receipt in receipts if isinstance(receipt, CallReceipt)]
        self.replies = [receipt for receipt in receipts if isinstance(receipt, ReplyReceipt)]
        self.transactions = [receipt for receipt in receipts if isinstance(receipt, TransactionReceipt)]

    @property
    def receipt(self) -> TransactionReceipt:
        """Of the only transaction."""
        (receipt,) = self.transactions
        return receipt

    @property
    def run(self) -> RunReceipt:
        """The only one."""
        (run,) = self.runs
        return run

    @property
    def failure(self) -> str:
        return self.receipt.failure

    @property
    def call_id(self) -> bytes:
        return self.receipt.call_id

    @property
    def result(self) -> Any:
        return decode_value(self.run.result)

    @property
    def fee(self) -> int:
        return unpack_amount(self.receipt.fee)


def result_of(run: RunReceipt) -> Any:
    """What a completed call returned."""
    assert run.state == RunState.COMPLETED, f"{run.kind} {run.error_type}: {run.error_text}\n{run.traceback}"
    return decode_value(run.result)


def audit(chain: Network) -> None:
    """Nothing is lost, nothing is made, and every record has those that it belongs with."""
    total: int = 0
    in_flight: int = 0
    for shard, node in enumerate(chain.shards):
        _audit_shard(chain, shard)
        supply = node.ledger.commitment.supply
        assert supply.holds()
        total += sum(map(unpack_amount, (supply.balances, supply.bonds, supply.held_fees, supply.escrow)))
        for other, peer in enumerate(chain.shards):
            if other != shard:
                sent = unpack_amount(node.ledger.lane(ShardId(other)).value_sent)
                received = unpack_amount(peer.ledger.lane(ShardId(shard)).value_received)
                in_flight += sent - received
                assert sent >= received or shard in chain.captured
    genesis = sum(unpack_amount(node.ledger.commitment.supply.genesis) for node in chain.shards)
    assert total + in_flight == genesis


def _audit_shard(chain: Network, shard: int) -> None:
    ledger = chain.shards[shard].ledger
    contracts = {key.decode(): decode_contract(value) for key, value in _contracts(ledger)}
    accounts = [decode_account(value) for _, value in _records(ledger, Namespace.ACCOUNT)]
    calls = {key: decode_suspended(value) for key, value in _records(ledger, Namespace.CALL)}
    opened = {key: decode_open_call(value) for key, value in _records(ledger, Namespace.OPEN_CALL)}
    supply = ledger.commitment.supply
    held_by_accounts = sum(unpack_amount(record.balance) for record in accounts)
    held_by_contracts = sum(unpack_amount(record.balance) for record in contracts.values())
    assert held_by_accounts + held_by_contracts == unpack_amount(supply.balances)
    queued = _queued(ledger)
    escrow = sum(call.gas_left for call in calls.values()) + sum(queued) + chain.stray[shard]
    assert escrow == unpack_amount(supply.escrow)

    by_sender = Counter(call.sender.decode() for call in opened.values() if call.parent_call_id)
    assert by_sender == Counter({name: record.open_calls for name, record in contracts.items() if record.open_calls})
    of_accounts = [call for call in opened.values() if not call.parent_call_id]
    assert sum(record.open_calls for record in accounts) == len(of_accounts)
    for peer in range(len(chain.shards)):
        if peer != shard:
            assert ledger.lane(ShardId(peer)).open_calls == sum(call.destination == peer for call in opened.values())

    timers = {read_timer(key) for key, _ in _raw(ledger, Namespace.TIMER)}
    wanted = {(call.starved_until_ms, 2, key) for key, call in calls.items() if call.starved_until_ms}
    wanted |= {(call.patience_until_ms, 1, key) for key, call in opened.items() if call.patience_until_ms}
    assert timers == wanted
    replies = {key for key, _ in _raw(ledger, Namespace.REPLY)}
    assert replies == {
        reply_key(CallId(key), arrived.number) for key, call in calls.items() for arrived in call.arrived
    }


def _queued(ledger: Ledger) -> list[int]:
    """Values of the messages in a shard's queue to itself, after checking that it has no gap."""
    records = dict(_records(ledger, Namespace.QUEUE))
    raw = records.pop(b"", None)
    if raw is None:
        assert not records
        return []
    queue = decode_queue(raw)
    assert sorted(records) == [number.to_bytes(8, "big") for number in range(queue.first, queue.end)]
    values = []
    for body in records.values():
        if not body.startswith(RESUME_MARK):
            message = message_decoder.decode(body)
            whole = message.value if isinstance(message, Call) else message.returned
            values.append(unpack_amount(whole) + (message.gas if isinstance(message, Call) else 0))
    return values


def _raw(ledger: Ledger, namespace: Namespace) -> list[tuple[bytes, bytes]]:
    return [(key, value) for key, value in ledger.entries() if key[0] == namespace]


def _records(ledger: Ledger, namespace: Namespace) -> list[tuple[bytes, bytes]]:
    """Records of a namespace by what follows the empty contract in their keys."""
    return [(key[3:], value) for key, value in _raw(ledger, namespace)]


def _contracts(ledger: Ledger) -> list[tuple[bytes, bytes]]:
    return _records(ledger, Namespace.CONTRACT)
