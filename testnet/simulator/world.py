"""A whole chain in virtual time: shards of validators, relays and clients on one heap of events.

`run_simulation` is everything: it builds the world from its settings, plans the faults, lets the chaos and the heal
phase pass, and judges. The same production cores run here as in the real processes; only their shells differ.
"""

from functools import partial
from itertools import pairwise

from primitives.identifiers import ShardId, ValidatorIndex
from primitives.signatures import ED25519, SignatureScheme
from shards.genesis import ChainContext
from shards.limits import TOP_UP_MS
from testnet.simulator.byzantine import BYZANTINE_RELAYS
from testnet.simulator.byzantine_validator import ByzantineValidator, make_validator
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
from testnet.simulator.switches import Switch, Switches
from testnet.simulator.trace import Trace
from testnet.simulator.validators import SimulatedValidator

RESTART_MS = 300
"""How long a supervisor takes to start a validator that died without an end planned for it."""

HUNGER_MS = TOP_UP_MS + 60_000
"""After so long every call that starves has failed, and has been answered."""

QUIET_MS = 5_000
"""Then, so that every validator has executed the last of it."""


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
        self.scheme = scheme
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
            BYZANTINE_RELAYS[name](Draws(settings.seed, f"byzantine/{name}"), self.heap)
            for name in settings.byzantine_relays
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
        self.lanes_late_ms: dict[tuple[int, int], int] = {}
        """How much longer relays take on each lane."""
        self._introduce()
        self._switches = Switches(self)
        self._held_down: dict[Name, int] = {}
        """How many faults keep each validator from being restarted."""
        self.happened: dict[str, int] = {}
        self._plan(settings.faults or ())

    def _introduce(self) -> None:
        """Let everybody know the others."""
        for relay in self.relays:
            relay.validators = self.validators
            relay.lanes_cut, relay.lanes_late_ms = self.lanes_cut, self.lanes_late_ms
        for clients in self.clients:
            clients.validators = self.validators
        for validator in self.validators.values():
            self._take_in(validator)

    def _take_in(self, validator: SimulatedValidator) -> None:
        validator.peers = self.validators
        self.judge.disks[validator.name] = validator.disk
        self.judge.hoards[validator.name] = validator.hoard
        validator.on_crash = partial(self._died, validator)

    def adopt(self, old: SimulatedValidator, new: SimulatedValidator) -> None:
        """Let another process take the place of a validator, which dies for good."""
        old.on_crash = lambda: None
        old.crash()
        self.validators[old.name] = new
        self._take_in(new)

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
            self.heap.at_ms(self.heap.now_ms + pause_ms, partial(self.revive, validator))

    def revive(self, validator: SimulatedValidator) -> None:
        """Start a validator that is dead, unless a fault holds it down."""
        if not validator.alive and not self._held_down.get(validator.name) and not self.findings:
            shared_machine().lose_codes()
            validator.start()

    def hold_down(self, validator: SimulatedValidator, change: int) -> None:
        """One reason more (or, with -1, less) why a validator that died is not restarted."""
        self._held_down[validator.name] = self._held_down.get(validator.name, 0) + change

    # Faults

    def _plan(self, faults: tuple[Fault, ...]) -> None:
        """Plan all of them, in the order of the list.

        A fault that ends as another of its kind begins there is relieved by it, with nothing in between; the end of
        such a chain is planned in the place of its first, which is what recorded seeds mean.
        """
        self._calm_liars(faults)
        lasting = [(place, fault) for place, fault in enumerate(faults) if fault.start_ms < fault.end_ms]
        beginning = {(fault.kind, fault.target, fault.start_ms): place for place, fault in lasting}
        places = list(range(len(faults)))
        relieved: dict[int, list[int]] = {}
        for place, fault in lasting:
            reliever = beginning.get((fault.kind, fault.target, fault.end_ms))
            if reliever is not None:
                relieved.setdefault(reliever, []).append(place)
                places[reliever] = min(places[reliever], places[place])
        chained = {place for ended in relieved.values() for place in ended}
        switches = [self.switches(fault) for fault in faults]
        for place, fault in enumerate(faults):
            ends = [switches[other][1] for other in relieved.get(place, ())]
            self.heap.at_ms(fault.start_ms, partial(self._begin, fault, switches[place][0], ends))
            for other in [other for other, first in enumerate(places) if first == place and other not in chained]:
                self.heap.at_ms(faults[other].end_ms, switches[other][1])

    def _calm_liars(self, faults: tuple[Fault, ...]) -> None:
        """Let those who lie for a time be honest until the first of their times begins."""
        for fault in faults:
            liar = self.validators[fault.target] if fault.kind is FaultKind.LYING else None
            if isinstance(liar, ByzantineValidator):
                liar.lying = False

    def _begin(self, fault: Fault, begin: Switch, relieved: list[Switch]) -> None:
        self.happened[fault.kind] = self.happened.get(fault.kind, 0) + 1
        begin()
        for end in relieved:
            end()

    def switches(self, fault: Fault) -> tuple[Switch, Switch]:
        """How a fault begins and how it ends, at whatever times: nothing is planned here."""
        return self._switches.of(fault)

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
            self.revive(validator)

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


def run_simulation(settings: SimulationSettings) -> SimulationReport:
    """Run one simulation; equal settings give equal reports."""
    return World(settings).run()
