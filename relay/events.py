"""What a courier can hear. Every event is handled by `Courier.handle(event, at: Instant)`.

Answers carry what was asked (lane, validator, `first`) and no ticket: a courier that was restarted, or an answer that
comes twice or late, is either still useful or ignored.
"""

from dataclasses import dataclass
from typing import Literal

from consensus.events import TimerFired
from primitives.identifiers import Sequence, ShardId, ValidatorIndex
from shards.commitments import CommitmentCertificate
from shards.streams import StreamHead


@dataclass(frozen=True, slots=True)
class Started:
    """The process is up; handled once, first."""


@dataclass(frozen=True, slots=True)
class ShardSeen:
    """A watched validator's newest certificate with the heads it commits to, unchecked.

    No certificate (and no heads) means that the validator says its shard has not certified anything yet.
    """

    shard: ShardId
    validator: ValidatorIndex
    certificate: CommitmentCertificate | None
    heads: tuple[StreamHead, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionLost:
    """A `Watch` ended or never came about; the shell does not try again by itself."""

    shard: ShardId
    validator: ValidatorIndex
    reason: str


@dataclass(frozen=True, slots=True)
class BundleFetched:
    """The answer to `Fetch`, unchecked; None when the validator says that it has nothing from `first` on."""

    source: ShardId
    validator: ValidatorIndex
    destination: ShardId
    first: Sequence
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """`Fetch` got no usable answer: no connection, a timeout, an HTTP error."""

    source: ShardId
    validator: ValidatorIndex
    destination: ShardId
    first: Sequence
    reason: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination validator's answer to `Deliver`."""

    source: ShardId
    destination: ShardId
    validator: ValidatorIndex
    first: Sequence
    status: Literal["accepted", "known", "refused"]
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryFailed:
    """`Deliver` got no usable answer."""

    source: ShardId
    destination: ShardId
    validator: ValidatorIndex
    first: Sequence
    reason: str


Event = Started | ShardSeen | SubscriptionLost | BundleFetched | FetchFailed | Delivered | DeliveryFailed | TimerFired
