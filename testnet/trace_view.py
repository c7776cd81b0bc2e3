"""A call tree as JSON: every step with what it sent, ids in hexadecimal, amounts in obols, values without loss."""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.values import BadValue, read
from primitives.amounts import format_obol
from primitives.identifiers import CallId
from shards.call_tree import CallNode, all_calls, traceback_lines
from shards.node.json_values import to_json
from shards.receipts import RunCause, RunReceipt
from shards.trace_parts import Hop
from shards.traces import Trace

Logs = Mapping[CallId, Sequence[str]]
"""What calls printed, line by line."""


def log_lines(trace: Trace, logs: Logs) -> list[str]:
    """What calls printed, for people, below the trace's drawing."""
    return [f"  {node.label} │ {line}" for node in all_calls(trace.roots) for line in logs.get(node.call_id, ())]


def trace_dict(trace: Trace, logs: Logs) -> dict[str, Any]:
    """For programs; `hops` in order of time, each naming the message it consumed and those it sent.

    `contracts` is the tree of contract calls, empty where only money moved, each with what it printed (`logs`).
    """
    hops = sorted(
        (step for step in trace.tree.nodes if isinstance(step, Hop)),
        key=lambda hop: (hop.time_ms, hop.shard, hop.height, hop.index),
    )
    return {
        "id": trace.trace_id.hex(),
        "state": trace.state.value,
        "calls": trace.calls,
        "pending": trace.pending,
        "failed_hop": trace.failed_hop,
        "blocks": trace.blocks,
        "elapsed_ms": trace.elapsed_ms,
        "gas": trace.gas,
        "hops": [_hop_dict(hop) for hop in hops],
        "contracts": [_call_dict(node, logs) for node in trace.roots],
    }


def _hop_dict(hop: Hop) -> dict[str, Any]:
    """One step."""
    return {
        "kind": hop.kind.value,
        "shard": hop.shard,
        "height": hop.height,
        "time_ms": hop.time_ms,
        "outcome": hop.outcome,
        "detail": hop.detail,
        "gas": hop.gas,
        "source": hop.source,
        "message_id": None if hop.message_id is None else hop.message_id.hex(),
        "proof_bytes": hop.proof_bytes,
        "returned": format_obol(hop.returned),
        "moved": [{"shard": each.shard, "obol": format_obol(each.amount)} for each in hop.movements],
        "sent": [
            {
                "message_id": each.message_id.hex(),
                "destination": each.destination,
                "sequence": each.sequence,
                "is_reply": each.is_reply,
            }
            for each in hop.sent
        ],
        "run": None if hop.run is None else _run_dict(hop.run),
    }


def _run_dict(run: RunReceipt) -> dict[str, Any]:
    """One run of a contract."""
    return {
        "call_id": run.call_id.hex(),
        "contract": run.contract,
        "method": run.method,
        "run": run.run,
        "cause": RunCause(run.cause).name.lower(),
        "gas_left": run.gas_left,
        "events": [{"name": event.name, "data": value_json(event.data)} for event in run.events],
    }


def _call_dict(node: CallNode, logs: Logs) -> dict[str, Any]:
    """One call with those it made."""
    return {
        "call_id": node.call_id.hex(),
        "shard": node.asked.shard,
        "contract": node.asked.contract,
        "method": node.asked.method,
        "kind": node.asked.verb,
        "arguments": value_json(node.asked.arguments),
        "value": format_obol(node.asked.value),
        "outcome": node.outcome,
        "error": node.error,
        "message": node.message,
        "result": value_json(node.result),
        "height": node.height,
        "latency_ms": node.latency_ms,
        "gas": node.gas,
        "message_id": None if node.crossing is None else node.crossing.message_id.hex(),
        "undoes": None if node.undoes is None else node.undoes.call_id.hex(),
        "log": list(logs.get(node.call_id, ())),
        "traceback": traceback_lines(node) if node.failed else [],
        "calls": [_call_dict(child, logs) for child in node.children],
    }


def value_json(raw: bytes) -> Any:
    """An encoded value in JSON; null for nothing, and for what cannot be read."""
    try:
        return to_json(read(raw)) if raw else None
    except BadValue:
        return None
