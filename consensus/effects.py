"""What a replica asks of its shell, in order: an effect after a `Persist` happens only once that Persist is durable."""

from dataclasses import dataclass

from consensus.block import Block
from primitives.identifiers import BlockId, Height, Milliseconds, ValidatorIndex, View
from primitives.storage import Write


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit these writes atomically and durably (fsync) before any later effect leaves the process."""

    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes to one peer; loss is allowed, the protocol repeats."""

    to: ValidatorIndex
    raw: bytes


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send bytes to every other validator of the committee."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake the replica with `TimerFired(name)` at this monotonic time; replaces a timer of the same name."""

    name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer of this name, if it is set."""

    name: str


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Ask the application for a block on this parent; it answers with `BlockBuilt`.

    `ancestors` are the blocks after the last finalized one up to and including the parent, oldest first: what
    the application has not been told is final but must build upon. The block's chain, shard, epoch, height and
    parent must be the ones that follow, and its time later than `parent_time_ms`, whatever the clock says.
    """

    view: View
    parent_id: BlockId
    parent_height: Height
    parent_time_ms: Milliseconds
    ancestors: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class CheckBlock:
    """Ask the application whether this block may be voted for; it answers with `BlockChecked`.

    Consensus has already checked chain, shard, epoch, height, parent and that the time is later than the parent's
    and not ahead of this validator's clock by more than the allowed drift. `ancestors` as in `BuildBlock`.
    """

    block_id: BlockId
    block: Block
    raw: bytes
    parent_time_ms: Milliseconds
    ancestors: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Finalized:
    """This block is final; emitted once per height, in order, after it is durable."""

    block_id: BlockId
    block: Block
    raw: bytes


@dataclass(frozen=True, slots=True)
class ServeArchive:
    """A peer asks for finalized history that is not in memory; the shell answers from the store.

    Call `consensus.archive.answer(reader, request)` and send what it returns to `peer`.
    """

    peer: ValidatorIndex
    request: bytes


@dataclass(frozen=True, slots=True)
class Blame:
    """Self-contained evidence that a validator signed two statements no honest one signs (encoded `Evidence`)."""

    culprit: ValidatorIndex
    kind: str
    evidence: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a log line or a counter; has no meaning to the protocol."""

    name: str
    detail: str = ""


Effect = (
    Persist
    | Send
    | Broadcast
    | SetTimer
    | CancelTimer
    | BuildBlock
    | CheckBlock
    | Finalized
    | ServeArchive
    | Blame
    | Note
)
