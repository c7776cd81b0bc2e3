"""What a shell reads from its store to answer the core and its peers: pure functions of a snapshot."""

from consensus import archive
from primitives.identifiers import Height
from primitives.storage import Reader
from shards.chain_store import commitment_at
from shards.commitments import commitment_hash
from shards.validator.events import BlockLoaded
from shards.validator.wire import PeerKind, pack


def load_finalized(reader: Reader, height: Height) -> BlockLoaded:
    """Answer a `LoadFinalized` effect: the stored block and the own commitment's hash, as far as there are any."""
    commitment = commitment_at(reader, height)
    return BlockLoaded(
        height=height,
        raw=archive.finalized_block(reader, height),
        commitment_hash=commitment_hash(commitment) if commitment is not None else None,
    )


def answer_archive(reader: Reader, request: bytes) -> bytes | None:
    """Answer to a peer's request for finalized history, ready to send; None when there is nothing to say."""
    answer = archive.answer(reader, request)
    return None if answer is None else pack(PeerKind.CONSENSUS, answer)
