"""Formats are pinned: what a fixed chain commits to, keeps and sends is in `tests/vectors/ledger.json`.

`python -m tests.shards.test_golden` prints the file anew. Do that only for a change of protocol that is meant.
"""

import json
import sys
from pathlib import Path

import msgpack

from contracts.port import MachineIdentity
from primitives.codec import encode
from primitives.identifiers import Hash, ShardId
from primitives.signatures import ED25519
from shards.bundles import decode_bundle, verify_bundle
from shards.commitments import commitment_hash
from shards.genesis import ChainContext, genesis_decoder
from shards.ledger import Ledger
from shards.state import freeze_key
from tests.shards.builders import MACHINE, TestChain
from tests.shards.captured import CapturedShard, call_body

GOLDEN = Path(__file__).parent.parent / "vectors" / "ledger.json"

PINNED = MachineIdentity(Hash(bytes(range(32))), "50.0.1", "x86_64-unknown-linux-gnu", "fuel")
"""Not the installed one: a genesis's bytes do not depend on the computer that reads them."""


def vectors() -> dict[str, object]:
    """Everything in hexadecimal; the state as pairs of raw key and value."""
    chain = TestChain(shards=3, machine=PINNED)
    alice, bob = chain.accounts[:2]
    soon = chain.time_ms + 150
    sending = chain.run(0, [chain.remote(0, alice, 1, bob, 25), chain.remote(0, bob, 1, alice, 7, deadline_ms=soon)])
    bundle = chain.bundle(0, 1, 0, 1)
    answering = chain.deliver(0, 1)
    chain.deliver(1, 0, count=1)
    lie = CapturedShard(chain, 2).bundle(0, [call_body(bob.key, 1), b"junk"], value_sent=301)
    chain.run(0, bundles=[lie, CapturedShard(chain, 2).bundle(0, [], height=9, ack_next=5)])
    ledger = chain.shards[0].ledger
    return {
        "genesis": encode(chain.context.genesis).hex(),
        "chain_id": chain.context.chain_id.hex(),
        "calls": [sent.body.hex() for sent in sending.sent],
        "message_ids": [sent.message_id.hex() for sent in sending.sent],
        "replies": [sent.body.hex() for sent in answering.sent],
        "bundle": encode(bundle).hex(),
        "receipts": [raw.hex() for execution in chain.shards[0].executions for raw in execution.receipts],
        "state": [[key.hex(), value.hex()] for key, value in sorted(ledger.entries())],
        "commitment": encode(ledger.commitment).hex(),
        "commitment_hash": commitment_hash(ledger.commitment).hex(),
    }


def test_a_fixed_chain_makes_the_same_bytes_as_ever() -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    made = vectors()
    for name in expected.keys() | made.keys():
        assert made.get(name) == expected.get(name), name


def test_the_pinned_bytes_are_read_back_by_those_who_have_only_the_genesis() -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    context = ChainContext(genesis_decoder.decode(bytes.fromhex(expected["genesis"])))
    assert context.chain_id.hex() == expected["chain_id"]
    bundle = decode_bundle(bytes.fromhex(expected["bundle"]))
    verify_bundle(bundle, context, ShardId(1), ED25519)
    assert [body.hex() for body in bundle.bodies] == expected["calls"][:1]
    entries = [(bytes.fromhex(key), bytes.fromhex(value)) for key, value in expected["state"]]
    ledger = Ledger.restore(context, ShardId(0), entries, machine=MACHINE)
    assert encode(ledger.commitment).hex() == expected["commitment"]
    assert ledger.get(freeze_key(ShardId(2))) is not None


def test_another_messagepack_library_reads_every_pinned_record() -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for raw in (*expected["calls"], *expected["replies"], *expected["receipts"], expected["commitment"]):
        fields = msgpack.unpackb(bytes.fromhex(raw))
        assert msgpack.packb(fields) == bytes.fromhex(raw)
    assert [msgpack.unpackb(bytes.fromhex(raw))[0] for raw in expected["receipts"]] == [1, 1, 3, 2, 4, 5]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=1) + "\n")
