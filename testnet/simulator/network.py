"""Links that delay, reorder, lose, duplicate and cut, one message at a time.

What happens to a message is drawn from (seed, link, how many the link has carried), so a link's luck does not depend
on what other links do. Links deliver the bytes that were sent; they are datagrams, worse than the TCP of the real
network, which never reorders.
"""

from collections.abc import Callable
from functools import partial

from testnet.simulator.draws import PERMILLE, Draws
from testnet.simulator.faults import Name
from testnet.simulator.heap import MICROSECONDS_PER_MS, Heap
from testnet.simulator.levels import LinkLevels

BASE_DELAY_US = (300, 4_000)
"""A link's own delay is drawn once between these: processes on one host up to a nearby data centre."""

JITTER_US = 2_000
"""Each message takes up to this much longer; with several on their way this alone reorders."""

HEADER_BYTES = 60
"""What a frame, TLS and TCP add to a message where bandwidth is scarce."""

LONGEST_QUEUE_US = 5_000_000
"""What would wait longer for its turn on a narrow link is lost: a sender's buffer is bounded."""

_WORD = 2**16


class _Link:
    """One direction between two nodes."""

    __slots__ = ("base_us", "carried", "draws", "free_us")

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.carried = 0
        self.base_us = draws.under("base").number(0, *BASE_DELAY_US)
        self.free_us = 0
        """When all that it has taken so far, while it was narrow, is through."""


class Network:
    """All links, and what faults do to them at the moment."""

    def __init__(self, seed: int, heap: Heap) -> None:
        self._heap = heap
        self._draws = Draws(seed, "link")
        self._links: dict[tuple[Name, Name], _Link] = {}
        self.cut: dict[tuple[Name, Name], int] = {}
        """How many faults cut this direction."""
        self.loss = LinkLevels()
        """Permille lost of what a node sends or is sent, or of what one direction carries."""
        self.doubling = LinkLevels()
        self.corruption = LinkLevels()
        """Permille that arrive with one bit flipped."""
        self.slowness_ms = LinkLevels()
        """At most added to what a node sends, or to what one direction carries."""
        self.bandwidth = LinkLevels(min)
        """Bytes per second that each direction from or to a node carries, or this one."""
        self.delays_ms: dict[tuple[Name, Name], int] = {}
        """Always added to what this direction carries."""
        self.counts = {
            "carried": 0,
            "lost": 0,
            "cut": 0,
            "doubled": 0,
            "slowed": 0,
            "corrupted": 0,
            "queued": 0,
            "choked": 0,
        }

    def send(
        self,
        sender: Name,
        receiver: Name,
        deliver: Callable[[], None],
        spoilt: Callable[[int], None] | None = None,
        size: int = 0,
    ) -> None:
        """Carry one message of `size` bytes: `deliver` happens once, later; or never, or twice.

        Or `spoilt` does in its place, told a number that says which bit is wrong; without it nothing is.
        """
        key = (sender, receiver)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = _Link(self._draws.under(f"{sender}>{receiver}"))
        counter = link.carried
        link.carried += 1
        if self.cut.get(key):
            self.counts["cut"] += 1
            return
        words = link.draws.words(counter)
        loss = self.loss.between(sender, receiver)
        if words[0] * PERMILLE < loss * _WORD:
            self.counts["lost"] += 1
            return
        waits_us = self._queue(link, size, self.bandwidth.between(sender, receiver))
        if waits_us > LONGEST_QUEUE_US:
            self.counts["choked"] += 1
            return
        self.counts["carried"] += 1
        corruption = self.corruption.between(sender, receiver)
        if spoilt is not None and words[5] * PERMILLE < corruption * _WORD:
            self.counts["corrupted"] += 1
            deliver = partial(spoilt, words[6] * _WORD + words[7])
        delay = link.base_us + words[1] * JITTER_US // _WORD + self.delays_ms.get(key, 0) * MICROSECONDS_PER_MS
        delay += waits_us
        slowness = self.slowness_ms.of_sender(sender, receiver)
        if slowness:
            self.counts["slowed"] += 1
            delay += words[2] * slowness * 1000 // _WORD
        self._heap.after(delay, deliver)
        doubling = self.doubling.between(sender, receiver)
        if words[3] * PERMILLE < doubling * _WORD:
            self.counts["doubled"] += 1
            self._heap.after(delay + words[4] * JITTER_US * 16 // _WORD, deliver)

    def _queue(self, link: _Link, size: int, bytes_per_second: int) -> int:
        """Microseconds until the last byte is through, after all that waits before it; nothing on a wide link."""
        if not bytes_per_second:
            return 0
        now = self._heap.now_us
        through_us = max(now, link.free_us) + (size + HEADER_BYTES) * 1_000_000 // bytes_per_second
        if through_us - now <= LONGEST_QUEUE_US:
            self.counts["queued"] += 1
            link.free_us = through_us
        return through_us - now

    def hold(self, sender: Name, receiver: Name, *, cut: bool) -> None:
        """Begin (or, with False, end) one reason why this direction carries nothing."""
        key = (sender, receiver)
        self.cut[key] = self.cut.get(key, 0) + (1 if cut else -1)

    def delay_us(self, node: Name, counter: int) -> int:
        """How long a request of a node that is not on a link takes (reads that need no bytes on the wire)."""
        return self._draws.under(node).number(counter, *BASE_DELAY_US)


def flip_bit(raw: bytes, bit: int) -> bytes:
    """The same bytes with one bit changed, which `bit` says, counted on from the end as from the beginning."""
    if not raw:
        return raw
    place, mask = divmod(bit % (8 * len(raw)), 8)
    return raw[:place] + bytes([raw[place] ^ 1 << mask]) + raw[place + 1 :]
