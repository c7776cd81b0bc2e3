"""Runs one scenario: in the views that it scripts, a process hears who is in its part only; then everyone hears all.

A validator's leaders are what its committee says, so a committee that knows the script is all that it takes to choose
them. A message belongs to the view that its sender is in. Where no part has a quorum nobody could ever leave the view,
so its split ends after a while, and what is said again gets through late, as on a network that comes back.
"""

from functools import partial
from typing import NamedTuple

from consensus.committee import Committee
from primitives.identifiers import ValidatorIndex, View
from tests.consensus.harness import Cluster, Link
from tests.consensus.monitor import Violation
from tests.consensus.twins.scenarios import Round, Shape

LINK = Link(delay_ms=10, jitter_ms=15)
"""Messages overtake one another; how is decided by the number of the scenario."""

SPLIT_MS = 2_500
"""A split lasts so long: two and a half first timeouts, so that its validators give the view up and say so twice."""

GROWTH = 2
"""Blocks that every honest validator must finalize after the last split, whoever leads: twins have both said enough."""


class ScriptedCommittee(Committee):
    """A committee whose first leaders are written down; round robin goes on after them."""

    def __init__(self, plain: Committee, leaders: tuple[int, ...]) -> None:
        super().__init__(plain.chain_id, plain.members)
        self._leaders = leaders

    def leader(self, view: View) -> ValidatorIndex:
        if 1 <= view <= len(self._leaders):
            return ValidatorIndex(self._leaders[view - 1])
        return super().leader(view)


class TwinsCluster(Cluster):
    """Validators of which the first are twins; process n + k is the second one of validator k."""

    def __init__(self, shape: Shape, rounds: tuple[Round, ...], *, seed: int) -> None:
        super().__init__(shape.validators, seed=seed, link=LINK, traced=False)
        self.committee = ScriptedCommittee(self.committee, tuple(each.leader for each in rounds))
        self._parts = tuple(each.parts for each in rounds)
        self._began: dict[int, int] = {}
        everyone = set(range(shape.validators))
        for key in range(shape.guilty):
            self.add_twin(key, everyone, everyone)
        self.honest = sorted(everyone - self.faulty)

    def is_over(self) -> bool:
        """Whether every honest validator has left the scripted views."""
        return all(self.replica(index).view > len(self._parts) for index in self.honest)

    def hears(self, source: int, target: int) -> bool:
        """Whether what one process says now reaches another."""
        view = self.replica(source).view
        if view > len(self._parts) or self.now_ms - self._began.setdefault(view, self.now_ms) >= SPLIT_MS:
            return True
        parts = self._parts[view - 1]
        return parts[source] == parts[target]

    def _send(self, source: int, to: int, raw: bytes) -> None:
        key = source if source < self.committee.size else source - self.committee.size
        if source not in self.faulty:
            self.monitor.said(source, raw)
        second = (to + self.committee.size,) if to in self.twins else ()
        targets = [target for target in (to, *second) if self.hears(source, target)]
        if targets:
            self.inject(key, to, raw, targets)


class Outcome(NamedTuple):
    """What a scenario that broke nothing came to."""

    blames: int
    """Times that a process convicted a twin of having contradicted itself."""
    height: int
    """Of the highest block that was final when the splits were over."""


def run_case(shape: Shape, index: int) -> Outcome:
    """Run one scenario.

    Raises:
        Violation: a fork, a contradiction of an honest key, blame for it, or no progress in the end.
        InvariantViolated: a validator saw that of itself.

    """
    cluster = TwinsCluster(shape, shape.scenario(index), seed=index)
    cluster.start()
    limit_ms = shape.rounds * (SPLIT_MS + 4 * cluster.rules.max_timeout_ms)
    if not cluster.run(limit_ms, cluster.is_over):
        raise Violation(f"the honest are in views {_views(cluster)} of {shape.rounds} split ones after {limit_ms} ms")
    reached = max(cluster.heights(cluster.honest))
    limit_ms = 12 * cluster.rules.max_timeout_ms
    if not cluster.run(limit_ms, partial(_has_grown, cluster, reached + GROWTH)):
        raise Violation(f"the splits are over, and {limit_ms} ms later the honest are at {_views(cluster)}")
    rivals = cluster.notes("conflicting_certificates")
    if rivals:
        raise Violation(f"two certificates contradict each other: {rivals[0].detail}")
    return Outcome(len(cluster.monitor.blames), reached)


def _has_grown(cluster: TwinsCluster, height: int) -> bool:
    return all(cluster.height(index) >= height for index in cluster.honest)


def _views(cluster: TwinsCluster) -> str:
    return " ".join(f"{index}:{cluster.replica(index).view}" for index in cluster.honest)
