"""What can go wrong in one node on purpose, as JSON with limits.

{"kind": "link", "effect": "cut" | "delay" | "drop" | "duplicate" | "corrupt", "peers": [[shard, index], …],
 "lanes": [[source, destination], …], "direction": "out" | "in" | "both", "permille": 1000, "delay_ms": 0,
 "jitter_ms": 0}
{"kind": "disk", "effect": "full" | "eio" | "slow", "delay_ms": 0}
{"kind": "clock", "offset_ms": -900}

Peers are validators: of the node's own shard when it is a validator, of any shard when it is a relay. Lanes are pairs
of shards, for relays. Faults die with the process: a node that is started again is whole.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from primitives.errors import Refused
from primitives.identifiers import MAX_SHARDS, MAX_VALIDATORS

MAX_DELAY_MS = 60_000
"""Longer than anything in the protocol waits; a longer delay is a cut."""

MAX_OFFSET_MS = 366 * 24 * 3_600_000
"""Of a clock: a year and a day either way; beyond that timestamps stop to make sense."""

MAX_LASTS_MS = 24 * 3_600_000
"""A day; what should last longer lasts until it is healed."""

MAX_PEERS = MAX_SHARDS * MAX_VALIDATORS
MAX_LANES = MAX_SHARDS * MAX_SHARDS

MAX_HELD_BACK = 4096
"""Messages that delays keep in memory at a time, of one node; more are lost, as a full router loses them."""

MAX_FAULTS = 4
"""In one order: to some peers outward, from some inward, with some both ways."""

PERMILLE = 1000

ShardNumber = Annotated[int, Meta(ge=0, lt=MAX_SHARDS)]
IndexNumber = Annotated[int, Meta(ge=0, lt=MAX_VALIDATORS)]
Delay = Annotated[int, Meta(ge=0, le=MAX_DELAY_MS)]
Place = tuple[ShardNumber, IndexNumber]
"""A validator: its shard and its index there."""
Lane = tuple[ShardNumber, ShardNumber]
"""From one shard to another."""

LinkEffect = Literal["cut", "delay", "drop", "duplicate", "corrupt"]
DiskEffect = Literal["full", "eio", "slow"]
Direction = Literal["out", "in", "both"]


class _Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Base of the faults."""


class LinkFault(_Fault, frozen=True, tag="link"):
    """Something happens to messages between this node and some validators, or (at a relay) on some lanes.

    Only a cut acts on what comes in; everything else is done to what leaves, by the node that sends it.
    """

    effect: LinkEffect
    peers: Annotated[tuple[Place, ...], Meta(max_length=MAX_PEERS)] = ()
    lanes: Annotated[tuple[Lane, ...], Meta(max_length=MAX_LANES)] = ()
    direction: Direction = "out"
    permille: Annotated[int, Meta(ge=0, le=PERMILLE)] = PERMILLE
    """Of messages that are lost, doubled or changed."""
    delay_ms: Delay = 0
    jitter_ms: Delay = 0
    """Up to so much more, each message for itself: with jitter, order is lost too."""


class DiskFault(_Fault, frozen=True, tag="disk"):
    """Commits fail as on a full or a broken disk, or take so much longer."""

    effect: DiskEffect
    delay_ms: Delay = 0


class ClockFault(_Fault, frozen=True, tag="clock"):
    """The wall clock is off; the monotonic one is not, as with a clock that somebody set."""

    offset_ms: Annotated[int, Meta(ge=-MAX_OFFSET_MS, le=MAX_OFFSET_MS)]


Fault = LinkFault | DiskFault | ClockFault


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Faults under the name that they are healed by; one command gives the same name to all nodes that it reaches."""

    name: Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$")]
    text: Annotated[str, Meta(max_length=200)]
    """What a person asked for, to be shown in lists."""
    faults: Annotated[tuple[Fault, ...], Meta(min_length=1, max_length=MAX_FAULTS)]
    lasts_ms: Annotated[int, Meta(gt=0, le=MAX_LASTS_MS)] | None = None
    """None: until it is healed."""


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is on, as it is listed."""

    name: str
    text: str
    faults: tuple[Fault, ...]
    left_ms: int | None
    """Until it ends by itself."""


def parse_order(value: object) -> Order:
    """Read an order.

    Raises:
        Refused: `malformed`, naming the field.

    """
    try:
        return msgspec.convert(value, Order)
    except msgspec.ValidationError as error:
        raise Refused("malformed", f"this is no fault: {error}") from None
