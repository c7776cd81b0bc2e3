"""A trace as OpenTelemetry spans: deterministic ids, the call tree, the failure."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from primitives.errors import Refused
from shards.traces import assemble_trace
from testnet.telemetry import export_trace, otlp_trace
from testnet.trace_view import trace_dict
from tests.support.stored_contracts import StoredContracts


@pytest.fixture(scope="module")
def chain() -> StoredContracts:
    chain = StoredContracts()
    for shard, name in ((0, "shop"), (1, "stock"), (2, "prices"), (2, "wallet")):
        chain.deploy(shard, name)
    chain.call(1, "stock", "fill", "owl")
    return chain


def spans_of(exported: dict[str, Any]) -> dict[str, dict[str, Any]]:
    [resource] = exported["resourceSpans"]
    [scope] = resource["scopeSpans"]
    return {span["name"]: span for span in scope["spans"]}


def test_every_call_is_a_span_below_its_caller(chain: StoredContracts) -> None:
    trace = chain.follow(chain.call(0, "shop", "buy", "owl"))
    spans = spans_of(otlp_trace(trace))
    assert set(spans) == {"shop.buy", "prices.quote", "stock.reserve", "wallet.charge", "stock.release"}
    root = spans["shop.buy"]
    assert "parentSpanId" not in root
    assert {span["parentSpanId"] for name, span in spans.items() if name != "shop.buy"} == {root["spanId"]}
    assert {span["traceId"] for span in spans.values()} == {trace.trace_id[:16].hex()}
    assert root["spanId"] == trace.roots[0].call_id[:8].hex()
    assert root["status"]["code"] == 2
    assert spans["stock.reserve"]["status"] == {"code": 1}
    [event] = spans["wallet.charge"]["events"]
    details = {each["key"]: each["value"]["stringValue"] for each in event["attributes"]}
    assert details["exception.type"] == "InsufficientFunds"
    assert "wallet.py:18 in charge" in details["exception.stacktrace"]
    for span in spans.values():
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert otlp_trace(trace) == otlp_trace(trace)


def test_a_transfer_has_a_span_for_each_message(chain: StoredContracts) -> None:
    raw = chain.remote(0, chain.alice, 1, chain.bob, 5)
    chain.run(0, [raw])
    chain.round_trip(0, 1)
    spans = spans_of(otlp_trace(chain.trace(raw)))
    assert set(spans) == {"transaction on shard 0", "call on shard 1", "reply on shard 0"}
    assert spans["call on shard 1"]["parentSpanId"] == spans["transaction on shard 0"]["spanId"]
    assert spans["reply on shard 0"]["parentSpanId"] == spans["call on shard 1"]["spanId"]


def test_an_unknown_trace_is_not_exported() -> None:
    with pytest.raises(Refused, match="nothing is known"):
        otlp_trace(assemble_trace([]))


class Collector(BaseHTTPRequestHandler):
    """Takes one trace, or refuses it."""

    taken: ClassVar[list[tuple[str, bytes]]] = []
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((self.path, body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_details: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.taken.clear()
    Collector.status = 200
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_trace_goes_to_a_file_or_a_collector(chain: StoredContracts, collector: str, tmp_path: Path) -> None:
    trace = chain.follow(chain.call(1, "stock", "fill", "heron"))
    file = tmp_path / "spans.json"
    assert export_trace(trace, str(file)) == str(file)
    assert json.loads(file.read_text()) == otlp_trace(trace)
    assert export_trace(trace, collector) == f"{collector}/v1/traces"
    [(path, body)] = Collector.taken
    assert path == "/v1/traces"
    assert json.loads(body) == otlp_trace(trace)
    Collector.status = 400
    with pytest.raises(Refused, match="status 400"):
        export_trace(trace, f"{collector}/own/path")
    assert Collector.taken[-1][0] == "/own/path"


def test_a_target_that_is_not_there_is_told(chain: StoredContracts, tmp_path: Path) -> None:
    trace = chain.follow(chain.call(1, "stock", "fill", "heron"))
    with pytest.raises(Refused, match="does not take the trace"):
        export_trace(trace, "http://127.0.0.1:1")
    with pytest.raises(Refused, match="cannot write"):
        export_trace(trace, str(tmp_path / "no" / "folder"))


def test_the_json_of_a_trace_has_the_tree_of_calls(chain: StoredContracts) -> None:
    trace = chain.follow(chain.call(0, "shop", "buy", "owl"))
    shown = json.loads(json.dumps(trace_dict(trace, {trace.roots[0].call_id: ["sold"]})))
    [root] = shown["contracts"]
    assert (root["log"], root["calls"][0]["log"]) == (["sold"], [])
    assert (root["contract"], root["method"], root["arguments"]) == ("shop", "buy", ["owl"])
    assert (shown["state"], shown["failed_hop"]) == ("failed", 3)
    by_method = {call["method"]: call for call in root["calls"]}
    assert by_method["release"]["undoes"] == by_method["reserve"]["call_id"]
    assert by_method["charge"]["error"] == "InsufficientFunds"
    assert by_method["quote"]["result"] == 300
    assert {hop["kind"] for hop in shown["hops"]} == {"transaction", "call", "reply", "run"}
    assert sum(hop["run"] is not None for hop in shown["hops"]) >= 5
