"""A committee in virtual time: seeded delays, losses, duplicates, partitions, crashes between any two effects.

The monitor checks what must hold from outside: it decodes what validators send and what they finalize, and shares
no code with the replica beyond the message format.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from consensus.archive import answer
from consensus.block import Block
from consensus.effects import (
    Blame,
    Broadcast,
    BuildBlock,
    CancelTimer,
    CheckBlock,
    Effect,
    Finalized,
    Note,
    Persist,
    Send,
    ServeArchive,
    SetTimer,
)
from consensus.events import BlockBuilt, BlockChecked, Event, MessageReceived, Started, TimerFired, Verdict, WorkChanged
from consensus.journal import genesis_writes, recover
from consensus.pacing import Rules
from consensus.replica import Replica
from primitives.identifiers import (
    BlockId,
    Milliseconds,
    ValidatorIndex,
)
from primitives.instant import Instant
from primitives.signatures import SignatureScheme
from primitives.storage import Write
from tests.consensus.makers import GENESIS, GENESIS_MS, CheapScheme, make_block, make_committee, seed_of
from tests.consensus.monitor import Monitor


class Store:
    """Durable tables: what a crash leaves behind."""

    def __init__(self, writes: tuple[Write, ...] = genesis_writes()) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.commits = 0
        self.apply(writes)

    def apply(self, writes: tuple[Write, ...]) -> None:
        self.commits += 1
        for table, key, value in writes:
            if value is None:
                self.tables.get(table, {}).pop(key, None)
            else:
                self.tables.setdefault(table, {})[key] = value

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.tables.get(table, {}).get(key)

    def scan(
        self, table: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        rows = sorted(self.tables.get(table, {}).items(), reverse=reverse)
        return iter([(k, v) for k, v in rows if k >= start and (end is None or k < end)])


class Link(NamedTuple):
    """Behaviour of every link; percentages and milliseconds."""

    delay_ms: int = 10
    jitter_ms: int = 5
    loss_percent: int = 0
    duplicate_percent: int = 0


LINK = Link()
RULES = Rules()

Outgoing = Callable[[int, int, bytes], bytes | None]
"""(from, to, raw) -> what goes on the wire; None for nothing."""


@dataclass
class Node:
    """A process that may die and come back with its store."""

    index: int | None
    store: Store
    replica: Replica | None = None
    life: int = 0
    timer_ms: int | None = None
    finalized: list[BlockId] = field(default_factory=list)
    effects_done: int = 0
    crash_at: int | None = None
    verdict: Callable[[BlockId, Block], Verdict] = lambda _id, _block: Verdict.VALID
    check_ms: int = 1
    clock_skew_ms: int = 0
    builds: bool = True
    blamed: list[tuple[int, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


class Cluster:
    """n validators on a simulated network; `run` until a time or a condition."""

    def __init__(
        self,
        n: int,
        *,
        seed: int = 0,
        link: Link = LINK,
        rules: Rules = RULES,
        scheme: SignatureScheme | None = None,
        traced: bool = True,
    ) -> None:
        self.scheme: SignatureScheme = scheme if scheme is not None else CheapScheme()
        self.committee = make_committee(n, self.scheme)
        self.rules = rules
        self.link = link
        self.seed = seed
        self.now_ms = 0
        self.cut: set[tuple[int, int]] = set()
        self.outgoing: dict[int, Outgoing] = {}
        self.nodes = [Node(index, Store()) for index in range(n)]
        self.faulty: set[int] = set()
        self.monitor = Monitor(self, GENESIS)
        self.sent_messages = 0
        self.sent_bytes = 0
        self.has_work = True
        self.trace = sha256()
        self.traced = traced
        self.twins: dict[int, tuple[int, set[int], set[int]]] = {}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._draws: dict[tuple[int, int], int] = {}

    # Life and death

    def start(self, *indices: int) -> None:
        for index in indices or range(len(self.nodes)):
            self.restart(index)

    def restart(self, index: int) -> None:
        node = self.nodes[index]
        me = ValidatorIndex(node.index) if node.index is not None else None
        node.life += 1
        self.monitor.restarted(index)
        node.replica = Replica(
            self.committee,
            me,
            seed_of(node.index) if node.index is not None else None,
            self.scheme,
            self.rules,
            GENESIS,
            GENESIS_MS,
            recover(node.store),
        )
        node.timer_ms = None
        self.deliver(index, Started())
        self.deliver(index, WorkChanged(self.has_work))

    def crash(self, index: int) -> None:
        self.nodes[index].replica = None

    def wipe(self, index: int) -> None:
        self.crash(index)
        self.nodes[index].store = Store(())
        self.nodes[index].finalized = []

    def add_follower(self) -> int:
        self.nodes.append(Node(None, Store(())))
        return len(self.nodes) - 1

    def add_twin(self, index: int, audience: set[int], twin_audience: set[int]) -> int:
        """Give a validator's key to a second process; each of the two speaks with its own audience only."""
        self.nodes.append(Node(index, Store()))
        twin = len(self.nodes) - 1
        self.faulty |= {index, twin}
        self.twins[index] = (twin, audience, twin_audience)
        return twin

    def set_work(self, has_work: bool) -> None:
        self.has_work = has_work
        for index in range(len(self.nodes)):
            self.deliver(index, WorkChanged(has_work))

    # Time

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._order, action))

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Run for so long, or until the condition holds; returns whether it does (True without one)."""
        end_ms = self.now_ms + duration_ms
        while self._heap and self._heap[0][0] <= end_ms:
            if until is not None and until():
                return True
            self.now_ms, _, action = heapq.heappop(self._heap)
            action()
        if until is not None and until():
            return True
        self.now_ms = end_ms
        return until is None

    def instant(self, node: Node) -> Instant:
        return Instant(self.now_ms, Milliseconds(GENESIS_MS + 1000 + self.now_ms + node.clock_skew_ms))

    # Events and effects

    def deliver(self, index: int, event: Event) -> None:
        node = self.nodes[index]
        if node.replica is None:
            return
        effects = node.replica.handle(event, self.instant(node))
        if self.traced:
            self.trace.update(repr((self.now_ms, index, event, effects)).encode())
        for effect in effects:
            if node.crash_at is not None and node.effects_done >= node.crash_at:
                node.crash_at = None
                self.crash(index)
                self.at(300, lambda: self.restart(index))
                return
            node.effects_done += 1
            self._perform(index, node, effect)

    def _perform(self, index: int, node: Node, effect: Effect) -> None:
        match effect:
            case Persist():
                node.store.apply(effect.writes)
            case Send():
                self._send(index, effect.to, effect.raw)
            case Broadcast():
                for peer in range(self.committee.size):
                    if peer != node.index:
                        self._send(index, peer, effect.raw)
            case ServeArchive():
                raw = answer(node.store, effect.request)
                if raw is not None:
                    self._send(index, effect.peer, raw)
            case SetTimer():
                node.timer_ms = effect.at_ms
                self.at(effect.at_ms - self.now_ms, lambda: self._fire(index, effect, node.life))
            case CancelTimer():
                node.timer_ms = None
            case _:
                self._tell(index, node, effect)

    def _tell(self, index: int, node: Node, effect: Effect) -> None:
        """What the application and the operator hear."""
        match effect:
            case BuildBlock():
                self._later(index, self._build(index, node, effect))
            case CheckBlock():
                verdict = node.verdict(effect.block_id, effect.block)
                self._later(index, BlockChecked(effect.block_id, verdict), node.check_ms)
            case Finalized():
                self.monitor.finalized(index, effect)
                node.finalized.append(effect.block_id)
            case Blame():
                node.blamed.append((effect.culprit, effect.kind))
                self.monitor.blamed(effect)
            case Note():
                node.notes.append(effect)
            case _:
                raise AssertionError(f"unknown effect {effect}")

    def _build(self, index: int, node: Node, request: BuildBlock) -> Event:
        if not node.builds:
            return BlockBuilt(request.view, None)
        time_ms = max(request.parent_time_ms + 1, self.instant(node).wall_ms)
        item = f"{node.index}/{request.view}/{index}".encode()  # twins build different blocks
        block = make_block(self.committee, request.parent_id, request.parent_height + 1, time_ms, (item,))
        return BlockBuilt(request.view, block)

    def _later(self, index: int, event: Event, delay_ms: int = 1) -> None:
        life = self.nodes[index].life
        self.at(delay_ms, lambda: self.deliver(index, event) if self.nodes[index].life == life else None)

    def _fire(self, index: int, timer: SetTimer, life: int) -> None:
        node = self.nodes[index]
        if node.life == life and node.timer_ms == timer.at_ms:
            node.timer_ms = None
            self.deliver(index, TimerFired(timer.name))

    # The wire

    def _send(self, source: int, to: int, raw: bytes) -> None:
        rewrite = self.outgoing.get(source)
        wire = rewrite(source, to, raw) if rewrite is not None else raw
        if wire is None:
            return
        if source not in self.faulty and source < self.committee.size:
            self.monitor.said(source, wire)
        said_by = next((key for key, held in self.twins.items() if held[0] == source), source)
        if source in self.twins or said_by != source:
            _, audience, twin_audience = self.twins[said_by]
            if to not in (audience if source == said_by else twin_audience):
                return
        # Among themselves, originals talk to originals and twins to twins.
        targets = None
        if said_by in self.twins and to in self.twins:
            targets = [to if source == said_by else self.twins[to][0]]
        self.inject(said_by, to, wire, targets)

    def inject(self, source: int, to: int, raw: bytes, targets: list[int] | None = None) -> None:
        """Put bytes on the wire as if `source` had sent them; the link decides what becomes of them."""
        self.sent_messages += 1
        self.sent_bytes += len(raw)
        count = self._draws.get((source, to), 0)
        self._draws[source, to] = count + 1
        draw = random.Random(f"{self.seed}/{source}/{to}/{count}")
        if (source, to) in self.cut or draw.randrange(100) < self.link.loss_percent:
            return
        if targets is None:
            twin, audience, twin_audience = self.twins.get(to, (to, {source}, set()))
            targets = [node for node, hears in ((to, audience), (twin, twin_audience)) if source in hears]
        event = MessageReceived(ValidatorIndex(source), raw)
        for _ in range(2 if draw.randrange(100) < self.link.duplicate_percent else 1):
            delay_ms = self.link.delay_ms + draw.randrange(self.link.jitter_ms + 1)
            for target in targets:
                self.at(delay_ms, partial(self.deliver, target, event))

    def partition(self, *groups: set[int]) -> None:
        place = {index: number for number, group in enumerate(groups) for index in group}
        size = self.committee.size
        self.cut = {(a, b) for a in range(size) for b in range(size) if place.get(a) != place.get(b)}

    def heal(self) -> None:
        self.cut = set()

    # Questions

    def height(self, index: int) -> int:
        replica = self.nodes[index].replica
        return replica.tip.height if replica is not None else 0

    def heights(self, indices: list[int] | None = None) -> list[int]:
        return [self.height(i) for i in (indices if indices is not None else self.alive())]

    def alive(self) -> list[int]:
        return [i for i, node in enumerate(self.nodes) if node.replica is not None and i not in self.faulty]

    def reaches(self, height: int, within_ms: int, indices: list[int] | None = None) -> bool:
        """Run until all of these (all alive and honest ones) have finalized this height."""
        return self.run(within_ms, lambda: min(self.heights(indices), default=0) >= height)

    def grows(self, by: int, within_ms: int, indices: list[int] | None = None) -> bool:
        return self.reaches(max(self.heights(indices)) + by, within_ms, indices)

    def replica(self, index: int) -> Replica:
        replica = self.nodes[index].replica
        assert replica is not None
        return replica

    def notes(self, name: str) -> list[Note]:
        return [note for node in self.nodes for note in node.notes if note.name == name]
