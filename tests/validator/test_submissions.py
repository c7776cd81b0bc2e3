"""What clients and relays are answered: once for each request, in order, with a code for every refusal."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.identifiers import Milliseconds, ShardId, ValidatorIndex
from shards.limits import MAX_BUNDLE_BYTES, MAX_TRANSACTION_BYTES, MAX_VALIDITY_MS
from shards.transactions import Transfer, transaction_id
from shards.validator import events as told
from shards.validator import intake, pending, wire
from tests.shards.builders import BALANCE, GENESIS_TIME, TestChain
from tests.shards.captured import CapturedShard, call_body
from tests.support.core_pump import Node, Pump

DAY = MAX_VALIDITY_MS


def signed(chain: TestChain, amount: int = 5, fee_limit: int | None = None, valid_until_ms: int | None = None) -> bytes:
    alice, bob = chain.accounts[:2]
    operation = Transfer(to=bob.key, amount=pack_amount(Amount(amount)))
    return chain.transaction(0, alice, [operation], 0, fee_limit, valid_until_ms)


def remote(chain: TestChain, destination: int = 1, deadline_ms: int | None = None) -> bytes:
    alice, bob = chain.accounts[:2]
    return chain.remote(0, alice, destination, bob, 5, 0, deadline_ms)


REFUSED: dict[str, Callable[[TestChain], bytes]] = {
    "malformed": lambda chain: bytes(200),
    "too_large": lambda chain: bytes(MAX_TRANSACTION_BYTES + 1),
    "bad_amount": lambda chain: signed(chain, amount=0),
    "wrong_chain": lambda chain: signed(TestChain(2, name="another")),
    "wrong_shard": lambda chain: chain.local(1, chain.accounts[0], chain.accounts[1], 5),
    "expired": lambda chain: signed(chain, valid_until_ms=GENESIS_TIME - 1),
    "valid_too_long": lambda chain: signed(chain, valid_until_ms=GENESIS_TIME + DAY + 1),
    "fee_too_low": lambda chain: signed(chain, fee_limit=1),
    "unknown_shard": lambda chain: remote(chain, 9),
    "same_shard": lambda chain: remote(chain, 0),
    "deadline_past": lambda chain: remote(chain, deadline_ms=GENESIS_TIME),
    "deadline_too_far": lambda chain: remote(chain, deadline_ms=GENESIS_TIME + DAY + 1),
    "nonce_gap": lambda chain: chain.local(0, chain.accounts[0], chain.accounts[1], 5, nonce=1),
    "overdraft": lambda chain: signed(chain, amount=BALANCE),
    "bad_signature": lambda chain: bytes(64) + signed(chain)[64:],
}


@pytest.mark.parametrize(("code", "make"), REFUSED.items(), ids=REFUSED)
def test_a_transaction_is_refused_with_a_code_and_a_sentence(code: str, make: Callable[[TestChain], bytes]) -> None:
    pump = Pump(shards=2)
    raw = make(pump.chain)
    (result,) = pump.submit(0, [raw])
    assert (result.status, result.code) == ("refused", code)
    assert len(result.detail) > 10
    if len(raw) <= MAX_TRANSACTION_BYTES:
        assert result.id == transaction_id(raw)
    assert len(pump.nodes[0][0].core.mempool) == 0
    pump.run(3_000)
    assert pump.nodes[0][0].core.ledger.height == 0, "nothing to do, nothing proposed"


def test_one_batch_of_everything_is_answered_once_and_in_order() -> None:
    pump = Pump(shards=2)
    chain = pump.chain
    alice, bob = chain.accounts[:2]
    good = [chain.local(0, alice, bob, 5, nonce) for nonce in (0, 1, 2)]
    forged = bytes(64) + chain.local(0, bob, alice, 5)[64:]
    batch = [good[0], b"junk", good[1], forged, good[0], good[2], signed(chain, fee_limit=1)]
    results = pump.submit(0, batch)
    assert [each.status for each in results] == [
        *("accepted", "refused", "accepted", "refused", "known", "accepted", "refused")
    ]
    assert [each.id for each in results] == [transaction_id(raw) for raw in batch]
    again = pump.submit(0, [good[1], good[0]])
    assert [each.status for each in again] == ["known", "known"]
    assert pump.submit(0, []) == ()
    pump.run(2_000)
    assert pump.nodes[0][3].core.ledger.account(alice.key).nonce == 3
    assert [each.status for each in pump.submit(0, good)] == ["known"] * 3, "included lately"
    assert pump.submit(0, [chain.local(0, alice, bob, 6, nonce=1)])[0].code == "nonce_used"


def test_a_client_is_told_to_come_back_while_too_many_signatures_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_OUTSTANDING_SIGNATURES", 2)
    pump = Pump()
    alice, bob = pump.chain.accounts[:2]
    raws = [pump.chain.local(0, alice, bob, 5, nonce) for nonce in range(3)]
    assert [each.code for each in pump.submit(0, raws)] == ["", "", "busy"]
    assert [each.status for each in pump.submit(0, raws)] == ["known", "known", "accepted"], "the desk is empty again"


def test_gossip_of_one_peer_does_not_take_the_clients_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_OUTSTANDING_GOSSIP", 2)
    pump = Pump()
    node = pump.nodes[0][0]
    alice, bob, carol, dora = pump.chain.accounts
    flood = [
        wire.pack_transactions((bytes(64) + pump.chain.local(0, each, dora, 5)[64:],)) for each in (alice, bob, carol)
    ]
    for raw in flood:
        node.hear(told.PeerSent(ValidatorIndex(1), raw))
    assert node.effects["VerifySignatures"] == 2, "the third is dropped"
    node.hear(told.PeerSent(ValidatorIndex(2), flood[2]))
    assert node.effects["VerifySignatures"] == 3, "another peer has its own share"
    assert pump.submit(0, [pump.chain.local(0, alice, bob, 5)])[0].status == "accepted"


BundleMaker = Callable[[TestChain], bytes]

BUNDLES: dict[str, BundleMaker] = {
    "too_large": lambda chain: bytes(MAX_BUNDLE_BYTES + 1),
    "malformed": lambda chain: b"\x00" * 50,
    "wrong_destination": lambda chain: encode(chain.bundle(1, 2)),
    "wrong_lane": lambda chain: encode(replace(chain.bundle(1, 0), head=replace(chain.bundle(1, 0).head, source=0))),
    "bad_certificate": lambda chain: encode(
        replace(
            chain.bundle(1, 0),
            certificate=replace(
                chain.bundle(1, 0).certificate,
                commitment=replace(chain.bundle(1, 0).certificate.commitment, time_ms=Milliseconds(1)),
            ),
        )
    ),
    "not_in_outbox": lambda chain: encode(replace(chain.bundle(1, 0), path=())),
    "not_in_stream": lambda chain: encode(replace(chain.bundle(1, 0), bodies=(call_body(bytes(32), 1),))),
    "too_much_gas": lambda chain: encode(
        CapturedShard(chain, 1).bundle(0, [call_body(bytes(32), 1, gas=2**30)], value_sent=2**31)
    ),
}


@pytest.mark.parametrize(("code", "make"), BUNDLES.items(), ids=BUNDLES)
def test_a_bundle_is_refused_with_a_code_and_goes_nowhere(code: str, make: BundleMaker) -> None:
    pump = Pump(shards=3)
    alice, bob = pump.chain.accounts[:2]
    pump.chain.run(1, [pump.chain.remote(1, alice, 0, bob, 5), pump.chain.remote(1, alice, 2, bob, 5, nonce=1)])
    node = pump.nodes[0][0]
    said = node.effects["Broadcast"]
    result = pump.submit_bundle(0, make(pump.chain))
    assert (result.status, result.code) == ("refused", code)
    assert len(node.core.inbox) == 0
    assert node.effects["Broadcast"] == said


def test_a_bundle_is_accepted_once_known_afterwards_and_gossiped_once() -> None:
    pump = Pump(shards=2)
    alice, bob = pump.chain.accounts[:2]
    pump.chain.run(1, [pump.chain.remote(1, alice, 0, bob, 5)])
    raw = encode(pump.chain.bundle(1, 0))
    gossiped: list[int] = []

    def lost(sender: Node, receiver: int, sent: bytes) -> bool:
        if sent[0] == wire.PeerKind.BUNDLE:
            gossiped.append(receiver)
        return False

    pump.lost = lost
    assert pump.submit_bundle(0, raw).status == "accepted"
    assert pump.submit_bundle(0, raw).status == "known", "it waits"
    assert pump.submit_bundle(0, raw, to=1).status == "known", "gossip brought it"
    assert gossiped == [1, 2, 3]
    pump.run(1_000)
    assert pump.nodes[0][0].core.ledger.lane(ShardId(1)).recv_next == 1
    assert pump.submit_bundle(0, raw).status == "known", "it is executed"


def test_a_frozen_stream_takes_no_bundles_and_lets_its_transactions_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    pump = Pump(shards=2)
    chain = pump.chain
    alice, bob = chain.accounts[:2]
    captured = CapturedShard(chain, 1)
    lie = encode(captured.bundle(0, [call_body(bob.key, 1)], ack_next=7, value_sent=10**6))
    assert pump.submit_bundle(0, lie).status == "accepted"
    pump.run(1_000)
    assert pump.nodes[0][0].core.ledger.lane(ShardId(1)).frozen
    assert len(pump.nodes[0][0].core.inbox) == 0
    more = encode(captured.bundle(0, [call_body(bob.key, 1)] * 2, value_sent=10**6))
    assert pump.submit_bundle(0, more).code == "lane_frozen"
    monkeypatch.setattr(pending, "room", lambda lane: 0)
    assert pump.submit(0, [chain.remote(0, alice, 1, bob, 5)])[0].status == "accepted"
    pump.run(1_000)
    assert pump.nodes[0][2].core.ledger.account(alice.key).nonce == 1, "included, and failed with a receipt"
