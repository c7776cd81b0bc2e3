"""Everything validators say to each other, as frozen records with one canonical encoding.

A *statement* is what a signature is over: `Notarize(P)`, `Nullify(epoch, view)` or `Finalize(P)`. A *vote* is a
statement with one signature, a *certificate* is the same statement with a quorum of them. The signed bytes are the
domain tag of the kind followed by the canonical encoding of (chain id, shard, epoch, view, ...), so that a signature
means nothing on another chain, in another shard, epoch or view, or as another kind of vote.

The leader's own notarize vote *is* the proposal; the justification and the block travel beside it.
"""

from typing import Annotated, ClassVar, Final, cast

from msgspec import Meta

from consensus.block import MAX_BLOCK_BYTES, BlockHeader
from consensus.committee import Committee
from consensus.quorum import QuorumSignatures
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, Tag, tagged_hash
from primitives.identifiers import (
    BlockIdField,
    EpochField,
    Hash,
    HashField,
    HeightField,
    SignatureField,
    ValidatorIndexField,
    View,
    ViewField,
)

MAX_GAP_NULLIFICATIONS = 64
"""In a justification. 64 skipped views are minutes at the longest timeout; what is older is fetched."""

MAX_CERTIFICATES = 64
"""In one answer: 32 views of which each may be both notarized and nullified."""

MAX_VIEWS_ASKED = MAX_CERTIFICATES // 2
"""Views in one request: every certificate there can be of them fits one answer."""

MAX_ARCHIVE_BLOCKS = 256
"""In one chunk: a joining validator asks a few hundred times an hour of history, and each answer stays short."""

ARCHIVE_CHUNK_BYTES = 1024 * 1024
"""A chunk ends with the block that reaches this, so one chunk is never more than this and one block."""

MAX_ARCHIVE_LINKS = 4096
"""Headers from a chunk's last block to the next directly finalized one: longer stalls of finality than that do not
happen while blocks are still being notarized, and 4096 headers are 0.9 MB."""

_VOTE_BYTES = 256
_CERTIFICATE_BYTES = 2560
"""32 signatures of 66 bytes, a bitmap and a statement of at most 110 bytes."""
_REQUEST_BYTES = 64
_PROPOSED_BYTES = MAX_BLOCK_BYTES + (MAX_GAP_NULLIFICATIONS + 1) * _CERTIFICATE_BYTES + _VOTE_BYTES + 64
_ARCHIVE_BYTES = ARCHIVE_CHUNK_BYTES + MAX_BLOCK_BYTES + MAX_ARCHIVE_BLOCKS * 8 + MAX_ARCHIVE_LINKS * 256 + 4096

MAX_MESSAGE_BYTES: Final = max(_PROPOSED_BYTES, _ARCHIVE_BYTES)
"""The largest message there is; a transport may refuse longer frames unread."""


class Proposal(Record):
    """What is voted on: this block, in this view, on the block of the parent view, justified by these certificates."""

    epoch: EpochField
    view: ViewField
    parent_view: ViewField
    block_id: BlockIdField
    justification_hash: HashField


class Notarize(Record, tag=1):
    """I saw this proposal first in its view, its ancestry is justified and its block is valid."""

    kind: ClassVar[int] = 1
    domain: ClassVar[Tag] = Domain.NOTARIZE
    proposal: Proposal

    @property
    def epoch(self) -> int:
        """Epoch voted in."""
        return self.proposal.epoch

    @property
    def view(self) -> View:
        """View voted in."""
        return self.proposal.view


class Nullify(Record, tag=2):
    """I give this view up and shall not finalize anything in it."""

    kind: ClassVar[int] = 2
    domain: ClassVar[Tag] = Domain.NULLIFY
    epoch: EpochField
    view: ViewField


class Finalize(Record, tag=3):
    """I hold this proposal's notarization and block, and never nullified its view."""

    kind: ClassVar[int] = 3
    domain: ClassVar[Tag] = Domain.FINALIZE
    proposal: Proposal

    @property
    def epoch(self) -> int:
        """Epoch voted in."""
        return self.proposal.epoch

    @property
    def view(self) -> View:
        """View voted in."""
        return self.proposal.view


Statement = Notarize | Nullify | Finalize


class Vote(Record, tag=4):
    """One validator's signature over a statement."""

    statement: Statement
    signer: ValidatorIndexField
    signature: SignatureField


class Certificate(Record, tag=5):
    """A quorum's signatures over a statement: a notarization, a nullification or a finalization."""

    statement: Statement
    quorum: QuorumSignatures


class Justification(Record):
    """Why a proposal may stand on its parent: the parent is certified and every view between was given up.

    `nullifications` are those of views max(parent_view + 1, view - 64) to view - 1, in this order. `parent` is a
    notarization or a finalization, None when the parent is the genesis (view 0).
    """

    parent: Certificate | None
    nullifications: Annotated[tuple[Certificate, ...], Meta(max_length=MAX_GAP_NULLIFICATIONS)]


class Proposed(Record, tag=6):
    """The leader's proposal: its notarize vote, with the justification and the block that the vote names."""

    vote: Vote
    justification: Justification
    block: Annotated[bytes, Meta(max_length=MAX_BLOCK_BYTES)]


class BlockRequest(Record, tag=7):
    """Send me this block."""

    block_id: BlockIdField


class BlockAnswer(Record, tag=8):
    """A block that was asked for."""

    block: Annotated[bytes, Meta(max_length=MAX_BLOCK_BYTES)]


class ViewsRequest(Record, tag=9):
    """Send me what closed the views `first` to `last` (at most 32): notarizations and nullifications."""

    first: ViewField
    last: ViewField


class TipRequest(Record, tag=10):
    """I am in `view` and know `finalized` to be final: send me whatever takes me further."""

    view: ViewField
    finalized: ViewField


class Certificates(Record, tag=11):
    """The answer to a `ViewsRequest` or a `TipRequest`, and help for a peer that is seen to be behind."""

    certificates: Annotated[tuple[Certificate, ...], Meta(min_length=1, max_length=MAX_CERTIFICATES)]


class ArchiveRequest(Record, tag=12):
    """Send me finalized blocks from this height on."""

    first: HeightField


class ArchiveAnswer(Record, tag=13):
    """Finalized blocks in height order, with proof that the last is final.

    `links` are the headers after the last block up to the directly finalized one that `finality` certifies
    (none when the last block is that one): hash links make everything before it final.
    """

    blocks: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_BLOCK_BYTES)], ...],
        Meta(min_length=1, max_length=MAX_ARCHIVE_BLOCKS),
    ]
    links: Annotated[tuple[BlockHeader, ...], Meta(max_length=MAX_ARCHIVE_LINKS)]
    finality: Certificate


Request = BlockRequest | ViewsRequest | TipRequest | ArchiveRequest
Message = Vote | Certificate | Proposed | Request | BlockAnswer | Certificates | ArchiveAnswer

_CAPS: Final = {
    4: _VOTE_BYTES,
    5: _CERTIFICATE_BYTES,
    6: _PROPOSED_BYTES,
    7: _REQUEST_BYTES,
    8: MAX_BLOCK_BYTES + 16,
    9: _REQUEST_BYTES,
    10: _REQUEST_BYTES,
    11: MAX_CERTIFICATES * _CERTIFICATE_BYTES + 16,
    12: _REQUEST_BYTES,
    13: _ARCHIVE_BYTES,
}
"""Tag of a message -> bytes it may have; looked up before anything is parsed."""

_decoder: Decoder[Message] = Decoder(cast("type[Message]", Message), max_bytes=MAX_MESSAGE_BYTES, name="message")
_certificate_decoder = Decoder(Certificate, max_bytes=_CERTIFICATE_BYTES, name="certificate")
_vote_decoder = Decoder(Vote, max_bytes=_VOTE_BYTES, name="vote")
_justification_decoder = Decoder(
    Justification, max_bytes=(MAX_GAP_NULLIFICATIONS + 1) * _CERTIFICATE_BYTES, name="justification"
)


def decode_message(raw: bytes) -> Message:
    """Decode what a peer sent; each kind has its own size limit, checked before anything is parsed.

    Raises:
        Refused: `unknown_message`, `too_large`, `malformed` or `not_canonical`.

    """
    # A message is an array of at most 15 whose first element, its tag, is below 128: one byte each.
    is_short_array = len(raw) > 1 and 0x91 <= raw[0] <= 0x9F
    limit = _CAPS.get(raw[1]) if is_short_array else None
    if limit is None:
        raise Refused("unknown_message", f"{len(raw)} bytes that begin with {raw[:2].hex()} are no consensus message")
    if len(raw) > limit:
        raise Refused("too_large", f"a message of kind {raw[1]} has {len(raw)} bytes, limit {limit}")
    return _decoder.decode(raw)


def decode_certificate(raw: bytes) -> Certificate:
    """Decode a stored certificate; raises `Refused` like `decode_message`."""
    return _certificate_decoder.decode(raw)


def decode_vote(raw: bytes) -> Vote:
    """Decode a stored vote; raises `Refused` like `decode_message`."""
    return _vote_decoder.decode(raw)


def decode_justification(raw: bytes) -> Justification:
    """Decode a stored justification; raises `Refused` like `decode_message`."""
    return _justification_decoder.decode(raw)


def signed_bytes(statement: Statement, committee: Committee) -> bytes:
    """Return what a vote for `statement` signs: domain tag, then (chain id, shard, epoch, view, ...)."""
    chain_id, shard = committee.chain_id, committee.shard
    if isinstance(statement, Nullify):
        return statement.domain + encode((chain_id, shard, statement.epoch, statement.view))
    p = statement.proposal
    fields = (chain_id, shard, p.epoch, p.view, p.parent_view, p.block_id, p.justification_hash)
    return statement.domain + encode(fields)


def justification_hash(justification: Justification) -> Hash:
    """Name of a justification, covered by every vote for its proposal."""
    return tagged_hash(Domain.JUSTIFICATION, encode(justification))


def certified_proposal(certificate: Certificate) -> Proposal:
    """Return the proposal a notarization or finalization is for.

    Raises:
        Refused: `bad_certificate` for a nullification, which is for no proposal.

    """
    if isinstance(certificate.statement, Nullify):
        raise Refused("bad_certificate", "a nullification stands where a notarization or finalization must")
    return certificate.statement.proposal


def votes_of(certificate: Certificate) -> list[Vote]:
    """Take a certificate apart into the votes it is made of."""
    quorum = certificate.quorum
    return [
        Vote(statement=certificate.statement, signer=signer, signature=signature)
        for signer, signature in zip(quorum.indices(), quorum.signatures, strict=True)
    ]
