"""A bundle proves itself: whatever is changed in a valid one is refused, whoever changes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from primitives import mmr
from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.errors import NotYet, Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import ChainId, Hash, PublicKey, ShardId, Signature
from primitives.identifiers import Sequence as SequenceNumber
from primitives.signatures import ED25519
from shards import bundles
from shards.bundles import Bundle, assemble_bundle, bundle_gas, decode_bundle, verify_bundle
from shards.commitments import CommitmentCertificate
from shards.gas import MESSAGE_GAS, PROOF_SIGNATURE_GAS, REPLY_GAS
from shards.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_MESSAGES, MAX_MESSAGE_BYTES
from shards.streams import StreamHead
from tests.shards.builders import TestChain, certify
from tests.shards.captured import CapturedShard, call_body, reply_body
from tests.shards.mutation import mutations

SOURCE, HERE = ShardId(0), ShardId(1)


@dataclass
class CountingScheme:
    """Ed25519 that counts verifications."""

    verified: int = 0

    def public_key(self, seed: object) -> PublicKey:
        raise AssertionError("nothing is signed here")

    def sign(self, seed: object, message: bytes) -> Signature:
        raise AssertionError("nothing is signed here")

    def verify_many(self, items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
        self.verified += len(items)
        return ED25519.verify_many(items)


def sent(messages: int, shards: int = 3) -> TestChain:
    """A chain whose shard 0 has sent `messages` to shard 1 in one block, and some to shard 2."""
    chain = TestChain(shards=shards)
    alice, bob = chain.accounts[:2]
    raws = [chain.remote(0, alice, 1, bob, 1 + n, n) for n in range(messages)]
    chain.run(0, [*raws, chain.remote(0, alice, 2, bob, 5, messages)])
    return chain


CHAIN = sent(11)


def verify(bundle: Bundle, chain: TestChain = CHAIN, destination: int = HERE) -> None:
    """What a validator does with bytes that arrive."""
    verify_bundle(decode_bundle(encode(bundle)), chain.context, ShardId(destination), ED25519)


def code_of(bundle: Bundle, chain: TestChain = CHAIN, destination: int = HERE) -> str:
    with pytest.raises(Refused) as caught:
        verify(bundle, chain, destination)
    return caught.value.code


SHAPES = [(0, 11), (0, 0), (0, 4), (3, 5), (3, 8), (10, 1), (11, 0), (4, 0)]


@pytest.mark.parametrize(("first", "count"), SHAPES)
def test_any_slice_of_a_stream_verifies_without_a_state(first: int, count: int) -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, first, count)
    assert len(bundle.bodies) == count
    verify(bundle)


@pytest.mark.parametrize(("first", "count"), SHAPES)
def test_a_bundle_with_any_field_changed_is_refused(first: int, count: int) -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, first, count)
    tried = 0
    for where, changed in mutations(bundle):
        tried += 1
        try:
            verify_bundle(decode_bundle(encode(changed)), CHAIN.context, HERE, ED25519)
        except Refused:
            continue
        pytest.fail(f"accepted: {where}")
    assert tried > 150


def test_a_bundle_with_any_byte_changed_is_refused() -> None:
    raw = encode(CHAIN.bundle(SOURCE, HERE, 3, 2))
    for place in range(len(raw)):
        for flip in (0x01, 0x80):
            changed = raw[:place] + bytes((raw[place] ^ flip,)) + raw[place + 1 :]
            with pytest.raises(Refused):
                verify_bundle(decode_bundle(changed), CHAIN.context, HERE, ED25519)


def test_a_bundle_cut_short_or_with_something_behind_is_refused() -> None:
    raw = encode(CHAIN.bundle(SOURCE, HERE, 3, 2))
    for length in range(len(raw)):
        with pytest.raises(Refused):
            decode_bundle(raw[:length])
    with pytest.raises(Refused):
        decode_bundle(raw + b"\0")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_junk_is_refused_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(Refused):
        decode_bundle(raw)


def test_too_many_bytes_are_refused_before_anything_is_parsed() -> None:
    with pytest.raises(Refused) as caught:
        decode_bundle(b"\xff" * (MAX_BUNDLE_BYTES + 1))
    assert caught.value.code == "too_large"


def test_a_bundle_of_another_chain_is_refused() -> None:
    other = TestChain(shards=3, name="other")
    alice, bob = other.accounts[:2]
    other.run(0, [other.remote(0, alice, 1, bob, 1)])
    assert code_of(other.bundle(SOURCE, HERE, 0)) == "wrong_chain"


def test_a_bundle_for_another_destination_is_refused() -> None:
    assert code_of(CHAIN.bundle(SOURCE, 2, 0)) == "wrong_destination"
    assert code_of(CHAIN.bundle(SOURCE, HERE, 0), destination=2) == "wrong_destination"


def test_the_head_of_one_destination_is_not_accepted_at_the_place_of_another() -> None:
    bundle = CHAIN.bundle(SOURCE, 2, 0)
    assert code_of(replace(bundle, head=replace(bundle.head, destination=HERE))) == "not_in_outbox"


def test_a_stream_of_a_shard_to_itself_or_of_a_shard_that_is_not_there_is_refused() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    assert code_of(replace(bundle, head=replace(bundle.head, source=HERE))) == "same_shard"
    assert code_of(replace(bundle, head=replace(bundle.head, source=ShardId(9)))) == "unknown_shard"


def test_the_certificate_of_another_shard_is_refused() -> None:
    chain = sent(1)
    alice, bob = chain.accounts[:2]
    chain.run(2, [chain.remote(2, alice, 1, bob, 1)])
    bundle, other = chain.bundle(SOURCE, HERE, 0), chain.bundle(2, HERE, 0)
    assert code_of(replace(bundle, certificate=other.certificate), chain) == "wrong_shard"
    relabelled = replace(other.certificate.commitment, shard=SOURCE)
    forged = replace(bundle, certificate=replace(other.certificate, commitment=relabelled))
    assert code_of(forged, chain) == "wrong_validator_set"


def test_a_captured_shard_cannot_speak_for_another_even_to_a_caller_that_knows_its_certificate() -> None:
    captured = CapturedShard(CHAIN, 2)
    captured.shard = SOURCE
    forged = captured.bundle(HERE, [call_body(b"\x05" * 32, 10**6)], value_sent=2 * 10**6)
    assert forged.certificate.commitment.shard == 2
    assert code_of(forged) == "wrong_shard"
    with pytest.raises(Refused) as caught:
        verify_bundle(forged, CHAIN.context, HERE, ED25519, lambda certificate: None)
    assert caught.value.code == "wrong_shard"


def test_a_commitment_of_another_epoch_or_validator_set_is_refused() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    for field, value, code in (
        ("epoch", 1, "wrong_epoch"),
        ("validator_set_hash", bytes(32), "wrong_validator_set"),
        ("chain_id", bytes(32), "wrong_chain"),
    ):
        commitment = replace(bundle.certificate.commitment, **{field: value})
        assert code_of(replace(bundle, certificate=certify(commitment, CHAIN.context))) == code


def test_less_than_a_quorum_is_refused_and_any_quorum_is_accepted() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    commitment = bundle.certificate.commitment
    for signers in ([0, 1, 3], [1, 2, 3]):
        verify(replace(bundle, certificate=certify(commitment, CHAIN.context, signers)))
    assert code_of(replace(bundle, certificate=certify(commitment, CHAIN.context, [2, 3]))) == "bad_certificate"


def test_signatures_of_another_shards_validators_are_refused() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    commitment = bundle.certificate.commitment
    foreign = certify(replace(commitment, shard=ShardId(2)), CHAIN.context)
    assert code_of(replace(bundle, certificate=replace(foreign, commitment=commitment))) == "bad_certificate"


def test_a_forged_head_is_refused_even_if_it_fits_the_messages() -> None:
    captured = CapturedShard(CHAIN, SOURCE)
    forged = captured.bundle(HERE, [call_body(b"\x05" * 32, 10**6)], value_sent=2 * 10**6)
    verify(forged)
    honest = CHAIN.bundle(SOURCE, HERE, 0)
    assert code_of(replace(forged, certificate=honest.certificate)) == "not_in_outbox"
    assert code_of(replace(forged, certificate=honest.certificate, path=honest.path)) == "not_in_outbox"


def test_peaks_or_subtrees_of_another_place_in_the_stream_are_refused() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 3, 5)
    assert code_of(replace(bundle, peaks=CHAIN.bundle(SOURCE, HERE, 5, 0).peaks)) == "not_in_stream"
    assert code_of(replace(bundle, peaks=())) == "bad_peaks"
    assert code_of(replace(bundle, right=bundle.right[:-1])) == "bad_proof"
    assert code_of(replace(bundle, first=SequenceNumber(9))) == "bad_range"
    assert code_of(replace(bundle, first=SequenceNumber(5))) == "bad_proof"


def test_messages_out_of_order_or_left_out_are_refused() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    bodies = bundle.bodies
    assert code_of(replace(bundle, bodies=(bodies[1], bodies[0], *bodies[2:]))) == "not_in_stream"
    assert code_of(replace(bundle, bodies=bodies[:-1])) == "bad_proof"


def test_a_head_whose_counters_contradict_each_other_is_refused() -> None:
    captured = CapturedShard(CHAIN, SOURCE)
    assert code_of(captured.bundle(HERE, [call_body(b"\x05" * 32, 1)], begin=2)) == "bad_range"


def test_everything_cheap_is_checked_before_a_signature_is() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 3, 5)
    for changed in (
        replace(bundle, head=replace(bundle.head, destination=ShardId(2))),
        replace(bundle, first=SequenceNumber(10)),
        replace(bundle, peaks=()),
        CHAIN.bundle(SOURCE, 2, 0),
    ):
        scheme = CountingScheme()
        with pytest.raises(Refused):
            verify_bundle(changed, CHAIN.context, HERE, scheme)
        assert scheme.verified == 0
    scheme = CountingScheme()
    verify_bundle(bundle, CHAIN.context, HERE, scheme)
    assert scheme.verified == 3


def test_a_caller_may_remember_certificates_but_not_what_they_prove() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    scheme = CountingScheme()
    asked: list[CommitmentCertificate] = []
    verify_bundle(bundle, CHAIN.context, HERE, scheme, asked.append)
    assert (asked, scheme.verified) == ([bundle.certificate], 0)
    with pytest.raises(Refused):
        verify_bundle(replace(bundle, bodies=()), CHAIN.context, HERE, scheme, asked.append)

    def stranger(certificate: object) -> None:
        raise Refused("bad_certificate", "not one that was checked")

    with pytest.raises(Refused):
        verify_bundle(bundle, CHAIN.context, HERE, scheme, stranger)


def test_the_proof_stays_about_one_kilobyte_whatever_the_number_of_messages() -> None:
    chain = sent(300)
    for first, count in ((0, 300), (100, 100), (0, 1)):
        bundle = chain.bundle(SOURCE, HERE, first, count)
        verify(bundle, chain)
        proof = len(encode(bundle)) - sum(len(body) + 3 for body in bundle.bodies)
        assert proof < 1_400


def test_gas_is_what_was_attached_and_never_less_than_consuming_costs() -> None:
    bodies = {
        call_body(b"\x05" * 32, 1, gas=1_000): 1_000,
        call_body(b"\x05" * 32, 1, gas=0): MESSAGE_GAS,
        reply_body(b"\x05" * 32, 1, reply_gas=5_000): 5_000,
        reply_body(b"\x05" * 32, 1, reply_gas=0): REPLY_GAS,
        b"junk": MESSAGE_GAS,
    }
    captured = CapturedShard(CHAIN, SOURCE)
    proof = bundle_gas(captured.bundle(HERE, []))
    assert proof == 3 * PROOF_SIGNATURE_GAS, "an empty one is not for nothing: its signatures are verified"
    for body, gas in bodies.items():
        assert bundle_gas(captured.bundle(HERE, [body])) == proof + gas
    assert bundle_gas(captured.bundle(HERE, list(bodies))) == proof + sum(bodies.values())


def assembled(bodies: list[bytes]) -> Bundle:
    bundle = CapturedShard(CHAIN, SOURCE).bundle(HERE, bodies)
    verify(bundle)
    return bundle


def test_a_bundle_takes_as_many_messages_as_the_limits_allow() -> None:
    small = [b"m%d" % n for n in range(MAX_BUNDLE_MESSAGES + 3)]
    assert len(assembled(small).bodies) == MAX_BUNDLE_MESSAGES
    large = [bytes(MAX_MESSAGE_BYTES)] * 9
    bundle = assembled(large)
    assert len(bundle.bodies) == 7
    assert len(encode(bundle)) <= MAX_BUNDLE_BYTES


def test_the_largest_proof_leaves_room_for_the_messages_that_a_bundle_takes() -> None:
    # The longest certificate, every peak and every subtree that there can be, and the deepest outbox path.
    bundle = CHAIN.bundle(SOURCE, HERE, 0, 0)
    quorum = replace(bundle.certificate.quorum, signers=bytes(4), signatures=(bytes(64),) * 32)
    largest = replace(
        bundle,
        certificate=replace(bundle.certificate, quorum=quorum),
        path=(bytes(32),) * bundles.MAX_PATH_HASHES,
        peaks=(bytes(32),) * 63,
        right=(bytes(32),) * bundles.MAX_RIGHT_HASHES,
    )
    assert len(encode(largest)) < bundles.MAX_PROOF_BYTES


def test_a_bundle_cannot_be_made_beyond_the_head_or_from_nodes_that_are_gone() -> None:
    execution = CHAIN.shards[0].executions[-1]
    certificate = certify(execution.commitment, CHAIN.context)
    with pytest.raises(Refused):
        assemble_bundle(certificate, execution.heads, HERE, SequenceNumber(12), [], lambda level, index: None)
    with pytest.raises(NotYet):
        assemble_bundle(certificate, execution.heads, HERE, SequenceNumber(3), [], lambda level, index: None)


def shortened(chain: TestChain) -> Bundle:
    """A forger's bundle that denies the second of two messages: it gives their common subtree out as the first."""
    honest = chain.bundle(SOURCE, HERE, 0)
    both = mmr.peaks_at(2, chain.shards[0].node_reader(HERE)).hashes
    return replace(honest, head=replace(honest.head, end=SequenceNumber(1)), bodies=(), right=both)


def test_a_stream_cannot_be_passed_off_as_shorter_than_it_is() -> None:
    chain = sent(2)
    assert code_of(shortened(chain), chain) == "not_in_outbox"


def test_the_check_above_finds_a_count_that_nothing_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaf_without_end(chain_id: ChainId, head: StreamHead) -> Hash:
        return tagged_hash(Domain.STREAM_HEAD, chain_id, encode(replace(head, end=SequenceNumber(0))))

    monkeypatch.setattr(bundles, "head_leaf", leaf_without_end)
    monkeypatch.setattr("shards.ledger.head_leaf", leaf_without_end)
    chain = sent(2)
    # The mountain range binds its count as well, so one mutant alone is still refused.
    assert code_of(shortened(chain), chain) == "not_in_stream"
    monkeypatch.setattr(mmr.Peaks, "root", lambda peaks: tagged_hash(Domain.MMR_ROOT, *peaks.hashes))
    chain = sent(2)
    verify(shortened(chain), chain)


def test_amounts_in_a_head_are_bound() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0)
    richer = replace(bundle.head, value_sent=pack_amount(Amount(10**9)))
    assert code_of(replace(bundle, head=richer)) == "not_in_outbox"


def test_a_message_body_is_bound_to_its_lane() -> None:
    bundle = CHAIN.bundle(SOURCE, HERE, 0, 1)
    other = CHAIN.bundle(SOURCE, 2, 0)
    assert other.bodies != bundle.bodies
    assert code_of(replace(bundle, bodies=other.bodies)) == "not_in_stream"
