"""What faulty validators try, one at a time against one replica, and what comes of it."""

import pytest

from consensus.effects import BuildBlock, CheckBlock, Send, ServeArchive
from consensus.events import ApplicationAdvanced, BlockChecked, Verdict
from consensus.intake import MAX_FORGERIES_PER_SECOND
from consensus.messages import (
    MAX_GAP_NULLIFICATIONS,
    MAX_MESSAGE_BYTES,
    ArchiveAnswer,
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    Certificate,
    Certificates,
    Finalize,
    Justification,
    Notarize,
    Nullify,
    Proposal,
    Proposed,
    TipRequest,
    ViewsRequest,
    Vote,
    justification_hash,
)
from consensus.quorum import QuorumSignatures
from consensus.tally import MAX_FORGERIES
from primitives.codec import encode
from primitives.identifiers import BlockId, Epoch, Height, Signature, ValidatorIndex, View
from tests.consensus.makers import (
    CHAIN,
    GENESIS_MS,
    CheapScheme,
    make_block,
    make_certificate,
    make_committee,
    make_proposed,
    make_vote,
)
from tests.consensus.solo import Made, Solo


def kinds(solo: Solo) -> list[type]:
    return [type(statement) for statement in solo.said]


def asked(solo: Solo) -> int:
    """Who was sent something by the last event."""
    return next(effect.to for effect in solo.effects if isinstance(effect, Send))


def advance(solo: Solo, views: int) -> Made:
    """Finalize a block in each of the first views; returns the last."""
    made: Made | None = None
    for view in range(1, views + 1):
        made = solo.make(view, made)
        if solo.leader(view) != solo.me:
            made.arrive()
        else:
            solo.hear(1, made.notarization)
            solo.hear(asked(solo), BlockAnswer(made.proposed.block))
        solo.hear(1, made.finalization)
    assert made is not None
    assert solo.replica.tip.block_id == made.block_id
    return made


# Votes and evidence


def test_conflicting_notarize_votes_are_evidence_against_their_signer() -> None:
    solo = Solo()
    one, other = solo.make(1), solo.make(1, item=b"other")
    solo.hear(2, solo.vote(one.notarize, 2))
    assert solo.blames == []
    solo.hear(2, solo.vote(other.notarize, 2))
    assert solo.blames == [(2, "conflicting_notarize")]
    solo.hear(2, solo.vote(other.notarize, 2))
    assert solo.blames == [], "once is enough"


def test_every_kind_of_conflict_is_evidence_and_notarize_with_nullify_is_not() -> None:
    solo = Solo()
    one, other = solo.make(1), solo.make(1, item=b"other")
    for first, second, name in (
        (one.finalize, other.finalize, "conflicting_finalize"),
        (one.nullify, one.finalize, "nullify_finalize"),
        (one.finalize, one.nullify, "nullify_finalize"),
        (other.notarize, one.finalize, "notarize_finalize"),
    ):
        fresh = Solo()
        fresh.hear(3, solo.vote(first, 3))
        fresh.hear(3, solo.vote(second, 3))
        assert fresh.blames == [(3, name)]
    for statement in (one.notarize, one.nullify):
        solo.hear(3, solo.vote(statement, 3))
    assert solo.blames == []


def test_evidence_is_found_in_a_certificate_too() -> None:
    solo = Solo()
    one, other = solo.make(1), solo.make(1, item=b"other")
    solo.hear(2, solo.vote(other.notarize, 2))
    solo.hear(1, solo.certificate(one.notarize, [1, 2, 3]))
    assert solo.blames == [(2, "conflicting_notarize")]


def test_two_conflicting_certificates_blame_everyone_who_signed_both() -> None:
    """More than f faulty: safety is lost, and it is seen."""
    solo = Solo()
    one, other = solo.make(1), solo.make(1, item=b"other")
    solo.hear(1, solo.certificate(one.notarize, [1, 2, 3]))
    solo.hear(1, solo.certificate(other.notarize, [1, 2, 3]))
    assert solo.blames == [(culprit, "conflicting_notarize") for culprit in (1, 2, 3)]


def test_a_conflicting_vote_with_a_bad_signature_blames_nobody() -> None:
    solo = Solo()
    one, other = solo.make(1), solo.make(1, item=b"other")
    solo.hear(2, solo.vote(one.notarize, 2))
    solo.hear(2, Vote(other.notarize, 2, Signature(bytes(64))))  # type: ignore[arg-type]  # a small number
    assert solo.blames == []


def test_a_vote_that_was_never_checked_and_is_bad_gives_way_to_a_good_one() -> None:
    solo = Solo()
    made = solo.make(1)
    made.arrive()
    solo.hear(2, Vote(made.notarize, 2, Signature(bytes(64))))  # type: ignore[arg-type]  # a small number
    solo.hear(1, solo.vote(made.notarize, 1))
    assert solo.replica.view == 1, "the bad signature does not count towards the quorum"
    solo.hear(2, solo.vote(made.notarize, 2))
    assert solo.replica.view == 2


def test_a_vote_under_another_signers_index_is_refused() -> None:
    solo = Solo()
    made = solo.make(1)
    made.arrive()
    for victim in (2, 3):
        solo.hear(1, solo.vote(made.notarize, victim))
        assert "impersonation" in solo.refusals[0]
    assert solo.replica.view == 1


@pytest.mark.parametrize("change", ["epoch", "shard", "chain", "other_kind"])
def test_votes_of_another_epoch_shard_chain_or_kind_count_nothing(change: str) -> None:
    solo = Solo()
    made = solo.make(1)
    made.arrive()
    proposal = made.proposal
    scheme = CheapScheme()
    if change == "epoch":
        committee = make_committee(4, scheme, epoch=1)
        elsewhere = Proposal(Epoch(1), proposal.view, View(0), proposal.block_id, proposal.justification_hash)
        votes = [make_vote(committee, Notarize(elsewhere), signer) for signer in (1, 2, 3)]
    elif change == "other_kind":
        votes = [Vote(made.notarize, v.signer, v.signature) for v in (solo.vote(made.finalize, s) for s in (1, 2, 3))]
    else:
        shard, chain = (2, CHAIN) if change == "shard" else (1, type(CHAIN)(bytes(32)))
        committee = make_committee(4, scheme, shard=shard, chain=chain)
        votes = [make_vote(committee, made.notarize, signer) for signer in (1, 2, 3)]
    for vote in votes:
        solo.hear(vote.signer, vote)
    assert solo.replica.view == 1


def test_votes_of_long_finalized_views_are_answered_with_the_finalization_and_kept_nowhere() -> None:
    solo = Solo()
    old = solo.make(1)
    advance(solo, 80)
    views = solo.replica._context.views
    known = len(views._states)
    solo.now_ms += 1_000
    solo.hear(2, solo.vote(old.nullify, 2))
    (answer,) = solo.sent(Certificates)
    assert isinstance(answer, Certificates)
    assert answer.certificates[0].statement.view == 80
    assert len(views._states) == known


def test_a_flood_of_votes_from_the_far_future_is_not_kept() -> None:
    solo = Solo()
    solo.wait(10)
    answers = 0
    for view in range(1_000_000, 1_002_000):
        solo.hear(3, solo.vote(Nullify(Epoch(0), View(view)), 3))
        answers += len(solo.effects)
    assert len(solo.replica._context.views._states) <= 2
    assert answers <= 2, "one question about the tip"


def test_a_certificate_takes_a_replica_forward_from_any_view() -> None:
    solo = Solo()
    solo.hear(1, solo.nullification(500))
    assert solo.replica.view == 501


# Certificates


def spoiled(solo: Solo) -> list[Certificate]:
    made = solo.make(1)
    good = make_certificate(solo.committee, made.finalize, [1, 2, 3])
    signatures = good.quorum.signatures
    bits = good.quorum.signers
    return [
        make_certificate(solo.committee, made.finalize, [1, 2]),
        Certificate(made.finalize, QuorumSignatures(bits, (signatures[0], signatures[0], signatures[2]))),
        Certificate(made.finalize, QuorumSignatures(bits, signatures[:2])),
        Certificate(made.finalize, QuorumSignatures(b"\x0e\x00", signatures)),
        Certificate(made.finalize, QuorumSignatures(b"\x16", signatures)),
        Certificate(made.finalize, QuorumSignatures(bits, (*signatures[:2], Signature(bytes(64))))),
        Certificate(made.notarize, good.quorum),
        make_certificate(make_committee(4, CheapScheme(), shard=2), made.finalize, [1, 2, 3]),
    ]


@pytest.mark.parametrize("index", range(8))
def test_forged_doubled_and_too_small_certificates_are_refused(index: int) -> None:
    solo = Solo()
    solo.hear(1, spoiled(solo)[index])
    assert solo.refusals
    assert "bad_certificate" in solo.refusals[0]
    assert solo.replica.view == 1


def test_a_certificate_of_another_epoch_is_refused() -> None:
    solo = Solo()
    committee = make_committee(4, CheapScheme(), epoch=1)
    solo.hear(1, make_certificate(committee, Nullify(Epoch(1), View(1)), [1, 2, 3]))
    assert "wrong_epoch" in solo.refusals[0]


def test_a_certificate_that_is_held_is_not_verified_again() -> None:
    solo = Solo()
    certificate = solo.nullification(3)
    solo.hear(1, certificate)
    verified = solo.scheme.verified
    solo.hear(2, certificate)
    assert solo.scheme.verified == verified


# Proposals


def test_a_valid_proposal_is_checked_by_the_application_and_notarized() -> None:
    solo = Solo()
    made = solo.make(1)
    made.arrive()
    assert solo.said == [made.notarize]
    assert [type(effect) for effect in solo.effects].count(CheckBlock) == 1


def test_a_proposal_of_somebody_who_does_not_lead_is_refused() -> None:
    solo = Solo()
    made = solo.make(1)
    impostor = make_proposed(solo.committee, 1, made.block, made.block_id, 0, made.justification, signer=2)
    solo.hear(2, impostor)
    assert "wrong_leader" in solo.refusals[0]
    solo.hear(2, made.proposed)
    assert "impersonation" in solo.refusals[0]
    assert solo.said == []


def test_an_equivocating_leader_is_blamed_and_its_view_given_up() -> None:
    solo = Solo()
    solo.auto_valid = False
    one, other = solo.make(1), solo.make(1, item=b"other")
    one.arrive()
    other.arrive()
    assert solo.blames == [(1, "conflicting_notarize")]
    assert solo.said == [one.nullify]


@pytest.mark.parametrize(("n", "signers"), [(4, [1, 2, 3]), (7, [2, 3, 4, 5, 6])])
def test_the_victim_of_an_equivocation_takes_the_notarized_block_and_goes_on(n: int, signers: list[int]) -> None:
    solo = Solo(n)
    mine, theirs = solo.make(1), solo.make(1, item=b"theirs")
    mine.arrive()
    assert solo.said == [mine.notarize]
    solo.hear(2, solo.certificate(theirs.notarize, signers))
    (request,) = solo.sent(BlockRequest)
    assert request == BlockRequest(theirs.block_id)
    assert solo.replica.view == 1
    solo.hear(1, BlockAnswer(theirs.proposed.block))
    assert solo.replica.view == 2
    assert solo.said == [mine.notarize], "never finalize what contradicts our own notarize"
    after = solo.make(2, theirs)
    after.arrive()
    assert solo.said[-1] == after.notarize


def test_a_notarization_after_our_own_nullify_is_certified_but_not_finalized_by_us() -> None:
    solo = Solo()
    made = solo.make(1)
    solo.wait(60_000)
    assert kinds(solo) == [Nullify]
    made.arrive()
    solo.hear(2, made.notarization)
    assert solo.replica.view == 2
    after = solo.make(2, made)
    after.arrive()
    assert solo.said[1:] == [after.notarize]


def test_a_withheld_block_is_asked_for_at_one_peer_after_another() -> None:
    solo = Solo()
    made = solo.make(1)
    solo.hear(2, made.notarization)
    asked = [effect.to for effect in solo.effects if isinstance(effect, Send)]
    for _ in range(3):
        solo.wait(solo.rules.fetch_retry_ms)
        asked += [effect.to for effect in solo.effects if isinstance(effect, Send)]
    assert asked[:3] == [1, 2, 3], "the leader first, then the others"


def test_a_block_that_was_not_asked_for_is_refused() -> None:
    solo = Solo()
    solo.hear(2, BlockAnswer(solo.make(1).proposed.block))
    assert "unasked" in solo.refusals[0]


def test_another_block_than_the_one_asked_for_is_not_taken() -> None:
    solo = Solo()
    made = solo.make(1)
    solo.hear(2, made.notarization)
    solo.hear(1, BlockAnswer(solo.make(1, item=b"junk").proposed.block))
    assert solo.replica.view == 1
    solo.hear(1, BlockAnswer(made.proposed.block))
    assert solo.replica.view == 2


def test_a_proposal_that_skips_a_view_without_its_nullification_is_refused() -> None:
    solo = Solo()
    solo.hear(1, solo.nullification(2))  # view 3 is entered, view 1 was never given up
    bare = Justification(None, (solo.nullification(2),))
    block = solo.block()
    made = solo.make(3)
    solo.hear(3, make_proposed(solo.committee, 3, block, made.block_id, 0, bare))
    assert "bad_proposal" in solo.refusals[0]
    forged = Justification(None, (solo.certificate(Nullify(Epoch(0), View(1)), [1, 2]), solo.nullification(2)))
    solo.hear(3, make_proposed(solo.committee, 3, block, made.block_id, 0, forged))
    assert "bad_certificate" in solo.refusals[0]
    assert solo.said == []
    made.arrive()
    assert solo.said == [made.notarize]


def test_a_justification_other_than_the_one_the_vote_names_is_refused() -> None:
    solo = Solo()
    made = solo.make(3)
    other = Justification(None, (solo.nullification(1), solo.certificate(Nullify(Epoch(0), View(2)), [0, 1, 3])))
    assert justification_hash(other) != made.proposal.justification_hash
    solo.hear(3, Proposed(made.proposed.vote, other, made.proposed.block))
    assert "bad_proposal" in solo.refusals[0]


def test_a_proposal_below_the_last_finalized_view_is_invalid() -> None:
    solo = Solo()
    first = solo.make(1)
    first.arrive()
    second = solo.make(2, first)
    second.arrive()
    solo.hear(1, second.finalization)
    solo.hear(1, solo.nullification(3))
    assert solo.replica.view == 4
    solo.hear(1, solo.nullification(4))
    fork = solo.make(5, first)  # brings "nullifications" of views 2 to 4; view 2 is final
    fork.arrive()
    assert fork.notarize not in solo.said
    assert solo.said[-1] == fork.nullify


def test_a_proposal_over_more_views_than_it_proves_is_voted_for_once_the_others_are_learnt() -> None:
    solo = Solo()
    view = MAX_GAP_NULLIFICATIONS + 5
    solo.hear(1, solo.nullification(view - 1))
    made = solo.make(view)
    made.arrive()
    assert made.notarize not in solo.said
    assert solo.sent(ViewsRequest) == [ViewsRequest(View(1), View(4))]
    solo.hear(1, Certificates(tuple(solo.nullification(skipped) for skipped in range(1, 5))))
    assert made.notarize in solo.said


def test_proposals_with_a_block_that_does_not_fit_are_given_up_at_once() -> None:
    for wrong in ("height", "parent", "time", "shard"):
        solo = Solo()
        first = solo.make(1)
        first.arrive()
        solo.hear(1, first.notarization)
        if wrong == "time":
            block = solo.block(first, time_ms=first.block.header.time_ms)
        elif wrong == "shard":
            stranger = Solo()
            stranger.committee = make_committee(4, CheapScheme(), shard=2)
            block = stranger.block(first)
        else:
            block = solo.block()  # stands on the genesis
        made = solo.make(2, first, block=block)
        made.arrive()
        assert solo.said[-1] == made.nullify, wrong


def test_a_block_ahead_of_our_clock_waits_until_it_is_not() -> None:
    solo = Solo()
    made = solo.make(1, block=solo.block(time_ms=solo.wall_ms + solo.rules.allowed_drift_ms + 300))
    made.arrive()
    assert solo.said == []
    solo.wait(300)
    assert solo.said == [made.notarize]


def test_a_block_other_than_the_vote_names_is_refused() -> None:
    solo = Solo()
    made = solo.make(1)
    solo.hear(1, Proposed(made.proposed.vote, made.justification, encode(solo.block(item=b"x"))))
    assert "bad_proposal" in solo.refusals[0]
    made.arrive()
    assert solo.said == [made.notarize], "the right block is still welcome"


def test_a_verdict_of_not_yet_is_asked_again_when_the_application_advances() -> None:
    solo = Solo()
    solo.auto_valid = False
    made = solo.make(1)
    made.arrive()
    solo.handle(ApplicationAdvanced())  # before the answer: it was judged on what came before
    solo.handle(BlockChecked(made.block_id, Verdict.NOT_YET))
    assert [type(e) for e in solo.effects].count(CheckBlock) == 1
    solo.handle(BlockChecked(made.block_id, Verdict.NOT_YET))
    assert [type(e) for e in solo.effects].count(CheckBlock) == 0
    solo.handle(ApplicationAdvanced())
    assert [type(e) for e in solo.effects].count(CheckBlock) == 1
    solo.handle(BlockChecked(made.block_id, Verdict.VALID))
    assert solo.said == [made.notarize]


def test_a_leader_proposes_on_the_highest_certified_view_even_if_it_is_nullified_as_well() -> None:
    solo = Solo(me=3)
    first = solo.make(1)
    first.arrive()
    solo.hear(2, first.notarization)
    solo.hear(2, solo.nullification(1))
    solo.hear(2, solo.nullification(2))
    assert solo.replica.view == 3
    solo.handle_work()
    solo.wait(200)
    (build,) = solo.asked_to_build()
    assert build.parent_id == first.block_id
    assert [block.header.height for block in build.ancestors] == [1]


def test_a_leader_that_lacks_a_nullification_asks_for_it_and_proposes_then() -> None:
    solo = Solo(me=3)
    solo.hear(2, solo.nullification(2))
    solo.handle_work()
    solo.wait(200)
    assert solo.asked_to_build() == []
    assert solo.sent(ViewsRequest) == [ViewsRequest(View(1), View(1))]
    solo.hear(0, Certificates((solo.nullification(1),)))
    assert len(solo.asked_to_build()) == 1
    solo.build(3, solo.block())
    (proposed,) = solo.sent(Proposed)
    assert isinstance(proposed, Proposed)
    assert [c.statement.view for c in proposed.justification.nullifications] == [1, 2]


def test_nullifications_are_served_until_something_above_them_is_final() -> None:
    solo = Solo()
    for view in (1, 2, 3):
        solo.hear(1, solo.nullification(view))
    solo.hear(2, ViewsRequest(View(1), View(3)))
    (answer,) = solo.sent(Certificates)
    assert isinstance(answer, Certificates)
    assert [c.statement.view for c in answer.certificates] == [1, 2, 3]


# Requests


def test_requests_beyond_the_limits_are_refused() -> None:
    solo = Solo()
    advance(solo, 1)
    solo.hear(2, ViewsRequest(View(1), View(40)))
    assert "bad_request" in solo.refusals[0]
    for _ in range(100):
        solo.hear(2, BlockRequest(BlockId(bytes(32))))
    assert "too_many_requests" in solo.refusals[0]
    solo.now_ms += 1_000
    solo.hear(2, ArchiveRequest(Height(1)))
    assert any(isinstance(effect, ServeArchive) for effect in solo.effects)


def test_a_straggler_is_answered_with_the_finalization() -> None:
    solo = Solo()
    last = advance(solo, 3)
    solo.now_ms += 1_000
    solo.hear(2, TipRequest(View(1), View(0)))
    (answer,) = solo.sent(Certificates)
    assert isinstance(answer, Certificates)
    assert answer.certificates[0].statement == last.finalize


@pytest.mark.parametrize("spoil", ["gap", "link", "foreign", "foreign_root", "certificate", "tip"])
def test_history_is_believed_only_with_hash_links_to_a_finalization(spoil: str) -> None:
    history = Solo(me=1)
    chain: list[Made] = []
    for view in range(1, 9):
        chain.append(history.make(view, chain[-1] if chain else None))
    solo = Solo()
    solo.hear(1, chain[-1].finalization)
    solo.hear(asked(solo), BlockAnswer(chain[-1].proposed.block))
    blocks = [made.proposed.block for made in chain]
    (request,) = solo.sent(ArchiveRequest)
    assert request == ArchiveRequest(Height(1))
    to = asked(solo)
    good = ArchiveAnswer(tuple(blocks[:5]), tuple(made.block.header for made in chain[5:]), chain[-1].finalization)
    # Certified (by more than f faulty), at the right height, and standing on another chain's block.
    stranger = history.make(9, block=make_block(history.committee, BlockId(bytes(32)), 1, GENESIS_MS + 1))
    bad = {
        "foreign_root": ArchiveAnswer((stranger.proposed.block,), (), stranger.finalization),
        "gap": ArchiveAnswer(tuple(blocks[:3] + blocks[4:5]), good.links, good.finality),
        "link": ArchiveAnswer((*blocks[:4], encode(history.block(chain[3], item=b"x"))), good.links, good.finality),
        "foreign": ArchiveAnswer((encode(history.block(item=b"x")), *blocks[1:5]), good.links, good.finality),
        "certificate": ArchiveAnswer(good.blocks, good.links, history.certificate(chain[-1].finalize, [1, 2])),
        "tip": ArchiveAnswer(tuple(blocks[1:5]), good.links, good.finality),
    }[spoil]
    if spoil == "certificate":
        bad = ArchiveAnswer(tuple(blocks[:5]), (), history.certificate(chain[4].finalize, [1, 2]))
    solo.hear(to, bad)
    assert solo.refusals
    assert solo.finalized == []
    again = [effect.to for effect in solo.effects if isinstance(effect, Send)]
    assert again
    assert again[0] != to, "somebody else is asked at once"
    solo.hear(again[0], good)
    assert solo.replica.tip.height == 5
    assert len(solo.finalized) == 5


def test_oversized_and_unknown_messages_are_refused_unread() -> None:
    solo = Solo()
    for raw in (b"", b"\x93", bytes(MAX_MESSAGE_BYTES + 1), b"\x93\x04" + bytes(5_000), b"\x93\x63\x00\x00"):
        solo.hear(1, raw)
        assert solo.refusals


def test_a_message_of_ourselves_or_of_a_stranger_is_refused() -> None:
    solo = Solo()
    for sender in (0, 4, 31):
        solo.hear(sender, TipRequest(View(1), View(0)))
        assert "unknown_sender" in solo.refusals[0]


def test_f_plus_1_nullify_votes_are_joined_at_once() -> None:
    solo = Solo(n=7)
    for signer in (1, 2):
        solo.hear(signer, solo.vote(Nullify(Epoch(0), View(1)), signer))
    assert solo.said == []
    solo.hear(3, solo.vote(Nullify(Epoch(0), View(1)), 3))
    assert kinds(solo) == [Nullify]


def test_a_vote_costs_no_verification_until_a_quorum_needs_it() -> None:
    solo = Solo(n=10)
    made = solo.make(1)
    made.arrive()
    before = solo.scheme.verified
    for signer in range(2, 6):
        solo.hear(signer, solo.vote(made.notarize, signer))
    assert solo.scheme.verified == before
    solo.hear(6, solo.vote(made.notarize, 6))
    assert solo.replica.view == 2
    assert solo.scheme.verified == before + 5, "own vote and the leader's are known to be good"
    for signer in (7, 8, 9):
        solo.hear(signer, solo.vote(made.notarize, signer))
    assert solo.scheme.verified == before + 5


def test_no_block_is_built_twice_for_one_view() -> None:
    solo = Solo(me=1)
    solo.handle_work()
    solo.wait(100)
    solo.wait(100)
    solo.handle_work()
    builds = [effect for effect in solo.effects if isinstance(effect, BuildBlock)]
    assert builds == []
    solo.build(1, None)
    solo.wait(50)
    assert solo.asked_to_build() == []
    solo.wait(50)
    assert len(solo.asked_to_build()) == 1, "asked again a block interval after it could not"


def test_finalize_is_not_said_in_a_view_that_was_nullified() -> None:
    solo = Solo()
    made = solo.make(1)
    made.arrive()
    solo.wait(60_000)
    solo.hear(1, made.notarization)
    assert kinds(solo) == [Notarize, Nullify]
    assert Finalize not in kinds(solo)


def test_blocks_that_a_leader_makes_up_are_forgotten_with_their_views() -> None:
    solo = Solo()
    good = None
    for view in range(1, 80, 4):
        # Its parent is nowhere and its height never comes, so no finalization ever passes it.
        junk = make_block(solo.committee, BlockId(bytes([view]) * 32), 2**60, GENESIS_MS + 1, ())
        solo.make(view, good, block=junk).arrive()
        solo.hear(solo.others()[0], solo.nullification(view))
        good = solo.make(view + 1, good)
        good.arrive()
        solo.hear(solo.others()[0], good.finalization)
        assert solo.finalized == [good.block_id]
        assert solo.replica.held_blocks <= 1


def test_a_flood_of_forged_certificates_is_verified_only_so_often() -> None:
    solo = Solo()
    before = solo.scheme.verified
    for view in range(1, 100):
        forged = solo.certificate(Nullify(Epoch(0), View(view)))
        rotten = QuorumSignatures(forged.quorum.signers, tuple(Signature(bytes(64)) for _ in forged.quorum.signatures))
        solo.hear(3, Certificate(forged.statement, rotten))
    assert solo.scheme.verified - before == MAX_FORGERIES_PER_SECOND * solo.committee.quorum
    assert "too_many_forgeries" in solo.refusals[0]
    made = solo.make(1)
    made.arrive()
    assert solo.said == [made.notarize], "whoever else speaks is heard"
    solo.wait(1000)
    solo.hear(3, solo.nullification(1))
    assert solo.replica.view == 2, "and so is the liar, a second later"


def test_votes_that_their_sender_did_not_sign_are_verified_only_so_often() -> None:
    solo = Solo()
    one, other = solo.make(1), solo.make(1, item=b"other")
    solo.hear(2, solo.vote(one.notarize, 2))
    before = solo.scheme.verified
    for number in range(100):
        solo.hear(2, Vote(other.notarize, ValidatorIndex(2), Signature(bytes([number]) * 64)))
    assert solo.scheme.verified - before == MAX_FORGERIES
    assert solo.blames == []
