"""Building a block: the highest certificate held, then bundles, then transactions, within the block's room."""

from collections import Counter
from hashlib import sha256

from consensus.block import Block, BlockHeader, items_root
from consensus.effects import BuildBlock
from primitives.codec import encode
from primitives.identifiers import Height, Milliseconds, PublicKey, ShardId
from primitives.marks import sometimes
from shards.commitments import CommitmentCertificate
from shards.gas import gas_at_home
from shards.genesis import ChainContext
from shards.items import ItemKind, pack_item
from shards.limits import ANCHOR_LAG, BLOCK_GAS, LOCAL_GAS
from shards.mempool import Mempool
from shards.transactions import SignedTransaction
from shards.validator.checks import after, anchor_height
from shards.validator.inbox import Inbox, WaitingBundle
from shards.validator.pending import PendingChain, destinations

MAX_PAYLOAD_BYTES = 1024 * 1024
"""Half of what a block may be: a leader of ours leaves room and keeps its proposal quick to send."""

MAX_BLOCK_TRANSACTIONS = 2000
"""What fits into the block's gas anyway; bounds the work of choosing."""

STREAM_RESERVE = MAX_BLOCK_TRANSACTIONS
"""Room that a stream must have for transactions to be chosen for it: that of a whole block with a request in each.
Transactions with several requests are left out where they would meet a full window."""


TRANSACTIONS_FIRST = 4
"""Every so many blocks the transactions of this shard are chosen before what others sent."""


def full_streams(chain: PendingChain, context: ChainContext, shard: ShardId) -> frozenset[ShardId]:
    """Destinations that transactions must wait for: their stream has no room for another block's requests."""
    return frozenset(
        ShardId(other)
        for other in range(context.shard_count)
        if other != shard and chain.room(ShardId(other)) < STREAM_RESERVE
    )


def choose_items(
    chain: PendingChain, context: ChainContext, shard: ShardId, inbox: Inbox, mempool: Mempool, time_ms: int
) -> tuple[bytes, ...]:
    """Items for a block on `chain`: what other shards sent first, because it was waiting longer, then transactions.

    One bundle may fill a block with its calls' gas. So sources take turns at being first, and in every
    `TRANSACTIONS_FIRST`-th block the transactions are: nobody's traffic keeps anybody else's out for ever.
    """
    gas, room = BLOCK_GAS - LOCAL_GAS, MAX_PAYLOAD_BYTES
    height = chain.height + 1
    transactions: list[SignedTransaction] = []
    bundles: list[WaitingBundle] = []

    def take_transactions() -> None:
        chosen = mempool.select(
            max_gas=gas,
            max_bytes=room,
            max_items=MAX_BLOCK_TRANSACTIONS,
            time_ms=time_ms,
            next_nonce=chain.next_nonce,
            blocked=full_streams(chain, context, shard),
        )
        transactions.extend(within_windows(chosen, chain))

    transactions_first = height % TRANSACTIONS_FIRST == 0
    if transactions_first:
        take_transactions()
        gas -= sum(gas_at_home(transaction.body) for transaction in transactions)
        room -= sum(len(transaction.raw) for transaction in transactions)
    sources = inbox.sources()
    turn = (height - height // TRANSACTIONS_FIRST) % max(len(sources), 1)  # by blocks in which a source is first
    for source in sources[turn:] + sources[:turn]:
        position = chain.position(source)
        while (each := inbox.next_for(source, position, gas, room)) is not None:
            bundles.append(each)
            gas, room = gas - each.gas, room - len(each.raw)
            position = after(each.bundle, position)
    if not transactions_first:
        take_transactions()
    items = [pack_item(ItemKind.BUNDLE, each.raw) for each in bundles]
    items += [pack_item(ItemKind.TRANSACTION, transaction.raw) for transaction in transactions]
    return tuple(items)


def within_windows(chosen: list[SignedTransaction], chain: PendingChain) -> list[SignedTransaction]:
    """Leave out what would meet a full stream, and what follows it of the same sender."""
    kept: list[SignedTransaction] = []
    room: dict[ShardId, int] = {}
    stopped: set[PublicKey] = set()
    for transaction in chosen:
        sender = transaction.body.sender
        wanted = Counter(destinations(transaction))
        for destination in wanted:
            room.setdefault(destination, chain.room(destination))
        if sender in stopped or any(count > room[destination] for destination, count in wanted.items()):
            sometimes("a transaction left out because its stream is full")
            stopped.add(sender)
            continue
        for destination, count in wanted.items():
            room[destination] -= count
        kept.append(transaction)
    return kept


def may_have_items(height: int, anchor: CommitmentCertificate | None) -> bool:
    """Whether a block of this height with this anchor may carry anything."""
    return height - anchor_height(anchor) <= ANCHOR_LAG


def assemble_block(
    request: BuildBlock,
    context: ChainContext,
    shard: ShardId,
    anchor: CommitmentCertificate | None,
    items: tuple[bytes, ...],
    time_ms: Milliseconds,
) -> Block:
    """A block on the requested parent."""
    raw_anchor = b"" if anchor is None else encode(anchor)
    header = BlockHeader(
        version=1,
        chain_id=context.chain_id,
        shard=shard,
        epoch=context.committee(shard).epoch,
        height=Height(request.parent_height + 1),
        parent=request.parent_id,
        time_ms=time_ms,
        anchor_hash=sha256(raw_anchor).digest(),  # type: ignore[arg-type]  # a plain digest is a Hash
        item_count=len(items),
        items_root=items_root(items),
    )
    return Block(header, raw_anchor, items)
