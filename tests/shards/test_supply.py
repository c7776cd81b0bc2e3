"""No money is made or lost and every message counts once, whatever is sent, delayed, repeated or overlapped.

The checker shares no arithmetic with what it checks: it reads raw records with another MessagePack library, and it
has a model of its own of what every account must have in the end. The mutants at the end show that it checks.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from primitives import mmr
from primitives.amounts import Amount, unpack_amount
from primitives.errors import InvariantViolated
from primitives.identifiers import Hash, PublicKey, Sequence, ShardId
from shards import consumption, transfers, working_state
from shards.bundles import Bundle
from shards.calls import arrivals
from shards.calls.arrivals import Consumed
from shards.lanes import LaneDraft
from shards.messages import Call, Outcome, Reply, message_id_of
from shards.receipts import CallReceipt, DiscardReceipt, FreezeReceipt, ReplyReceipt, TransactionReceipt
from shards.state import Lane
from shards.working_state import WorkingState
from tests.shards.builders import BALANCE, BLOCK_INTERVAL_MS, TestChain, receipts_of

ACCOUNTS = 3
FEE_LOCAL = 600
FEE_REMOTE_AT_HOME = 800
GAS_THERE = 300
GAS_FOR_REPLY = 200
LARGE = BALANCE * 2


def number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


@dataclass
class Model:
    """What every account must have once everything is settled, and what the blocks may say on the way."""

    balances: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    calls_sent: int = 0
    expected_outcomes: Counter[int] = field(default_factory=Counter)
    seen: Counter[tuple[str, int, int, int]] = field(default_factory=Counter)
    order: dict[tuple[int, int], int] = field(default_factory=dict)


class Workload:
    """Random actions on a chain; each action is followed by the checks that hold at any time."""

    def __init__(self, shards: int, seed: int) -> None:
        self.chain = TestChain(shards=shards, accounts=ACCOUNTS)
        self.random = Random(seed)
        self.model = Model()
        for shard in range(shards):
            for account in self.chain.accounts:
                self.model.balances[shard, account.key] += BALANCE

    def act(self) -> None:
        """One random action in one block, or a block with several bundles."""
        random, chain = self.random, self.chain
        shard = random.randrange(len(chain.shards))
        if random.random() < 0.5:
            self.transfer(shard)
        else:
            sources = [s for s in range(len(chain.shards)) if s != shard and chain.shards[s].executions]
            random.shuffle(sources)
            bundles = [bundle for source in sources for bundle in self.bundles(source, shard)]
            self.check_receipts(shard, chain.run(shard, bundles=bundles).receipts)
        self.check_money()

    def transfer(self, shard: int) -> None:
        """A local or remote transfer that succeeds, fails or will expire."""
        random, chain, balances = self.random, self.chain, self.model.balances
        sender, receiver = random.choice(chain.accounts), random.choice(chain.accounts)
        amount = LARGE if random.random() < 0.1 else random.randrange(1, 10_000)
        destination = random.randrange(len(chain.shards))
        if destination == shard:
            raw, fee = chain.local(shard, sender, receiver, amount), FEE_LOCAL
        else:
            expires = random.random() < 0.3
            # Both run in the next block of another shard at the earliest, two intervals from now.
            deadline = chain.time_ms + BLOCK_INTERVAL_MS + 1 if expires else None
            raw = chain.remote(shard, sender, destination, receiver, amount, deadline_ms=deadline)
            fee = FEE_REMOTE_AT_HOME
        execution = chain.run(shard, [raw])
        self.check_receipts(shard, execution.receipts)
        balances[shard, sender.key] -= fee
        if amount == LARGE:
            return
        if destination == shard:
            balances[shard, sender.key] -= amount
            balances[shard, receiver.key] += amount
            return
        self.model.calls_sent += 1
        self.model.expected_outcomes[Outcome.EXPIRED if expires else Outcome.OK] += 1
        balances[shard, sender.key] -= GAS_THERE + GAS_FOR_REPLY
        if not expires:
            balances[shard, sender.key] -= amount
            balances[destination, receiver.key] += amount

    def bundles(self, source: int, destination: int) -> list[Bundle]:
        """Some bundles that a careless or hostile relay could bring: stale, repeated, overlapping, partial, empty."""
        random, sender = self.random, self.chain.shards[source]
        received = self.chain.shards[destination].ledger.lane(ShardId(source)).recv_next
        made = []
        for _ in range(random.randrange(1, 4)):
            execution = random.choice(sender.executions[-6:])
            end = execution.heads[destination].end
            first = min(end, max(0, received - random.choice([0, 0, 0, 1, 5])))
            count = random.choice([0, 1, 2, 50])
            made.append(sender.bundle(destination, first, count, execution))
            received = max(received, Sequence(first + len(made[-1].bodies)))
            if random.random() < 0.3:
                made.append(random.choice(made))
        return made

    def check_receipts(self, shard: int, raws: tuple[bytes, ...]) -> None:
        """Every message is consumed at most once and in the order of its stream; nothing is frozen or discarded."""
        for raw in raws:
            tag, *fields = msgpack.unpackb(raw)
            if tag == 1:
                continue
            assert tag in (2, 3), "an honest chain freezes nothing and can read everything"
            source, sequence = fields[:2]
            assert self.model.order.get((source, shard), -1) + 1 == sequence, "messages are consumed in order, once"
            self.model.order[source, shard] = sequence
            self.model.seen["call" if tag == 2 else "reply", source, shard, fields[5]] += 1

    def check_money(self) -> None:
        """The supply identity on every shard against its accounts, and conservation over all of them."""
        here = flight = everything = 0
        heads = {}
        for shard in self.chain.shards:
            supply = shard.ledger.commitment.supply
            accounts = sum(number(msgpack.unpackb(v)[0]) for k, v in shard.ledger.entries() if k[0] == 2)
            assert accounts == number(supply.balances), "the supply's balances are those of the accounts"
            on_shard = accounts + number(supply.bonds) + number(supply.held_fees) + number(supply.escrow)
            assert on_shard == (
                number(supply.genesis) - number(supply.burnt) - number(supply.sent) + number(supply.received)
            )
            streams = [head for head in shard.ledger.heads if head.destination != head.source]
            assert number(supply.sent) == sum(number(head.value_sent) for head in streams)
            assert number(supply.received) == sum(number(head.value_received) for head in streams)
            here += on_shard
            everything += number(supply.genesis)
            heads.update({(head.source, head.destination): head for head in streams})
        for (source, destination), head in heads.items():
            on_the_way = number(head.value_sent) - number(heads[destination, source].value_received)
            assert on_the_way >= 0, "nothing arrives that was not sent"
            flight += on_the_way
        assert here + flight == everything, "no money is made or lost"

    def finish(self) -> None:
        """Settle everything; then every account has what the model says and nothing is left over."""
        for _ in range(3):
            for shard in range(len(self.chain.shards)):
                others = [s for s in range(len(self.chain.shards)) if s != shard and self.chain.shards[s].executions]
                bundles = [self.chain.bundle(source, shard) for source in others]
                self.check_receipts(shard, self.chain.run(shard, bundles=bundles).receipts)
                self.check_money()
        for settled in self.chain.shards:
            ledger = settled.ledger
            for account in self.chain.accounts:
                stored = ledger.account(account.key)
                assert number(stored.balance) == self.model.balances[settled.shard, account.key]
                assert stored.open_calls == 0
            assert {key[0] for key, _ in ledger.entries()} <= {1, 2, 3}, "no message or open call is left"
            assert number(ledger.commitment.supply.escrow) == 0
            lanes = [ledger.lane(ShardId(peer)) for peer in range(len(self.chain.shards))]
            assert all(lane.begin == lane.end and not lane.open_requests + lane.open_calls for lane in lanes)
        outcomes: Counter[int] = Counter()
        for kind in ("call", "reply"):
            outcomes.clear()
            for (which, _, _, outcome), count in self.model.seen.items():
                outcomes[outcome] += count if which == kind else 0
            assert +outcomes == self.model.expected_outcomes, f"every {kind} counts once, with its outcome"


def run_workload(shards: int, seed: int, actions: int) -> Workload:
    workload = Workload(shards, seed)
    for _ in range(actions):
        workload.act()
    workload.finish()
    return workload


@settings(deadline=None, max_examples=25)
@given(shards=st.integers(2, 3), seed=st.integers(0, 2**32), actions=st.integers(1, 40))
def test_no_money_is_made_or_lost_and_every_message_counts_once(shards: int, seed: int, actions: int) -> None:
    run_workload(shards, seed, actions)


def test_the_workload_does_everything_it_is_meant_to_do() -> None:
    workload = run_workload(3, seed=7, actions=120)
    outcomes = workload.model.expected_outcomes
    assert outcomes[Outcome.OK] > 10
    assert outcomes[Outcome.EXPIRED] > 3
    receipts = [
        receipt for shard in workload.chain.shards for each in shard.executions for receipt in receipts_of(each)
    ]
    kinds = Counter(type(receipt) for receipt in receipts)
    assert kinds[CallReceipt] == kinds[ReplyReceipt] == workload.model.calls_sent
    assert kinds[FreezeReceipt] == kinds[DiscardReceipt] == 0
    assert any(isinstance(receipt, TransactionReceipt) and receipt.failure for receipt in receipts)


def refund_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply's value is credited to the sender, and once more."""
    honest = arrivals.consume_reply

    def mutant(state: WorkingState, consumed: Consumed, reply: Reply) -> None:
        call = state.open_call(reply.call_id)
        honest(state, consumed, reply)
        if call is not None:
            state.account(PublicKey(call.sender)).balance += unpack_amount(reply.returned)

    monkeypatch.setattr(consumption, "consume_reply", mutant)


def refund_twice_with_a_clean_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, and the extra money is booked as received, so that the shard's own identity holds."""
    honest = arrivals.consume_reply

    def mutant(state: WorkingState, consumed: Consumed, reply: Reply) -> None:
        call = state.open_call(reply.call_id)
        honest(state, consumed, reply)
        if call is not None:
            state.receive(consumed.source, unpack_amount(reply.returned))
            state.account(PublicKey(call.sender)).balance += unpack_amount(reply.returned)

    monkeypatch.setattr(consumption, "consume_reply", mutant)


def bundle_sequence_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in a bundle is consumed, also what was consumed before, and no contradiction is found in that."""

    def mutant(state: WorkingState, lane: LaneDraft, bundle: Bundle) -> tuple[list[consumption.Arrival], mmr.Peaks]:
        head = bundle.head
        arrivals = [
            consumption._read(
                Sequence(n), message_id_of(state.chain_id, head.source, head.destination, Sequence(n), body), body
            )
            for n, body in enumerate(bundle.bodies, start=bundle.first)
        ]
        lane.received = mmr.Peaks(bundle.first, bundle.peaks)
        return arrivals, lane.received

    monkeypatch.setattr(consumption, "_split", mutant)
    monkeypatch.setattr(consumption, "_excess", lambda *arguments: None)


def received_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Value arrives without being counted."""
    monkeypatch.setattr(WorkingState, "receive", lambda state, peer, value: None)


def deadline_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ever expires."""
    monkeypatch.setattr(arrivals, "_refusal", lambda *arguments: None)


def expired_value_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What expires is not returned but booked as fees, so that every identity holds."""
    honest = WorkingState.send

    def mutant(state: WorkingState, peer: ShardId, message: Call | Reply, *rest: object) -> object:
        if isinstance(message, Reply) and message.outcome == Outcome.EXPIRED:
            state.held_fees += unpack_amount(message.returned)
            message = replace(message, returned=bytes(16))
            rest = (*rest[:2], Amount(0))
        return honest(state, peer, message, *rest)  # type: ignore[arg-type]  # the mutant passes on what it got

    monkeypatch.setattr(WorkingState, "send", mutant)


def failed_transactions_act_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overdraft is found only after the operations."""
    monkeypatch.setattr(transfers, "_failure", lambda *arguments: None)


def messages_stay_in_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement prunes nothing."""
    monkeypatch.setattr(working_state, "message_key", lambda peer, sequence: b"\x04\0\0%d" % sequence)
    monkeypatch.setattr(WorkingState, "acknowledge", lambda state, peer, ack_next: None)


def stale_heads_acknowledge_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The front of the stream follows every head, also an old one."""

    def mutant(lane: LaneDraft, ack_next: Sequence) -> range:
        settled = range(lane.begin, ack_next)
        lane.begin = ack_next
        return settled

    monkeypatch.setattr(LaneDraft, "acknowledge", mutant)


def consumed_messages_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The range over consumed messages, which the next bundle is compared with, is not kept."""
    honest = LaneDraft.record

    def mutant(lane: LaneDraft) -> Lane:
        record = honest(lane)
        return replace(record, recv_peaks=(Hash(bytes(32)),) * len(record.recv_peaks))

    monkeypatch.setattr(LaneDraft, "record", mutant)


MUTANTS = [
    refund_twice,
    refund_twice_with_a_clean_identity,
    bundle_sequence_unchecked,
    received_not_counted,
    deadline_ignored,
    expired_value_kept,
    failed_transactions_act_in_part,
    messages_stay_in_state,
    stale_heads_acknowledge_backwards,
    consumed_messages_forgotten,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.__name__))
def test_the_checker_finds_a_mutant(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    with pytest.raises((AssertionError, InvariantViolated)):
        run_workload(3, seed=7, actions=120)
