"""Whatever bytes a peer sends: no exception, nothing signed or stored for rubbish, nothing that grows."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.messages import MAX_MESSAGE_BYTES
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import ValidatorIndex
from shards.validator import core, wire
from shards.validator.events import PeerSent
from tests.shards.builders import certify
from tests.support.core_pump import Node, Pump


@cache
def recorded() -> tuple[bytes, ...]:
    """Real messages of every kind, as validators said them."""
    pump = Pump(shards=2)
    said: list[bytes] = []
    pump.lost = lambda sender, receiver, raw: bool(said.append(raw))  # type: ignore[func-returns-value]
    alice, bob = pump.chain.accounts[:2]
    pump.submit(0, [pump.chain.remote(0, alice, 1, bob, 5)])
    pump.run(1_000)
    pump.carry(0, 1)
    pump.run(1_000)
    certificate = pump.nodes[0][0].core.certified
    assert certificate is not None
    said.append(wire.pack(wire.PeerKind.CERTIFICATE, encode(certificate)))
    by_kind = {(raw[0], raw[1:4]): raw for raw in said}
    assert {kind for kind, _ in by_kind} == set(wire.PeerKind)
    return tuple(by_kind.values())


def state_of(node: Node) -> tuple[object, ...]:
    one = node.core
    return one.ledger.commitment, one.certified, len(one.mempool), len(one.inbox), one.status().finalized_height


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_changed_message_changes_no_state(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(recorded())))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(("change", "cut", "insert", "kind"))):
            case "change":
                raw[place] ^= data.draw(st.integers(1, 255))
            case "cut":
                del raw[place:]
            case "insert":
                raw[place:place] = data.draw(st.binary(min_size=1, max_size=40))
            case _:
                raw[0] = data.draw(st.integers(0, 255))
        raw = raw or bytearray(b"\x01")
    pump = fresh()
    node = pump.nodes[0][0]
    if bytes(raw) in recorded():
        return
    before = state_of(node)
    node.hear(PeerSent(ValidatorIndex(1), bytes(raw)))
    pump.run(0)
    assert state_of(node) == before
    assert node.halted == ""


@cache
def _pump() -> Pump:
    return Pump(shards=2)


def fresh() -> Pump:
    """One pump for all examples: nothing of what is refused may add up either."""
    pump = _pump()
    pump.lost = lambda sender, receiver, raw: True
    return pump


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00", b"\x07", b"\xff" * 100, bytes(wire.MAX_PEER_MESSAGE_BYTES + 1)]
    + [bytes((kind,)) + tail for kind in wire.PeerKind for tail in (b"", b"\x00", b"\x90", bytes(2_000_000))],
    ids=lambda raw: f"{raw[:2].hex()}-{len(raw)}",
)
def test_rubbish_is_refused_with_a_note(raw: bytes) -> None:
    pump = Pump()
    node = pump.nodes[0][0]
    before = state_of(node)
    node.hear(PeerSent(ValidatorIndex(2), raw))
    assert state_of(node) == before
    assert [note.name in {"refused_from_peer", "refused"} for note in node.notes] == [True]


def test_proofs_of_one_peer_are_looked_at_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "MAX_PROOFS_PER_SECOND", 3)
    pump = Pump()
    node = pump.nodes[0][0]
    forged = certify(pump.chain.shards[0].ledger.commitment, pump.chain.context, signers=[0, 1, 2])
    raw = wire.pack(wire.PeerKind.CERTIFICATE, encode(forged)[:-1] + b"\x00")
    for _ in range(5):
        node.hear(PeerSent(ValidatorIndex(1), raw))
    node.hear(PeerSent(ValidatorIndex(2), raw))
    assert [note.detail.split(": ")[1] for note in node.notes] == ["bad_certificate"] * 3 + ["too_many_proofs"] * 2 + [
        "bad_certificate"
    ]
    pump.now += 1_000
    node.hear(PeerSent(ValidatorIndex(1), raw))
    assert "bad_certificate" in node.notes[-1].detail


def test_the_largest_message_of_consensus_passes_and_a_larger_one_does_not() -> None:
    largest = bytes((wire.PeerKind.CONSENSUS,)) + bytes(MAX_MESSAGE_BYTES)
    assert wire.unpack(largest) == (wire.PeerKind.CONSENSUS, largest[1:])
    with pytest.raises(Refused, match="too_large"):
        wire.unpack(largest + b"x")
