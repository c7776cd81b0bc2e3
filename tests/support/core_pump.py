"""Validator cores of whole shards in one thread and virtual time: no loss, no delay, unless a test says so.

pump = Pump(shards=2)
answer = pump.submit(0, raws)             # to validator 0 of shard 0
pump.run(1_000)                           # a virtual second
pump.carry(0, 1)                          # the bundle of what shard 1 lacks of shard 0's stream
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from consensus.block import Block
from consensus.effects import Broadcast, CancelTimer, Note, Persist, Send, SetTimer
from consensus.pacing import Rules
from primitives.identifiers import Milliseconds, ShardId, ValidatorIndex
from primitives.instant import Instant
from primitives.signatures import ED25519
from shards import queries
from shards.ledger import Ledger
from shards.outcome import Execution
from shards.validator import effects as asked
from shards.validator import events as told
from shards.validator import reading
from shards.validator.core import ValidatorCore, initial_writes, recover
from tests.shards.builders import GENESIS_TIME, MACHINE, TestChain, validator_seed
from tests.support.memory_store import MemoryStore

Filter = Callable[["Node", int, bytes], bool]
"""(sender, receiver, bytes) -> whether the bytes are lost."""


class Node:
    """One validator: its core, its two stores, and everything that it asked for."""

    def __init__(self, pump: "Pump", shard: int, index: int) -> None:
        self.pump, self.shard, self.index = pump, ShardId(shard), ValidatorIndex(index)
        self.store = MemoryStore()
        self.store.commit(initial_writes())
        self.state = dict(Ledger(pump.chain.context, self.shard, machine=MACHINE).entries())
        self.dies_after: int | None = None
        """Effects that are still performed before the process dies."""
        self.start()

    def start(self) -> None:
        """Start, or start again, from what the stores hold."""
        ledger = Ledger.restore(self.pump.chain.context, self.shard, list(self.state.items()), machine=MACHINE)
        self.core = ValidatorCore(
            self.pump.chain.context,
            self.shard,
            self.index,
            validator_seed(self.shard, self.index),
            ED25519,
            self.pump.rules,
            ledger,
            recover(self.store),
        )
        self.alive = True
        self.halted = ""
        self.timers: dict[str, int] = {}
        self.answers: dict[int, tuple[asked.Submission, ...]] = {}
        self.news: list[object] = []
        self.notes: list[Note] = []
        self.effects: Counter[str] = Counter()
        self.life = object()
        self.hear(told.Started())

    def flush(self) -> None:
        """Bring the state store to where the ledger is."""
        flush = self.core.ledger.take_flush()
        for key, value in flush.changes.items() if flush else ():
            self.state.pop(key, None) if value is None else self.state.__setitem__(key, value)

    def kill(self) -> None:
        self.alive, self.dies_after = False, None

    def hear(self, event: told.Event) -> None:
        at = Instant(self.pump.now, Milliseconds(GENESIS_TIME + self.pump.now))
        for effect in self.core.handle(event, at) if self.alive else ():
            if self.dies_after is not None:
                self.dies_after -= 1
                if self.dies_after < 0:
                    self.kill()
                    return
            self.effects[type(effect).__name__] += 1
            self._perform(effect)

    def _perform(self, effect: asked.Effect) -> None:
        match effect:
            case Persist(writes):
                self.store.commit(writes)
            case Send(to, raw):
                self.pump.post(self, to, raw)
            case Broadcast(raw):
                for other in range(self.pump.validators):
                    if other != self.index:
                        self.pump.post(self, other, raw)
            case SetTimer(name, at_ms):
                self.timers[name] = at_ms
            case CancelTimer(name):
                self.timers.pop(name, None)
            case asked.Halt(reason):
                self.halted, self.alive = reason, False
            case _:
                self._answer(effect)

    def _answer(self, effect: asked.Effect) -> None:
        match effect:
            case asked.VerifySignatures(batch, items):
                self.later(told.SignaturesChecked(batch, tuple(ED25519.verify_many(items))))
            case asked.ExecuteBlock(block):
                self.later(told.BlockExecuted(self.pump.execute(self, block)))
            case asked.LoadFinalized(height):
                self.later(reading.load_finalized(self.store, height))
            case asked.ServeArchive(peer, request):
                self.pump.post(self, peer, reading.answer_archive(self.store, request) or b"")
            case asked.Answer(request, results):
                assert request not in self.answers, "a request is answered once"
                self.answers[request] = results
            case asked.Publish(news):
                self.news.append(news)
            case Note():
                self.notes.append(effect)
            case _:
                raise AssertionError(f"{effect} is performed elsewhere")

    def later(self, event: told.Event) -> None:
        life = self.life
        self.pump.queue.append(lambda: self.hear(event) if self.life is life else None)


class Pump:
    """All validators of all shards of a `TestChain`'s context."""

    def __init__(self, shards: int = 1, validators: int = 4, accounts: int = 4, rules: Rules | None = None) -> None:
        self.chain = TestChain(shards, validators, accounts)
        self.rules = rules or Rules()
        self.validators = validators
        self.now = 0
        self.queue: deque[Callable[[], None]] = deque()
        self.lost: Filter = lambda sender, receiver, raw: False
        self.execute: Callable[[Node, Block], Execution] = lambda node, block: node.core.ledger.execute(block)
        self.requests = 0
        self.nodes = [[Node(self, shard, index) for index in range(validators)] for shard in range(shards)]

    def post(self, sender: Node, receiver: int, raw: bytes) -> None:
        if not self.lost(sender, receiver, raw):
            event = told.PeerSent(sender.index, raw)
            self.queue.append(lambda: self.nodes[sender.shard][receiver].hear(event))

    def run(self, milliseconds: int) -> None:
        """Let virtual time pass; everything that is due happens in order."""
        end = self.now + milliseconds
        while True:
            while self.queue:
                self.queue.popleft()()
            due = [(at, node, name) for node in self.everybody() for name, at in node.timers.items() if node.alive]
            at, node, name = min(due, key=lambda each: each[0], default=(end + 1, None, ""))
            if node is None or at > end:
                break
            self.now = max(self.now, at)
            del node.timers[name]
            node.hear(told.TimerFired(name))
        self.now = end

    def everybody(self) -> list[Node]:
        return [node for shard in self.nodes for node in shard]

    def submit(self, shard: int, raws: Sequence[bytes], to: int = 0) -> tuple[asked.Submission, ...]:
        """Hand transactions to a validator and return its answer."""
        return self._ask(self.nodes[shard][to], lambda request: told.TransactionsSubmitted(request, tuple(raws)))

    def submit_bundle(self, shard: int, raw: bytes, to: int = 0) -> asked.Submission:
        """Hand a bundle to a validator and return its answer."""
        return self._ask(self.nodes[shard][to], lambda request: told.BundleSubmitted(request, raw))[0]

    def _ask(self, node: Node, event: Callable[[int], told.Event]) -> tuple[asked.Submission, ...]:
        self.requests += 1
        node.hear(event(self.requests))
        self.run(0)
        return node.answers[self.requests]

    def bundle(self, source: int, destination: int) -> bytes | None:
        """Bundle of what a destination has not executed yet, from the source's newest certificate."""
        first = self.nodes[destination][0].core.ledger.lane(ShardId(source)).recv_next
        return queries.bundle_for(
            self.nodes[source][0].store, self.chain.context, ShardId(source), ShardId(destination), first
        )

    def carry(self, source: int, destination: int, to: int = 0) -> asked.Submission:
        """What a courier does: take the bundle, deliver it."""
        raw = self.bundle(source, destination)
        assert raw is not None
        return self.submit_bundle(destination, raw, to)
