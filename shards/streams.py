"""Streams: one per ordered pair of shards, in both shards' replicated state.

The source appends messages and commits to each stream with one `StreamHead`; the heads are the leaves of the
outbox tree. The destination keeps how far it has consumed. Exactly-once is that one counter.
"""

from typing import Annotated

from msgspec import Meta

from primitives.amounts import AmountField
from primitives.codec import Record, encode
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import ChainId, Hash, HashField, SequenceField, ShardIdField

PeaksField = Annotated[tuple[HashField, ...], Meta(max_length=63)]


class StreamHead(Record):
    """A shard's commitment to its stream towards one destination. Counters only grow.

    `begin` is the first message not acknowledged, `end` one past the last sent; `ack_next` is how many messages
    of the reverse stream this shard has consumed. Values are base units over all time, gas and replies included.
    """

    source: ShardIdField
    destination: ShardIdField
    begin: SequenceField
    end: SequenceField
    mmr_root: HashField
    ack_next: SequenceField
    value_sent: AmountField
    value_received: AmountField


def head_leaf(chain_id: ChainId, head: StreamHead) -> Hash:
    """Outbox leaf of a stream. A stream that was never used has a constant head, so absence is provable."""
    return tagged_hash(Domain.STREAM_HEAD, chain_id, encode(head))
