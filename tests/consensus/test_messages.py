"""The wire format, and evidence: one form for everything, and nothing accepted that was changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.evidence import Evidence, conflict, make_evidence, verify_evidence
from consensus.messages import (
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    Certificates,
    Message,
    Notarize,
    TipRequest,
    ViewsRequest,
    Vote,
    decode_message,
    signed_bytes,
)
from consensus.pacing import Pacer, Rules
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import BlockId, Height, View
from tests.consensus.makers import CheapScheme, make_committee
from tests.consensus.solo import Solo

SOLO = Solo()
FIRST = SOLO.make(1)
THIRD = SOLO.make(3)
MESSAGES: list[Message] = [
    SOLO.vote(FIRST.notarize, 1),
    SOLO.vote(FIRST.nullify, 2),
    SOLO.vote(FIRST.finalize, 3),
    FIRST.notarization,
    SOLO.nullification(1),
    THIRD.proposed,
    BlockRequest(BlockId(bytes(32))),
    BlockAnswer(FIRST.proposed.block),
    ViewsRequest(View(1), View(2)),
    TipRequest(View(7), View(6)),
    Certificates((FIRST.finalization, SOLO.nullification(2))),
    ArchiveRequest(Height(1)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_wire(message: Message) -> None:
    assert decode_message(encode(message)) == message


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_any_byte_changed_is_refused_or_changes_no_vote(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    solo = Solo()
    for sender in (1, 2, 3):
        solo.hear(sender, bytes(raw))
    assert solo.finalized == []
    # Whatever was signed by us is for a proposal that its leader signed, in the one view that is open.
    assert all(statement in (FIRST.notarize, THIRD.notarize, FIRST.nullify) for statement in solo.said)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_harm_a_replica(raw: bytes) -> None:
    solo = Solo()
    solo.hear(1, raw)
    assert solo.refusals
    assert solo.replica.view == 1


@pytest.mark.parametrize("message", MESSAGES[:3], ids=["notarize", "nullify", "finalize"])
def test_what_is_signed_names_the_kind_chain_shard_epoch_and_view(message: Message) -> None:
    assert isinstance(message, Vote)
    scheme = CheapScheme()
    here = signed_bytes(message.statement, SOLO.committee)
    assert here != signed_bytes(message.statement, make_committee(4, scheme, shard=2))
    assert here != signed_bytes(
        message.statement, make_committee(4, scheme, chain=type(SOLO.committee.chain_id)(bytes(32)))
    )
    others = [signed_bytes(s, SOLO.committee) for s in (FIRST.notarize, FIRST.nullify, FIRST.finalize, THIRD.nullify)]
    assert others.count(here) == 1


@pytest.mark.parametrize("size", [1, 7, 8, 9, 32])
def test_the_largest_certificate_fits_its_limit(size: int) -> None:
    solo = Solo(size) if size > 1 else Solo(1)
    proposal = solo.make(1).proposal
    certificate = solo.certificate(Notarize(proposal), range(size))
    assert decode_message(encode(certificate)) == certificate


# Evidence

OTHER = SOLO.make(1, item=b"other")
CONFLICTS = [
    (FIRST.notarize, OTHER.notarize, "conflicting_notarize"),
    (FIRST.finalize, OTHER.finalize, "conflicting_finalize"),
    (FIRST.nullify, FIRST.finalize, "nullify_finalize"),
    (FIRST.notarize, OTHER.finalize, "notarize_finalize"),
]


@pytest.mark.parametrize(("one", "other", "name"), CONFLICTS, ids=[name for _, _, name in CONFLICTS])
def test_evidence_is_checked_by_anyone_who_knows_the_committee(one: object, other: object, name: str) -> None:
    first, second = SOLO.vote(one, 2), SOLO.vote(other, 2)  # type: ignore[arg-type]  # statements all
    assert conflict(first.statement, second.statement) == conflict(second.statement, first.statement) == name
    evidence = make_evidence(first, second)
    assert evidence == make_evidence(second, first)
    assert verify_evidence(encode(evidence), SOLO.committee, SOLO.scheme) == 2
    for wrong in (
        Evidence(evidence.second, evidence.first),
        make_evidence(first, SOLO.vote(other, 3)),  # type: ignore[arg-type]  # statements all
        make_evidence(first, Vote(second.statement, second.signer, first.signature)),
    ):
        with pytest.raises(Refused, match="bad_evidence"):
            verify_evidence(encode(wrong), SOLO.committee, SOLO.scheme)
    with pytest.raises(Refused, match="bad_evidence"):
        verify_evidence(encode(evidence), make_committee(4, CheapScheme(), shard=2), SOLO.scheme)
    with pytest.raises(Refused, match="bad_evidence"):
        verify_evidence(encode(evidence), make_committee(4, CheapScheme(), epoch=1), SOLO.scheme)


def test_what_an_honest_validator_may_sign_is_no_evidence() -> None:
    for one, other in (
        (FIRST.notarize, FIRST.nullify),
        (FIRST.notarize, FIRST.finalize),
        (FIRST.notarize, FIRST.notarize),
        (FIRST.notarize, THIRD.notarize),
        (FIRST.finalize, THIRD.nullify),
    ):
        assert conflict(one, other) is None
        with pytest.raises(Refused, match="bad_evidence"):
            verify_evidence(encode(make_evidence(SOLO.vote(one, 1), SOLO.vote(other, 1))), SOLO.committee, SOLO.scheme)


# Pacing


def test_timeouts_grow_to_the_cap_and_shrink_one_step_a_finalization() -> None:
    pacer = Pacer(Rules(), 0)
    lengths = []
    for behind in range(6):
        pacer.enter_view(0, behind)
        lengths.append(pacer.timeout_ms())
    assert lengths == [1_000, 1_500, 2_250, 3_375, 4_000, 4_000]
    shrinking = []
    for _ in range(6):
        pacer.note_finalization(0)
        shrinking.append(pacer.timeout_ms())
    assert shrinking == [4_000, 3_375, 2_250, 1_500, 1_000, 1_000]


def test_a_leader_is_expected_when_there_is_a_reason() -> None:
    pacer = Pacer(Rules(), 0)
    pacer.start(1_000)
    assert pacer.expected_ms(awaits_finality=False) == 11_000
    assert pacer.expected_ms(awaits_finality=True) == 2_500
    pacer.change_work(1_020, has_work=True)
    assert pacer.expected_ms(awaits_finality=False) == 1_100, "not before the interval after the last block"
    pacer.change_work(3_000, has_work=False)
    pacer.change_work(4_000, has_work=True)
    assert pacer.expected_ms(awaits_finality=False) == 4_000


@pytest.mark.parametrize(
    "change", [{"base_timeout_ms": 0}, {"max_timeout_ms": 1}, {"growth_percent": 99}, {"retention_views": 0}]
)
def test_rules_that_cannot_work_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(Refused, match="bad_rules"):
        Rules(**change)
