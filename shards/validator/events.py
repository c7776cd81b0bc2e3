"""What a validator core can hear. Every event is handled by `ValidatorCore.handle(event, at: Instant)`."""

from dataclasses import dataclass

from primitives.identifiers import Hash, Height, ValidatorIndex
from shards.outcome import Execution


@dataclass(frozen=True, slots=True)
class Started:
    """The process is up; handled once, first."""


@dataclass(frozen=True, slots=True)
class PeerSent:
    """Bytes from an authenticated validator of the own committee."""

    peer: ValidatorIndex
    raw: bytes


@dataclass(frozen=True, slots=True)
class TransactionsSubmitted:
    """A client hands in signed transactions; answered by one `Answer` with a `Submission` for each, in order."""

    request: int
    raws: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BundleSubmitted:
    """A relay (anyone) hands in a bundle; answered by one `Answer` with one `Submission`."""

    request: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set under this name has come due."""

    name: str


@dataclass(frozen=True, slots=True)
class SignaturesChecked:
    """The answer to `VerifySignatures`."""

    batch: int
    verdicts: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class BlockLoaded:
    """The answer to `LoadFinalized`: the stored block, and the own commitment's hash if one was journaled."""

    height: Height
    raw: bytes | None
    commitment_hash: Hash | None


@dataclass(frozen=True, slots=True)
class BlockExecuted:
    """The answer to `ExecuteBlock`."""

    execution: Execution


Event = (
    Started
    | PeerSent
    | TransactionsSubmitted
    | BundleSubmitted
    | TimerFired
    | SignaturesChecked
    | BlockLoaded
    | BlockExecuted
)
