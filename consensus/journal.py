"""What a replica writes down before anything leaves it, and how it finds itself again after a crash.

Tables (keys in parentheses):

- `consensus.votes` (view, kind): own votes, resent but never signed anew.
- `consensus.justifications` (view): the justification of an own proposal, so that it can be sent again.
- `consensus.certificates` (view, kind): certificates of views that are not long finalized.
- `consensus.pending` (block id): blocks that we voted for or that are notarized, and not finalized yet.
- `consensus.blocks` (height), `consensus.finality` (height), `consensus.heights` (block id): see `archive`.
- `consensus.meta`: `genesis` marks a journal that was made with its chain, `signing_from` (view) one that was lost
  and has since earned the right to sign again. A journal with neither is a wiped one and signs nothing.

All writes of one `Replica.handle` are one `Persist`, so a vote, its block and what follows from them are one commit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.archive import BLOCKS, FINALITY, HEIGHTS
from consensus.block import Block, block_id_of, decode_block
from consensus.messages import (
    Certificate,
    Justification,
    Vote,
    decode_certificate,
    decode_justification,
    decode_vote,
)
from primitives.codec import encode
from primitives.identifiers import BlockId, Height, Milliseconds, View
from primitives.storage import Reader, Write, integer_key

VOTES = "consensus.votes"
JUSTIFICATIONS = "consensus.justifications"
CERTIFICATES = "consensus.certificates"
PENDING = "consensus.pending"
META = "consensus.meta"

_GENESIS = b"genesis"
_SIGNING_FROM = b"signing_from"


@dataclass(frozen=True, slots=True)
class Tip:
    """The last block that is finalized, stored and handed to the application."""

    height: Height
    block_id: BlockId
    time_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the journal says about the time before this start."""

    tip: Tip | None
    """None when nothing is finalized yet: the tip is the genesis."""
    finality: Certificate | None
    """The newest finalization known; its block may be missing still."""
    certificates: tuple[Certificate, ...]
    votes: tuple[Vote, ...]
    justifications: tuple[tuple[View, Justification], ...]
    pending: tuple[tuple[BlockId, Block, bytes], ...]
    signing_from: View | None
    """First view this validator may sign in; None when its journal was lost and it may sign nothing yet."""


def genesis_writes() -> tuple[Write, ...]:
    """Mark a new journal as made together with its chain; the launcher writes this once, with the data folder."""
    return (Write(META, _GENESIS, b"1"),)


def recover(reader: Reader) -> Recovered:
    """Rebuild what every durable `Persist` wrote. An empty store gives a replica that may sign nothing."""
    finality = _last(reader, FINALITY)
    certificates = tuple(decode_certificate(raw) for _, raw in reader.scan(CERTIFICATES))
    newest = decode_certificate(finality) if finality is not None else None
    return Recovered(
        tip=_recover_tip(reader),
        finality=newest,
        certificates=certificates,
        votes=tuple(decode_vote(raw) for _, raw in reader.scan(VOTES)),
        justifications=tuple(
            (View(int.from_bytes(key, "big")), decode_justification(raw)) for key, raw in reader.scan(JUSTIFICATIONS)
        ),
        pending=tuple(_recover_pending(reader)),
        signing_from=_recover_signing(reader),
    )


def vote_write(vote: Vote) -> Write:
    """Record an own vote."""
    return Write(VOTES, _vote_key(vote.statement.view, vote.statement.kind), encode(vote))


def justification_write(view: View, justification: Justification) -> Write:
    """Record the justification of an own proposal."""
    return Write(JUSTIFICATIONS, integer_key(view), encode(justification))


def certificate_write(certificate: Certificate) -> Write:
    """Record a certificate."""
    statement = certificate.statement
    return Write(CERTIFICATES, _vote_key(statement.view, statement.kind), encode(certificate))


def pending_write(block_id: BlockId, raw: bytes) -> Write:
    """Record a block that is not finalized yet."""
    return Write(PENDING, block_id, raw)


def pending_delete(block_id: BlockId) -> Write:
    """Forget a block that is finalized, or can never be."""
    return Write(PENDING, block_id, None)


def signing_write(view: View) -> Write:
    """Record that a validator whose journal was lost may sign from this view on."""
    return Write(META, _SIGNING_FROM, integer_key(view))


def finalized_writes(height: Height, block_id: BlockId, raw: bytes) -> tuple[Write, ...]:
    """Move a block into the archive."""
    return (
        Write(BLOCKS, integer_key(height), raw),
        Write(HEIGHTS, block_id, integer_key(height)),
    )


def finality_write(height: Height, finalization: Certificate) -> Write:
    """Record the finalization of the block at `height`."""
    return Write(FINALITY, integer_key(height), encode(finalization))


def view_deletes(view: View, votes: Iterator[int], certificates: Iterator[int], *, proposed: bool) -> Iterator[Write]:
    """Forget the journal records of a view, given the kinds of votes and certificates recorded."""
    for kind in votes:
        yield Write(VOTES, _vote_key(view, kind), None)
    for kind in certificates:
        yield Write(CERTIFICATES, _vote_key(view, kind), None)
    if proposed:
        yield Write(JUSTIFICATIONS, integer_key(view), None)


def _vote_key(view: int, kind: int) -> bytes:
    return integer_key(view) + bytes([kind])


def _last(reader: Reader, table: str) -> bytes | None:
    return next((value for _, value in reader.scan(table, reverse=True)), None)


def _recover_tip(reader: Reader) -> Tip | None:
    raw = _last(reader, BLOCKS)
    if raw is None:
        return None
    header = decode_block(raw).header
    return Tip(header.height, block_id_of(header), header.time_ms)


def _recover_pending(reader: Reader) -> Iterator[tuple[BlockId, Block, bytes]]:
    for key, raw in reader.scan(PENDING):
        yield BlockId(key), decode_block(raw), raw


def _recover_signing(reader: Reader) -> View | None:
    if reader.get(META, _GENESIS) is not None:
        return View(1)
    earned = reader.get(META, _SIGNING_FROM)
    return View(int.from_bytes(earned, "big")) if earned is not None else None
