"""A simulated validator process: the production core, a disk, timers and a mailbox, and all the ways it can die.

Effects are performed in order. A Persist takes as long as an fsync; whatever follows it waits, while the core goes on
handling events whose effects queue up behind. Before and after every effect there is a *boundary* at which the
process may die: the queue, the timers and the core are gone, the disk stays. A restart finds itself again through
`recover` and the state store, exactly as the real process does.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from consensus.block import Block
from consensus.effects import Broadcast, CancelTimer, Note, Persist, Send, SetTimer
from contracts.port import Machine
from primitives.errors import OstrakaError, Refused
from primitives.identifiers import Height, Milliseconds, SecretSeed, ShardId, ValidatorIndex
from primitives.instant import Instant
from primitives.signatures import SignatureScheme
from primitives.storage import Write
from shards.genesis import ChainContext
from shards.ledger import StateFlush
from shards.node.faults import StorageFault
from shards.validator import reading
from shards.validator.core import ValidatorCore, initial_writes, recover
from shards.validator.effects import (
    Answer,
    BlockApplied,
    BlockFinalized,
    Effect,
    ExecuteBlock,
    Halt,
    HeightCertified,
    LoadFinalized,
    Publish,
    ServeArchive,
    Submission,
    VerifySignatures,
)
from shards.validator.events import (
    BlockExecuted,
    BundleSubmitted,
    Event,
    PeerSent,
    SignaturesChecked,
    Started,
    TimerFired,
    TransactionsSubmitted,
)
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.draws import Draws
from testnet.simulator.faults import Name, validator_name
from testnet.simulator.heap import MICROSECONDS_PER_MS, Heap
from testnet.simulator.hoards import Hoard
from testnet.simulator.network import Network, flip_bit
from testnet.simulator.scheme import WatchedScheme
from testnet.simulator.settings import GENESIS_TIME_MS, SimulationSettings
from testnet.simulator.storage import STATE, Trouble, open_ledger
from testnet.simulator.timers import Timers
from testnet.simulator.trace import Trace
from testnet.simulator.watcher import Watcher

FSYNC_US = 400
"""A durable commit on an SSD, as measured for LMDB."""
EXECUTE_US = (300, 150)
"""Executing a block, and each of its items."""
VERIFY_US = (50, 41)
"""Handing a batch to a thread and hearing from it, and each Ed25519 signature."""
LOAD_US = 100
"""Reading a block back."""

Reply = Callable[[tuple[Submission, ...]], None]
"""Hears the answer to a request; never, if the validator dies first."""


class SimulatedValidator:
    """One validator. `alive` while its process runs."""

    def __init__(
        self,
        settings: SimulationSettings,
        context: ChainContext,
        place: tuple[ShardId, ValidatorIndex],
        keys: tuple[SecretSeed, SignatureScheme],
        outside: tuple[Heap, Network, Trace, Watcher],
        machine: Machine,
    ) -> None:
        self.shard, self.index = place
        self.name = validator_name(*place)
        self.size = settings.validators
        self._settings = settings
        self._context = context
        self._seed = keys[0]
        self._machine = machine
        self._heap, self._network, self._trace, self._watcher = outside
        self._scheme = WatchedScheme(keys[1], lambda message: self._watcher.on_sign(self.name, message))
        self._peers = [
            (ValidatorIndex(index), validator_name(self.shard, index))
            for index in range(settings.validators)
            if index != self.index
        ]
        self._names = dict(self._peers)
        self._draws = Draws(settings.seed, f"validator/{self.name}")
        self.disk = SimulatedDisk()
        self.state_disk = SimulatedDisk()
        self.disk.stage(initial_writes())
        self.disk.sync()
        self.core: ValidatorCore | None = None
        self.lives = 0
        self.boundaries = 0
        """Effect boundaries passed over all lives; a crash may be planned for any number."""
        self.crash_at: int | None = None
        self.crash_after_sends: int | None = None
        self.on_crash: Callable[[], None] = lambda: None
        self.paused = False
        self.skew_ms = 0
        self.slow_disk_ms = 0
        self.trouble: Trouble | None = None
        """What its disk has in store for it."""
        self.counts = {"crashes": 0, "mid-persist crashes": 0, "fsyncs": 0, "flushes": 0}
        self.counts |= {"failed syncs": 0, "storage faults": 0, "refused starts": 0}
        self.peers: dict[Name, SimulatedValidator] = {}
        self.subscribers: dict[Name, Callable[[BlockFinalized | BlockApplied | HeightCertified | None], None]] = {}
        """Told of all news, and None when the process dies."""
        self._timers = Timers(self._heap, lambda name: self.hear(TimerFired(name)))
        self._mailbox: list[Callable[[], None]] = []
        self._queue: deque[Effect | StateFlush] = deque()
        self._syncing = False
        self._requests: dict[int, Reply] = {}
        self._request = 0
        self._flushed = Height(0)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.core is not None

    # Life and death

    def start(self) -> None:
        """Start the process on what the disk holds."""
        self.lives += 1
        try:
            ledger = open_ledger(self._context, self.shard, self._machine, self.disk, self.state_disk)
            recovered = recover(self.disk)
            self.core = ValidatorCore(
                self._context,
                self.shard,
                self.index,
                self._seed,
                self._scheme,
                self._settings.rules,
                ledger,
                recovered,
            )
        except StorageFault:
            self.counts["refused starts"] += 1
            return
        except OstrakaError as error:
            self._watcher.on_failure(self.name, f"cannot start: {error}")
            return
        self._flushed = ledger.height
        self._watcher.on_restart(self.name, self.core.status().finalized_height, ledger.commitment)
        self._hear(Started())

    def stored(self, key: bytes) -> bytes | None:
        """Value of a raw state key as the disk has it."""
        return self.state_disk.get(STATE, key)

    def hoard(self) -> Hoard | None:
        """What it holds for others; None while it is down."""
        core = self.core
        return None if core is None else Hoard(core.held(), core.replica.view - core.replica.finalized_view)

    def crash(self) -> None:
        """Die now: whatever is not on the disk is lost; of a commit under way, all or nothing is kept."""
        if self.core is None:
            return
        self.core = None
        self.counts["crashes"] += 1
        self.counts["mid-persist crashes"] += self._syncing
        keep = self._draws.under("torn").number(self.counts["crashes"], 0, 1)
        if self.disk.crash(keep=keep) | self.state_disk.crash(keep=keep):
            self._watcher.on_loss(self.name)
        self.crash_at = self.crash_after_sends = None
        self._timers.clear()
        self._mailbox.clear()
        self._queue.clear()
        self._requests.clear()
        self._syncing = False
        for tell in list(self.subscribers.values()):
            tell(None)
        self.subscribers.clear()
        self.on_crash()

    def storage_fails(self) -> None:
        """Stop, as a process does that finds damage or cannot commit."""
        self.counts["storage faults"] += 1
        self.crash()

    def resume(self) -> None:
        """End a pause: everything that came meanwhile is handled at once."""
        self.paused = False
        waiting, self._mailbox = self._mailbox, []
        for each in waiting:
            each()

    # What it hears

    def submit(self, raws: tuple[bytes, ...], reply: Reply) -> None:
        """Hand in transactions."""
        self._ask(reply, lambda request: TransactionsSubmitted(request, raws))

    def submit_bundle(self, raw: bytes, reply: Reply) -> None:
        """Hand in a bundle."""
        self._ask(reply, lambda request: BundleSubmitted(request, raw))

    def _ask(self, reply: Reply, event: Callable[[int], Event]) -> None:
        if self.core is None:
            return
        self._request += 1
        self._requests[self._request] = reply
        self.hear(event(self._request))

    def hear(self, event: Event) -> None:
        """Take in an event, now or when a pause ends; a dead process hears nothing."""
        if self.core is None:
            return
        if self.paused:
            life = self.lives
            self._mailbox.append(lambda: self._hear(event) if self.lives == life else None)
        else:
            self._hear(event)

    def _hear(self, event: Event) -> None:
        core = self.core
        if core is None:
            return
        now = self._heap.now_ms
        at = Instant(now, Milliseconds(GENESIS_TIME_MS + now + self.skew_ms))
        try:
            effects = core.handle(event, at)
        except Exception as error:  # noqa: BLE001 - whatever a core raises is a finding, not an end of the simulation
            self._watcher.on_failure(self.name, f"handling {type(event).__name__} raised {error!r}")
            self.crash()
            return
        self._trace.add(self._heap.now_us, self.name, event, effects)
        self._queue.extend(effects)
        # The flush is queued behind the effects that make durable what it rests on.
        if core.ledger.height - self._flushed >= self._settings.flush_blocks:
            flush = core.ledger.take_flush()
            if flush is not None:
                self._flushed = core.ledger.height
                self._queue.append(flush)
        self._pump()

    # What it does

    def _pump(self) -> None:
        while self._queue and not self._syncing and self.core is not None:
            if self._dies_here():
                return
            try:
                self._perform(self._queue.popleft())
            except StorageFault:
                self.storage_fails()
            self._dies_here()

    def _dies_here(self) -> bool:
        """Pass one effect boundary; True when this is the one to die at."""
        if self.core is None:
            return True
        self.boundaries += 1
        if self.crash_at is not None and self.boundaries >= self.crash_at:
            self.crash()
            return True
        return False

    def _perform(self, effect: Effect | StateFlush) -> None:
        match effect:
            case Persist(writes):
                self._sync(self.disk, writes)
            case StateFlush():
                self.counts["flushes"] += 1
                writes = tuple(Write(STATE, key, value) for key, value in sorted(effect.changes.items()))
                self._sync(self.state_disk, writes)
            case Send(to, raw):
                self._watcher.on_wire(self.name, raw)
                self._send(to, raw)
                self._sent()
            case Broadcast(raw):
                self._watcher.on_wire(self.name, raw)
                for peer, _ in self._peers:
                    self._send(peer, raw)
                self._sent()
            case Answer() | Publish() | Note() | Halt():
                self._tell(effect)
            case _:
                self._work(effect)

    def _work(
        self, effect: SetTimer | CancelTimer | VerifySignatures | ExecuteBlock | LoadFinalized | ServeArchive
    ) -> None:
        """Do what is answered by an event."""
        match effect:
            case SetTimer(name, at_ms):
                self._timers.set(name, at_ms)
            case CancelTimer(name):
                self._timers.cancel(name)
            case VerifySignatures(batch, items):
                answer = SignaturesChecked(batch, tuple(self._scheme.verify_many(items)))
                self._later(VERIFY_US[0] + VERIFY_US[1] * len(items), answer)
            case ExecuteBlock(block):
                self._execute(block)
            case LoadFinalized(height):
                self._later(LOAD_US, reading.load_finalized(self.disk, height))
            case ServeArchive(peer, request):
                self._serve(peer, request)

    def _tell(self, effect: Answer | Publish | Note | Halt) -> None:
        """Tell whoever is not a validator."""
        match effect:
            case Answer(request, results):
                reply = self._requests.pop(request, None)
                if reply is not None:
                    reply(results)
            case Publish(news):
                self._watcher.on_news(self.name, news)
                for tell in list(self.subscribers.values()):
                    tell(news)
            case Note(name, detail):
                if name == "blame":
                    self._watcher.on_blame(self.name, detail)
            case Halt(reason):
                self._watcher.on_failure(self.name, f"halts: {reason}")
                self.crash()

    def _sync(self, disk: SimulatedDisk, writes: tuple[Write, ...]) -> None:
        self.counts["fsyncs"] += 1
        if self.trouble is not None and self.trouble.strikes():
            self.counts["failed syncs"] += 1
            self.trouble.befall(disk, writes)
            self.trouble = None
            raise StorageFault("a sync failed")
        self._syncing = True
        disk.stage(writes)
        delay = FSYNC_US
        if self.slow_disk_ms:
            delay += self._draws.under("fsync").number(
                self.counts["fsyncs"], 0, self.slow_disk_ms * MICROSECONDS_PER_MS
            )
        self._heap.after(delay, partial(self._synced, disk, self.lives))

    def _synced(self, disk: SimulatedDisk, life: int) -> None:
        if self.core is None or self.lives != life:
            return
        disk.sync()
        self._syncing = False
        if not self._dies_here():
            self._pump()

    def _send(self, to: ValidatorIndex, raw: bytes) -> None:
        peer = self.peers[self._names[to]]

        def spoilt(bit: int) -> None:
            peer.hear(PeerSent(self.index, flip_bit(raw, bit)))

        self._network.send(self.name, peer.name, partial(peer.hear, PeerSent(self.index, raw)), spoilt, len(raw))

    def _sent(self) -> None:
        if self.crash_after_sends is not None:
            self.crash_after_sends -= 1
            if self.crash_after_sends < 0:
                self.crash()

    def _later(self, delay_us: int, event: Event) -> None:
        life = self.lives
        self._heap.after(delay_us, lambda: self.hear(event) if self.lives == life else None)

    def _execute(self, block: Block) -> None:
        core = self.core
        if core is None:
            return
        try:
            execution = core.ledger.execute(block)
        except OstrakaError as error:
            self._watcher.on_failure(self.name, f"executing block {block.header.height} raised {error!r}")
            self.crash()
            return
        self._watcher.on_executed(self.name, block, execution)
        self._later(EXECUTE_US[0] + EXECUTE_US[1] * len(block.items), BlockExecuted(execution))

    def _serve(self, peer: ValidatorIndex, request: bytes) -> None:
        try:
            answer = reading.answer_archive(self.disk, request)
        except Refused:
            return
        if answer is not None:
            self._watcher.on_wire(self.name, answer)
            self._send(peer, answer)
