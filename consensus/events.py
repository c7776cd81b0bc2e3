"""What a replica can hear. Every event is handled by `Replica.handle(event, at: Instant)`."""

from dataclasses import dataclass
from enum import Enum

from consensus.block import Block
from primitives.identifiers import BlockId, ValidatorIndex, View


@dataclass(frozen=True, slots=True)
class Started:
    """The process is up and its links are being made; handled once, first."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """Bytes from an authenticated peer of this committee, not yet looked at."""

    sender: ValidatorIndex
    raw: bytes


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` under this name has come due. Stale ones are harmless."""

    name: str


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """The answer to `BuildBlock`: a block on that parent, or None when the application cannot build now."""

    view: View
    block: Block | None


class Verdict(Enum):
    """What the application says of a proposed block. NOT_YET is never INVALID: it is asked again."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_YET = "not_yet"


@dataclass(frozen=True, slots=True)
class BlockChecked:
    """The answer to `CheckBlock`."""

    block_id: BlockId
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationAdvanced:
    """The application executed or received something: blocks that were NOT_YET may be checked again."""


@dataclass(frozen=True, slots=True)
class WorkChanged:
    """Whether the application now has something to put into a block (transactions, bundles, due deadlines)."""

    has_work: bool


Event = Started | MessageReceived | TimerFired | BlockBuilt | BlockChecked | ApplicationAdvanced | WorkChanged
