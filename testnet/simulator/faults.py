"""What goes wrong in a simulation: an explicit list of faults, each of a kind that says what it does.

What happens to single messages while a fault lasts is drawn from (seed, link, counter) in `network`. A list prints as
it reads, one line per fault, and pastes back into a test. `drawing` makes the lists of seeds.
"""

from dataclasses import dataclass
from enum import StrEnum

from primitives.identifiers import ShardId, ValidatorIndex

Name = str
"""A node's name: "s0v3" is validator 3 of shard 0, "r1" a relay, "c0" the clients of shard 0."""


def validator_name(shard: int, index: int) -> Name:
    """Name of a validator."""
    return f"s{shard}v{index}"


def relay_name(index: int) -> Name:
    """Name of a relay."""
    return f"r{index}"


def client_name(shard: int) -> Name:
    """Name of the clients that live on a shard."""
    return f"c{shard}"


def customers_name(shard: int) -> Name:
    """Name of those who call contracts on a shard."""
    return f"k{shard}"


def place_of(name: Name) -> tuple[ShardId, ValidatorIndex]:
    """Shard and index in a validator's name."""
    shard, index = name[1:].split("v")
    return ShardId(int(shard)), ValidatorIndex(int(index))


class FaultKind(StrEnum):
    """Every kind there is, with what its `target` and `amount` mean."""

    CRASH = "crash"
    """target: validator, which dies at the `amount`-th effect boundary after `start_ms` and restarts at `end_ms`."""
    CRASH_AFTER_SEND = "crash-after-send"
    """target: validator, which dies right after the `amount`-th time it sends; the point where amnesia shows."""
    HALT = "halt"
    """target: shard; more than f of its validators (all of them if `amount` is 1) are down; or validator, which is."""
    PAUSE = "pause"
    """target: validator, which handles nothing until the end and then everything at once."""
    CLOCK = "clock"
    """target: validator, whose wall clock jumps by `amount` ms (either sign), and back at the end; several add up."""
    SLOW_DISK = "slow-disk"
    """target: validator, each of whose fsyncs takes up to `amount` ms."""
    PARTITION = "partition"
    """target: shard; the validators whose bits are set in `amount` and the others hear nothing of one another."""
    HALF_PARTITION = "half-partition"
    """target: shard; the validators in `amount` hear the others but are not heard by them."""
    ONE_WAY = "one-way"
    """target: link "s0v1>s0v2", which loses everything."""
    BRIDGE = "bridge"
    """target: shard; its halves hear nothing of one another, but the validator `amount` hears and is heard by both."""
    RING = "ring"
    """target: shard, where everybody hears only the two next to it: s0v0 hears s0v1 and the last."""
    LOSSY = "lossy"
    """target: shard, validator, relay or link; of what is carried there, `amount` in a thousand is lost."""
    DUPLICATING = "duplicating"
    """target: shard, validator, relay or link; `amount` in a thousand arrive twice."""
    SLOW = "slow"
    """target: validator, relay or link; what it sends, or what goes this way, takes up to `amount` ms longer, each
    message for itself, so order is lost."""
    BANDWIDTH = "bandwidth"
    """target: shard, validator, relay or link; each direction there carries `amount` bytes per second, one message
    after the other."""
    RELAY_CRASH = "relay-crash"
    """target: relay; dies and restarts from nothing."""
    RELAY_CUT = "relay-cut"
    """target: "r0>s1" or "r0>s1v2"; the relay cannot reach that shard, or that validator."""
    LATE = "late"
    """target: link "s0v1>s0v2" or "r0>s1v2", or lane "s0>s2", on which everything takes `amount` ms longer."""
    CORRUPTING = "corrupting"
    """target: shard, validator, relay or link; `amount` in a thousand of what validators say to one another, and of the
    bundles that relays hand in, arrive with one bit flipped."""
    LANE_CUT = "lane-cut"
    """target: "s0>s2"; no relay fetches what the first sends to the second."""

    RESTART_ALL = "restart-all"
    """target: "all"; every validator and relay dies at one moment and starts again at the end."""

    FULL = "full"
    """target: validator, which stops at the `amount`-th sync from now on, of which nothing is written; it starts again
    at the end, when there is room."""
    EIO = "eio"
    """target: validator, which stops at the `amount`-th sync from now on, of which all or nothing is written; it starts
    again at the end."""
    TORN = "torn"
    """target: validator, which dies in the `amount`-th sync from now on, of which a part is written; it refuses to
    start on that, and at the end its folder is emptied."""
    FLIP = "flip"
    """target: validator; a bit flips in record `amount` of its chain (even) or state (odd). It dies when it reads it or
    starts; at the end its folder is emptied."""
    LYING_SYNC = "lying-sync"
    """target: validator, whose disk syncs nothing: whenever it dies it finds what it had at the beginning. At the end
    it dies."""
    OLD_BACKUP = "old-backup"
    """target: validator, of whose folder a copy is made; at the end it dies and finds that copy."""

    LYING = "lying"
    """target: validator that the settings name as Byzantine (no twins), which lies while this lasts; one without such
    faults lies all the time."""


FORGETTING = (FaultKind.TORN, FaultKind.FLIP, FaultKind.LYING_SYNC, FaultKind.OLD_BACKUP)
"""Kinds after which a validator does not know what it has signed; on at most f of a shard."""

STORAGE = frozenset({FaultKind.FULL, FaultKind.EIO, *FORGETTING})
"""Kinds that befall what a validator stores."""

UNDRAWN = STORAGE | frozenset(
    {
        FaultKind.BRIDGE,
        FaultKind.RING,
        FaultKind.BANDWIDTH,
        FaultKind.LATE,
        FaultKind.CORRUPTING,
        FaultKind.LANE_CUT,
        FaultKind.RESTART_ALL,
        FaultKind.LYING,
    }
)
"""Kinds that seeds do not draw, or only from the whole catalogue; scenarios may ask for all. Liars are never drawn."""


_RELAY_LINKS = frozenset({"relay>shard", "relay>validator"})
_LINKS = _RELAY_LINKS | {"shard>relay", "validator>relay", "validator>validator"}
_RATED = _LINKS | {"shard", "validator", "relay"}
TARGETS: dict[FaultKind, frozenset[str]] = dict.fromkeys(FaultKind, frozenset({"validator"})) | {
    FaultKind.HALT: frozenset({"shard", "validator"}),
    **dict.fromkeys(
        (FaultKind.PARTITION, FaultKind.HALF_PARTITION, FaultKind.BRIDGE, FaultKind.RING), frozenset({"shard"})
    ),
    **dict.fromkeys(
        (FaultKind.LOSSY, FaultKind.DUPLICATING, FaultKind.CORRUPTING, FaultKind.BANDWIDTH, FaultKind.SLOW), _RATED
    ),
    FaultKind.ONE_WAY: frozenset({"validator>validator"}),
    FaultKind.LATE: _LINKS | {"shard>shard"},
    FaultKind.RELAY_CRASH: frozenset({"relay"}),
    FaultKind.RELAY_CUT: _RELAY_LINKS,
    FaultKind.LANE_CUT: frozenset({"shard>shard"}),
    FaultKind.RESTART_ALL: frozenset({"all"}),
}
"""What each kind can befall, as `shape_of` names it."""


def shape_of(target: str) -> str:
    """What a target is: "validator", "shard", "relay" or "all", or two of these with ">" between them."""
    return ">".join(
        "all" if end == "all" else "relay" if end.startswith("r") else "validator" if "v" in end else "shard"
        for end in target.split(">")
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong from `start_ms` to `end_ms`."""

    kind: FaultKind
    target: str
    start_ms: int
    end_ms: int
    amount: int = 0

    def __repr__(self) -> str:
        """Python that makes this fault again."""
        return f"Fault(FaultKind.{self.kind.name}, {self.target!r}, {self.start_ms}, {self.end_ms}, {self.amount})"

    def __str__(self) -> str:
        return f"{self.start_ms:>7} to {self.end_ms:>6} ms  {self.kind.value:<17} {self.target:<10} {self.amount}"


def print_faults(faults: tuple[Fault, ...]) -> str:
    """One line for each fault, for people."""
    return "\n".join(map(str, faults)) or "(no faults)"
