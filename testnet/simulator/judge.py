"""All checkers behind one ear: S1 and D1 are kept here, the rest is passed on to the votes and the books."""

from collections.abc import Callable, Sequence

import msgpack

from consensus.block import Block, block_id_of
from consensus.committee import Committee
from primitives.codec import encode
from primitives.identifiers import Height
from primitives.signatures import SignatureScheme
from primitives.storage import integer_key
from shards.chain_store import COMMITMENTS
from shards.commitments import Commitment
from shards.genesis import ChainContext
from shards.outcome import Execution
from shards.validator.effects import BlockApplied, BlockFinalized, HeightCertified
from testnet.simulator.books import Books
from testnet.simulator.clients import Clients
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.faults import Name, place_of, validator_name
from testnet.simulator.findings import Findings
from testnet.simulator.heap import Heap
from testnet.simulator.hoards import Hoard, excess
from testnet.simulator.promises import Promises
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.validators import SimulatedValidator
from testnet.simulator.vote_checker import VoteChecker

_BUNDLE, _COMMITMENT_SIGNATURE = b"\x02", b"\x03"

BLOCKS_BEHIND = 3
"""At the end of the heal phase an honest validator may be this many blocks behind the first: what is in flight."""


class Judge:
    """`Watcher` of every validator; `verdict` at the end."""

    def __init__(
        self,
        settings: SimulationSettings,
        context: ChainContext,
        scheme: SignatureScheme,
        heap: Heap,
        findings: Findings,
    ) -> None:
        self._settings = settings
        self._context = context
        self._heap = heap
        self.findings = findings
        committees: Sequence[Committee] = context.committees
        self.votes = VoteChecker(
            committees, lambda key, message, signature: _verify(scheme, key, message, signature), findings
        )
        self.guilty = self.votes.guilty = frozenset(settings.byzantine_validators)
        self.blamed: dict[Name, set[str]] = {}
        """What the guilty ones were found guilty of by others."""
        self.books = Books(context, findings)
        self.promises = Promises(findings) if settings.calls_per_minute else None
        self.disks: dict[Name, SimulatedDisk] = {}
        self.hoards: dict[Name, Callable[[], Hoard | None]] = {}
        """What each validator holds for others; None while it is down."""
        self._final: dict[tuple[int, int], bytes] = {}
        """(shard, height) -> id of the block that the first validator called final."""
        self.finalized: dict[Name, int] = {}
        """Highest height that each validator ever called final."""
        self.finalized_ms: dict[tuple[int, int], int] = {}
        self.last_progress_ms: dict[Name, int] = {}
        self.settled_ms: dict[bytes, int] = {}

    def on_sign(self, node: Name, message: bytes) -> None:
        """See `Watcher`."""
        self.votes.on_sign(node, message)

    def on_wire(self, node: Name, raw: bytes) -> None:
        """See `Watcher`."""
        self.votes.on_wire(node, raw)
        if raw[:1] == _COMMITMENT_SIGNATURE:
            commitment, signer, _ = msgpack.unpackb(raw[1:])
            height = commitment[4]
            if place_of(node)[1] == signer:
                durable = self.disks[node].peek(COMMITMENTS, integer_key(height)) == msgpack.packb(commitment)
                self.findings.check(durable, "S4", node, height, "a commitment signature leaves before it is durable")

    def on_executed(self, node: Name, block: Block, execution: Execution) -> None:
        """Check the links of the chain, and book the block."""
        shard, _ = place_of(node)
        height = block.header.height
        expected = (
            self._final.get((shard, height - 1)) if height > 1 else self._context.genesis_block_id(place_of(node)[0])
        )
        self.findings.check(
            expected == block.header.parent, "S1", node, height, "a final block is not linked to the last"
        )
        self.findings.check(
            self._final.get((shard, height), block_id_of(block.header)) == block_id_of(block.header),
            "S1",
            node,
            height,
            "executes a block that is not the final one",
        )
        self._final.setdefault((shard, height), block_id_of(block.header))
        if self.books.book(node, block, execution):
            for item in block.items:
                if item[:1] == _BUNDLE:
                    self.votes.on_certificate(node, msgpack.packb(msgpack.unpackb(item[1:])[0]))
            if self.promises is not None:
                self.promises.watch(node, shard, height, execution)
            problem = self.books.conservation()
            self.findings.check(not problem, "V1", node, height, problem)
            problem = self.books.outflow()
            self.findings.check(not problem, "V2", node, height, problem)
            for name, call in self.books.calls.items():
                if call.settled_height and name not in self.settled_ms:
                    self.settled_ms[name] = self._heap.now_ms

    def on_news(self, node: Name, news: BlockFinalized | BlockApplied | HeightCertified) -> None:
        """Check what a validator tells its subscribers."""
        shard, _ = place_of(node)
        if isinstance(news, BlockFinalized):
            first = self._final.setdefault((shard, news.height), news.block_id)
            self.findings.check(first == news.block_id, "S1", node, news.height, "two final blocks at one height")
            self.finalized_ms.setdefault((shard, news.height), self._heap.now_ms)
            if news.height > self.finalized.get(node, 0):
                self.finalized[node] = news.height
                self.last_progress_ms[node] = self._heap.now_ms
                self._hoard(node, news.height)
        elif isinstance(news, HeightCertified):
            self.votes.on_certificate(node, encode(news.certificate))
            self._compare_certificate(node, news)

    def _hoard(self, node: Name, height: int) -> None:
        """Compare what a validator holds with what it should never have more of, whoever sent it what."""
        hoard = self.hoards[node]()
        problem = "" if hoard is None else excess(hoard, self._settings.shards, self._settings.rules.retention_views)
        self.findings.check(not problem, "R1", node, height, problem)

    def _compare_certificate(self, node: Name, news: HeightCertified) -> None:
        commitment = news.certificate.commitment
        results = self.books.shards[commitment.shard].results
        if commitment.height <= len(results):
            same = results[commitment.height - 1][0] == commitment
            self.findings.check(same, "S2", node, commitment.height, "another result is certified than was computed")

    def on_blame(self, node: Name, detail: str) -> None:
        """Check that whoever is blamed is one of the guilty."""
        who, offence, _ = detail.split(": ")
        culprit = validator_name(place_of(node)[0], int(who.removeprefix("validator ")))
        if culprit in self.guilty:
            self.blamed.setdefault(culprit, set()).add(offence)
        else:
            self.findings.add("A1", node, self.finalized.get(node, 0), f"blames an honest validator: {detail[:120]}")

    def on_failure(self, node: Name, why: str) -> None:
        """An honest validator halted or raised."""
        self.findings.add("H1", node, self.finalized.get(node, 0), why[:300])

    def on_restart(self, node: Name, finalized: Height, commitment: Commitment) -> None:
        """Check that nothing that was called final is forgotten, and that the stored state is the booked one."""
        results = self.books.shards[place_of(node)[0]].results
        if commitment.height:
            same = results[commitment.height - 1][0] == commitment
            self.findings.check(same, "D1", node, commitment.height, "starts from another state than was committed to")
        self.votes.restarted(node)
        before = self.finalized.get(node, 0)
        self.findings.check(
            finalized >= before, "D1", node, finalized, f"remembers {finalized} of {before} final blocks"
        )

    def on_loss(self, node: Name) -> None:
        """What it called final it need not remember: it is not it that has lost it."""
        self.finalized.pop(node, None)

    def distrust(self, node: Name) -> None:
        """Hold against nobody what this one signs from now on: it lies, or has forgotten what it signed before."""
        self.guilty = self.votes.guilty = self.guilty | {node}

    # At the end

    def verdict(self, validators: Sequence[SimulatedValidator], clients: Sequence[Clients]) -> None:
        """Check what can only be seen at the end: D1, L1, X4 and every validator's whole state."""
        for validator in validators:
            self._final_state(validator)
        for each in clients:
            self._acknowledged(each)
        left = self.books.unsettled()
        self.findings.check(not left, "X4", "all", 0, f"{len(left)} calls are not settled at the end of the heal phase")
        under_way = self.books.under_way()
        self.findings.check(not under_way, "L1", "all", 0, f"{under_way} contracts' calls or messages have not ended")
        left_over = self.books.leftovers()
        self.findings.check(not left_over, "L1", "all", 0, f"left at the end: {', '.join(left_over)}")
        if self.promises is not None:
            self.promises.verdict()

    def _final_state(self, validator: SimulatedValidator) -> None:
        books, name = self.books.shards[validator.shard], validator.name
        if validator.core is None:
            self.findings.add("L1", name, self.finalized.get(name, 0), "is not running at the end")
            return
        height = validator.core.ledger.height
        behind = books.height - height
        self.findings.check(behind <= BLOCKS_BEHIND, "L1", name, height, f"is {behind} blocks behind at the end")
        last = self.last_progress_ms.get(name, 0)
        # An idle shard makes a block every idle interval; a view that fails takes at most the largest timeout.
        rules = self._settings.rules
        longest = rules.idle_interval_ms + 6 * rules.max_timeout_ms
        since = self._heap.now_ms - max(last, 0)
        self.findings.check(since <= longest, "L1", name, height, f"finalized nothing in the last {since} ms")
        self.findings.check(
            last > self._settings.chaos_ms or self._heap.now_ms - self._settings.chaos_ms < longest,
            "L1",
            name,
            height,
            "finalized nothing after the faults ended",
        )
        if height == books.height:
            self.books.compare_state(name, validator.core.ledger.entries())

    def _acknowledged(self, clients: Clients) -> None:
        books = self.books.shards[clients.shard]
        for each in clients.acknowledged:
            if each.by in self.guilty:
                continue  # its word is worth nothing
            found = books.places.get(each.id)
            self.findings.check(
                found == each.height, "D1", each.by, each.height, f"an acknowledged transaction is at height {found}"
            )
        for wanted in clients.under_way.values():
            self.findings.check(
                wanted.hopeless or wanted.valid_until_ms - wanted.submitted_ms > self._age_ms(wanted.submitted_ms),
                "L1",
                clients.name,
                books.height,
                "a transaction is neither final nor expired long after it was submitted",
            )
        for wanted in clients.expired:
            self.findings.check(
                wanted.id not in books.places,
                "D1",
                clients.name,
                books.height,
                "a transaction called expired is included",
            )
            self.findings.check(
                wanted.hopeless or wanted.submitted_ms < self._settings.chaos_ms,
                "L1",
                clients.name,
                books.height,
                "a transaction submitted after the faults ended was not included while it was valid",
            )

    def _age_ms(self, since_ms: int) -> int:
        return self._heap.now_ms - since_ms


def _verify(scheme: SignatureScheme, key: bytes, message: bytes, signature: bytes) -> bool:
    return scheme.verify_many([(key, message, signature)])[0]  # type: ignore[list-item]  # plain bytes are keys and signatures
