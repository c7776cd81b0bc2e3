"""The chain beyond execution: what finalized and notarized blocks that are not executed yet will have done.

Nonces and stream positions follow from the content of blocks alone (an included transaction always consumes its
nonce, an included bundle is always consumed), so a block can be checked before its ancestors are executed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from consensus.block import Block
from primitives.errors import Refused
from primitives.identifiers import BlockId, Height, Milliseconds, Nonce, PublicKey, ShardId
from primitives.identifiers import Sequence as StreamSequence
from shards.bundles import bundle_gas, decode_bundle
from shards.gas import gas_at_home
from shards.items import ItemKind, unpack_item
from shards.lanes import room
from shards.ledger import Ledger
from shards.limits import STREAM_WINDOW
from shards.transactions import SignedTransaction, destination_of
from shards.validator.inbox import Position, WaitingBundle


def destinations(transaction: SignedTransaction) -> tuple[ShardId, ...]:
    """Shards that a transaction sends requests to, one for each request."""
    wanted = (destination_of(operation) for operation in transaction.body.operations)
    return tuple(destination for destination in wanted if destination is not None)


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """A block whose items are well-formed; nothing about them is verified."""

    id: BlockId
    height: Height
    time_ms: Milliseconds
    block: Block
    transactions: tuple[SignedTransaction, ...]
    bundles: tuple[WaitingBundle, ...]
    gas: int


def parse_block(block_id: BlockId, block: Block, parse: Callable[[bytes], SignedTransaction]) -> ParsedBlock:
    """Decode every item.

    Raises:
        Refused: `bad_item` or what parsing a transaction or bundle raises.

    """
    transactions: list[SignedTransaction] = []
    bundles: list[WaitingBundle] = []
    for item in block.items:
        kind, raw = unpack_item(item)
        if kind is ItemKind.TRANSACTION:
            transactions.append(parse(raw))
        elif kind is ItemKind.BUNDLE:
            bundle = decode_bundle(raw)
            bundles.append(WaitingBundle(raw, bundle, bundle_gas(bundle)))
        else:
            raise Refused(
                "bad_item", f"items of kind {kind.name.lower()} have no meaning while validator sets are static"
            )
    gas = sum(gas_at_home(transaction.body) for transaction in transactions) + sum(each.gas for each in bundles)
    header = block.header
    return ParsedBlock(
        block_id, Height(header.height), Milliseconds(header.time_ms), block, tuple(transactions), tuple(bundles), gas
    )


class PendingChain:
    """The ledger's executed state continued by blocks that follow it without a gap."""

    def __init__(self, ledger: Ledger, blocks: Sequence[ParsedBlock]) -> None:
        self._ledger = ledger
        self.blocks = tuple(blocks)

    @property
    def height(self) -> Height:
        """Height of its last block."""
        return self.blocks[-1].height if self.blocks else self._ledger.height

    @cached_property
    def _nonces_used(self) -> Counter[PublicKey]:
        return Counter(
            PublicKey(transaction.body.sender) for block in self.blocks for transaction in block.transactions
        )

    @cached_property
    def _requests(self) -> Counter[ShardId]:
        return Counter(
            destination
            for block in self.blocks
            for transaction in block.transactions
            for destination in destinations(transaction)
        )

    def next_nonce(self, sender: PublicKey) -> Nonce:
        """Nonce that the sender's next transaction on this chain must have."""
        return Nonce(self._ledger.account(sender).nonce + self._nonces_used[sender])

    def position(self, source: ShardId) -> Position:
        """How far this chain has come with the stream from `source`."""
        lane = self._ledger.lane(source)
        received, acknowledged = lane.recv_next, lane.begin
        for block in self.blocks:
            for each in block.bundles:
                if each.bundle.head.source == source:
                    received = max(received, StreamSequence(each.end))
                    acknowledged = max(acknowledged, each.bundle.head.ack_next)
        return Position(received, acknowledged, frozen=lane.frozen)

    def room(self, destination: ShardId) -> int:
        """How many more requests the stream to a shard takes, after those that the blocks will send.

        A frozen stream takes any number: each of them fails at once.
        """
        lane = self._ledger.lane(destination)
        return STREAM_WINDOW if lane.frozen else room(lane) - self._requests[destination]
