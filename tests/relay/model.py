"""A model of shards without consensus or execution: streams, certificates and bundles are real, blocks are not.

A shard makes a block when it has something to put into one; what it consumes must be the next message, as sent.
Every message that begins with b"call" is answered in the reverse stream.
"""

from collections import defaultdict
from collections.abc import Sequence as SequenceType
from hashlib import sha512

from consensus.committee import Validator, ValidatorSet
from consensus.quorum import assemble_quorum
from contracts.runtime.identity import installed_identity
from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import (
    ZERO_HASH,
    BlockId,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    PublicKey,
    SecretSeed,
    Sequence,
    ShardId,
    Signature,
    ValidatorIndex,
)
from primitives.merkle import tree_root
from primitives.mmr import EMPTY, Peaks, append
from primitives.signatures import SignatureScheme
from shards.bundles import Bundle, assemble_bundle, decode_bundle, verify_bundle
from shards.commitments import Commitment, CommitmentCertificate, Supply, signing_bytes
from shards.genesis import ChainContext, Genesis, GenesisShard
from shards.limits import MAX_BUNDLE_MESSAGES
from shards.messages import message_id_of
from shards.streams import StreamHead, head_leaf

ZERO = pack_amount(Amount(0))
SUPPLY = Supply(*[ZERO] * 8)


Items = SequenceType[tuple[PublicKey, bytes, Signature]]


class CheapScheme:
    """Signatures that anybody could forge, and nobody in these tests does."""

    verified = 0

    def public_key(self, seed: SecretSeed) -> PublicKey:
        return PublicKey(seed)

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        return Signature(sha512(seed + message).digest())

    def verify_many(self, items: Items) -> list[bool]:
        self.verified += len(items)
        return [sha512(key + message).digest() == signature for key, message, signature in items]


def seed_of(shard: int, index: int) -> SecretSeed:
    return SecretSeed(bytes((7, shard, index)) + bytes(29))


def make_context(shards: int, validators: int, scheme: SignatureScheme) -> ChainContext:
    members = [
        tuple(Validator(scheme.public_key(seed_of(shard, index)), b"", ZERO) for index in range(validators))
        for shard in range(shards)
    ]
    return ChainContext(
        Genesis(
            version=1,
            name="model",
            development=True,
            time_ms=Milliseconds(0),
            machine=installed_identity(),
            shards=tuple(
                GenesisShard(ValidatorSet(ShardId(shard), Epoch(0), validators), ())
                for shard, validators in enumerate(members)
            ),
        )
    )


class ModelStream:
    """One shard's side of both streams with a peer."""

    def __init__(self) -> None:
        self.begin = 0
        self.bodies: list[bytes] = []
        self.peaks: Peaks = EMPTY
        self.nodes: dict[tuple[int, int], Hash] = {}
        self.received: list[bytes] = []


class ModelShard:
    """A shard that consumes what is delivered in order and certifies every block at once."""

    def __init__(self, context: ChainContext, shard: int, scheme: SignatureScheme) -> None:
        self.context = context
        self.shard = ShardId(shard)
        self.scheme = scheme
        self.streams: defaultdict[int, ModelStream] = defaultdict(ModelStream)
        self.height = 0
        self.news: tuple[CommitmentCertificate | None, tuple[StreamHead, ...]] = (None, ())
        self.pool: list[Bundle] = []
        self.dirty = False
        self.halted = False

    def send(self, peer: int, body: bytes) -> None:
        stream = self.streams[peer]
        leaf = message_id_of(self.context.chain_id, self.shard, ShardId(peer), Sequence(len(stream.bodies)), body)
        stream.peaks, made = append(stream.peaks, Hash(leaf))
        stream.nodes.update({(node.level, node.index): node.hash for node in made})
        stream.bodies.append(body)
        self.dirty = True

    def head(self, peer: int) -> StreamHead:
        stream = self.streams[peer]
        return StreamHead(
            self.shard,
            ShardId(peer),
            Sequence(stream.begin),
            Sequence(len(stream.bodies)),
            stream.peaks.root(),
            Sequence(len(stream.received)),
            ZERO,
            ZERO,
        )

    def block(self) -> bool:
        """Make and certify a block; false when there is nothing to do."""
        if self.halted or not (self.dirty or self.pool):
            return False
        pool, self.pool, self.dirty = sorted(self.pool, key=lambda each: each.first), [], False
        for bundle in pool:
            self._consume(bundle)
        self.certify()
        return True

    def _consume(self, bundle: Bundle) -> None:
        source = bundle.head.source
        stream = self.streams[source]
        if bundle.first > len(stream.received):
            return  # a gap: dropped, as a leader would leave it out
        for sequence, body in enumerate(bundle.bodies, start=bundle.first):
            if sequence == len(stream.received):
                stream.received.append(body)
                if body.startswith(b"call"):
                    self.send(source, b"reply to " + body)
        stream.begin = max(stream.begin, bundle.head.ack_next)

    def certify(self) -> None:
        self.height += 1
        heads = tuple(self.head(peer) for peer in range(self.context.shard_count))
        leaves = [head_leaf(self.context.chain_id, head) for head in heads]
        self.news = (sign(self.context, self.shard, self.height, tree_root(leaves), self.scheme), heads)

    def bundle(self, destination: int, first: int, limit: int = MAX_BUNDLE_MESSAGES) -> bytes | None:
        """What an honest validator answers to a fetch."""
        certificate, heads = self.news
        if certificate is None or first > heads[destination].end:
            return None
        stream = self.streams[destination]
        bodies = stream.bodies[first : min(heads[destination].end, first + limit)]
        read = stream.nodes
        return encode(
            assemble_bundle(certificate, heads, ShardId(destination), Sequence(first), bodies, lambda *at: read.get(at))
        )

    def deliver(self, raw: bytes) -> tuple[str, str]:
        """What an honest validator answers to a delivery: (status, code)."""
        try:
            bundle = decode_bundle(raw)
            verify_bundle(bundle, self.context, self.shard, self.scheme)
        except Refused as error:
            return "refused", error.code
        stream = self.streams[bundle.head.source]
        old = bundle.first + len(bundle.bodies) <= len(stream.received) and bundle.head.ack_next <= stream.begin
        if old or bundle in self.pool:
            return "known", ""
        self.pool.append(bundle)
        return "accepted", ""


def sign(
    context: ChainContext,
    shard: int,
    height: int,
    outbox_root: Hash,
    scheme: SignatureScheme,
    signers: int | None = None,
) -> CommitmentCertificate:
    """Certificate of a commitment to this outbox root; `signers` fewer than a quorum forge one."""
    committee = context.committees[shard]
    commitment = Commitment(
        version=1,
        chain_id=context.chain_id,
        shard=ShardId(shard),
        epoch=Epoch(0),
        height=Height(height),
        block_id=BlockId(ZERO_HASH),
        time_ms=Milliseconds(height),
        state_root=ZERO_HASH,
        receipt_count=0,
        receipts_root=ZERO_HASH,
        outbox_root=outbox_root,
        history_root=ZERO_HASH,
        validator_set_hash=committee.hash,
        next_validator_set_hash=committee.hash,
        supply=SUPPLY,
    )
    honest = committee.quorum if signers is None else signers
    votes = {
        ValidatorIndex(index): scheme.sign(
            seed_of(shard, index) if index < honest else SecretSeed(bytes(32)), signing_bytes(commitment)
        )
        for index in range(committee.quorum)
    }
    return CommitmentCertificate(commitment, assemble_quorum(votes, committee))
