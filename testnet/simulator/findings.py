"""What checkers report: a broken invariant, where, and what was seen."""

from dataclasses import dataclass

from testnet.simulator.faults import Name

MAX_FINDINGS = 20
"""One broken rule shows in many places; the first few tell the story."""

INVARIANTS = {
    "S1": "one finalized block per shard and height, linked to the one before",
    "S2": "equal execution results for equal heights",
    "S3": "every certificate has a quorum of distinct signers whose signatures verify",
    "S4": "an honest validator never signs two statements that conflict, across restarts",
    "V1": "balances, what is in flight and what is held add up to the supply",
    "V2": "no shard sends out more than it began with and received",
    "X1": "every message is consumed at most once, in the order of its stream",
    "X2": "what is consumed was sent, to this shard, by a finalized block",
    "X3": "transactions of a sender are included in the order of their nonces",
    "X4": "every call gets exactly one reply",
    "C1": "the workload's contracts keep what they promise (`testnet.simulator.promises`)",
    "D1": "nothing finalized or acknowledged is lost",
    "L1": "after the faults end every honest validator finalizes again and everything settles",
    "R1": "what validators hold in memory for others stays within bounds",
    "A1": "only the guilty are blamed",
    "H1": "an honest validator never halts or fails of itself",
}
"""Every invariant, in the words of the design."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant."""

    invariant: str
    node: Name
    height: int
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.node}, height {self.height}: {self.detail} ({INVARIANTS[self.invariant]})"


class Findings:
    """Violations in the order in which they were seen; the first of each kind and place is kept."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Name], Violation] = {}

    def add(self, invariant: str, node: Name, height: int, detail: str) -> None:
        """Note a violation."""
        if len(self._found) < MAX_FINDINGS:
            self._found.setdefault((invariant, node), Violation(invariant, node, height, detail))

    def check(self, condition: bool, invariant: str, node: Name, height: int, detail: str) -> None:  # noqa: FBT001 - reads like assert
        """Note a violation unless the condition holds."""
        if not condition:
            self.add(invariant, node, height, detail)

    def all(self) -> tuple[Violation, ...]:
        """Everything found."""
        return tuple(self._found.values())

    def __bool__(self) -> bool:
        return bool(self._found)
