"""What a Byzantine leader may put into a block, and that no honest validator votes for it."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from msgspec.structs import replace

from consensus.block import Block
from consensus.effects import BuildBlock
from consensus.pacing import Rules
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.identifiers import Milliseconds
from shards.items import ItemKind, pack_item
from shards.limits import ANCHOR_LAG
from shards.transactions import Transfer
from shards.validator import builder
from tests.shards.builders import TestChain
from tests.shards.captured import CapturedShard, call_body
from tests.support.core_pump import Node, Pump
from tests.validator.byzantine import BadLeader

Items = Callable[[TestChain], Sequence[bytes]]


def transaction(raw: bytes) -> bytes:
    return pack_item(ItemKind.TRANSACTION, raw)


def bundle(chain: TestChain, **changes: object) -> bytes:
    """Item with the bundle of two messages that shard 1 sent to shard 0, changed."""
    made = chain.bundle(1, 0, first=changes.pop("first", 0), count=changes.pop("count", None))  # type: ignore[arg-type]
    return pack_item(ItemKind.BUNDLE, encode(replace(made, **changes)))


def local(chain: TestChain, nonce: int = 0, **changes: object) -> bytes:
    alice, bob = chain.accounts[:2]
    operation = Transfer(to=bob.key, amount=pack_amount(Amount(1)))
    return chain.transaction(0, alice, [operation] * changes.pop("times", 1), nonce, **changes)  # type: ignore[arg-type,operator]


def flipped(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1 :]


def greedy(chain: TestChain) -> bytes:
    body = call_body(chain.accounts[0].key, 1, gas=2**40)
    return pack_item(ItemKind.BUNDLE, encode(CapturedShard(chain, 1).bundle(0, [body], value_sent=2**41)))


INVALID: dict[str, tuple[str, Items]] = {
    "a nonce too high": ("bad_nonce", lambda chain: [transaction(local(chain, 5))]),
    "one nonce twice": ("bad_nonce", lambda c: [transaction(local(c)), transaction(local(c, times=2))]),
    "one transaction twice": ("bad_nonce", lambda chain: [transaction(local(chain))] * 2),
    "more gas than a block has": (
        "too_much_gas",
        lambda chain: [transaction(local(chain, nonce, times=16)) for nonce in range(900)],
    ),
    "a message that takes more gas than a block has": ("too_much_gas", lambda chain: [greedy(chain)]),
    "a bundle that leaves a gap": ("bad_bundle_position", lambda chain: [bundle(chain, first=1)]),
    "a bundle twice": ("bad_bundle_position", lambda chain: [bundle(chain)] * 2),
    "a bundle that says nothing": ("bad_bundle_position", lambda chain: [bundle(chain, count=0)]),
    "a bundle with another message": (
        "not_in_stream",
        lambda chain: [bundle(chain, bodies=(call_body(chain.accounts[0].key, 10**9),) * 2)],
    ),
    "a bundle to another shard": (
        "wrong_destination",
        lambda chain: [bundle(chain, head=replace(chain.bundle(1, 0).head, destination=2))],
    ),
    "a transaction of another chain": (
        "wrong_chain",
        lambda chain: [transaction(local(TestChain(3, name="another")))],
    ),
    "a transaction of another shard": (
        "wrong_shard",
        lambda chain: [transaction(chain.local(1, chain.accounts[0], chain.accounts[1], 5, nonce=0))],
    ),
    "a transaction that expired": ("expired", lambda chain: [transaction(local(chain, valid_until_ms=1))]),
    "a fee limit too low": ("fee_too_low", lambda chain: [transaction(local(chain, fee_limit=1))]),
    "a bad signature": ("bad_signature", lambda chain: [transaction(flipped(local(chain), 3))]),
    "a good transaction and a bad signature": (
        "bad_signature",
        lambda chain: [transaction(local(chain)), transaction(flipped(local(chain, 1), 3))],
    ),
    "evidence": ("bad_item", lambda chain: [pack_item(ItemKind.EVIDENCE, b"x")]),
    "an epoch proof": ("bad_item", lambda chain: [pack_item(ItemKind.EPOCH_PROOF, b"x")]),
    "a change of membership": ("bad_item", lambda chain: [pack_item(ItemKind.MEMBERSHIP, b"x")]),
    "an unknown kind of item": ("bad_item", lambda chain: [b"\x63abc"]),
    "an empty item": ("bad_item", lambda chain: [b""]),
    "a malformed transaction": ("malformed", lambda chain: [transaction(bytes(100))]),
    "a malformed bundle": ("malformed", lambda chain: [pack_item(ItemKind.BUNDLE, bytes(100))]),
}


def pump_with_work(rules: Rules | None = None) -> Pump:
    """Three shards; shard 1's stream to shard 0 has two messages, and validator 0 of shard 0 has a transaction."""
    pump = Pump(shards=3, rules=rules)
    carol, dora = pump.chain.accounts[2:]
    sends = [pump.chain.remote(1, carol, 0, dora, 5, nonce) for nonce in (0, 1)]
    pump.chain.run(1, sends)
    return pump


@pytest.mark.parametrize(("code", "items"), INVALID.values(), ids=INVALID)
def test_no_honest_validator_votes_for_a_block_with(code: str, items: Items) -> None:
    pump = pump_with_work()
    chain = pump.chain

    def make(request: BuildBlock, wall_ms: Milliseconds, node: Node) -> Block:
        return builder.assemble_block(request, chain.context, node.shard, None, tuple(items(chain)), wall_ms)

    leader = BadLeader(pump, make)
    carol, dora = chain.accounts[2:]
    pump.submit(0, [chain.local(0, carol, dora, 7)])
    pump.run(3_000)
    assert leader.block_id is not None
    assert leader.votes == []
    assert {verdict.partition(":")[0] for verdict in leader.verdicts()} == {code}
    for node in pump.nodes[0]:
        assert node.halted == ""
        balance = unpack_amount(node.core.ledger.account(dora.key).balance)
        assert balance == chain.balance(0, dora) + 7, "the next leader's block is fine"


@pytest.mark.parametrize(
    ("code", "anchor"),
    [("malformed", b"\x01"), ("bad_certificate", None)],
    ids=["that is no certificate", "with a forged signature"],
)
def test_no_honest_validator_votes_for_a_block_with_an_anchor(code: str, anchor: bytes | None) -> None:
    pump = Pump(rules=Rules(idle_interval_ms=300))
    chain = pump.chain
    alice, bob = chain.accounts[:2]

    def make(request: BuildBlock, wall_ms: Milliseconds, node: Node) -> Block:
        certificate = node.core.certified
        assert certificate is not None
        quorum = replace(certificate.quorum, signatures=tuple(map(bytes, certificate.quorum.signatures[::-1])))
        forged = replace(certificate, quorum=quorum)
        block = builder.assemble_block(request, chain.context, node.shard, forged, (), wall_ms)
        if anchor is None:
            return block
        return replace(block, anchor=anchor, header=replace(block.header, anchor_hash=sha256(anchor).digest()))

    pump.run(1_500)
    leader = BadLeader(pump, make)
    pump.submit(0, [chain.local(0, alice, bob, 7)])
    pump.run(6_000)
    assert leader.block_id is not None
    assert leader.votes == []
    assert {verdict.partition(":")[0] for verdict in leader.verdicts()} == {code}
    assert pump.nodes[0][0].core.ledger.account(alice.key).nonce == 1


def test_a_block_with_items_and_an_anchor_too_far_back_gets_no_vote_and_an_empty_one_does() -> None:
    for has_items in (True, False):
        pump = Pump(rules=Rules(idle_interval_ms=300))
        alice, bob = pump.chain.accounts[:2]
        raw = pump.chain.local(0, alice, bob, 7)
        items = (transaction(raw),) if has_items else ()

        def make(request: BuildBlock, wall_ms: Milliseconds, node: Node, items: tuple[bytes, ...] = items) -> Block:
            return builder.assemble_block(request, node.pump.chain.context, node.shard, None, items, wall_ms)

        pump.run(300 * (ANCHOR_LAG + 2))
        assert pump.nodes[0][0].core.ledger.height > ANCHOR_LAG
        leader = BadLeader(pump, make)
        pump.submit(0, [raw])
        pump.run(5_000)
        assert bool(leader.votes) is not has_items
        assert {verdict.partition(":")[0] for verdict in leader.verdicts()} == ({"bad_anchor"} if has_items else set())
