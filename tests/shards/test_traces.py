"""A call tree is put together from what each shard knows, judged honestly, and drawn as the documentation shows it."""

from dataclasses import replace

import pytest

from primitives.amounts import BASE_UNITS_PER_OBOL
from primitives.identifiers import TransactionId
from shards.trace_parts import FINALIZED, MAX_LATENCY_BLOCKS, Hop, HopKind
from shards.traces import Trace, TraceState, assemble_trace, render_trace
from shards.transactions import transaction_id
from tests.support.stored_chain import StoredChain

OBOL = BASE_UNITS_PER_OBOL


@pytest.fixture
def chain() -> StoredChain:
    """Three shards of which 0 and 2 are at height 20."""
    chain = StoredChain(shards=3)
    for _ in range(20):
        chain.run(0)
        chain.run(2)
    return chain


def names_of(chain: StoredChain) -> dict[bytes, str]:
    return dict(zip((each.key for each in chain.accounts), ("alice", "bob", "carol"), strict=False))


def trace_of(chain: StoredChain, raw: bytes) -> Trace:
    return assemble_trace(chain.parts(transaction_id(raw)))


def drawn(chain: StoredChain, raw: bytes) -> list[str]:
    return render_trace(trace_of(chain, raw), names_of(chain)).split("\n")


def send(chain: StoredChain, destination: int = 2, amount: int = 25 * OBOL) -> bytes:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, destination, bob, amount)
    chain.run(0, [raw])
    return raw


def test_a_settled_transfer_is_drawn_as_in_the_documentation(chain: StoredChain) -> None:
    raw = send(chain)
    chain.round_trip(0, 2)
    size = chain.parts(transaction_id(raw))[2].hops[0].proof_bytes
    assert 700 < size < 1300
    assert drawn(chain, raw) == [
        "✓ settled in 2 blocks, 0.20 s",
        "└─ s0@h21 transfer 25 obol → bob@2",
        f"   └⇢ s2@h21 credited 25 obol                 proof {size:,} B verified against shard 0's validators",
        "      └⇠ s0@h22 acknowledged",
    ]


def test_a_transfer_is_pending_until_its_reply_is_home(chain: StoredChain) -> None:
    raw = send(chain)
    assert trace_of(chain, raw).state is TraceState.PENDING
    assert drawn(chain, raw) == [
        "… transfer 25 obol → bob@2 by alice   pending 1 of 1 · 1 block so far",
        "└─ s0@h21 transfer 25 obol → bob@2",
        "   └⇢ s2 in flight: 25 obol → bob",
    ]
    chain.carry(0, 2)
    assert trace_of(chain, raw).state is TraceState.PENDING
    assert drawn(chain, raw)[-1] == "      └⇠ s0 in flight"
    chain.carry(2, 0)
    assert trace_of(chain, raw).state is TraceState.SETTLED


def test_an_expired_transfer_shows_its_money_come_back(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 2, bob, 25 * OBOL, deadline_ms=chain.time_ms + 150)
    chain.run(0, [raw])
    chain.run(2)
    chain.round_trip(0, 2)
    trace = trace_of(chain, raw)
    assert (trace.state, trace.failed_hop) == (TraceState.EXPIRED, None)
    lines = drawn(chain, raw)
    assert lines[0] == "✗ transfer 25 obol → bob@2 by alice   EXPIRED · 2 blocks, 0.30 s · 1,300 gas"
    assert lines[2].startswith("   └⇢ s2@h22 expired                          consumed at ")
    assert lines[3].startswith("      └⇠ s0@h22 25 obol returned")


def test_a_transaction_that_failed_at_once_has_no_hops(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.local(0, alice, bob, 10**9)
    chain.run(0, [raw])
    trace = trace_of(chain, raw)
    assert (trace.state, trace.failed_hop, trace.calls) == (TraceState.FAILED, 0, 0)
    lines = drawn(chain, raw)
    assert lines[0] == "✗ transfer 1000 obol → bob by alice   FAILED · 1 block · 600 gas"
    assert lines[1].startswith("└─ s0@h21 transfer 1000 obol → bob            overdraft: amounts and fees are ")


def test_a_local_transfer_is_settled_when_it_is_executed(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.local(0, alice, bob, 1)
    chain.run(0, [raw])
    assert drawn(chain, raw) == ["✓ settled in 1 block", "└─ s0@h21 transfer 0.000001 obol → bob"]


def test_a_final_transaction_that_is_not_executed_is_pending(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.local(0, alice, bob, OBOL)
    chain.run(0, [raw], execute=False)
    assert trace_of(chain, raw).state is TraceState.PENDING
    assert drawn(chain, raw)[0] == "… transfer 1 obol → bob by alice   final, not executed yet"


def test_a_fan_out_draws_every_branch_in_the_order_of_sending(chain: StoredChain) -> None:
    alice, bob, carol = chain.accounts[:3]
    operations = [chain.send(2, bob, OBOL), chain.send(1, carol, 2 * OBOL), chain.send(2, carol, 3 * OBOL)]
    raw = chain.transaction(0, alice, operations)
    chain.run(0, [raw])
    chain.round_trip(0, 2)
    trace = trace_of(chain, raw)
    assert (trace.state, trace.pending, trace.calls) == (TraceState.PENDING, 1, 3)
    lines = [line[:45].rstrip() for line in drawn(chain, raw)]
    assert lines[1:] == [
        "└─ s0@h21 transfer 1 obol → bob@2, 2 obol → carol@1, 3 obol → carol@2"[:45].rstrip(),
        "   ├⇢ s2@h21 credited 1 obol",
        "   │  └⇠ s0@h22 acknowledged",
        "   ├⇢ s1 in flight: 2 obol → carol",
        "   └⇢ s2@h21 credited 3 obol",
        "      └⇠ s0@h22 acknowledged",
    ]
    chain.round_trip(0, 1)
    assert trace_of(chain, raw).state is TraceState.SETTLED


def test_the_first_call_in_time_that_failed_is_named(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.transaction(0, alice, [chain.send(1, bob, OBOL), chain.send(2, bob, OBOL), chain.send(2, bob, OBOL)])
    chain.run(0, [raw])
    chain.round_trip(0, 1)
    chain.round_trip(0, 2)
    parts = chain.parts(transaction_id(raw))
    spoilt = [
        type(part)(
            part.trace_id, tuple(replace(hop, outcome="refused") if is_second(hop) else hop for hop in part.hops)
        )
        for part in parts
    ]
    trace = assemble_trace(spoilt)
    assert (trace.state, trace.failed_hop, trace.calls) == (TraceState.FAILED, 2, 3)
    assert "FAILED at hop 2 of 3 · " in render_trace(trace, names_of(chain))


def is_second(hop: Hop) -> bool:
    return hop.kind is HopKind.CALL and hop.shard == 2 and hop.index == 0


def test_every_hop_has_its_latency_in_milliseconds_and_blocks(chain: StoredChain) -> None:
    raw = send(chain)
    chain.run(2)
    chain.run(2)
    chain.round_trip(0, 2)
    trace = trace_of(chain, raw)
    latencies = [(data["latency_ms"], data["latency_blocks"]) for _, _, data in trace.tree.edges(data=True)]
    assert latencies == [(300, 3), (100, 1)]
    for _ in range(MAX_LATENCY_BLOCKS + 5):
        chain.run(2)
    raw = send(chain)
    for _ in range(MAX_LATENCY_BLOCKS + 5):
        chain.run(2)
    chain.carry(0, 2)
    late = [data["latency_blocks"] for *_, data in trace_of(chain, raw).tree.edges(data=True) if data]
    assert late == [MAX_LATENCY_BLOCKS]


def test_parts_told_twice_do_no_harm(chain: StoredChain) -> None:
    raw = send(chain)
    chain.round_trip(0, 2)
    parts = chain.parts(transaction_id(raw))
    once, twice = assemble_trace(parts), assemble_trace([*parts, *reversed(parts)])
    assert render_trace(once, {}) == render_trace(twice, {})


def test_a_validator_that_only_knows_the_block_to_be_final_takes_nothing_back(chain: StoredChain) -> None:
    raw = send(chain)
    chain.round_trip(0, 2)
    parts = chain.parts(transaction_id(raw))
    first = parts[0].hops[0]
    behind = replace(parts[0], hops=(replace(first, outcome=FINALIZED, sent=(), gas=0),))
    for told in ([*parts, behind], [behind, *parts]):
        assert render_trace(assemble_trace(told), {}) == render_trace(assemble_trace(parts), {})
    assert assemble_trace([behind]).state is TraceState.PENDING


def test_without_the_source_what_is_known_is_shown_as_that(chain: StoredChain) -> None:
    raw = send(chain)
    chain.carry(0, 2)
    trace = assemble_trace(chain.parts(transaction_id(raw))[2:])
    assert trace.state is TraceState.UNKNOWN
    lines = render_trace(trace, names_of(chain)).split("\n")
    assert lines[0] == "? the transaction is not known here; 2 hops of its trace"
    assert lines[1].startswith("└─ s2@h21 credited 25 obol")
    assert lines[2] == "   └⇠ s0 in flight"


def test_an_unknown_trace_is_empty(chain: StoredChain) -> None:
    trace = assemble_trace(chain.parts(TransactionId(bytes(32))))
    assert trace.state is TraceState.UNKNOWN
    assert render_trace(trace, {}) == "? the transaction is not known here; 0 hops of its trace"


def test_accounts_without_a_name_are_shown_by_their_address(chain: StoredChain) -> None:
    raw = send(chain)
    line = render_trace(trace_of(chain, raw), {}).split("\n")[1]
    assert line.startswith("└─ s0@h21 transfer 25 obol → osk1")
    assert line.endswith("@2")
    assert "…" in line
