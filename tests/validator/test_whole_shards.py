"""Whole shards of validator cores: what they do together, when they rest, and how they mend what was lost."""

import pytest

from consensus.block import Block
from consensus.pacing import Rules
from primitives.amounts import unpack_amount
from primitives.identifiers import ShardId
from primitives.signatures import ED25519
from shards import chain_store
from shards.commitments import check_certificate
from shards.limits import ANCHOR_LAG
from shards.outcome import Execution
from shards.queries import Level, transaction_status
from shards.state import Lane
from shards.transactions import transaction_id
from shards.validator import builder, pending, wire
from shards.validator.effects import BlockApplied, BlockFinalized, HeightCertified
from tests.shards.builders import BALANCE
from tests.support.core_pump import Node, Pump


def balance(node: Node, account: object) -> int:
    return unpack_amount(node.core.ledger.account(account.key).balance)  # type: ignore[attr-defined]


def kinds(node: Node) -> list[str]:
    return [type(news).__name__ for news in node.news]


def test_a_local_transfer_is_accepted_finalized_executed_and_certified_everywhere() -> None:
    pump = Pump()
    alice, bob = pump.chain.accounts[:2]
    raw = pump.chain.local(0, alice, bob, 25)
    assert pump.submit(0, [raw], to=3)[0].status == "accepted"
    pump.run(1_000)
    for node in pump.nodes[0]:
        assert balance(node, bob) == BALANCE + 25
        assert kinds(node) == [BlockFinalized.__name__, BlockApplied.__name__, HeightCertified.__name__]
        certificate = node.core.certified
        assert certificate is not None
        assert certificate.commitment == node.core.ledger.commitment
        check_certificate(certificate, pump.chain.context.committee(ShardId(0)), ED25519)
        status = transaction_status(node.store, transaction_id(raw), node.core.mempool.get)
        assert status is not None
        assert status.level is Level.SETTLED
        assert len(node.core.mempool) == 0


def test_a_transfer_to_another_shard_settles_and_leaves_nothing_behind() -> None:
    pump = Pump(shards=2)
    alice, bob = pump.chain.accounts[:2]
    raw = pump.chain.remote(0, alice, 1, bob, 25)
    pump.submit(0, [raw])
    pump.run(500)
    for source, destination in ((0, 1), (1, 0), (0, 1)):
        assert pump.carry(source, destination).status == "accepted"
        pump.run(500)
    for node in pump.nodes[1]:
        assert balance(node, bob) == BALANCE + 25
    for node in pump.everybody():
        lane = node.core.ledger.lane(ShardId(1 - node.shard))
        assert (lane.begin, lane.end, lane.recv_next, lane.open_calls, lane.open_requests) == (1, 1, 1, 0, 0)
        assert len(node.core.inbox) == 0
    status = transaction_status(pump.nodes[0][2].store, transaction_id(raw), lambda _: None)
    assert status is not None
    assert status.level is Level.SETTLED
    assert pump.bundle(0, 1) is None or pump.carry(0, 1).status == "known", "nothing more to carry"


@pytest.mark.parametrize("history", ["a fresh chain", "after transfers", "after a restart of all"])
def test_an_idle_chain_is_quiet(history: str) -> None:
    pump = Pump(shards=2)
    alice, bob = pump.chain.accounts[:2]
    if history != "a fresh chain":
        pump.submit(0, [pump.chain.remote(0, alice, 1, bob, 5)])
        pump.run(2_000)
        for source, destination in ((0, 1), (1, 0), (0, 1)):
            pump.carry(source, destination)
            pump.run(1_000)
    if history == "after a restart of all":
        for node in pump.everybody():
            node.flush()
            node.kill()
        for node in pump.everybody():
            node.start()
        pump.run(5_000)
    before = [(node.core.ledger.height, node.effects.copy()) for node in pump.everybody()]
    pump.run(64_000)
    for node, (height, effects) in zip(pump.everybody(), before, strict=True):
        assert node.core.ledger.height - height == 6, "an empty block each idle interval"
        done = node.effects - effects
        assert done["Broadcast"] == 18, "for each of six blocks: proposal or vote, finalize, commitment signature"
        assert done["Send"] <= 6
        assert done["SetTimer"] <= 30
        assert "repeat" not in node.timers
        assert done["VerifySignatures"] == 0


def test_lost_gossip_and_lost_commitment_signatures_are_said_again() -> None:
    pump = Pump(shards=2, rules=Rules(idle_interval_ms=3_600_000))
    alice, bob = pump.chain.accounts[:2]
    lost_kinds = {wire.PeerKind.TRANSACTIONS, wire.PeerKind.COMMITMENT_SIGNATURE, wire.PeerKind.BUNDLE}
    pump.lost = lambda sender, receiver, raw: raw[0] in lost_kinds
    pump.submit(0, [pump.chain.remote(0, alice, 1, bob, 5)])
    pump.run(900)
    assert [len(node.core.mempool) for node in pump.nodes[0]] == [1, 0, 0, 0]
    pump.lost = lambda sender, receiver, raw: raw[0] == wire.PeerKind.COMMITMENT_SIGNATURE
    pump.run(3_000)
    assert [node.core.ledger.height for node in pump.nodes[0]] == [1] * 4, "the transaction was said again"
    assert [node.core.certified for node in pump.nodes[0]] == [None] * 4
    pump.lost = lambda sender, receiver, raw: False
    pump.run(2_000)
    for node in pump.nodes[0]:
        assert node.core.certified is not None, "no new block was needed"
        assert node.core.certified.commitment.height == 1
    pump.lost = lambda sender, receiver, raw: raw[0] == wire.PeerKind.BUNDLE
    pump.carry(0, 1)
    assert [len(node.core.inbox) for node in pump.nodes[1]] == [1, 0, 0, 0]
    pump.lost = lambda sender, receiver, raw: raw[0] == wire.PeerKind.CONSENSUS
    pump.run(2_500)
    assert [len(node.core.inbox) for node in pump.nodes[1]] == [1, 1, 1, 1], "the bundle was said again"


def test_whoever_missed_all_signatures_is_sent_the_certificate() -> None:
    pump = Pump(rules=Rules(idle_interval_ms=3_600_000))
    alice, bob = pump.chain.accounts[:2]
    pump.lost = lambda sender, receiver, raw: receiver == 2 and raw[0] == wire.PeerKind.COMMITMENT_SIGNATURE
    pump.submit(0, [pump.chain.local(0, alice, bob, 5)])
    pump.run(800)
    assert [node.core.certified is not None for node in pump.nodes[0]] == [True, True, False, True]
    pump.run(2_000)
    assert pump.nodes[0][2].core.certified is not None, "its repeated signature showed what it lacks"
    sent = [node.effects["Send"] for node in pump.nodes[0]]
    pump.run(10_000)
    assert [node.effects["Send"] for node in pump.nodes[0]] == sent


def test_without_certificates_no_block_has_items_and_no_block_is_made_for_nothing() -> None:
    pump = Pump()
    alice, bob = pump.chain.accounts[:2]
    pump.lost = lambda sender, receiver, raw: (
        raw[0]
        in {
            wire.PeerKind.COMMITMENT_SIGNATURE,
            wire.PeerKind.CERTIFICATE,
        }
    )
    for nonce in range(2 * ANCHOR_LAG):
        assert pump.submit(0, [pump.chain.local(0, alice, bob, 1, nonce)])[0].status == "accepted"
        pump.run(400)
    heights = [node.core.ledger.height for node in pump.nodes[0]]
    assert set(heights) == {ANCHOR_LAG}
    assert len(pump.nodes[0][0].core.mempool) == ANCHOR_LAG, "they wait"
    pump.run(30_000)
    assert pump.nodes[0][0].core.ledger.height <= ANCHOR_LAG + 4, "an empty one each idle interval"
    pump.lost = lambda sender, receiver, raw: False
    pump.run(12_000)
    assert pump.nodes[0][3].core.ledger.account(alice.key).nonce == 2 * ANCHOR_LAG


def test_a_full_stream_stops_only_its_own_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    pump = Pump(shards=3, accounts=30)
    *many, carol, dora = pump.chain.accounts
    full, blocked = ShardId(1), True
    real = pending.PendingChain.room
    monkeypatch.setattr(
        pending.PendingChain, "room", lambda chain, shard: 0 if shard == full and blocked else real(chain, shard)
    )
    pump.submit(0, [pump.chain.remote(0, each, 1, dora, 5) for each in many])
    pump.run(2_000)
    assert pump.nodes[0][0].core.ledger.height == 0, "nobody proposes what cannot be included"
    pump.submit(0, [pump.chain.remote(0, carol, 2, dora, 5), pump.chain.local(0, dora, carol, 5)])
    pump.run(2_000)
    lanes: list[Lane] = [pump.nodes[0][0].core.ledger.lane(ShardId(shard)) for shard in (1, 2)]
    assert [lane.end for lane in lanes] == [0, 1]
    height = pump.nodes[0][0].core.ledger.height
    assert height <= 2
    blocked = False
    pump.run(2_500)
    assert pump.nodes[0][0].core.ledger.lane(full).end == len(many), "found again although all had been passed over"


def test_transactions_of_several_requests_never_overfill_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    pump = Pump(shards=2)
    alice, bob, carol = pump.chain.accounts[:3]
    monkeypatch.setattr(builder, "STREAM_RESERVE", 1)
    monkeypatch.setattr(pending.PendingChain, "room", lambda chain, shard: 20)
    many = [pump.chain.transaction(0, alice, [pump.chain.send(1, bob, 1)] * 16, nonce) for nonce in range(2)] + [
        pump.chain.local(0, alice, bob, 1, nonce=2),
        pump.chain.remote(0, carol, 1, bob, 1),
    ]
    blocks: list[int] = []
    execute = pump.execute

    def watch(node: Node, block: Block) -> Execution:
        blocks.append(len(block.items))
        return execute(node, block)

    pump.execute = watch
    pump.submit(0, many)
    pump.run(2_000)
    assert blocks[:4] == [2] * 4, "16 of Alice and one of Carol; what follows Alice's second one waits with it"
    assert pump.nodes[0][0].core.ledger.lane(ShardId(1)).end == 33


def test_what_is_submitted_to_different_validators_is_found_by_id_once_it_is_final() -> None:
    pump = Pump()
    raws = [pump.chain.local(0, each, pump.chain.accounts[0], 5) for each in pump.chain.accounts[1:]]
    for index, raw in enumerate(raws):
        pump.submit(0, [raw], to=index)
    pump.run(2_000)
    places = {
        tuple(chain_store.transaction_place(node.store, transaction_id(raw)) for raw in raws) for node in pump.nodes[0]
    }
    assert len(places) == 1
    assert None not in places.pop()
