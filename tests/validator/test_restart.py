"""Death and return at any point: nothing is signed differently, nothing final is lost, and lies are noticed."""

from collections.abc import Iterator
from dataclasses import replace as dataclass_replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.block import Block
from consensus.messages import Vote, decode_message
from consensus.pacing import Rules
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import Hash, ShardId, ValidatorIndex
from primitives.signatures import ED25519
from primitives.storage import Write, integer_key
from shards import chain_store
from shards.commitments import Commitment, CommitmentSignature, signing_bytes
from shards.outcome import Execution
from shards.queries import transaction_status
from shards.transactions import transaction_id
from shards.validator import wire
from shards.validator.certifier import verify_double_signing
from shards.validator.effects import Halt
from shards.validator.events import PeerSent
from tests.shards.builders import certify, validator_seed
from tests.support.core_pump import Node, Pump


class Signed:
    """All that validators said under their signature: one thing for each view and kind, and for each height."""

    def __init__(self, pump: Pump) -> None:
        self.said: dict[tuple[object, ...], bytes] = {}
        pump.lost = self._watch

    def _watch(self, sender: Node, receiver: int, raw: bytes) -> bool:
        for key, statement in self._statements(sender, raw):
            assert self.said.setdefault(key, statement) == statement, f"signed twice: {key}"
        return False

    @staticmethod
    def _statements(sender: Node, raw: bytes) -> Iterator[tuple[tuple[object, ...], bytes]]:
        if raw[:1] == bytes((wire.PeerKind.COMMITMENT_SIGNATURE,)):
            vote = wire.unpack_signature(raw[1:])
            yield (sender.shard, sender.index, "commitment", vote.commitment.height), encode(vote)
        elif raw[:1] == bytes((wire.PeerKind.CONSENSUS,)):
            try:
                message = decode_message(raw[1:])
            except Refused:
                return
            vote_of = message if isinstance(message, Vote) else getattr(message, "vote", None)
            if vote_of is not None and vote_of.signer == sender.index:
                statement = vote_of.statement
                yield (sender.shard, sender.index, statement.kind, statement.view), encode(statement)


@settings(deadline=None, max_examples=40)
@given(
    effects=st.integers(1, 90),
    who=st.integers(0, 3),
    flush=st.booleans(),
    pause_ms=st.sampled_from([0, 300, 15_000]),
)
def test_a_validator_killed_at_any_effect_comes_back_and_never_signs_anything_else(
    effects: int, who: int, flush: bool, pause_ms: int
) -> None:
    pump = Pump(shards=2)
    signed = Signed(pump)
    chain = pump.chain
    alice, bob = chain.accounts[:2]
    node = pump.nodes[0][who]
    node.dies_after = effects
    raws = [chain.remote(0, alice, 1, bob, 5, nonce) for nonce in range(4)]
    for raw in raws:
        pump.submit(0, [raw], to=(who + 1) % 4)
        pump.run(350)
        if flush and node.alive:
            node.flush()
    pump.run(pause_ms)
    node.kill()
    node.start()
    pump.run(25_000)
    assert [each.halted for each in pump.nodes[0]] == [""] * 4
    heights = {each.core.ledger.height for each in pump.nodes[0]}
    assert len(heights) == 1
    assert len({each.core.ledger.commitment for each in pump.nodes[0]}) == 1
    assert node.core.status().certified_height == node.core.ledger.height
    assert node.core.ledger.lane(ShardId(1)).end == 4
    for raw in raws:
        assert transaction_status(node.store, transaction_id(raw), lambda _: None) is not None
    assert signed.said


def busy_pump(rules: Rules | None = None) -> Pump:
    pump = Pump(rules=rules)
    alice, bob = pump.chain.accounts[:2]
    for nonce in range(3):
        pump.submit(0, [pump.chain.local(0, alice, bob, 5, nonce)])
        pump.run(500)
    assert pump.nodes[0][0].core.ledger.height >= 3
    return pump


def test_after_all_died_between_execution_and_certificate_the_height_is_certified_without_a_new_block() -> None:
    pump = Pump(rules=Rules(idle_interval_ms=3_600_000))
    alice, bob = pump.chain.accounts[:2]
    pump.lost = lambda sender, receiver, raw: raw[0] == wire.PeerKind.COMMITMENT_SIGNATURE
    pump.submit(0, [pump.chain.local(0, alice, bob, 5)])
    pump.run(500)
    for node in pump.nodes[0]:
        node.flush()
        node.kill()
    pump.lost = lambda sender, receiver, raw: False
    for node in pump.nodes[0]:
        node.start()
    pump.run(3_000)
    assert [node.core.status().certified_height for node in pump.nodes[0]] == [1] * 4
    assert [node.core.ledger.height for node in pump.nodes[0]] == [1] * 4


def other_result(execution: Execution) -> Execution:
    changed = replace(execution.commitment, state_root=Hash(b"\x13" * 32))
    return dataclass_replace(execution, commitment=changed)


def test_executing_again_with_another_result_halts_before_anything_is_signed() -> None:
    pump = busy_pump()
    node = pump.nodes[0][2]
    node.kill()
    execute = pump.execute
    signatures: list[bytes] = []

    def watch(sender: Node, receiver: int, raw: bytes) -> bool:
        if sender is node and raw[0] == wire.PeerKind.COMMITMENT_SIGNATURE:
            signatures.append(raw)
        return False

    pump.lost = watch
    # As if the machine computed something else now than what it journaled.
    key = integer_key(2)
    commitment = chain_store.commitment_at(node.store, 2)  # type: ignore[arg-type]
    assert commitment is not None
    lie = replace(commitment, state_root=Hash(b"\x13" * 32))
    node.store.commit([Write(chain_store.COMMITMENTS, key, encode(lie))])
    pump.execute = execute
    node.start()
    pump.run(1_000)
    assert "again gave another commitment" in node.halted
    assert signatures == []
    assert node.core.status().halted == node.halted


def test_a_result_that_differs_from_a_certified_one_halts_before_it_is_signed() -> None:
    """The signatures of the others come first: the certificate stands before the own result does."""
    pump = Pump()
    alice, bob = pump.chain.accounts[:2]
    node = pump.nodes[0][3]
    execute = pump.execute
    held: list[Block] = []

    def lies(at: Node, block: Block) -> Execution:
        execution = execute(at, block)
        return other_result(execution) if at is node else execution

    pump.execute = lies
    signed: list[bytes] = []
    original = node.later

    def later(event: object) -> None:
        if type(event).__name__ == "BlockExecuted":
            held.append(event)  # type: ignore[arg-type]
        else:
            original(event)  # type: ignore[arg-type]

    node.later = later  # type: ignore[method-assign]

    def watch(sender: Node, receiver: int, raw: bytes) -> bool:
        if sender is node and raw[0] == wire.PeerKind.COMMITMENT_SIGNATURE:
            signed.append(raw)
        return False

    pump.lost = watch
    pump.submit(0, [pump.chain.local(0, alice, bob, 5)])
    pump.run(500)
    assert node.core.certified is not None, "made of the others' signatures"
    assert node.core.ledger.height == 0
    node.hear(held[0])  # type: ignore[arg-type]
    assert "certified another result" in node.halted
    assert signed == []
    assert node.effects["Halt"] == 1
    assert node.core.handle(held[0], None) == (), "a halted core does nothing"  # type: ignore[arg-type]
    pump.run(1_000)
    assert [each.halted for each in pump.nodes[0][:3]] == [""] * 3


def test_a_certificate_for_another_result_than_the_own_one_halts() -> None:
    pump = busy_pump()
    node = pump.nodes[0][1]
    other = replace(node.core.ledger.commitment, state_root=Hash(b"\x13" * 32))
    certificate = certify(other, pump.chain.context, signers=[0, 2, 3])
    pump.post(pump.nodes[0][0], 1, wire.pack(wire.PeerKind.CERTIFICATE, encode(certificate)))
    pump.run(0)
    assert "certified another result" in node.halted
    assert [note.name for note in node.notes].count("blame") == 3, "each of them has signed two commitments"


def test_evidence_is_kept_once_for_each_offence_and_remembered_after_a_restart() -> None:
    pump = busy_pump()
    node = pump.nodes[0][1]
    height = node.core.ledger.height
    for number in range(3):
        other = replace(node.core.ledger.commitment, state_root=Hash(bytes([number]) * 32))
        pump.post(pump.nodes[0][2], 1, signed_by(2, other))
        pump.run(0)
    assert node.core.ledger.height == height
    assert [note.name for note in node.notes].count("blame") == 1
    ((_, evidence),) = node.store.scan(chain_store.EVIDENCE)
    assert verify_double_signing(evidence, pump.chain.context.committee(ShardId(0)), ED25519) == 2
    assert node.core.status().blamed == (2,)
    node.kill()
    node.start()
    assert node.core.status().blamed == (2,)


def signed_by(signer: int, commitment: Commitment) -> bytes:
    signature = ED25519.sign(validator_seed(0, signer), signing_bytes(commitment))
    vote = CommitmentSignature(commitment, ValidatorIndex(signer), signature)
    return wire.pack(wire.PeerKind.COMMITMENT_SIGNATURE, encode(vote))


def test_more_than_f_other_results_are_a_loud_note_said_once() -> None:
    pump = busy_pump()
    node = pump.nodes[0][0]
    pump.lost = lambda sender, receiver, raw: raw[0] in {wire.PeerKind.COMMITMENT_SIGNATURE, wire.PeerKind.CERTIFICATE}
    alice, bob = pump.chain.accounts[:2]
    pump.submit(0, [pump.chain.local(0, alice, bob, 5, 3)])
    pump.run(300)
    right = node.core.ledger.commitment
    wrong = replace(right, state_root=Hash(b"\x13" * 32))
    for signer, commitment, notes in ((1, right, 0), (2, wrong, 0), (2, wrong, 0), (3, wrong, 1), (3, wrong, 1)):
        node.hear(PeerSent(ValidatorIndex(signer), signed_by(signer, commitment)))
        assert [note.name for note in node.notes].count("split_result") == notes
    assert next(note.detail for note in node.notes if note.name == "split_result").startswith("validators (2, 3)")
    assert node.halted == "", "it may be the others who are wrong"


@pytest.mark.parametrize("damage", ["an older journal", "another state"])
def test_a_state_that_is_not_the_journals_halts_at_the_start(damage: str) -> None:
    pump = busy_pump()
    node = pump.nodes[0][0]
    node.flush()
    node.kill()
    key = integer_key(node.core.ledger.height)
    if damage == "an older journal":
        node.store.commit([Write("consensus.blocks", key, None), Write(chain_store.COMMITMENTS, key, None)])
    else:
        account = next(each for each in node.state if each[0] == 2)
        node.state[account] = node.state[next(each for each in reversed(list(node.state)) if each[0] == 2)]
        node.state[account] = node.state[account][:-2] + b"\x63" + node.state[account][-1:]
    node.start()
    pump.run(0)
    assert "is not the one that the chain's store has there" in node.halted
    assert Halt.__name__ in node.effects


def test_a_validator_that_was_away_for_long_catches_up_and_compares_its_own_result_with_the_newest_certificate() -> (
    None
):
    pump = Pump(rules=Rules(idle_interval_ms=200))
    alice, bob = pump.chain.accounts[:2]
    node = pump.nodes[0][0]
    node.kill()
    for nonce in range(40):
        pump.submit(0, [pump.chain.local(0, alice, bob, 5, nonce)], to=1)
        pump.run(700)
    height = pump.nodes[0][1].core.ledger.height
    assert height > 40
    node.start()
    pump.run(5_000)
    assert node.halted == ""
    assert node.core.ledger.height >= height
    assert node.core.certified is not None
    assert node.core.ledger.account(alice.key).nonce == 40
