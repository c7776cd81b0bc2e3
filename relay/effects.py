"""What a courier asks of its shell, in order. `SetTimer`, `CancelTimer` and `Note` are those of consensus."""

from dataclasses import dataclass

from consensus.effects import CancelTimer, Note, SetTimer
from primitives.identifiers import Sequence, ShardId, ValidatorIndex


@dataclass(frozen=True, slots=True)
class Watch:
    """Report this validator's newest certificate and heads at once and whenever there is a newer one (`ShardSeen`).

    When that cannot go on, say so once (`SubscriptionLost`) and wait to be told again.
    """

    shard: ShardId
    validator: ValidatorIndex


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Stop watching; nothing more is expected from this subscription, not even its loss."""

    shard: ShardId
    validator: ValidatorIndex


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask a validator of `source` for the bundle to `destination` that begins at `first`."""

    source: ShardId
    validator: ValidatorIndex
    destination: ShardId
    first: Sequence


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand a bundle to one validator of `destination`, which gossips it to its committee."""

    source: ShardId
    destination: ShardId
    validator: ValidatorIndex
    first: Sequence
    raw: bytes


Effect = Watch | Unwatch | Fetch | Deliver | SetTimer | CancelTimer | Note
