"""Call trees: the parts of one trace from several shards put together, judged, and drawn as text.

A hop's messages lead to the hops that consumed them; what nobody has consumed yet is in flight. A trace is *pending*
as long as anything is in flight, whatever has failed meanwhile, because money is still under way; then it *failed* (at
the first call, in order of time, that did), it *expired*, or it is *settled*. Where contracts took part, what the
transaction called decides: a failure that its contract handled is no failure of the trace, and one that it did not
handle is told at the call where it began.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import networkx as nx

from primitives.addresses import format_address
from primitives.amounts import Amount, format_obol
from primitives.identifiers import PublicKey, ShardId, TransactionId
from primitives.signatures import PUBLIC_KEY_BYTES
from shards.call_drawing import LEFT_COLUMN, CallDrawing
from shards.call_tree import OPEN, STARVED, CallNode, all_calls, call_tree
from shards.receipts import RunCause
from shards.trace_parts import FINALIZED, Hop, HopKind, Movement, SentPart, TracePart


class TraceState(StrEnum):
    """Where a trace stands as a whole."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    SETTLED = "settled"
    FAILED = "failed"
    EXPIRED = "expired"


Step = Hop | SentPart
"""A node of the tree: a hop, or a message that is in flight."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole call tree. Calls are numbered from 1 in order of time; the transaction itself is hop 0."""

    trace_id: TransactionId
    tree: "nx.DiGraph[Step]"
    """From each hop to what became of the messages it sent; edges carry `latency_ms` and `latency_blocks`."""
    root: Hop | None
    state: TraceState
    calls: int
    pending: int
    """Calls without a reply at home."""
    failed_hop: int | None
    blocks: int
    """Of the root's shard, from the transaction to the last reply (so far), both counted."""
    elapsed_ms: int
    gas: int
    roots: tuple[CallNode, ...] = ()
    """What transactions asked of contracts, with all that followed; none where only money moved."""


def assemble_trace(parts: Iterable[TracePart]) -> Trace:
    """Put parts together; several of one shard, and hops told twice, do no harm. O(hops).

    Parts must be of one trace. Raises nothing: what is missing is shown as in flight or unknown.
    """
    hops: dict[tuple[int, int, int, HopKind], Hop] = {}
    trace_id = TransactionId(b"")
    for part in parts:
        trace_id = part.trace_id
        for hop in part.hops:
            place = (hop.shard, hop.height, hop.index, hop.kind)
            # One validator may have executed what another one only knows to be final.
            if hop.outcome != FINALIZED or place not in hops:
                hops[place] = hop
    known = sorted(hops.values(), key=lambda hop: (hop.time_ms, hop.shard, hop.height, hop.index))
    executed = any(hop.kind is HopKind.TRANSACTION and hop.outcome != FINALIZED for hop in known)
    in_order = [hop for hop in known if hop.outcome != FINALIZED or not executed]
    consumers = {hop.message_id: hop for hop in in_order if hop.message_id is not None}
    tree: nx.DiGraph[Step] = nx.DiGraph()
    tree.add_nodes_from(in_order)
    told: set[bytes] = set()
    for hop in in_order:
        for sent in hop.sent:
            if sent.message_id in told:  # a run and the receipt of its message both tell of the reply
                continue
            told.add(sent.message_id)
            consumer = consumers.get(sent.message_id)
            if consumer is None:
                tree.add_edge(hop, sent)
            else:
                latency_blocks = sum(time > hop.time_ms for time in consumer.block_times_ms)
                tree.add_edge(hop, consumer, latency_ms=consumer.time_ms - hop.time_ms, latency_blocks=latency_blocks)
    _link_runs(tree, in_order)
    root = next((hop for hop in in_order if hop.kind is HopKind.TRANSACTION), None)
    return _judge(trace_id, tree, root, in_order)


def _link_runs(tree: "nx.DiGraph[Step]", in_order: list[Hop]) -> None:
    """Hang each run below what caused it: the transaction, the message, the reply that it took up, or the last run."""
    begun = {hop.call_id: hop for hop in in_order if hop.kind in (HopKind.TRANSACTION, HopKind.CALL)}
    parents = {made.call_id: hop.run.call_id for hop in in_order if hop.run is not None for made in hop.run.calls}
    replies: dict[tuple[bytes, int, int], Hop] = {}
    for hop in in_order:
        if hop.kind is HopKind.REPLY and hop.call_id in parents:
            replies.setdefault((parents[hop.call_id], hop.shard, hop.height), hop)
    last: dict[bytes, Hop] = {}
    for hop in in_order:
        if hop.run is None:
            continue
        call_id = hop.run.call_id
        cause = last.get(call_id) or begun.get(call_id)
        if hop.run.cause == RunCause.REPLY:
            cause = replies.get((call_id, hop.shard, hop.height)) or cause
        if cause is not None:
            tree.add_edge(cause, hop, latency_ms=hop.time_ms - cause.time_ms)
        last[call_id] = hop


def _judge(trace_id: TransactionId, tree: "nx.DiGraph[Step]", root: Hop | None, in_order: list[Hop]) -> Trace:
    called = {sent.call_id: None for hop in in_order for sent in hop.sent if not sent.is_reply}
    answered = {hop.call_id for hop in in_order if hop.kind is HopKind.REPLY}
    pending = sum(call_id not in answered for call_id in called)
    calls = [hop for hop in in_order if hop.kind is HopKind.CALL]
    failed = next((number for number, hop in enumerate(calls, 1) if hop.outcome in ("failed", "refused")), None)
    roots = call_tree(in_order)
    is_open = any(node.outcome in OPEN for node in all_calls(roots))
    if root is None:
        state = TraceState.UNKNOWN
    elif root.outcome == FINALIZED or pending or is_open:
        state = TraceState.PENDING
    elif roots:
        state, failed = _judge_calls(roots, calls)
    elif root.outcome != "ok":
        state, failed = TraceState.FAILED, 0
    elif failed is not None:
        state = TraceState.FAILED
    elif any(hop.outcome == "expired" for hop in calls):
        state = TraceState.EXPIRED
    else:
        state = TraceState.SETTLED
    at_home = [hop.height for hop in in_order if root is not None and hop.shard == root.shard]
    return Trace(
        trace_id=trace_id,
        tree=tree,
        root=root,
        state=state,
        calls=len(called),
        pending=pending,
        failed_hop=failed,
        blocks=max(at_home) - root.height + 1 if root is not None else 0,
        elapsed_ms=in_order[-1].time_ms - root.time_ms if root is not None else 0,
        gas=sum(node.gas for node in all_calls(roots)) or sum(hop.gas for hop in in_order),
        roots=tuple(roots),
    )


def _judge_calls(roots: list[CallNode], hops: list[Hop]) -> tuple[TraceState, int | None]:
    """How what transactions asked of contracts ended, and where the first failure began: 0 for the root itself."""
    failed = next((node for node in roots if node.failed), None)
    if failed is None:
        if any(hop.outcome == "expired" and not hop.asked for hop in hops):
            return TraceState.EXPIRED, None
        return TraceState.SETTLED, None
    origin = failed.origin()
    numbers = {node.call_id: number for number, node in enumerate(_sent_calls(roots), 1)}
    state = TraceState.EXPIRED if origin.outcome == "expired" else TraceState.FAILED
    return state, numbers.get(origin.call_id, 0)


def _sent_calls(roots: Iterable[CallNode]) -> list[CallNode]:
    """Calls that went out as messages (or could not), numbered as people read them: in the order of their making."""
    return [node for node in all_calls(roots) if node.parent is not None or node.crossing is not None]


# --- drawing ----------------------------------------------------------------------------------------------------------


def render_trace(trace: Trace, names: Mapping[bytes, str]) -> str:
    """Draw a trace for a terminal: a line that says how it ended, then the tree. `names` are those of accounts."""
    if trace.roots and trace.root is not None:
        return "\n".join(_Calls(trace, names).lines())
    drawing = _Drawing(trace, names)
    # The transaction, and what hangs on no known hop because another shard has not been asked or did not answer.
    tops: list[Step] = [step for step in trace.tree.nodes if not any(trace.tree.predecessors(step))]
    rows = [drawing.headline()]
    for place, top in enumerate(tops, 1):
        is_last = place == len(tops)
        rows.append(drawing.row("└─ " if is_last else "├─ ", top))
        if isinstance(top, Hop):
            rows += [drawing.row(prefix, step) for prefix, step in drawing.below(top, "   " if is_last else "│  ")]
    return "\n".join(rows)


class _Calls:
    """A trace in which contracts took part, being drawn."""

    def __init__(self, trace: Trace, names: Mapping[bytes, str]) -> None:
        self._trace = trace
        self._drawing = CallDrawing(names)
        self._plain = _Drawing(trace, names)

    def lines(self) -> Iterator[str]:
        """How it ended, the tree, and what it failed with."""
        yield self._headline()
        yield from self._drawing.rows(list(self._trace.roots))
        for node in self._trace.roots:
            if node.failed and self._trace.state is not TraceState.PENDING:
                yield from self._drawing.failure(node)

    def _headline(self) -> str:
        trace, first = self._trace, self._trace.roots[0]
        what = f"{self._drawing.signature(first.asked)} by {self._plain.sender()}"
        blocks = _count(trace.blocks, "block")
        gas = f"{trace.gas:,} gas"
        # A call that was not sent at all is no message, and still one of the hops.
        count = len(_sent_calls(trace.roots))
        match trace.state:
            case TraceState.SETTLED:
                shown = self._drawing.value(first.result)
                result = f" → {shown}" if shown else ""
                return f"✓ {what}{result}   settled in {_took(trace)} · {gas}"
            case TraceState.FAILED | TraceState.EXPIRED:
                where = f" at hop {trace.failed_hop} of {count}" if trace.failed_hop else ""
                return f"✗ {what}   {trace.state.name}{where} · {blocks} · {gas}"
            case _:
                if trace.root is not None and trace.root.outcome == FINALIZED:
                    return f"… {what}   final, not executed yet"
                if any(node.outcome == STARVED for node in all_calls(trace.roots)):
                    return f"… {what}   waits for gas · {_took(trace)} so far"
                waiting = sum(node.outcome in OPEN for node in _sent_calls(trace.roots))
                return f"… {what}   pending {waiting} of {count} · {_took(trace)} so far"


class _Drawing:
    """One trace being drawn."""

    def __init__(self, trace: Trace, names: Mapping[bytes, str]) -> None:
        self._trace = trace
        self._names = names

    def sender(self) -> str:
        """Who signed the transaction."""
        root = self._trace.root
        return "?" if root is None else self._name(root.sender, root.shard, root.shard)

    def headline(self) -> str:
        """How it ended, and what it took."""
        trace, root = self._trace, self._trace.root
        if root is None:
            return f"? the transaction is not known here; {_count(len(trace.tree), 'hop')} of its trace"
        took = _took(trace)
        what = f"{self._action(root)} by {self._name(root.sender, root.shard, root.shard)}"
        match trace.state:
            case TraceState.SETTLED:
                return f"✓ settled in {took}"
            case TraceState.FAILED:
                where = f" at hop {trace.failed_hop} of {trace.calls}" if trace.failed_hop else ""
                return f"✗ {what}   FAILED{where} · {took} · {trace.gas:,} gas"
            case TraceState.EXPIRED:
                return f"✗ {what}   EXPIRED · {took} · {trace.gas:,} gas"
            case _:
                if trace.calls == 0:
                    return f"… {what}   final, not executed yet"
                return f"… {what}   pending {trace.pending} of {trace.calls} · {took} so far"

    def below(self, hop: Hop, indent: str) -> Iterator[tuple[str, Step]]:
        """Rows under a hop, in the order in which it sent."""
        children = list(self._trace.tree.successors(hop))
        for place, child in enumerate(children, 1):
            is_last = place == len(children)
            is_reply = child.is_reply if isinstance(child, SentPart) else child.kind is HopKind.REPLY
            yield f"{indent}{'└' if is_last else '├'}{'⇠' if is_reply else '⇢'} ", child
            if isinstance(child, Hop):
                yield from self.below(child, indent + ("   " if is_last else "│  "))

    def row(self, prefix: str, step: Step) -> str:
        """One row: where and what on the left, beside it what proves it or what went wrong."""
        if isinstance(step, SentPart):
            moved = f": {self._moved(step.movement, step.destination)}" if step.movement is not None else ""
            return f"{prefix}s{step.destination} in flight{moved}"
        left = f"{prefix}s{step.shard}@h{step.height} {self._action(step)}"
        right = self._beside(step)
        return f"{left:<{LEFT_COLUMN}} {right}" if right else left

    def _action(self, hop: Hop) -> str:
        match hop.kind:
            case HopKind.TRANSACTION:
                moved = ", ".join(self._moved(movement, hop.shard) for movement in hop.movements)
                asked = ", ".join(CallDrawing(self._names).signature(each) for each in hop.asked)
                return f"transfer {moved}" if moved else asked or "transaction"
            case HopKind.CALL:
                if hop.outcome != "ok":
                    return hop.outcome
                return " and ".join(f"credited {_obol(each.amount)}" for each in hop.movements) or "credited"
            case HopKind.REPLY:
                return "acknowledged" if hop.outcome == "ok" else f"{_obol(hop.returned)} returned"
            case HopKind.RUN:
                return f"{hop.run.contract}.{hop.run.method}" if hop.run is not None else "run"

    def _beside(self, hop: Hop) -> str:
        if hop.outcome not in ("ok", FINALIZED):
            return f"{hop.outcome}: {hop.detail}" if hop.kind is HopKind.TRANSACTION else hop.detail
        if hop.kind is HopKind.CALL and hop.proof_bytes:
            return f"proof {hop.proof_bytes:,} B verified against shard {hop.source}'s validators"
        return ""

    def _moved(self, movement: Movement, here: ShardId) -> str:
        return f"{_obol(movement.amount)} → {self._name(movement.target, movement.shard, here)}"

    def _name(self, principal: bytes, shard: ShardId, here: ShardId) -> str:
        known = self._names.get(principal)
        if known is None and len(principal) == PUBLIC_KEY_BYTES:
            address = format_address(PublicKey(principal))
            known = f"{address[:8]}…{address[-4:]}"
        elif known is None:
            known = principal.decode("utf-8", "replace") or "?"
        return known if shard == here else f"{known}@{shard}"


def _obol(amount: Amount) -> str:
    return f"{format_obol(amount)} obol"


def _took(trace: Trace) -> str:
    blocks = _count(trace.blocks, "block")
    return f"{blocks}, {_seconds(trace.elapsed_ms)}" if trace.elapsed_ms else blocks


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _seconds(duration_ms: int) -> str:
    """Hundredths of a second, rounded, without floating point."""
    hundredths = (duration_ms + 5) // 10
    return f"{hundredths // 100}.{hundredths % 100:02d} s"
