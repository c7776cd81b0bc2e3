"""Whatever happens to a mempool, in whatever order: its bounds hold, and nothing is lost, doubled or out of turn."""

from collections import Counter
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, Nonce, PublicKey, ShardId, TransactionId
from shards import mempool as module
from shards.gas import fee_of, gas_at_home
from shards.transactions import (
    Deploy,
    Operation,
    RemoteCall,
    SignedTransaction,
    destination_of,
    parse_transaction,
    total_amount,
)
from tests.shards.builders import make_accounts
from tests.support.mempool_world import NOW, World, body_of, local, remote

SENDERS = make_accounts(6)
REFUSALS = {
    "known", "expired", "nonce_used", "nonce_gap", "already_proposed", "replacement_fee_too_low", "sender_limit",
    "overdraft", "mempool_full",
}  # fmt: skip
LIMITS = {
    "MAX_TRANSACTIONS": 12,
    "MAX_BYTES": 3300,
    "MAX_SENDER_TRANSACTIONS": 5,
    "MAX_SENDER_BYTES": 1200,
    "MAX_PARKED": 3,
}


def cost_of(transaction: SignedTransaction) -> int:
    return total_amount(transaction.body) + unpack_amount(transaction.body.fee_limit)


class MempoolMachine(RuleBasedStateMachine):
    """The model is a plain list of what was admitted and has not left for a reason."""

    def __init__(self) -> None:
        super().__init__()
        self._patches = [patch.object(module, name, value) for name, value in LIMITS.items()]
        for each in self._patches:
            each.start()
        self.now = NOW
        self.world = World(balance=6000)
        self.waiting: dict[TransactionId, SignedTransaction] = {}
        self.proposed: dict[TransactionId, int] = {}

    def teardown(self) -> None:
        for each in self._patches:
            each.stop()

    @rule(
        who=st.integers(0, 5),
        ahead=st.integers(-1, 5),
        fee=st.sampled_from([0, 10, 100, 500, 1500]),
        lasting=st.integers(0, 60_000),
        kind=st.sampled_from(["local", "remote", "many", "call", "deploy"]),
        from_client=st.booleans(),
    )
    def submit(self, who: int, ahead: int, fee: int, lasting: int, kind: str, from_client: bool) -> None:
        sender = SENDERS[who]
        operations: dict[str, list[Operation]] = {
            "local": [local()],
            "remote": [remote(deadline_ms=self.now + 9)],
            "many": [local(amount=300)] * 3,
            "call": [
                RemoteCall(ShardId(2), "stock", "take", b"", pack_amount(Amount(5)), 300, Milliseconds(self.now + 9))
            ],
            "deploy": [Deploy("stock", "#" * 700, b"", b"", pack_amount(Amount(5)), 300)],
        }
        nonce = max(0, self.world.account(sender.key).nonce + ahead)
        body = body_of(sender, nonce, operations[kind], fee=fee, valid_until_ms=self.now + lasting)
        raw = bytes(64) + encode(body)
        mine = self.of(sender.key)
        replaced = mine.get(nonce)
        after = self.bytes_with(raw) - (0 if replaced is None else len(replaced.raw))
        was_full = after > LIMITS["MAX_BYTES"] or (replaced is None and len(self.waiting) >= LIMITS["MAX_TRANSACTIONS"])
        transaction, code = self.try_to_submit(raw, from_client)
        if transaction is None:
            assert code in REFUSALS
            assert code != "mempool_full" or was_full
            self.sync(may_evict=False)
            return
        if replaced is not None:
            assert replaced.id not in self.proposed
            assert unpack_amount(body.fee_limit) * 10 >= unpack_amount(replaced.body.fee_limit) * 11
            del self.waiting[replaced.id]
        self.waiting[transaction.id] = transaction
        self.sync(may_evict=was_full)
        assert self.world.pool.get(transaction.id) is not None
        if from_client:
            first = self.world.account(sender.key).nonce
            assert all(each in self.of(sender.key) for each in range(first, nonce))

    def try_to_submit(self, raw: bytes, from_client: bool) -> tuple[SignedTransaction | None, str]:
        try:
            transaction = self.world.pool.check(raw, now_ms=self.now)
            self.world.pool.insert(transaction, now_ms=self.now, from_client=from_client)
        except Refused as refused:
            return None, refused.code
        return transaction, ""

    def of(self, key: PublicKey) -> dict[int, SignedTransaction]:
        return {each.body.nonce: each for each in self.waiting.values() if each.body.sender == key}

    def bytes_with(self, raw: bytes) -> int:
        return sum(len(each.raw) for each in self.waiting.values()) + len(raw)

    def sync(self, *, may_evict: bool) -> None:
        """Nothing has left except by eviction, which takes what comes last of its sender and is in no block."""
        gone = [each for each in self.waiting.values() if self.world.pool.get(each.id) is None]
        assert may_evict or not gone
        for each in sorted(gone, key=lambda transaction: -transaction.body.nonce):
            assert each.id not in self.proposed
            assert each.body.nonce == max(self.of(each.body.sender))
            del self.waiting[each.id]

    @rule(
        gas=st.integers(0, 9000),
        items=st.integers(0, 12),
        blocked=st.frozensets(st.integers(1, 2)),
        execute=st.booleans(),
        pass_over=st.integers(0, 5),
    )
    def propose(self, gas: int, items: int, blocked: frozenset[int], execute: bool, pass_over: int) -> None:
        """Select for a block; perhaps execute it. One sender's first transaction may be in a pending block already."""
        skipped = SENDERS[pass_over].key

        def next_nonce(key: PublicKey) -> Nonce:
            return Nonce(self.world.account(key).nonce + (key == skipped and not execute))

        chosen = self.world.pool.select(
            max_gas=gas,
            max_bytes=1500,
            max_items=items,
            time_ms=self.now,
            next_nonce=next_nonce,
            blocked=frozenset(map(ShardId, blocked)),
        )
        assert len(chosen) == len({each.id for each in chosen}) <= items
        assert all(each.id in self.waiting for each in chosen)
        assert sum(gas_at_home(each.body) for each in chosen) <= gas
        assert sum(len(each.raw) for each in chosen) <= 1500
        assert all(each.body.valid_until_ms >= self.now for each in chosen)
        for each in chosen:
            for operation in each.body.operations:
                assert destination_of(operation) not in blocked
        for key in {each.body.sender for each in chosen}:
            nonces = [each.body.nonce for each in chosen if each.body.sender == key]
            assert nonces == list(range(next_nonce(key), next_nonce(key) + len(nonces)))
        turns = Counter(each.body.sender for each in chosen)
        if chosen and gas >= 9000 and items == 12 and not blocked:
            assert len(turns) > 1 or self.ready_senders(next_nonce) <= 1
        self.world.pool.on_proposed(chosen, time_ms=self.now + 1)
        self.proposed.update((each.id, self.now + 1) for each in chosen)
        if execute:
            self.execute(chosen)

    def ready_senders(self, next_nonce: object) -> int:
        assert callable(next_nonce)
        return sum(next_nonce(sender.key) in self.of(sender.key) for sender in SENDERS)

    def execute(self, chosen: list[SignedTransaction]) -> None:
        for each in chosen:
            key = each.body.sender
            account = self.world.account(key)
            left = unpack_amount(account.balance) - total_amount(each.body) - fee_of(each.body)
            self.world.accounts[key] = self.world.at(account.nonce + 1, balance=left)
            del self.waiting[each.id]
        self.world.pool.on_executed(chosen, now_ms=self.now)
        self.blocks_die()
        self.drop_expired()

    def blocks_die(self) -> None:
        self.proposed = {each: time_ms for each, time_ms in self.proposed.items() if time_ms > self.now}

    @rule(who=st.integers(0, 5))
    def another_leader_includes_what_is_not_here(self, who: int) -> None:
        key = SENDERS[who].key
        account = self.world.account(key)
        if unpack_amount(account.balance) < 3000:
            return
        raw = bytes(64) + encode(body_of(SENDERS[who], account.nonce, fee=7))
        self.world.accounts[key] = self.world.at(account.nonce + 1, balance=unpack_amount(account.balance) - 2500)
        self.world.pool.on_executed([parse_transaction(raw)], now_ms=self.now)
        self.blocks_die()
        self.drop_expired()
        mine = self.of(key)
        if account.nonce in mine:
            del self.waiting[mine.pop(account.nonce).id]
        for nonce in sorted(mine, reverse=True):
            if sum(map(cost_of, self.of(key).values())) > unpack_amount(self.world.account(key).balance):
                del self.waiting[mine[nonce].id]
        self.sync(may_evict=False)

    @rule(later=st.integers(1, 30_000))
    def time_passes(self, later: int) -> None:
        self.now += later
        self.world.pool.drop_expired(self.now)
        self.drop_expired()

    @rule(amount=st.integers(1, 5000), who=st.integers(0, 5))
    def money_arrives(self, amount: int, who: int) -> None:
        account = self.world.account(SENDERS[who].key)
        balance = unpack_amount(account.balance) + amount
        self.world.accounts[SENDERS[who].key] = self.world.at(account.nonce, balance=balance)

    def drop_expired(self) -> None:
        for each in list(self.waiting.values()):
            if each.body.valid_until_ms < self.now:
                del self.waiting[each.id]

    @invariant()
    def exactly_what_should_wait_does(self) -> None:
        pool = self.world.pool
        assert [each.id for each in pool.oldest(100)] == list(self.waiting)
        assert pool.size_bytes == sum(len(each.raw) for each in self.waiting.values())

    @invariant()
    def limits_hold(self) -> None:
        assert len(self.world.pool) <= LIMITS["MAX_TRANSACTIONS"]
        assert self.world.pool.size_bytes <= LIMITS["MAX_BYTES"]
        for sender in SENDERS:
            mine = self.of(sender.key).values()
            assert len(mine) <= LIMITS["MAX_SENDER_TRANSACTIONS"]
            assert sum(len(each.raw) for each in mine) <= LIMITS["MAX_SENDER_BYTES"]
            assert sum(map(cost_of, mine)) <= unpack_amount(self.world.account(sender.key).balance)

    @invariant()
    def the_next_nonce_is_the_first_missing_one(self) -> None:
        for sender in SENDERS:
            nonce = self.world.account(sender.key).nonce
            while nonce in self.of(sender.key):
                nonce = Nonce(nonce + 1)
            assert self.world.pool.next_nonce(sender.key) == nonce


TestMempool = MempoolMachine.TestCase
TestMempool.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)


def test_spam_from_any_number_of_accounts_leaves_memory_bounded() -> None:
    world = World()
    with patch.multiple(module, MAX_TRANSACTIONS=100, MAX_BYTES=50_000):
        codes: Counter[str] = Counter()
        for number in range(1500):
            key = PublicKey(number.to_bytes(32, "big"))
            body = body_of(fee=number * 7919 % 1000, valid_until_ms=NOW + number)
            raw = bytes(64) + encode(replace(body, sender=key))
            try:
                world.submit(raw)
            except Refused as refused:
                codes[refused.code] += 1
        pool = world.pool
        assert len(pool) == 100
        assert set(codes) == {"mempool_full"}
        rates = [unpack_amount(each.body.fee_limit) for each in pool.oldest(100)]
        assert min(rates) >= 600 + 900
        victims = pool._queues._victims
        assert victims is not None
        assert len(victims) < 2 * 100 + 1100
        assert sum(map(len, pool._expiring.values())) == 100
        assert len(pool._queues.ready) + len(pool._queues.waiting) == 100
