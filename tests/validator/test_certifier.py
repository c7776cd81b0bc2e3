"""Signatures become certificates, and contradictions become evidence."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from consensus.effects import Blame
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import Hash, Height, ShardId, Signature, ValidatorIndex
from primitives.signatures import ED25519
from shards.commitments import Commitment, CommitmentSignature, check_certificate, signing_bytes
from shards.validator.certifier import WINDOW, Certifier, DoubleSigning, verify_double_signing
from tests.shards.builders import TestChain, certify, validator_seed


class CountingScheme:
    public_key = staticmethod(ED25519.public_key)
    sign = staticmethod(ED25519.sign)

    def __init__(self) -> None:
        self.verified = 0

    def verify_many(self, items: Sequence[tuple[object, bytes, object]]) -> list[bool]:
        self.verified += len(items)
        return ED25519.verify_many(items)  # type: ignore[arg-type]


class Fixture:
    def __init__(self) -> None:
        self.chain = TestChain(1)
        self.committee = self.chain.context.committee(ShardId(0))
        self.scheme = CountingScheme()
        self.blamed: list[Blame] = []
        self.certifier = Certifier(self.committee, self.scheme, Height(0), self.blamed.append)
        self.right = self.chain.run(0).commitment
        self.wrong = replace(self.right, state_root=Hash(b"\x13" * 32))

    def vote(self, signer: int, commitment: Commitment | None = None) -> CommitmentSignature:
        commitment = commitment or self.right
        signature = ED25519.sign(validator_seed(0, signer), signing_bytes(commitment))
        return CommitmentSignature(commitment, ValidatorIndex(signer), signature)

    def forged(self, signer: int, commitment: Commitment | None = None) -> CommitmentSignature:
        return replace(self.vote(signer, commitment), signature=Signature(bytes(64)))


@pytest.fixture
def made() -> Fixture:
    return Fixture()


def test_a_quorum_makes_a_certificate_with_or_without_the_own_result(made: Fixture) -> None:
    assert made.certifier.add(made.vote(1)) is None
    assert made.certifier.add(made.vote(1)) is None, "one slot each"
    assert made.certifier.add(made.vote(2)) is None
    assert made.scheme.verified == 0, "nothing is verified before it can make a quorum"
    certificate = made.certifier.add(made.vote(3))
    assert certificate is not None
    check_certificate(certificate, made.committee, ED25519)
    assert made.scheme.verified == 3
    own = Fixture()
    assert own.certifier.executed(own.right, own.vote(0)) is None
    assert own.certifier.add(own.vote(2)) is None
    assert own.certifier.add(own.vote(1)) is not None
    assert own.scheme.verified == 2, "the own signature is not verified"


def test_a_forged_signature_takes_only_its_senders_place_and_is_verified_once(made: Fixture) -> None:
    made.certifier.add(made.forged(1))
    made.certifier.add(made.vote(2))
    assert made.certifier.add(made.vote(3)) is None
    verified = made.scheme.verified
    for _ in range(5):
        made.certifier.add(made.forged(1))
    assert made.scheme.verified == verified
    assert made.certifier.executed(made.right, made.vote(0)) is not None


def test_signatures_over_different_results_do_not_add_up(made: Fixture) -> None:
    for signer, commitment in ((0, made.right), (1, made.wrong), (2, made.right), (3, made.wrong)):
        assert made.certifier.add(made.vote(signer, commitment)) is None
    assert made.blamed == [], "to disagree is no offence"


def test_two_signed_results_of_one_validator_are_evidence_reported_once(made: Fixture) -> None:
    for vote in (made.vote(1), made.vote(1, made.wrong), made.vote(1), made.vote(1, made.wrong)):
        made.certifier.add(vote)
    (blame,) = made.blamed
    assert (blame.culprit, blame.kind) == (1, "conflicting_commitments")
    assert verify_double_signing(blame.evidence, made.committee, ED25519) == 1
    assert made.scheme.verified == 2


@pytest.mark.parametrize("first_is_forged", [True, False])
def test_nobody_is_blamed_for_what_he_did_not_sign(made: Fixture, first_is_forged: bool) -> None:
    first = made.forged(1) if first_is_forged else made.vote(1)
    second = made.vote(1, made.wrong) if first_is_forged else made.forged(1, made.wrong)
    for vote in (first, second, second, second):
        made.certifier.add(vote)
    assert made.blamed == []
    assert made.scheme.verified == 2, "judged once"


@pytest.mark.parametrize("certificate_first", [True, False])
def test_a_certificates_signature_against_another_one_is_evidence(made: Fixture, certificate_first: bool) -> None:
    certificate = certify(made.right, made.chain.context, signers=[0, 1, 2])
    contradiction = made.vote(1, made.wrong)
    if certificate_first:
        made.certifier.accept(certificate)
        made.certifier.add(contradiction)
    else:
        made.certifier.add(contradiction)
        made.certifier.accept(certificate)
    assert [blame.culprit for blame in made.blamed] == [1]


def test_evidence_with_anything_changed_is_refused(made: Fixture) -> None:
    one, other = sorted((made.vote(1), made.vote(1, made.wrong)), key=encode)
    later = made.chain.run(0).commitment
    good = DoubleSigning(one, other)
    assert verify_double_signing(encode(good), made.committee, ED25519) == 1
    stranger = replace(made.right, validator_set_hash=Hash(bytes(32)))
    for bad in (
        DoubleSigning(other, one),
        DoubleSigning(one, one),
        DoubleSigning(one, replace(other, signature=Signature(bytes(64)))),
        DoubleSigning(*sorted((made.vote(1), made.vote(2, made.wrong)), key=encode)),
        DoubleSigning(*sorted((made.vote(1), made.vote(1, later)), key=encode)),
        DoubleSigning(*sorted((made.vote(1), made.vote(1, stranger)), key=encode)),
    ):
        with pytest.raises(Refused, match=r"bad_evidence|bad_commitment_signature"):
            verify_double_signing(encode(bad), made.committee, ED25519)


def test_only_a_window_of_heights_is_remembered(made: Fixture) -> None:
    for height in range(1, 3 * WINDOW):
        made.certifier.add(made.vote(1, replace(made.right, height=Height(height))))
    assert len(made.certifier._tallies) == WINDOW
    made.certifier.executed(replace(made.right, height=Height(2 * WINDOW + 2)), None)
    assert len(made.certifier._tallies) == 1


def test_who_repeats_itself_is_noticed(made: Fixture) -> None:
    assert not made.certifier.has_heard(made.vote(1))
    made.certifier.add(made.vote(1))
    assert made.certifier.has_heard(made.vote(1))
    made.certifier.accept(certify(made.right, made.chain.context, signers=[1, 2, 3]))
    assert not made.certifier.has_heard(made.vote(2)), "known from the certificate only"


@pytest.mark.parametrize("changes", [{"shard": 1}, {"epoch": 1}, {"height": 0}, {"chain_id": bytes(32)}])
def test_a_signature_over_a_commitment_of_another_committee_is_refused(
    made: Fixture, changes: dict[str, object]
) -> None:
    with pytest.raises(Refused, match="bad_commitment_signature"):
        made.certifier.add(made.vote(1, replace(made.right, **changes)))
