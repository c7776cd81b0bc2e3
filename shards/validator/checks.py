"""What a validator checks before it votes for a block: everything that does not need the block's execution.

Consensus has checked chain, shard, height, parent, leader and time. Here: the anchor, how far it lags, the gas sum,
the terms of every transaction, nonces consecutive along the chain, bundles that connect and prove themselves.
Signatures of transactions are verified by the caller, in batches.

Refused is final and costs the leader its view; NotYet is asked again when this validator has got further.
"""

from collections import Counter
from collections.abc import Callable

from primitives.errors import NotYet, Refused
from primitives.identifiers import Height, PublicKey, ShardId
from shards.bundles import Bundle
from shards.commitments import CommitmentCertificate
from shards.genesis import ChainContext
from shards.inclusion import check_inclusion_terms
from shards.limits import ANCHOR_LAG, BLOCK_GAS, LOCAL_GAS
from shards.validator.inbox import Position, fits
from shards.validator.pending import ParsedBlock, PendingChain

CheckBundle = Callable[[bytes, Bundle], None]
"""Verifies a bundle's proof or raises `Refused`; remembers those it has verified."""


def anchor_height(anchor: CommitmentCertificate | None) -> Height:
    """Height that an anchor certifies; a block without one is anchored at the genesis."""
    return Height(0 if anchor is None else anchor.commitment.height)


def check_anchor(block: ParsedBlock, anchor: CommitmentCertificate | None, executed: Height) -> None:
    """Check that the anchor is behind the block and, if it is far behind, that the block is empty.

    Raises:
        Refused: `bad_anchor`.
        NotYet: this validator has not executed as far as the anchor.

    """
    height = anchor_height(anchor)
    if height >= block.height:
        raise Refused("bad_anchor", f"block {block.height} is anchored at height {height}, which is not before it")
    if block.block.items and block.height - height > ANCHOR_LAG:
        raise Refused("bad_anchor", f"block {block.height} is anchored at {height}, too far back to have items")
    if executed < height:
        raise NotYet(f"executed {executed}, the block is anchored at {height}")


def check_items(
    block: ParsedBlock, chain: PendingChain, context: ChainContext, shard: ShardId, verify: CheckBundle
) -> None:
    """Check all items of a block that extends `chain`, signatures of transactions excepted.

    Raises:
        Refused: the first rule that an item or the whole block breaks.

    """
    limit = BLOCK_GAS - LOCAL_GAS
    if block.gas > limit:
        raise Refused("too_much_gas", f"the items of block {block.height} need {block.gas} gas, the limit is {limit}")
    _check_transactions(block, chain, context, shard)
    _check_bundles(block, chain, verify)


def _check_transactions(block: ParsedBlock, chain: PendingChain, context: ChainContext, shard: ShardId) -> None:
    used: Counter[PublicKey] = Counter()
    for transaction in block.transactions:
        body = transaction.body
        check_inclusion_terms(body, context, shard, block.time_ms)
        sender = PublicKey(body.sender)
        expected = chain.next_nonce(sender) + used[sender]
        if body.nonce != expected:
            raise Refused("bad_nonce", f"transaction {transaction.id.hex()} has nonce {body.nonce}, not {expected}")
        used[sender] += 1


def _check_bundles(block: ParsedBlock, chain: PendingChain, verify: CheckBundle) -> None:
    positions: dict[int, Position] = {}
    for each in block.bundles:
        head = each.bundle.head
        position = positions.get(head.source) or chain.position(ShardId(head.source))
        # What is said of a frozen stream has no effect, and others may not have frozen it yet.
        if not position.frozen and not fits(each.bundle, position):
            raise Refused(
                "bad_bundle_position",
                f"a bundle of shard {head.source} from {each.bundle.first} does not extend what is included, "
                f"{position.received} messages and {position.acknowledged} acknowledged",
            )
        verify(each.raw, each.bundle)
        positions[head.source] = after(each.bundle, position)


def after(bundle: Bundle, position: Position) -> Position:
    """Position once the bundle is included."""
    return Position(
        type(position.received)(max(position.received, bundle.first + len(bundle.bodies))),
        type(position.acknowledged)(max(position.acknowledged, bundle.head.ack_next)),
        frozen=position.frozen,
    )
