"""A whole chain in virtual time: shards of validators, relays and clients on one heap of events.

`run_simulation` is everything: it builds the world from its settings, plans the faults, lets the chaos and the heal
phase pass, and judges. The same production cores run here as in the real processes; only their shells differ.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TypeVar

from primitives.identifiers import ShardId, ValidatorIndex
from primitives.signatures import ED25519, SignatureScheme
from shards.genesis import ChainContext
from shards.limits import TOP_UP_MS
from testnet.simulator.byzantine import BYZANTINE_RELAYS
from testnet.simulator.byzantine_validator import make_validator
from testnet.simulator.clients import Clients
from testnet.simulator.customers import Customers
from testnet.simulator.draws import Draws
from testnet.simulator.faults import Fault, FaultKind, Name, validator_name
from testnet.simulator.findings import Findings
from testnet.simulator.heap import Heap
from testnet.simulator.judge import Judge
from testnet.simulator.machine import shared_machine
from testnet.simulator.network import Network
from testnet.simulator.population import customers, make_context, people, validator_seed
from testnet.simulator.relays import SimulatedRelay
from testnet.simulator.scheme import CheapScheme
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.trace import Trace
from testnet.simulator.validators import SimulatedValidator

RESTART_MS = 300
"""How long a supervisor takes to start a validator that died without an end planned for it."""

HUNGER_MS = TOP_UP_MS + 60_000
"""After so long every call that starves has failed, and has been answered."""

QUIET_MS = 5_000
"""Then, so that every validator has executed the last of it."""

Switch = Callable[[], None]

K = TypeVar("K")


class World:
    """Everything that takes part in one run."""

    def __init__(
        self,
        settings: SimulationSettings,
        *,
        context: ChainContext | None = None,
        scheme: SignatureScheme | None = None,
    ) -> None:
        """`context` and `scheme` are those of the settings when left out."""
        self.settings = settings = settings.expanded()
        self.heap = Heap()
        self.network = Network(settings.seed, self.heap)
        self.trace = Trace()
        self.findings = Findings()
        if scheme is None:
            scheme = ED25519 if settings.signs_for_real else CheapScheme()
        self.context = make_context(settings, scheme) if context is None else context
        self.judge = Judge(settings, self.context, scheme, self.heap, self.findings)
        self.validators = {
            validator_name(shard, index): make_validator(
                settings,
                self.context,
                (ShardId(shard), ValidatorIndex(index)),
                (validator_seed(shard, index), scheme),
                (self.heap, self.network, self.trace, self.judge),
                shared_machine(),
            )
            for shard in range(settings.shards)
            for index in range(settings.validators)
        }
        outside = (self.heap, self.network, self.trace)
        posts = [None] * settings.relays + [
            BYZANTINE_RELAYS[name](Draws(settings.seed, f"byzantine/{name}")) for name in settings.byzantine_relays
        ]
        self.relays = [SimulatedRelay(index, self.context, scheme, outside, post) for index, post in enumerate(posts)]
        everyone = people(settings, scheme)
        self.clients: list[Clients] = [
            Clients(settings, shard, everyone, self.context, scheme, (self.heap, self.network))
            for shard in range(settings.shards)
        ]
        if settings.calls_per_minute:
            rich = customers(settings, scheme)
            self.clients += [
                Customers(settings, shard, rich, self.context, scheme, (self.heap, self.network))
                for shard in range(settings.shards)
            ]
        self.lanes_cut: dict[tuple[int, int], int] = {}
        """How many faults cut each lane."""
        self._introduce()
        self._held_down: dict[Name, int] = {}
        """How many faults keep each validator from being restarted."""
        self.happened: dict[str, int] = {}
        for fault in settings.faults or ():
            self._plan(fault)

    def _introduce(self) -> None:
        """Let everybody know the others."""
        for relay in self.relays:
            relay.validators, relay.lanes_cut = self.validators, self.lanes_cut
        for clients in self.clients:
            clients.validators = self.validators
        for validator in self.validators.values():
            validator.peers = self.validators
            self.judge.disks[validator.name] = validator.disk
            validator.on_crash = partial(self._died, validator)

    def run(self) -> SimulationReport:
        """Let it all happen."""
        for validator in self.validators.values():
            self.heap.after(0, validator.start)
        for begin in (*(relay.start for relay in self.relays), *(clients.start for clients in self.clients)):
            self.heap.after(1_000, begin)
        if self.settings.crash_boundary is not None:
            name, boundary = self.settings.crash_boundary
            self.validators[name].crash_at = boundary
        # A world in which money appears can run very long; the first findings tell the story.
        self.heap.run_until(self.settings.seconds * 1000, stop=lambda: bool(self.findings))
        if self.settings.calls_per_minute:
            self._wait_for_the_hungry()
        if not self.findings:
            guilty = self.settings.byzantine_validators
            self.judge.verdict([each for each in self.validators.values() if each.name not in guilty], self.clients)
        for relay in self.relays:
            self.findings.check(not relay.failure, "H1", relay.name, 0, relay.failure)
        return self._report()

    def _wait_for_the_hungry(self) -> None:
        """Let the time pass in which somebody might feed a call that ran out of gas; then all of them have ended."""
        books = self.judge.books
        deadline_ms = self.heap.now_ms + HUNGER_MS
        while books.under_way() and self.heap.now_ms < deadline_ms and not self.findings:
            self.heap.run_until(self.heap.now_ms + 1_000, stop=lambda: bool(self.findings))
        self.heap.run_until(self.heap.now_ms + QUIET_MS, stop=lambda: bool(self.findings))

    # Life after death

    def _died(self, validator: SimulatedValidator) -> None:
        if not self._held_down.get(validator.name):
            pause_ms = self.settings.crash_pause_ms if self.settings.crash_boundary else RESTART_MS
            self.heap.at_ms(self.heap.now_ms + pause_ms, partial(self._revive, validator))

    def _revive(self, validator: SimulatedValidator) -> None:
        if not validator.alive and not self._held_down.get(validator.name) and not self.findings:
            shared_machine().lose_codes()
            validator.start()

    def hold_down(self, validator: SimulatedValidator, change: int) -> None:
        """One reason more (or, with -1, less) why a validator that died is not restarted."""
        self._held_down[validator.name] = self._held_down.get(validator.name, 0) + change

    # Faults

    def _plan(self, fault: Fault) -> None:
        begin, end = self._switches(fault)

        def begin_and_count() -> None:
            self.happened[fault.kind] = self.happened.get(fault.kind, 0) + 1
            begin()

        self.heap.at_ms(fault.start_ms, begin_and_count)
        self.heap.at_ms(fault.end_ms, end)

    def _switches(self, fault: Fault) -> tuple[Switch, Switch]:
        """How a fault begins and how it ends."""
        match fault.kind:
            case FaultKind.CRASH | FaultKind.CRASH_AFTER_SEND | FaultKind.HALT | FaultKind.PAUSE:
                return self._process_switches(fault)
            case FaultKind.CLOCK:
                return self._attribute(self.validators[fault.target], "skew_ms", fault.amount)
            case FaultKind.SLOW_DISK:
                return self._attribute(self.validators[fault.target], "slow_disk_ms", fault.amount)
            case FaultKind.LOSSY:
                return self._table(self.network.loss, self._members(fault.target), fault.amount)
            case FaultKind.DUPLICATING:
                return self._table(self.network.doubling, self._members(fault.target), fault.amount)
            case FaultKind.CORRUPTING:
                return self._table(self.network.corruption, self._members(fault.target), fault.amount)
            case FaultKind.SLOW:
                return self._table(self.network.slowness_ms, [fault.target], fault.amount)
            case FaultKind.RELAY_CRASH:
                relay = next(each for each in self.relays if each.name == fault.target)
                return relay.crash, partial(self._restart_relay, relay)
            case FaultKind.LATE:
                return self._count(self.network.delays_ms, _ends(fault.target), fault.amount)
            case FaultKind.LANE_CUT:
                one, other = _ends(fault.target)
                return self._count(self.lanes_cut, (int(one[1:]), int(other[1:])), 1)
            case _:
                return self._cut(self._cut_links(fault))

    def _process_switches(self, fault: Fault) -> tuple[Switch, Switch]:
        if fault.kind is FaultKind.HALT:
            members = [self.validators[name] for name in self._members(fault.target)]
            down = members if fault.amount else members[: (len(members) - 1) // 3 + 1]
            return partial(self.halt, down), partial(self.release, down)
        validator = self.validators[fault.target]
        if fault.kind is FaultKind.PAUSE:
            return partial(setattr, validator, "paused", True), validator.resume

        def arm() -> None:
            self.hold_down(validator, 1)
            if fault.kind is FaultKind.CRASH:
                validator.crash_at = validator.boundaries + 1 + fault.amount
            else:
                validator.crash_after_sends = fault.amount

        return arm, partial(self.release, [validator])

    def halt(self, down: list[SimulatedValidator]) -> None:
        """Kill these and keep them down until they are released."""
        for validator in down:
            self.hold_down(validator, 1)
            validator.crash()

    def release(self, down: list[SimulatedValidator]) -> None:
        """Let these start again."""
        for validator in down:
            self.hold_down(validator, -1)
            validator.crash_at = validator.crash_after_sends = None
            self._revive(validator)

    def _restart_relay(self, relay: SimulatedRelay) -> None:
        if relay.courier is None:
            relay.start()

    def _members(self, target: str) -> list[Name]:
        if target.startswith("r") or "v" in target:
            return [target]
        return [validator_name(int(target[1:]), index) for index in range(self.settings.validators)]

    def _cut_links(self, fault: Fault) -> list[tuple[Name, Name]]:
        if fault.kind in {FaultKind.ONE_WAY, FaultKind.RELAY_CUT}:
            sender, receiver = _ends(fault.target)
            if fault.kind is FaultKind.ONE_WAY:
                return [(sender, receiver)]
            return [link for name in self._members(receiver) for link in ((sender, name), (name, sender))]
        members = self._members(fault.target)
        group = [name for index, name in enumerate(members) if fault.amount >> index & 1]
        others = [name for name in members if name not in group]
        links = [(one, other) for one in group for other in others]
        if fault.kind is FaultKind.PARTITION:
            links += [(other, one) for one, other in links]
        return links

    def _cut(self, links: list[tuple[Name, Name]]) -> tuple[Switch, Switch]:
        def switch(*, cut: bool) -> None:
            for link in links:
                self.network.hold(*link, cut=cut)

        return partial(switch, cut=True), partial(switch, cut=False)

    def _attribute(self, owner: object, name: str, value: int) -> tuple[Switch, Switch]:
        return partial(setattr, owner, name, value), partial(setattr, owner, name, 0)

    def _count(self, table: dict[K, int], key: K, amount: int) -> tuple[Switch, Switch]:
        def switch(change: int) -> None:
            table[key] = table.get(key, 0) + change

        return partial(switch, amount), partial(switch, -amount)

    def _table(self, table: dict[Name, int], names: list[Name], amount: int) -> tuple[Switch, Switch]:
        def switch(value: int) -> None:
            table.update(dict.fromkeys(names, value))

        return partial(switch, amount), partial(switch, 0)

    # Reporting

    def _report(self) -> SimulationReport:
        counts: dict[str, int] = dict(sorted(self.happened.items()))
        parts = [validator.counts for validator in self.validators.values()] + [relay.counts for relay in self.relays]
        for part in (*parts, self.network.counts, *(clients.counts for clients in self.clients)):
            for name, count in part.items():
                counts[name] = counts.get(name, 0) + count
        counts.update(self.judge.books.outcomes)
        if self.judge.promises is not None:
            counts.update(self.judge.promises.counts)
        counts["votes"] = self.judge.votes.votes_seen
        counts["lost batches"] = sum(each.disk.lost_batches for each in self.validators.values())
        counts["largest virtual gap ms"] = self._largest_gap_ms()
        calls = self.judge.books.calls
        final = [each for clients in self.clients for each in clients.acknowledged]
        first = self.judge.finalized_ms
        submitted = {each.id: each.submitted_ms for each in final}
        settled = [
            self.judge.settled_ms[name] - submitted[call.trace_id]  # type: ignore[index]  # plain bytes
            for name, call in calls.items()
            if name in self.judge.settled_ms and call.trace_id in submitted
        ]
        return SimulationReport(
            settings=self.settings,
            violations=self.findings.all(),
            trace_hash=self.trace.digest(),
            events=self.trace.entries,
            blocks=tuple(books.height for books in self.judge.books.shards),
            counts=counts,
            latencies_ms={
                "finalized": tuple(
                    sorted(
                        first[each.shard, each.height] - each.submitted_ms
                        for each in final
                        if (each.shard, each.height) in first
                    )
                ),
                "settled": tuple(sorted(settled)),
            },
            latencies_blocks=tuple(
                sorted(call.settled_height - call.height for call in calls.values() if call.settled_height)
            ),
        )

    def _largest_gap_ms(self) -> int:
        """Longest time in the heal phase in which some shard finalized nothing new."""
        longest = 0
        for shard in range(self.settings.shards):
            times = [at for (which, _), at in self.judge.finalized_ms.items() if which == shard]
            times = sorted(at for at in times if at >= self.settings.chaos_ms)
            longest = max([longest, *(later - earlier for earlier, later in pairwise(times))])
        return longest


def _ends(target: str) -> tuple[Name, Name]:
    """Both ends of a link or lane."""
    one, other = target.split(">")
    return one, other


def run_simulation(settings: SimulationSettings) -> SimulationReport:
    """Run one simulation; equal settings give equal reports."""
    return World(settings).run()
