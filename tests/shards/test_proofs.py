"""An exported proof convinces someone who knows only the genesis, and only as long as nothing in it is changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.errors import NotYet, Refused
from primitives.identifiers import Height, MessageId, ShardId
from primitives.identifiers import Sequence as SequenceNumber
from primitives.signatures import ED25519
from shards import queries
from shards.genesis import ChainContext, genesis_decoder
from shards.messages import Call, Reply
from shards.proofs import MAX_MESSAGE_PROOF_BYTES, decode_message_proof, verify_message_proof
from tests.shards.builders import certify, make_genesis
from tests.shards.mutation import mutations
from tests.support.stored_chain import StoredChain


@pytest.fixture(scope="module")
def chain() -> StoredChain:
    """Shard 0 has sent eleven transfers to shard 2 in three blocks, all settled."""
    chain = StoredChain(shards=3)
    alice, bob = chain.accounts[:2]
    for count in (1, 7, 3):
        nonce = chain.account(0, alice).nonce
        chain.run(0, [chain.remote(0, alice, 2, bob, 100 + each, nonce=nonce + each) for each in range(count)])
    chain.round_trip(0, 2)
    return chain


def sent_ids(chain: StoredChain, shard: int = 0) -> list[MessageId]:
    return [sent.message_id for execution in chain.shards[shard].executions for sent in execution.sent]


def refused(raw: bytes, context: ChainContext) -> bool:
    try:
        verify_message_proof(raw, context, ED25519)
    except Refused:
        return True
    return False


@pytest.fixture(scope="module")
def raw(chain: StoredChain) -> bytes:
    return queries.message_proof(chain.stores[0], sent_ids(chain)[4])


def test_a_settled_message_is_proved_to_someone_who_has_only_the_genesis_file(chain: StoredChain) -> None:
    genesis = genesis_decoder.decode(encode(chain.context.genesis))
    for sequence, message_id in enumerate(sent_ids(chain)):
        proof = queries.message_proof(chain.stores[0], message_id)
        shown = verify_message_proof(proof, ChainContext(genesis), ED25519)
        assert shown.message_id == message_id
        assert (shown.source, shown.destination, shown.sequence) == (0, 2, sequence)
        assert isinstance(shown.message, Call)
        assert unpack_amount(shown.message.value) == 100 + sequence - (0, 1, 8)[(sequence > 0) + (sequence > 7)]
        assert (shown.signers, shown.committee_size) == (3, 4)
        assert shown.height == chain.shards[0].ledger.height
        assert shown.time_ms == chain.shards[0].ledger.time_ms


def test_a_reply_is_proved_by_the_shard_that_answered(chain: StoredChain) -> None:
    proof = queries.message_proof(chain.stores[2], sent_ids(chain, 2)[0])
    shown = verify_message_proof(proof, chain.context, ED25519)
    assert (shown.source, shown.destination) == (2, 0)
    assert isinstance(shown.message, Reply)


def test_a_transfers_proof_is_small(raw: bytes) -> None:
    assert len(raw) < 1700


def test_every_single_field_mutation_is_refused(chain: StoredChain, raw: bytes) -> None:
    proof = decode_message_proof(raw)
    tried = 0
    for where, changed in mutations(proof):
        tried += 1
        assert refused(encode(changed), chain.context), f"{where} may be changed"
    assert tried > 250


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_every_flipped_bit_is_refused(chain: StoredChain, raw: bytes, place: int, bit: int) -> None:
    place %= len(raw)
    changed = raw[:place] + bytes((raw[place] ^ 1 << bit,)) + raw[place + 1 :]
    with pytest.raises(Refused):
        verify_message_proof(changed, chain.context, ED25519)


def test_every_truncation_and_anything_appended_is_refused(chain: StoredChain, raw: bytes) -> None:
    for length in range(0, len(raw), 3):
        with pytest.raises(Refused, match="malformed"):
            verify_message_proof(raw[:length], chain.context, ED25519)
    with pytest.raises(Refused, match="malformed"):
        verify_message_proof(raw + b"\0", chain.context, ED25519)
    with pytest.raises(Refused, match="too_large"):
        verify_message_proof(bytes(MAX_MESSAGE_PROOF_BYTES + 1), chain.context, ED25519)


@settings(deadline=None, max_examples=60)
@given(junk=st.binary(max_size=300))
def test_no_bytes_are_anything_but_refused(chain: StoredChain, junk: bytes) -> None:
    with pytest.raises(Refused):
        verify_message_proof(junk, chain.context, ED25519)


def test_the_proof_says_nothing_to_another_genesis(chain: StoredChain, raw: bytes) -> None:
    other = ChainContext(make_genesis(3, accounts=chain.accounts, name="other"))
    with pytest.raises(Refused, match="wrong_chain"):
        verify_message_proof(raw, other, ED25519)


def test_too_few_or_foreign_signatures_prove_nothing(chain: StoredChain, raw: bytes) -> None:
    proof = decode_message_proof(raw)
    commitment = proof.certificate.commitment
    few = replace(proof, certificate=certify(commitment, chain.context, signers=range(4)))
    two = replace(few.certificate.quorum, signers=b"\3", signatures=few.certificate.quorum.signatures[:2])
    with pytest.raises(Refused, match="the quorum is 3"):
        verify_message_proof(
            encode(replace(proof, certificate=replace(proof.certificate, quorum=two))), chain.context, ED25519
        )
    foreign = certify(replace(commitment, shard=ShardId(1)), chain.context).quorum
    with pytest.raises(Refused, match="does not verify"):
        verify_message_proof(
            encode(replace(proof, certificate=replace(proof.certificate, quorum=foreign))), chain.context, ED25519
        )


def test_a_certificate_of_another_shard_does_not_carry_a_stream(chain: StoredChain, raw: bytes) -> None:
    proof = decode_message_proof(raw)
    other = certify(chain.shards[1].ledger.commitment, chain.context)
    with pytest.raises(Refused, match="wrong_shard"):
        verify_message_proof(encode(replace(proof, certificate=other)), chain.context, ED25519)


def test_a_larger_amount_is_not_proved(chain: StoredChain, raw: bytes) -> None:
    proof = decode_message_proof(raw)
    call = verify_message_proof(raw, chain.context, ED25519).message
    assert isinstance(call, Call)
    forged = replace(proof, body=encode(replace(call, value=pack_amount(Amount(10**6)))))
    with pytest.raises(Refused, match="not_in_stream"):
        verify_message_proof(encode(forged), chain.context, ED25519)


def test_a_message_beyond_the_certified_end_is_not_proved(chain: StoredChain, raw: bytes) -> None:
    with pytest.raises(Refused, match="bad_range: message 11 of a stream that ends at 11"):
        verify_message_proof(
            encode(replace(decode_message_proof(raw), sequence=SequenceNumber(11))), chain.context, ED25519
        )


def test_only_the_source_proves_and_says_who_that_is(chain: StoredChain) -> None:
    with pytest.raises(Refused, match="shard 0 sent this message"):
        queries.message_proof(chain.stores[2], sent_ids(chain)[0])
    with pytest.raises(Refused, match="unknown_message"):
        queries.message_proof(chain.stores[1], sent_ids(chain)[0])


def test_there_is_no_proof_before_the_certificate() -> None:
    chain = StoredChain()
    alice, bob = chain.accounts[:2]
    chain.run(0)
    chain.certified = False
    sent = chain.run(0, [chain.remote(0, alice, 1, bob, 5)]).sent[0]
    with pytest.raises(NotYet, match="block 2"):
        queries.message_proof(chain.stores[0], sent.message_id)
    assert queries.bundle_for(chain.stores[0], chain.context, ShardId(0), ShardId(1), SequenceNumber(1)) is None
    assert chain.shards[0].ledger.height == Height(2)
