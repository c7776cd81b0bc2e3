"""What a light client believes, what freezes a shard for it, and how it counts the money of the whole chain."""

import pytest
from msgspec.structs import replace

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.errors import Refused
from primitives.identifiers import Hash, Height, PublicKey, ShardId
from primitives.merkle import tree_root
from primitives.signatures import ED25519
from shards import light_client
from shards.commitments import Commitment, CommitmentCertificate
from shards.light_client import Acceptance, LightClient, Verdict
from shards.state import EMPTY_ACCOUNT, account_key
from shards.streams import StreamHead, head_leaf
from tests.shards.builders import BALANCE, BOND, TestChain, certify
from tests.support.stored_chain import StoredChain

ZERO, ONE = ShardId(0), ShardId(1)


@pytest.fixture
def chain() -> StoredChain:
    return StoredChain(shards=3)


def client_of(chain: TestChain) -> LightClient:
    return LightClient(chain.context, ED25519)


def certificate_of(chain: TestChain, shard: int, place: int = -1) -> CommitmentCertificate:
    return certify(chain.shards[shard].executions[place].commitment, chain.context)


def test_certificates_are_believed_in_any_order_and_the_greatest_height_is_the_newest(chain: StoredChain) -> None:
    for _ in range(3):
        chain.run(0)
    client = client_of(chain)
    first, second, third = (certificate_of(chain, 0, place) for place in range(3))
    assert client.newest(ZERO) is None
    assert client.accept(second) is Acceptance.NEWEST
    assert client.accept(first) is Acceptance.OLDER
    assert client.newest(ZERO) == second
    assert client.accept(third) is Acceptance.NEWEST
    assert client.accept(second) is Acceptance.KNOWN
    assert client.newest(ZERO) == third
    assert client.newest(ONE) is None


def test_an_equal_commitment_signed_by_another_quorum_is_no_contradiction(chain: StoredChain) -> None:
    commitment = chain.run(0).commitment
    client = client_of(chain)
    client.accept(certify(commitment, chain.context, signers=(0, 1, 2)))
    assert client.accept(certify(commitment, chain.context, signers=(1, 2, 3))) is Acceptance.KNOWN
    assert client.equivocation(ZERO) is None


def test_without_a_quorum_nothing_is_believed(chain: StoredChain) -> None:
    certificate = certify(chain.run(0).commitment, chain.context)
    lie = replace(certificate, commitment=replace(certificate.commitment, state_root=Hash(bytes(32))))
    client = client_of(chain)
    with pytest.raises(Refused, match="does not verify"):
        client.accept(lie)
    unknown = replace(certificate, commitment=replace(certificate.commitment, shard=ShardId(9)))
    with pytest.raises(Refused, match="unknown_shard"):
        client.accept(unknown)
    assert client.newest(ZERO) is None


def lie_about(commitment: Commitment) -> Commitment:
    return replace(commitment, state_root=Hash(bytes(32)))


def test_two_certified_commitments_for_one_height_freeze_that_shard_only(chain: StoredChain) -> None:
    chain.run(0)
    chain.run(1)
    client = client_of(chain)
    honest = certificate_of(chain, 0)
    lie = certify(lie_about(honest.commitment), chain.context, signers=(1, 2, 3))
    client.accept(honest)
    with pytest.raises(Refused, match="equivocation: shard 0 certified two commitments for height 1"):
        client.accept(lie)
    evidence = client.equivocation(ZERO)
    assert evidence is not None
    assert (evidence.first, evidence.second) == (honest, lie)
    with pytest.raises(Refused, match="frozen"):
        client.accept(honest)
    with pytest.raises(Refused, match="frozen"):
        client.verify_heads(ZERO, chain.shards[0].executions[-1].heads)
    assert client.accept(certificate_of(chain, 1)) is Acceptance.NEWEST
    assert client.equivocation(ONE) is None


def test_a_badly_signed_contradiction_freezes_nothing(chain: StoredChain) -> None:
    chain.run(0)
    client = client_of(chain)
    honest = certificate_of(chain, 0)
    client.accept(honest)
    with pytest.raises(Refused, match="bad_certificate"):
        client.accept(replace(honest, commitment=lie_about(honest.commitment)))
    assert client.equivocation(ZERO) is None


def test_memory_is_bounded_and_the_latest_heights_are_remembered(
    chain: StoredChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light_client, "REMEMBERED_HEIGHTS", 3)
    client = client_of(chain)
    for _ in range(6):
        chain.run(0)
        client.accept(certificate_of(chain, 0))
    assert sorted(client._accepted[ZERO]) == [4, 5, 6]


def test_an_account_is_shown_with_a_proof(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.local(0, alice, bob, 5)])
    client = client_of(chain)
    client.accept(certificate_of(chain, 0))
    ledger = chain.shards[0].ledger
    key = account_key(alice.key)
    proof, value = ledger.prove(key), ledger.get(key)
    assert client.verify_account(ZERO, alice.key, proof, value) == ledger.account(alice.key)
    assert value is not None
    with pytest.raises(Refused, match="wrong_value"):
        client.verify_account(ZERO, alice.key, proof, value[:-1] + b"\x07")
    with pytest.raises(Refused, match="wrong_value"):
        client.verify_account(ZERO, alice.key, proof, None)
    with pytest.raises(Refused, match="bad_proof"):
        client.verify_account(ZERO, bob.key, proof, value)
    with pytest.raises(Refused, match="unknown_height"):
        client.verify_account(ONE, alice.key, proof, value)


def test_an_account_that_does_not_exist_is_proved_to_be_empty(chain: StoredChain) -> None:
    chain.run(0)
    client = client_of(chain)
    client.accept(certificate_of(chain, 0))
    nobody = PublicKey(bytes(32))
    proof = chain.shards[0].ledger.prove(account_key(nobody))
    assert client.verify_account(ZERO, nobody, proof, None) == EMPTY_ACCOUNT


def test_a_proof_may_be_of_an_older_accepted_height(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    key = account_key(alice.key)
    chain.run(0)
    ledger = chain.shards[0].ledger
    proof, value = ledger.prove(key), ledger.get(key)
    chain.run(0, [chain.local(0, alice, bob, 5)])
    client = client_of(chain)
    client.accept(certificate_of(chain, 0, 0))
    client.accept(certificate_of(chain, 0, 1))
    with pytest.raises(Refused, match="bad_proof"):
        client.verify_account(ZERO, alice.key, proof, value)
    assert unpack_amount(client.verify_account(ZERO, alice.key, proof, value, height=Height(1)).balance) == BALANCE


def test_heads_are_all_there_in_order_and_certified(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    heads = chain.run(0, [chain.remote(0, alice, 1, bob, 5)]).heads
    client = client_of(chain)
    client.accept(certificate_of(chain, 0))
    client.verify_heads(ZERO, heads)
    for wrong in (heads[:2], heads[::-1], (heads[0], heads[1], replace(heads[2], source=ONE))):
        with pytest.raises(Refused, match="one head of shard 0 for each shard"):
            client.verify_heads(ZERO, wrong)
    with pytest.raises(Refused, match="certified outbox root"):
        client.verify_heads(ZERO, (heads[0], replace(heads[1], value_sent=pack_amount(Amount(0))), heads[2]))


# --- money ------------------------------------------------------------------------------------------------------------


def newest_of_all(chain: TestChain) -> list[CommitmentCertificate]:
    return [certificate_of(chain, shard) for shard in range(3)]


def heads_of_all(chain: TestChain) -> dict[ShardId, tuple[StreamHead, ...]]:
    return {ShardId(shard): chain.shards[shard].executions[-1].heads for shard in range(3)}


def moving(chain: StoredChain) -> StoredChain:
    """One transfer settled, another still in flight."""
    alice, bob = chain.accounts[:2]
    for shard in range(3):
        chain.run(shard)
    chain.run(0, [chain.remote(0, alice, 1, bob, 500)])
    chain.round_trip(0, 1)
    chain.run(1, [chain.remote(1, bob, 2, alice, 70)])
    return chain


def test_one_certificate_of_each_shard_shows_that_no_money_was_made_or_lost(chain: StoredChain) -> None:
    report = client_of(moving(chain)).supply_identity(newest_of_all(chain), heads_of_all(chain))
    assert report.verdict is Verdict.CONSERVED
    assert report.genesis == 3 * (4 * BALANCE + 4 * BOND)
    assert report.held + report.in_flight + report.burnt == report.genesis
    flows = {(int(pair.source), int(pair.destination)): pair.in_flight for pair in report.pairs}
    assert flows[1, 2] == 70 + 300
    assert report.in_flight == sum(flows.values())
    assert sum(1 for each in flows.values() if each) == 1
    assert report.problems == ()


def test_the_totals_need_no_heads(chain: StoredChain) -> None:
    report = client_of(moving(chain)).supply_identity(newest_of_all(chain))
    assert (report.verdict, report.in_flight, report.pairs) == (Verdict.CONSERVED, 370, ())


def test_there_must_be_one_certificate_of_each_shard(chain: StoredChain) -> None:
    certificates = newest_of_all(moving(chain))
    with pytest.raises(Refused, match=r"no certificate of shards \[2\]"):
        client_of(chain).supply_identity(certificates[:2])
    with pytest.raises(Refused, match="two certificates of shard 0"):
        client_of(chain).supply_identity([*certificates, certificates[0]])
    with pytest.raises(Refused, match="wrong_heads"):
        client_of(chain).supply_identity(certificates, {})


def test_certificates_of_different_moments_are_no_proof_of_a_crime(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    for shard in range(3):
        chain.run(shard)
    old, old_heads = certificate_of(chain, 0), chain.shards[0].executions[-1].heads
    chain.run(0, [chain.remote(0, alice, 1, bob, 500)])
    chain.carry(0, 1)
    certificates = [old, *newest_of_all(chain)[1:]]
    heads = {**heads_of_all(chain), ZERO: old_heads}
    assert client_of(chain).supply_identity(certificates).verdict is Verdict.UNCLEAR
    report = client_of(chain).supply_identity(certificates, heads)
    assert report.verdict is Verdict.UNCLEAR
    assert [(pair.source, pair.destination) for pair in report.pairs if pair.source_is_older] == [(0, 1)]


def certify_lie(chain: TestChain, shard: int, heads: tuple[StreamHead, ...], **supply: int) -> CommitmentCertificate:
    """Certificate of a captured committee over the newest commitment with other heads and counters."""
    commitment = chain.shards[shard].executions[-1].commitment
    changed = {name: pack_amount(Amount(amount)) for name, amount in supply.items()}
    return certify(
        replace(
            commitment,
            outbox_root=tree_root([head_leaf(chain.context.chain_id, head) for head in heads]),
            supply=replace(commitment.supply, **changed),
        ),
        chain.context,
    )


def test_money_from_nowhere_is_a_violation_whoever_signs_it(chain: StoredChain) -> None:
    certificates, heads = newest_of_all(moving(chain)), heads_of_all(chain)
    supply = certificates[2].commitment.supply
    more = unpack_amount(supply.balances) + 1
    lie = certify_lie(chain, 2, heads[ShardId(2)], balances=more)
    report = client_of(chain).supply_identity([*certificates[:2], lie], heads)
    assert report.verdict is Verdict.VIOLATED
    assert report.problems == ("shard 2: what it holds is not genesis - burnt - sent + received",)
    genesis = unpack_amount(supply.genesis) + 1
    lie = certify_lie(chain, 2, heads[ShardId(2)], balances=more, genesis=genesis)
    report = client_of(chain).supply_identity([*certificates[:2], lie], heads)
    assert report.problems == ("shard 2: it says that it began with other money than the genesis gave it",)


def test_receiving_more_than_was_sent_is_a_violation(chain: StoredChain) -> None:
    certificates, heads = newest_of_all(moving(chain)), heads_of_all(chain)
    supply = certificates[2].commitment.supply
    two = ShardId(2)
    greedy = tuple(
        replace(head, value_received=pack_amount(Amount(10_000))) if head.destination == 1 else head
        for head in heads[two]
    )
    lie = certify_lie(chain, 2, greedy, received=10_000, balances=unpack_amount(supply.balances) + 10_000)
    report = client_of(chain).supply_identity([*certificates[:2], lie], {**heads, two: greedy})
    assert report.verdict is Verdict.VIOLATED
    assert report.problems == ("shard 2 received more from shard 1 than that one sent",)
    honest_counters = certify_lie(chain, 2, greedy)
    report = client_of(chain).supply_identity([*certificates[:2], honest_counters], {**heads, two: greedy})
    assert "shard 2: its streams received another value than its supply counters say" in report.problems
