"""What an operator may choose of a courier, its fixed limits, and the shape of its report."""

from dataclasses import dataclass

from relay.links import LaneReport, ShardReport

FETCH_TIMEOUT_MS = 3_000
"""A validator that has a bundle answers in milliseconds; this is a hung one or a very full machine."""

DELIVERY_TIMEOUT_MS = 3_000
"""Verifying the largest bundle takes milliseconds; as above."""

FROZEN_CODE = "lane_frozen"
"""How a destination refuses bundles of a stream that it froze with evidence."""


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """What an operator may choose."""

    verify_bundles: bool = True
    """Verify before delivering. Without, a lying source validator is only suspected when a bundle is refused."""
    ack_delay_ms: int = 250
    """How long a bare acknowledgement waits for messages to travel with; it only frees space at its destination."""
    max_in_hand: int = 64
    """Bundles being fetched or delivered at any time, 256 KiB each at most."""


@dataclass(frozen=True, slots=True)
class CourierReport:
    """What a courier knows, for people and monitoring; all durations in milliseconds."""

    shards: tuple[ShardReport, ...]
    lanes: tuple[LaneReport, ...]
