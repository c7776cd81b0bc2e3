"""Committees, blocks, votes and certificates, correctly made, for tests to send or to spoil."""

from collections.abc import Sequence
from hashlib import sha256

from consensus.block import Block, BlockHeader, items_root
from consensus.committee import Committee, Validator, ValidatorSet
from consensus.messages import (
    Certificate,
    Justification,
    Notarize,
    Proposal,
    Proposed,
    Statement,
    Vote,
    justification_hash,
    signed_bytes,
)
from consensus.quorum import QuorumSignatures
from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.identifiers import (
    BlockId,
    ChainId,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    PublicKey,
    SecretSeed,
    ShardId,
    Signature,
    ValidatorIndex,
    View,
)
from primitives.signatures import SignatureScheme

GENESIS = BlockId(sha256(b"genesis").digest())
GENESIS_MS = Milliseconds(1_700_000_000_000)
CHAIN = ChainId(sha256(b"chain").digest())


class CheapScheme:
    """Signatures that anyone could forge, and that bind key and message as real ones do."""

    def __init__(self) -> None:
        self.verified = 0

    def public_key(self, seed: SecretSeed) -> PublicKey:
        return PublicKey(sha256(b"key" + seed).digest())

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        return self.of(self.public_key(seed), message)

    def verify_many(self, items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
        self.verified += len(items)
        return [self.of(key, message) == signature for key, message, signature in items]

    @staticmethod
    def of(key: PublicKey, message: bytes) -> Signature:
        return Signature(sha256(key + message).digest() * 2)


def seed_of(index: int) -> SecretSeed:
    return SecretSeed(bytes([index]) * 32)


def make_committee(
    n: int, scheme: SignatureScheme, *, shard: int = 1, epoch: int = 0, chain: ChainId = CHAIN
) -> Committee:
    validators = tuple(Validator(scheme.public_key(seed_of(i)), b"", pack_amount(Amount(1))) for i in range(n))
    return Committee(chain, ValidatorSet(ShardId(shard), Epoch(epoch), validators))


def make_block(
    committee: Committee, parent: BlockId, height: int, time_ms: int, items: tuple[bytes, ...] = ()
) -> Block:
    header = BlockHeader(
        version=1,
        chain_id=committee.chain_id,
        shard=committee.shard,
        epoch=committee.epoch,
        height=Height(height),
        parent=parent,
        time_ms=Milliseconds(time_ms),
        anchor_hash=Hash(sha256(b"").digest()),
        item_count=len(items),
        items_root=items_root(items),
    )
    return Block(header, b"", items)


def make_vote(committee: Committee, statement: Statement, signer: int) -> Vote:
    signature = CheapScheme().sign(seed_of(signer), signed_bytes(statement, committee))
    return Vote(statement, ValidatorIndex(signer), signature)


def make_certificate(committee: Committee, statement: Statement, signers: list[int]) -> Certificate:
    """Correctly signed by these signers, however many."""
    bits = sum(1 << signer for signer in signers)
    votes = [make_vote(committee, statement, signer) for signer in signers]
    size = (committee.size + 7) // 8
    return Certificate(statement, QuorumSignatures(bits.to_bytes(size, "little"), tuple(v.signature for v in votes)))


def make_proposed(
    committee: Committee,
    view: int,
    block: Block,
    block_id: BlockId,
    parent_view: int,
    justification: Justification,
    *,
    signer: int | None = None,
) -> Proposed:
    """What the leader of a view sends, or whoever pretends to be."""
    proposal = Proposal(committee.epoch, View(view), View(parent_view), block_id, justification_hash(justification))
    by = committee.leader(View(view)) if signer is None else signer
    return Proposed(make_vote(committee, Notarize(proposal), by), justification, encode(block))
