"""What a validator remembers, and what it may do without its memory."""

import random

import pytest

from consensus.archive import answer, finality, finalized_block, finalized_height, height_of
from consensus.block import block_id_of, decode_block
from consensus.effects import Persist, Send
from consensus.journal import recover
from consensus.messages import (
    ArchiveAnswer,
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    Finalize,
    Notarize,
    Nullify,
    Proposed,
    TipRequest,
    Vote,
    decode_certificate,
    decode_message,
)
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import BlockId, Height, View
from tests.consensus.harness import Cluster, Link, Store
from tests.consensus.makers import GENESIS_MS
from tests.consensus.solo import Solo, messages_in


@pytest.mark.parametrize("seed", range(10))
def test_random_unclean_restarts_of_all_lose_nothing(seed: int) -> None:
    draw = random.Random(seed)
    cluster = Cluster(4, seed=seed, link=Link(10, 30, 5, 5))
    cluster.start()
    for _ in range(20):
        cluster.run(draw.randrange(100, 1_200))
        for node in draw.sample(cluster.nodes, draw.randrange(1, 5)):
            node.crash_at = node.effects_done + draw.randrange(1, 40)
    cluster.run(3_000)
    assert cluster.grows(3, 24_000)


@pytest.mark.parametrize("point", range(60))
def test_a_crash_at_any_effect_loses_only_what_was_not_durable(point: int) -> None:
    cluster = Cluster(4, seed=point)
    cluster.nodes[1].crash_at = point  # leads view 1
    cluster.start()
    assert cluster.grows(6, 20_000)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_all_validators_die_at_once_and_come_back(n: int) -> None:
    cluster = Cluster(n)
    cluster.start()
    cluster.run(1_000)
    before = cluster.heights()
    for index in range(n):
        cluster.crash(index)
    cluster.run(1_000)
    cluster.start()
    assert cluster.heights() >= before
    assert cluster.grows(3, 10_000)


def test_all_crash_after_nullifying_and_their_votes_still_count() -> None:
    """At exactly a quorum, one forgotten nullify vote would halt the chain for ever."""
    cluster = Cluster(4)
    cluster.crash(1)  # the leader of view 1 is dead
    for index in (0, 2, 3):
        cluster.restart(index)
    cluster.outgoing = dict.fromkeys(range(4), lambda _s, _t, _raw: None)  # nobody hears the votes
    cluster.run(900)
    stores = [cluster.nodes[index].store for index in (0, 2, 3)]
    assert all(isinstance(recover(store).votes[0].statement, Nullify) for store in stores)
    for index in (0, 2, 3):
        cluster.crash(index)
    cluster.outgoing = {}
    for index in (0, 2, 3):
        cluster.restart(index)
    assert cluster.reaches(2, 10_000)


def test_a_journaled_vote_is_said_again_and_never_signed_anew() -> None:
    solo = Solo()
    first = solo.make(1)
    first.arrive()
    assert solo.said == [first.notarize]
    again = Solo(store=solo.store)
    assert again.said == [first.notarize], "said at once after the start"
    other = again.make(1, item=b"another")
    other.arrive()
    again.wait(30_000)
    assert first.notarize in again.said
    assert other.notarize not in again.said
    assert Nullify(again.committee.epoch, View(1)) in again.said


def test_no_notarize_after_a_restart_in_a_view_that_was_nullified() -> None:
    solo = Solo()
    solo.wait(30_000)
    assert [type(s) for s in solo.said] == [Nullify]
    again = Solo(store=solo.store)
    again.make(1).arrive()
    assert Notarize not in [type(s) for s in again.said]


def test_own_votes_count_after_a_restart() -> None:
    solo = Solo()
    made = solo.make(1)
    made.arrive()
    again = Solo(store=solo.store)
    for signer in (1, 2):
        again.hear(signer, again.vote(made.notarize, signer))
    assert again.replica.view == 2, "two votes and our own journaled one are a quorum of four"


def test_a_leader_that_restarts_sends_the_same_proposal_again() -> None:
    solo = Solo(me=1)
    solo.handle_work()
    solo.wait(100)
    assert len(solo.asked_to_build()) == 1
    solo.build(1, solo.block())
    (sent,) = solo.sent(Proposed)
    again = Solo(me=1, store=solo.store)
    assert sent in again.sent(Proposed)
    assert {effect.to for effect in again.effects if isinstance(effect, Send)} == {0, 2, 3}


def test_everything_a_call_says_comes_after_the_one_commit() -> None:
    solo = Solo()
    made = solo.make(1)
    solo.auto_valid = False
    made.arrive()
    effects = solo.effects
    from consensus.events import BlockChecked, Verdict

    effects = solo.replica.handle(BlockChecked(made.block_id, Verdict.VALID), _instant(solo))
    assert isinstance(effects[0], Persist)
    assert not any(isinstance(effect, Persist) for effect in effects[1:])
    tables = {write.table for write in effects[0].writes}
    assert tables == {"consensus.votes", "consensus.pending"}, "vote and block are one commit"
    assert Vote in [type(message) for message in messages_in(effects)]


def _instant(solo: Solo):  # type: ignore[no-untyped-def]  # a NamedTuple, inferred
    from primitives.instant import Instant

    return Instant(solo.now_ms, solo.wall_ms + solo.now_ms)  # type: ignore[arg-type]  # a plain sum


def test_a_wiped_journal_signs_nothing_and_the_others_go_on() -> None:
    cluster = Cluster(4)
    cluster.start()
    cluster.run(1_000)
    cluster.wipe(3)
    cluster.restart(3)
    votes = []

    def listen(source: int, _to: int, raw: bytes) -> bytes:
        message = decode_message(raw)
        if source == 3 and isinstance(message, Vote | Proposed):
            votes.append((cluster.now_ms, message))
        return raw

    cluster.outgoing = {3: listen}
    start = cluster.now_ms
    cluster.run(3_900)
    assert votes == [], "younger than its start by less than twice the allowed drift of two seconds"
    assert cluster.height(3) >= max(cluster.heights()) - 1, "it follows meanwhile"
    assert cluster.run(10_000, lambda: bool(votes))
    assert votes[0][0] - start > 4_000
    assert cluster.notes("signing_again")


def test_a_wiped_journal_signs_in_later_views_only_and_remembers_that() -> None:
    solo = Solo(store=Store(()))
    solo.wait(60_000)
    assert solo.said == []
    late = solo.wall_ms + 2 * solo.rules.allowed_drift_ms + 1
    first = solo.make(1, block=solo.block(time_ms=late))
    solo.wall_ms = late
    first.arrive()
    solo.hear(1, first.notarization)
    assert solo.replica.view == 2
    assert solo.said == [], "not the finalize vote of the certificate's own view"
    again = Solo(store=solo.store)
    again.wall_ms = late
    second = again.make(2, first)
    second.arrive()
    assert second.notarize in again.said, "the right to sign survives a restart"


@pytest.mark.parametrize("excess_ms", [0, -1])
def test_a_block_that_is_too_young_does_not_let_a_wiped_validator_sign(excess_ms: int) -> None:
    solo = Solo(store=Store(()))
    made = solo.make(1, block=solo.block(time_ms=solo.wall_ms + 2 * solo.rules.allowed_drift_ms + excess_ms))
    solo.wall_ms += 10_000
    made.arrive()
    solo.hear(1, made.notarization)
    solo.make(2, made).arrive()
    assert solo.said == []


def test_a_certificate_with_its_own_signature_does_not_let_a_wiped_validator_sign() -> None:
    solo = Solo(store=Store(()))
    made = solo.make(1, block=solo.block(time_ms=solo.wall_ms + 100_000))
    solo.wall_ms += 100_000
    made.arrive()
    solo.hear(1, solo.certificate(made.notarize, [0, 1, 2]))
    solo.make(2, made).arrive()
    assert solo.said == []


def test_the_journal_forgets_what_is_long_final() -> None:
    cluster = Cluster(4)
    cluster.start()
    assert cluster.reaches(200, 60_000)
    cluster.run(50)
    store = cluster.nodes[0].store
    keep = cluster.rules.retention_views + 3
    assert len(store.tables["consensus.votes"]) <= 2 * keep
    assert len(store.tables["consensus.certificates"]) <= 2 * keep
    assert len(store.tables["consensus.justifications"]) <= keep
    assert len(store.tables["consensus.pending"]) <= 2
    assert len(store.tables["consensus.blocks"]) == cluster.height(0)


def test_blocks_that_are_final_in_the_store_are_not_announced_again() -> None:
    solo = Solo()
    first = solo.make(1)
    first.arrive()
    solo.hear(1, first.finalization)
    assert solo.finalized == [first.block_id]
    again = Solo(store=solo.store)
    assert again.finalized == []
    assert again.replica.tip.block_id == first.block_id
    second = again.make(2, first)
    second.arrive()
    again.hear(2, second.finalization)
    assert again.finalized == [second.block_id]


def test_the_archive_answers_from_the_store() -> None:
    cluster = Cluster(4)
    cluster.start()
    assert cluster.reaches(5, 10_000)
    store = cluster.nodes[0].store
    assert finalized_height(store) == cluster.height(0)
    raw = finalized_block(store, Height(3))
    assert raw is not None
    block_id = block_id_of(decode_block(raw).header)
    assert height_of(store, block_id) == 3
    certificate = finality(store, Height(3))
    assert certificate is not None
    statement = decode_certificate(certificate).statement
    assert isinstance(statement, Finalize)
    assert statement.proposal.block_id == block_id
    assert answer(store, encode(BlockRequest(block_id))) == encode(BlockAnswer(raw))
    assert answer(store, encode(BlockRequest(BlockId(bytes(32))))) is None
    chunk = answer(store, encode(ArchiveRequest(Height(2))))
    assert chunk is not None
    message = decode_message(chunk)
    assert isinstance(message, ArchiveAnswer)
    assert message.blocks[1] == raw
    assert message.links == ()
    assert answer(store, encode(ArchiveRequest(Height(10_000)))) is None
    with pytest.raises(Refused):
        answer(store, encode(TipRequest(View(1), View(0))))


def test_an_empty_store_has_the_genesis_as_its_tip() -> None:
    store = Store(())
    assert finalized_height(store) == 0
    assert finality(store, Height(0)) is None
    assert recover(store).tip is None
    assert recover(store).signing_from is None
    assert recover(Store()).signing_from == 1
    solo = Solo(store=Store())
    assert solo.replica.tip.time_ms == GENESIS_MS
