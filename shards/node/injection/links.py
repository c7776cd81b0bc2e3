"""What faults do to messages on their way: decided here, done by `shards.node.links` and by the relay's client."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from primitives.identifiers import ShardId, ValidatorIndex
from shards.node.injection.faults import PERMILLE, LinkFault

DOUBLED_LATER_MS = 20
"""How much later a second copy may come: enough to come behind what was sent after it."""


class Copy(NamedTuple):
    """One copy of a message that gets through, so much later."""

    delay_ms: int
    raw: bytes


@dataclass(frozen=True)
class Fate:
    """What is done to messages in one direction of one link."""

    faults: tuple[LinkFault, ...]

    @property
    def cut(self) -> bool:
        """Whether nothing gets through."""
        return any(fault.effect == "cut" for fault in self.faults)

    def copies(self, raw: bytes, chance: random.Random) -> tuple[Copy, ...]:
        """The copies of a message that get through: one as it is, unless a fault says otherwise."""
        copies = [Copy(0, raw)]
        for fault in self.faults:
            match fault.effect:
                case "cut":
                    return ()
                case "delay":
                    copies = [Copy(each.delay_ms + _delay_ms(fault, chance), each.raw) for each in copies]
                case "drop":
                    copies = [each for each in copies if not _strikes(fault, chance)]
                case "duplicate":
                    copies += [
                        Copy(each.delay_ms + chance.randrange(DOUBLED_LATER_MS), each.raw)
                        for each in copies
                        if _strikes(fault, chance)
                    ]
                case "corrupt":
                    copies = [
                        Copy(each.delay_ms, flip_a_bit(each.raw, chance)) if _strikes(fault, chance) else each
                        for each in copies
                    ]
        return tuple(copies)


def _delay_ms(fault: LinkFault, chance: random.Random) -> int:
    return fault.delay_ms + (chance.randrange(fault.jitter_ms + 1) if fault.jitter_ms else 0)


def _strikes(fault: LinkFault, chance: random.Random) -> bool:
    return chance.randrange(PERMILLE) < fault.permille


def flip_a_bit(raw: bytes, chance: random.Random) -> bytes:
    """The same bytes with one bit changed."""
    if not raw:
        return raw
    changed = bytearray(raw)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


class FaultyLinks:
    """`shards.node.links.LinkFilter` of a validator: the fate of what it sends to each peer and hears from it."""

    def __init__(self, shard: ShardId, faults: Iterable[LinkFault], chance: random.Random) -> None:
        self._chance = chance
        self._leaving: dict[ValidatorIndex, Fate] = {}
        self._deaf_to: set[ValidatorIndex] = set()
        for fault in faults:
            peers = [ValidatorIndex(index) for of, index in fault.peers if of == shard]
            if fault.direction != "in":
                for peer in peers:
                    before = self._leaving.get(peer, Fate(()))
                    self._leaving[peer] = Fate((*before.faults, fault))
            if fault.direction != "out" and fault.effect == "cut":
                self._deaf_to.update(peers)

    def copies(self, to: ValidatorIndex, raw: bytes) -> tuple[Copy, ...]:
        """See `LinkFilter`."""
        fate = self._leaving.get(to)
        return (Copy(0, raw),) if fate is None else fate.copies(raw, self._chance)

    def hears(self, peer: ValidatorIndex) -> bool:
        """See `LinkFilter`."""
        return peer not in self._deaf_to

    def reaches(self, peer: ValidatorIndex) -> bool:
        """See `LinkFilter`."""
        fate = self._leaving.get(peer)
        return fate is None or not fate.cut
