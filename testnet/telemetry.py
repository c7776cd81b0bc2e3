"""A trace as OpenTelemetry spans, in the JSON form of OTLP, for a file or a collector.

The ids follow from the chain's own, so exporting twice gives the same spans: the trace id is the first 16 bytes of the
transaction's id, a span's id the first 8 of its call's id (of its message's, where only money moved). Times are block
times. Source: opentelemetry-proto 1.x, trace/v1/trace.proto, and the OTLP specification's JSON encoding (ids in
hexadecimal, 64-bit integers as text).
"""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from primitives.errors import Refused
from shards.call_drawing import CallDrawing
from shards.call_tree import OK, OPEN, CallNode, all_calls, traceback_lines
from shards.trace_parts import Hop, HopKind
from shards.traces import Trace
from testnet.version import ostraka_version

TRACES_PATH: Final = "/v1/traces"
"""Where an OTLP collector takes traces, when the address names no path."""

SEND_SECONDS: Final = 10.0

_SERVER, _CLIENT = 2, 3
"""SpanKind: the execution of a remote request, and the beginning of one."""

_STATUS_OK, _STATUS_ERROR = 1, 2


def otlp_trace(trace: Trace) -> dict[str, Any]:
    """A trace as an OTLP `ExportTraceServiceRequest`.

    Raises:
        Refused: `unknown_transaction`: nothing is known of it.

    """
    if trace.root is None:
        raise Refused("unknown_transaction", "nothing is known of this trace; there are no spans to export")
    spans = [_call_span(trace, node) for node in all_calls(trace.roots)] if trace.roots else _money_spans(trace)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "ostraka"})},
                "scopeSpans": [{"scope": {"name": "ostraka", "version": ostraka_version()}, "spans": spans}],
            }
        ]
    }


def _call_span(trace: Trace, node: CallNode) -> dict[str, Any]:
    begin = node.made_ms if node.time_ms is None else node.time_ms
    end = node.ended_ms if node.ended_ms is not None else begin
    attributes = {
        "rpc.system": "ostraka",
        "rpc.service": node.asked.contract,
        "rpc.method": node.asked.method,
        "ostraka.shard": node.asked.shard,
        "ostraka.height": node.height,
        "ostraka.gas": node.gas,
        "ostraka.outcome": node.outcome,
        "ostraka.call": CallDrawing({}).signature(node.asked),
        "ostraka.call_id": node.call_id.hex(),
        "ostraka.message_id": None if node.crossing is None else node.crossing.message_id.hex(),
        "ostraka.latency_ms": node.latency_ms,
    }
    span = _span(trace, node.call_id, node.label, (begin, max(begin, end)), attributes)
    span["kind"] = _SERVER
    if node.parent is not None:
        span["parentSpanId"] = _span_id(node.parent.call_id)
    if node.failed:
        span["status"] = {"code": _STATUS_ERROR, "message": f"{node.error}: {node.message}"}
        details = {
            "exception.type": node.error,
            "exception.message": node.message,
            "exception.stacktrace": "\n".join(traceback_lines(node)),
        }
        event = {"name": "exception", "timeUnixNano": _nanoseconds(max(begin, end)), "attributes": _attributes(details)}
        span["events"] = [event]
    elif node.outcome == OK:
        span["status"] = {"code": _STATUS_OK}
    return span


def _money_spans(trace: Trace) -> list[dict[str, Any]]:
    """A span for the transaction, and one for each message that it led to."""
    spans = []
    for step in trace.tree.nodes:
        if not isinstance(step, Hop):
            continue
        before = next(iter(trace.tree.predecessors(step)), None)
        parent = before if isinstance(before, Hop) else None
        begin = step.time_ms if parent is None else min(parent.time_ms, step.time_ms)
        attributes = {
            "ostraka.shard": step.shard,
            "ostraka.height": step.height,
            "ostraka.gas": step.gas,
            "ostraka.outcome": step.outcome,
            "ostraka.message_id": None if step.message_id is None else step.message_id.hex(),
        }
        own = step.message_id or trace.trace_id
        span = _span(trace, own, f"{step.kind.value} on shard {step.shard}", (begin, step.time_ms), attributes)
        span["kind"] = _CLIENT if step.kind is HopKind.TRANSACTION else _SERVER
        if parent is not None:
            span["parentSpanId"] = _span_id(parent.message_id or trace.trace_id)
        if step.outcome != OK and step.outcome not in OPEN:
            span["status"] = {"code": _STATUS_ERROR, "message": f"{step.outcome}: {step.detail}"}
        spans.append(span)
    return spans


def _span(trace: Trace, own: bytes, name: str, times_ms: tuple[int, int], attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "traceId": trace.trace_id[:16].hex(),
        "spanId": _span_id(own),
        "name": name,
        "startTimeUnixNano": _nanoseconds(times_ms[0]),
        "endTimeUnixNano": _nanoseconds(times_ms[1]),
        "attributes": _attributes(attributes),
    }


def _span_id(own: bytes) -> str:
    return own[:8].hex()


def _nanoseconds(time_ms: int) -> str:
    return str(time_ms * 1_000_000)


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Key-value list; what is None is left out."""
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
        if value is not None
    ]


def export_trace(trace: Trace, target: str) -> str:
    """Write a trace to a file, or send it to a collector (http://…); returns where it went.

    Raises:
        Refused: `unknown_transaction`, `cannot_write`, `collector`: what the collector says, or that it is not there.

    """
    body = json.dumps(otlp_trace(trace), ensure_ascii=False).encode()
    if not target.startswith(("http://", "https://")):
        try:
            Path(target).write_bytes(body)
        except OSError as error:
            raise Refused("cannot_write", f"cannot write {target}: {error.strerror}") from None
        return target
    host = target.partition("://")[2]
    url = target if "/" in host.rstrip("/") else target.rstrip("/") + TRACES_PATH
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - http(s), see above
    try:
        with urllib.request.urlopen(request, timeout=SEND_SECONDS):  # noqa: S310 - as above
            return url
    except urllib.error.HTTPError as error:
        with error:
            raise Refused("collector", f"{url} refuses the trace with status {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused("collector", f"{url} does not take the trace: {getattr(error, 'reason', error)}") from None
