"""What a validator core asks of its shell, in order.

`Persist`, `Send`, `Broadcast`, `SetTimer`, `CancelTimer` and `Note` are those of consensus: whatever follows a
`Persist` leaves the process only once it is durable. Long work (`VerifySignatures`, `ExecuteBlock`, `LoadFinalized`,
`ServeArchive`) may be done in another thread; its answer is an event.
"""

from dataclasses import dataclass
from typing import Literal

from consensus.block import Block
from consensus.effects import Broadcast, CancelTimer, Note, Persist, Send, SetTimer
from primitives.identifiers import BlockId, Height, PublicKey, Signature, TransactionId, ValidatorIndex
from shards.commitments import CommitmentCertificate
from shards.outcome import Execution


@dataclass(frozen=True, slots=True)
class VerifySignatures:
    """Verify all (public key, message, signature) and answer with `SignaturesChecked(batch, verdicts)`."""

    batch: int
    items: tuple[tuple[PublicKey, bytes, Signature], ...]


@dataclass(frozen=True, slots=True)
class ExecuteBlock:
    """Call `ledger.execute(block)` and answer with `BlockExecuted`. Never more than one at a time."""

    block: Block


@dataclass(frozen=True, slots=True)
class LoadFinalized:
    """Read a finalized block back with `shards.validator.reading.load_finalized` and answer with `BlockLoaded`."""

    height: Height


@dataclass(frozen=True, slots=True)
class ServeArchive:
    """Send `peer` what `shards.validator.reading.answer_archive(reader, request)` returns, unless None."""

    peer: ValidatorIndex
    request: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one submitted transaction or bundle: `accepted`, `known`, or `refused` with code and detail."""

    status: Literal["accepted", "known", "refused"]
    id: bytes
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a client's or relay's request."""

    request: int
    results: tuple[Submission, ...]


@dataclass(frozen=True, slots=True)
class BlockFinalized:
    """Level *finalized*: these transactions are acknowledged and will never be lost."""

    height: Height
    block_id: BlockId
    transactions: tuple[TransactionId, ...]


@dataclass(frozen=True, slots=True)
class BlockApplied:
    """Level *executed*: receipts and messages of this height can be read from the store."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class HeightCertified:
    """Level *certified*: the commitment of this height can be shown to anyone."""

    certificate: CommitmentCertificate


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell subscribers (event stream, waiting requests); emitted after what it speaks of is durable."""

    news: BlockFinalized | BlockApplied | HeightCertified


@dataclass(frozen=True, slots=True)
class Halt:
    """Going on would be unsafe (our result differs from a certified one, our journal contradicts us): stop loudly."""

    reason: str


Effect = (
    Persist
    | Send
    | Broadcast
    | SetTimer
    | CancelTimer
    | Note
    | VerifySignatures
    | ExecuteBlock
    | LoadFinalized
    | ServeArchive
    | Answer
    | Publish
    | Halt
)
