"""A call tree as JSON: every step with what it sent, ids in hexadecimal, amounts in obols."""

from typing import Any

from primitives.amounts import format_obol
from shards.trace_parts import Hop
from shards.traces import Trace


def trace_dict(trace: Trace) -> dict[str, Any]:
    """For programs; `hops` in order of time, each naming the message it consumed and those it sent."""
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
    }
