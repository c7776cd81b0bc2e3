"""The calls of a trace: who called whom with what, how each ended, and one traceback through all of them.

A call is told by several hops: the run that made it, its arrival, the runs that it took, and the reply that came home.
Here they become one `CallNode`. Calls that undo another (a contract's call, made after one of its calls had failed, to
a contract where an earlier one had worked) hang below what they undo.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from primitives.identifiers import CallId, Height, MessageId, Milliseconds, ShardId
from shards.messages import Outcome
from shards.receipts import MadeCall, RunReceipt, RunState
from shards.trace_parts import FINALIZED, NOTHING, Asked, Hop, HopKind

OK = "ok"
IN_FLIGHT = "in flight"
WAITING = "waiting"
STARVED = "starved"

OPEN = frozenset({IN_FLIGHT, WAITING, STARVED})
"""Outcomes of calls that have not ended."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """The message that a call came with."""

    message_id: MessageId
    source: ShardId
    sent: Height
    destination: ShardId
    consumed: Height | None
    """None while nobody has consumed it."""


@dataclass(slots=True, eq=False)
class CallNode:
    """One call to a contract, or its deployment. Made by `call_tree`; readers leave it as it is."""

    call_id: CallId
    asked: Asked
    parent: "CallNode | None"
    made_ms: Milliseconds
    """Block time of the run, or transaction, that made it."""
    crossing: Crossing | None = None
    """None for a call that a transaction makes on its own shard, and for what was not sent at all."""
    height: Height | None = None
    """Of the block that took it up; None while none has."""
    time_ms: Milliseconds | None = None
    runs: list[Hop] = field(default_factory=list)
    compiling_gas: int = 0
    """Of a deployment or an upgrade: what it took besides its runs."""
    receipt_outcome: str = ""
    """Of its receipt at the destination, or of its reply: what is known when no contract ran."""
    detail: str = ""
    ended_ms: Milliseconds | None = None
    children: "list[CallNode]" = field(default_factory=list)
    undoes: "CallNode | None" = None
    result: bytes = b""

    @property
    def label(self) -> str:
        """Contract and method, as `expect` and people name it."""
        return f"{self.asked.contract}.{self.asked.method}"

    @property
    def last(self) -> RunReceipt | None:
        """Receipt of its newest run."""
        return self.runs[-1].run if self.runs else None

    @property
    def outcome(self) -> str:
        """`ok`, one of `OPEN`, or what it failed with, such as `raised`, `out_of_gas`, `expired`, `refused`."""
        last = self.last
        if last is None:
            return self.receipt_outcome or IN_FLIGHT
        if last.state == RunState.FAILED:
            return last.kind
        return {RunState.COMPLETED: OK, RunState.SUSPENDED: WAITING}.get(RunState(last.state), STARVED)

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""
        return self.outcome != OK and self.outcome not in OPEN

    @property
    def error(self) -> str:
        """Type of what it raised, or why it could not go on; empty unless it failed."""
        if not self.failed:
            return ""
        return (self.last.error_type if self.last is not None else "") or self.outcome

    @property
    def message(self) -> str:
        """Text that goes with `error`."""
        return self.last.error_text if self.last is not None and self.failed else self.detail

    @property
    def gas(self) -> int:
        """Gas of all its runs, and of compiling it."""
        return self.compiling_gas + sum(hop.gas for hop in self.runs)

    @property
    def latency_ms(self) -> int | None:
        """From the block that made it to the block that took it up."""
        return None if self.time_ms is None else max(0, self.time_ms - self.made_ms)

    @property
    def traceback(self) -> str:
        """As its contract told it: its own frames, then those of the call that it failed with."""
        return self.last.traceback if self.last is not None else ""

    def cause(self) -> "CallNode | None":
        """The call whose failure it failed with, or None when it failed by itself."""
        if not self.failed:
            return None
        failed = [child for child in self.children if child.failed]
        ends = [child for child in failed if child.traceback and self.traceback.endswith(child.traceback)]
        if ends:
            return max(ends, key=lambda child: len(child.traceback))
        named = [child for child in failed if child.error in self.message or child.outcome in self.message]
        return next((child for child in named if self.error == "CallFailed"), None)

    def origin(self) -> "CallNode":
        """Where the failure began: itself, or the deepest call that it failed with."""
        cause = self.cause()
        return self if cause is None else cause.origin()


def call_tree(hops: Iterable[Hop]) -> list[CallNode]:
    """Calls that transactions made, each with those it made in turn; `hops` in order of time. O(hops)."""
    building = _Building()
    for hop in hops:
        building.take(hop)
    building.finish()
    return building.roots


def all_calls(roots: Iterable[CallNode]) -> list[CallNode]:
    """Every call below and including these, in the order in which they were made."""
    found: list[CallNode] = []
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += node.children
    return sorted(found, key=lambda node: (node.made_ms, node.parent is not None))


class _Building:
    """The nodes so far."""

    def __init__(self) -> None:
        self.roots: list[CallNode] = []
        self._nodes: dict[bytes, CallNode] = {}
        self._answered: dict[bytes, Hop] = {}

    def take(self, hop: Hop) -> None:
        """Take in one hop; those that it follows from came before it, or never will."""
        match hop.kind:
            case HopKind.TRANSACTION:
                self._transaction(hop)
            case HopKind.CALL:
                self._arrived(hop)
            case HopKind.RUN:
                self._ran(hop)
            case HopKind.REPLY:
                self._came_home(hop)

    def finish(self) -> None:
        """What was undone is known when everything is."""
        for node in self._nodes.values():
            self._find_undone(node)

    def _transaction(self, hop: Hop) -> None:
        here = [asked for asked in hop.asked if asked.shard == hop.shard and asked.verb != "top up"]
        if here:
            call_id = hop.call_id or CallId(b"")
            node = CallNode(call_id, here[0], None, hop.time_ms, height=hop.height, time_ms=hop.time_ms)
            if hop.outcome != FINALIZED:
                node.receipt_outcome, node.detail = hop.outcome, hop.detail
            # Its first run stands before it in the block, so the node may be there already.
            known = self._nodes.get(call_id)
            if here[0].verb != "call":
                node.compiling_gas = hop.gas - sum(run.gas for run in known.runs[:1]) if known else hop.gas
            self._add(node if known is None else _merged(known, node))
        for sent in hop.sent:
            if sent.asked is not None and sent.call_id not in self._nodes:
                crossing = Crossing(sent.message_id, hop.shard, hop.height, sent.destination, None)
                self._add(CallNode(sent.call_id, sent.asked, None, hop.time_ms, crossing))

    def _arrived(self, hop: Hop) -> None:
        node = self._nodes.get(hop.call_id or b"")
        if node is None:
            if not hop.asked or hop.call_id is None:
                return
            node = CallNode(hop.call_id, hop.asked[0], None, hop.time_ms)
            self._add(node)
        if hop.asked:
            node.asked = hop.asked[0]
        node.height, node.time_ms = hop.height, hop.time_ms
        if hop.message_id is not None and hop.source is not None:
            sent = node.crossing.sent if node.crossing is not None else Height(0)
            node.crossing = Crossing(hop.message_id, hop.source, sent, hop.shard, hop.height)
        if hop.outcome != Outcome.UNDER_WAY.name.lower():
            node.receipt_outcome, node.detail = hop.outcome, hop.detail
            node.ended_ms = hop.time_ms

    def _ran(self, hop: Hop) -> None:
        run = hop.run
        if run is None:
            return
        node = self._nodes.get(run.call_id)
        if node is None:
            asked = Asked("call", hop.shard, run.contract, run.method, b"", NOTHING)
            node = CallNode(run.call_id, asked, None, hop.time_ms, height=hop.height, time_ms=hop.time_ms)
            self._add(node)
        if node.height is None:
            node.height, node.time_ms = hop.height, hop.time_ms
        node.runs.append(hop)
        node.result = run.result
        if run.state in (RunState.COMPLETED, RunState.FAILED):
            node.ended_ms = hop.time_ms
        bodies = {sent.call_id: sent.asked for sent in hop.sent}
        for made in run.calls:
            self._made(node, hop, made, bodies.get(made.call_id))

    def _made(self, parent: CallNode, hop: Hop, made: MadeCall, asked: Asked | None) -> None:
        asked = asked or Asked("call", made.shard, made.target, made.method, b"", NOTHING)
        known = self._nodes.get(made.call_id)
        node = known or CallNode(made.call_id, asked, parent, hop.time_ms)
        node.parent, node.made_ms = parent, hop.time_ms
        if made.sent is not None:
            consumed = node.crossing.consumed if node.crossing is not None else None
            node.crossing = Crossing(made.sent.message_id, hop.shard, hop.height, made.shard, consumed)
        if known in self.roots:
            self.roots.remove(node)
        parent.children.append(node)
        self._nodes[made.call_id] = node

    def _came_home(self, hop: Hop) -> None:
        if hop.call_id is None:
            return
        self._answered[hop.call_id] = hop
        node = self._nodes.get(hop.call_id)
        if node is not None and not node.runs and not node.receipt_outcome:
            node.receipt_outcome, node.detail = hop.outcome, hop.detail

    def _add(self, node: CallNode) -> None:
        if self._nodes.get(node.call_id) is not node:
            self._nodes[node.call_id] = node
            self.roots.append(node)

    def _find_undone(self, parent: CallNode) -> None:
        """Mark the calls that undo an earlier one of the same contract."""
        for place, node in enumerate(parent.children):
            before = parent.children[:place]
            knew = any(each.failed and self._home_ms(each) <= node.made_ms for each in before)
            same = [
                each
                for each in before
                if (each.asked.shard, each.asked.contract) == (node.asked.shard, node.asked.contract)
                and each.outcome == OK
                and each.made_ms < node.made_ms
                and each.undoes is None
            ]
            if knew and same and not node.failed:
                node.undoes = same[-1]

    def _home_ms(self, node: CallNode) -> int:
        home = self._answered.get(node.call_id)
        return home.time_ms if home is not None else node.made_ms


def _merged(known: CallNode, told: CallNode) -> CallNode:
    """A node that a run made, with what its transaction adds."""
    known.asked, known.height, known.time_ms, known.made_ms = told.asked, told.height, told.time_ms, told.made_ms
    known.receipt_outcome, known.detail = told.receipt_outcome, told.detail
    known.compiling_gas = told.compiling_gas
    return known


def traceback_lines(node: CallNode) -> list[str]:
    """The failure of a call through all contracts, caller first, with a line where a message led to another one."""
    cause = node.cause()
    own = node.traceback
    if cause is None:
        return own.splitlines()
    if cause.traceback and own.endswith(cause.traceback):
        own = own[: len(own) - len(cause.traceback)]
    lines = own.splitlines()
    crossing = cause.crossing
    if crossing is not None:
        there = "not consumed" if crossing.consumed is None else f"h{crossing.consumed}"
        lines.append(
            f"  ⇢ message {crossing.message_id.hex()[:4]}… · shard {crossing.source} h{crossing.sent}"
            f" → shard {crossing.destination} {there}"
        )
    return lines + traceback_lines(cause)
