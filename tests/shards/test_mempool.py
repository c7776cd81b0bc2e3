"""What may wait in the mempool, and what every refusal says."""

import pytest
from msgspec.structs import replace

from primitives.errors import Refused
from primitives.identifiers import ChainId, ShardId
from shards import mempool as module
from shards.limits import MAX_TRANSACTION_BYTES, MAX_VALIDITY_MS
from shards.transactions import Transaction, parse_transaction
from shards.verified_cache import VerifiedCache
from tests.support.mempool_world import ALICE, BOB, CAROL, DAVE, NOW, World, body_of, local, make, remote, signed


def test_an_admitted_transaction_waits_and_is_selected() -> None:
    world = World()
    transaction = world.submit(make())
    assert len(world.pool) == 1
    assert world.pool.size_bytes == len(transaction.raw)
    assert world.pool.get(transaction.id) == transaction
    assert world.pool.verified(transaction.id)
    assert world.select() == [transaction]
    assert len(world.pool) == 1


def test_checking_admits_nothing() -> None:
    world = World()
    transaction = world.pool.check(make(), now_ms=NOW)
    assert len(world.pool) == 0
    assert not world.pool.verified(transaction.id)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_the_same_transaction_again_is_known_while_it_waits_and_when_it_is_included() -> None:
    world = World()
    transaction = world.submit(make())
    assert world.refusal(transaction.raw).code == "known"
    world.accounts[ALICE.key] = world.at(1)
    world.pool.on_executed([transaction], now_ms=NOW)
    assert len(world.pool) == 0
    refused = world.refusal(transaction.raw)
    assert (refused.code, refused.detail) == ("known", "this very transaction is in a block already")


def test_what_is_too_long_is_refused_before_it_is_hashed_or_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "transaction_id", None)
    assert World().refusal(bytes(MAX_TRANSACTION_BYTES + 1)).code == "too_large"


def test_what_is_not_a_transaction_is_malformed() -> None:
    assert World().refusal(b"\0" * 100).code == "malformed"


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (replace(body_of(), chain_id=ChainId(bytes(32))), "wrong_chain", "another genesis"),
        (replace(body_of(), shard=ShardId(2)), "wrong_shard", "shard 2; submit it there, this is 0"),
        (body_of(valid_until_ms=NOW - 1), "expired", f"valid until {NOW - 1} ms"),
        (body_of(valid_until_ms=NOW + MAX_VALIDITY_MS + 1), "valid_too_long", f"at most {NOW + MAX_VALIDITY_MS} ms"),
        (body_of(fee=-1), "fee_too_low", "it costs 600 base units, its fee limit is 599"),
        (body_of(operations=[remote(7)]), "unknown_shard", "shards 0 to 2"),
        (body_of(operations=[local(), remote(0)]), "same_shard", "use a transfer"),
        (body_of(operations=[remote(deadline_ms=NOW)]), "deadline_past", f"it is {NOW} ms"),
        (body_of(operations=[remote(deadline_ms=NOW + MAX_VALIDITY_MS + 1)]), "deadline_too_far", "24 h"),
        (body_of(nonce=1), "nonce_gap", "nonce 1 leaves a gap; the next of this account is 0"),
        (body_of(operations=[local(amount=10**9)]), "overdraft", "the balance is 1000000000"),
    ],
)
def test_a_transaction_that_may_not_wait_here_is_refused_and_told_why(
    body: Transaction, code: str, detail: str
) -> None:
    world = World()
    refused = world.refusal(signed(body))
    assert refused.code == code
    assert detail in refused.detail
    assert len(world.pool) == 0


def test_a_used_nonce_is_refused_with_the_next_one() -> None:
    world = World()
    world.accounts[ALICE.key] = world.at(7)
    world.submit(make(nonce=7))
    refused = world.refusal(make(nonce=6))
    assert (refused.code, refused.detail) == ("nonce_used", "nonce 6 is used; the next of this account is 8")


def test_the_balance_must_cover_all_that_waits() -> None:
    world = World(balance=3 * 605 - 1)
    world.submit(make(nonce=0))
    world.submit(make(nonce=1))
    refused = world.refusal(make(nonce=2))
    assert refused.code == "overdraft"
    assert refused.detail == "it takes up to 605 base units, what waits already 1210; the balance is 1814"


def test_a_fee_limit_counts_in_full_against_the_balance() -> None:
    assert World(balance=700).refusal(make(fee=96)).code == "overdraft"
    World(balance=700).submit(make(fee=95))


def test_a_sender_may_have_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SENDER_TRANSACTIONS", 2)
    world = World()
    world.submit(make(nonce=0))
    world.submit(make(nonce=1))
    refused = world.refusal(make(nonce=2))
    assert refused.code == "sender_limit"
    assert "at most 2" in refused.detail
    world.submit(make(nonce=1, fee=600))
    assert len(world.pool) == 2


def test_a_sender_may_have_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    size = len(world.submit(make(nonce=0)).raw)
    monkeypatch.setattr(module, "MAX_SENDER_BYTES", 2 * size)
    world.submit(make(nonce=1))
    assert world.refusal(make(nonce=2)).code == "sender_limit"


def test_what_changed_while_the_signature_was_verified_is_seen_at_insertion() -> None:
    world = World()
    transaction = world.pool.check(make(), now_ms=NOW)
    with pytest.raises(Refused, match="expired"):
        world.pool.insert(transaction, now_ms=NOW + 60_001, from_client=True)
    world.accounts[ALICE.key] = world.at(1)
    with pytest.raises(Refused, match="nonce_used"):
        world.pool.insert(transaction, now_ms=NOW, from_client=True)
    world.accounts[ALICE.key] = world.at(0, balance=604)
    with pytest.raises(Refused, match="overdraft"):
        world.pool.insert(transaction, now_ms=NOW, from_client=True)


def test_the_same_transaction_twice_in_one_batch_is_known_the_second_time() -> None:
    world = World()
    twice = [world.pool.check(make(), now_ms=NOW) for _ in range(2)]
    world.pool.insert(twice[0], now_ms=NOW, from_client=True)
    with pytest.raises(Refused, match="known"):
        world.pool.insert(twice[1], now_ms=NOW, from_client=True)


# --- nonces and replacement -------------------------------------------------------------------------------------------


def test_a_batch_of_consecutive_nonces_may_be_checked_before_any_is_inserted() -> None:
    world = World()
    batch = [world.pool.check(make(nonce=each), now_ms=NOW) for each in range(50)]
    for transaction in batch:
        world.pool.insert(transaction, now_ms=NOW, from_client=True)
    assert world.select() == batch
    assert world.pool.next_nonce(ALICE.key) == 50


def test_gossip_out_of_order_is_parked_and_offered_once_the_gap_closes() -> None:
    world = World()
    late = [world.submit(make(nonce=nonce), from_client=False) for nonce in (2, 1)]
    assert world.select() == []
    assert world.pool.next_nonce(ALICE.key) == 0
    first = world.submit(make(nonce=0), from_client=False)
    assert world.select() == [first, late[1], late[0]]
    assert world.pool.next_nonce(ALICE.key) == 3


def test_gossip_too_far_ahead_is_not_parked() -> None:
    world = World()
    world.submit(make(nonce=module.MAX_PARKED), from_client=False)
    assert world.refusal(make(nonce=module.MAX_PARKED + 1), from_client=False).code == "nonce_gap"


def test_a_client_is_not_parked_behind_gossip_that_is() -> None:
    world = World()
    world.submit(make(nonce=1), from_client=False)
    assert world.refusal(make(nonce=2)).code == "nonce_gap"


def test_a_replacement_must_offer_a_tenth_more() -> None:
    world = World()
    old = world.submit(make(fee=5))
    refused = world.refusal(make(fee=65))
    assert refused.code == "replacement_fee_too_low"
    assert refused.detail == "nonce 0 waits with a fee limit of 605; to replace it, offer at least 666"
    new = world.submit(make(fee=66))
    assert world.select() == [new]
    assert world.pool.get(old.id) is None
    assert len(world.pool) == 1
    assert world.pool.size_bytes == len(new.raw)


def test_a_replacement_is_paid_instead_of_what_it_replaces_not_beside_it() -> None:
    world = World(balance=1210)
    world.submit(make(nonce=0))
    world.submit(make(nonce=0, fee=300))
    assert len(world.pool) == 1
    assert world.refusal(make(nonce=0, fee=606)).code == "overdraft"


def test_a_forged_replacement_does_nothing_before_its_signature_is_verified() -> None:
    world = World()
    old = world.submit(make())
    forged = signed(body_of(fee=1000), BOB)
    world.pool.check(forged, now_ms=NOW)
    assert world.select() == [old]


def test_what_a_pending_block_holds_is_not_replaced() -> None:
    world = World()
    old = world.submit(make())
    world.pool.on_proposed([old, parse_transaction(make(CAROL))], time_ms=NOW + 5)
    assert world.refusal(make(fee=1000)).code == "already_proposed"
    world.pool.on_executed([], now_ms=NOW + 4)
    assert world.refusal(make(fee=1000)).code == "already_proposed"


def test_what_only_a_dead_block_held_is_replaced_again() -> None:
    world = World()
    old = world.submit(make())
    world.pool.on_proposed([old], time_ms=NOW + 5)
    world.pool.on_executed([], now_ms=NOW + 5)
    new = world.submit(make(fee=1000))
    assert world.select() == [new]


# --- when it is full --------------------------------------------------------------------------------------------------


@pytest.fixture
def three_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TRANSACTIONS", 3)


@pytest.mark.usefixtures("three_at_most")
def test_when_full_the_longest_queue_gives_up_its_last() -> None:
    world = World()
    spam = [world.submit(make(nonce=each, fee=1000)) for each in range(3)]
    new = world.submit(make(BOB))
    assert len(world.pool) == 3
    assert world.pool.get(spam[2].id) is None
    assert set(world.select()) == {*spam[:2], new}


@pytest.mark.usefixtures("three_at_most")
def test_when_full_a_sender_does_not_push_out_his_own() -> None:
    world = World()
    for nonce in range(3):
        world.submit(make(nonce=nonce))
    refused = world.refusal(make(nonce=3, fee=1000))
    assert refused.code == "mempool_full"


@pytest.mark.usefixtures("three_at_most")
def test_when_full_of_equal_queues_the_one_that_pays_least_goes_if_the_new_one_pays_more() -> None:
    world = World()
    kept = [world.submit(make(ALICE, fee=20)), world.submit(make(CAROL, fee=30))]
    least = world.submit(make(BOB, fee=10))
    refused = world.refusal(make(DAVE, fee=10))
    assert refused.code == "mempool_full"
    assert "a higher fee limit" in refused.detail
    new = world.submit(make(DAVE, fee=11))
    assert world.pool.get(least.id) is None
    assert set(world.select()) == {*kept, new}


@pytest.mark.usefixtures("three_at_most")
def test_of_equal_ones_the_latest_goes() -> None:
    world = World()
    waiting = [world.submit(make(each)) for each in (ALICE, BOB, CAROL)]
    new = world.submit(make(DAVE, fee=100))
    assert set(world.select()) == {waiting[0], waiting[1], new}


@pytest.mark.usefixtures("three_at_most")
def test_what_a_pending_block_holds_is_not_evicted() -> None:
    world = World()
    waiting = [world.submit(make(each)) for each in (ALICE, BOB, CAROL)]
    world.pool.on_proposed(waiting, time_ms=NOW + 5)
    assert world.refusal(make(DAVE, fee=1000)).code == "mempool_full"
    world.accounts[BOB.key] = world.at(1)
    world.pool.on_executed([waiting[1]], now_ms=NOW)
    world.submit(make(DAVE))


@pytest.mark.usefixtures("three_at_most")
def test_what_only_a_dead_block_held_is_evicted_again() -> None:
    world = World()
    waiting = [world.submit(make(each)) for each in (ALICE, BOB, CAROL)]
    world.pool.on_proposed(waiting, time_ms=NOW + 5)
    assert world.refusal(make(DAVE, fee=1000)).code == "mempool_full"
    world.pool.on_executed([], now_ms=NOW + 5)
    world.submit(make(DAVE, fee=1000))
    assert world.pool.get(waiting[2].id) is None


@pytest.mark.usefixtures("three_at_most")
def test_a_replacement_needs_no_room() -> None:
    world = World()
    for nonce in range(3):
        world.submit(make(nonce=nonce))
    world.submit(make(nonce=1, fee=1000))
    assert len(world.pool) == 3


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    size = len(world.submit(make(ALICE)).raw)
    monkeypatch.setattr(module, "MAX_BYTES", 2 * size + 10)
    world.submit(make(BOB))
    assert world.refusal(make(CAROL)).code == "mempool_full"
    world.submit(make(CAROL, fee=10))
    assert world.pool.size_bytes <= 2 * size + 10


def test_the_verified_cache_is_bounded_and_keeps_the_latest() -> None:
    cache = VerifiedCache(capacity=10)
    ids = [parse_transaction(make(nonce=nonce)).id for nonce in range(50)]
    for each in ids:
        cache.add(each)
        assert each in cache
    assert len(cache) <= 21
    assert all(each in cache for each in ids[-10:])
    assert ids[0] not in cache
