"""A shard whose whole committee is faulty: it certifies whatever a test tells it to."""

from collections.abc import Sequence
from hashlib import sha256

from msgspec.structs import replace

from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.identifiers import CallId, Hash, Height, Milliseconds, ShardId, TransactionId
from primitives.identifiers import Sequence as SequenceNumber
from primitives.merkle import tree_root
from primitives.mmr import EMPTY, append
from shards.bundles import Bundle, assemble_bundle
from shards.gas import MESSAGE_GAS, REPLY_GAS
from shards.lanes import unused_head
from shards.messages import Call, Reply, message_id_of
from shards.streams import head_leaf
from tests.shards.builders import TestChain, certify


def call_body(target: bytes, value: int, name: str = "call", **changes: object) -> bytes:
    """Encoded call of a made-up sender; `changes` replaces fields."""
    call = Call(
        call_id=CallId(sha256(name.encode()).digest()),
        trace_id=TransactionId(sha256(b"trace " + name.encode()).digest()),
        parent_call_id=b"",
        depth=0,
        sender=b"\x01" * 32,
        target=target,
        method="",
        arguments=b"",
        value=pack_amount(Amount(value)),
        gas=MESSAGE_GAS,
        reply_gas=REPLY_GAS,
        deadline_ms=Milliseconds(2**62),
    )
    return encode(replace(call, **changes))


def reply_body(call_id: bytes, returned: int, **changes: object) -> bytes:
    """Encoded reply to a call; `changes` replaces fields."""
    reply = Reply(
        call_id=CallId(call_id),
        outcome=0,
        result=b"",
        error_type="",
        error_text="",
        traceback="",
        returned=pack_amount(Amount(returned)),
        gas_used=0,
        reply_gas=REPLY_GAS,
    )
    return encode(replace(reply, **changes))


class CapturedShard:
    """A shard whose whole committee is faulty: it certifies whatever it is told to."""

    def __init__(self, chain: TestChain, shard: int) -> None:
        self.context = chain.context
        self.shard = ShardId(shard)
        self.template = chain.shards[shard].ledger.commitment
        self.height = 0

    def bundle(
        self,
        destination: int,
        bodies: Sequence[bytes],
        first: int = 0,
        *,
        height: int | None = None,
        begin: int = 0,
        ack_next: int = 0,
        value_sent: int = 0,
        value_received: int = 0,
    ) -> Bundle:
        """Certified bundle of `bodies[first:]` with a head that claims these counters; each at a new height."""
        peaks, nodes = EMPTY, {}
        for sequence, body in enumerate(bodies):
            leaf = message_id_of(
                self.context.chain_id,
                self.shard,
                ShardId(destination),
                SequenceNumber(sequence),
                body,
            )
            peaks, made = append(peaks, Hash(leaf))
            nodes.update({(node.level, node.index): node.hash for node in made})
        heads = [unused_head(self.shard, ShardId(peer)) for peer in range(self.context.shard_count)]
        heads[destination] = replace(
            heads[destination],
            begin=SequenceNumber(begin),
            end=SequenceNumber(len(bodies)),
            mmr_root=peaks.root(),
            ack_next=SequenceNumber(ack_next),
            value_sent=pack_amount(Amount(value_sent)),
            value_received=pack_amount(Amount(value_received)),
        )
        self.height = self.height + 1 if height is None else height
        commitment = replace(
            self.template,
            height=Height(self.height),
            outbox_root=tree_root([head_leaf(self.context.chain_id, head) for head in heads]),
        )
        return assemble_bundle(
            certify(commitment, self.context),
            heads,
            ShardId(destination),
            SequenceNumber(first),
            bodies[first:],
            lambda level, index: nodes.get((level, index)),
        )
