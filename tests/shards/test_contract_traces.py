"""A trace through contracts tells every call, every failure, and one traceback through all of them."""

import re

import pytest

from shards.call_tree import WAITING, CallNode, all_calls, traceback_lines
from shards.trace_parts import Hop, HopKind
from shards.traces import TraceState, assemble_trace
from shards.transactions import transaction_id
from tests.support.stored_contracts import StoredContracts

LOCAL = """
from ostraka_contract import call, get, put

async def outer(n):
    return await call(0, "same", "inner", n) + 1

def inner(n):
    if n < 0:
        raise ValueError("negative")
    return n * 2

async def handled(n):
    try:
        return await call(0, "same", "inner", n)
    except Exception:
        return "handled"

async def unheard():
    call(1, "stock", "fill", "owl")

async def nowhere():
    await call(1, "nobody", "at_home")

async def late():
    await call(1, "stock", "fill", "owl", deadline=0)

async def greedy():
    await call(0, "same", "inner", 1)
    while True:
        pass
"""


@pytest.fixture
def chain() -> StoredContracts:
    """The shop of the design, with an owl on the shelf and a buyer who has allowed nothing."""
    chain = StoredContracts()
    for shard, name in ((0, "shop"), (1, "stock"), (2, "prices"), (2, "wallet")):
        chain.deploy(shard, name)
    chain.deploy(0, "same", LOCAL)
    chain.call(1, "stock", "fill", "owl")
    return chain


def find(roots: tuple[CallNode, ...], label: str) -> CallNode:
    [node] = [node for node in all_calls(roots) if node.label == label]
    return node


def test_a_failure_on_a_third_shard_is_drawn_as_in_the_documentation(chain: StoredContracts) -> None:
    raw = chain.call(0, "shop", "buy", "owl")
    trace = chain.follow(raw)
    assert (trace.state, trace.failed_hop) == (TraceState.FAILED, 3)
    shape = [
        re.sub(r"[0-9,]+$|\+[0-9]+ ms|@h[0-9]+|[0-9a-f]{4}…|h[0-9]+", "#", line) for line in drawn_lines(chain, raw)
    ]
    shape = [re.sub(r"  +", "  ", line).rstrip("# ") for line in shape]
    assert shape[1:] == [
        '└─ s0# shop.buy("owl")  aborted  shop.py:20',
        '  ├⇢ s2# prices.quote("owl")  #  ok → 300',
        '  ├⇢ s1# stock.reserve("owl")  #  ok',
        '  │  └⇢ s1# stock.release("owl")  ok (compensation)',
        "  └⇢ s2# wallet.charge(alice, 300)  #  InsufficientFunds",
        "Traceback (contract, caller first):",
        "  shard 0 · shop.py:20 in buy",
        '  await call(2, "wallet", "charge", msg.sender, price, deadline=30)',
        "  ⇢ message # · shard 0 # → shard 2",
        "  shard 2 · wallet.py:18 in charge",
        '  raise InsufficientFunds(f"need {amount}, allowed {allowed}")',
        "InsufficientFunds: need 300, allowed",
    ]
    assert drawn_lines(chain, raw)[-1] == "InsufficientFunds: need 300, allowed 0"
    head = drawn_lines(chain, raw)[0]
    assert re.fullmatch(r'✗ shop\.buy\("owl"\) by alice   FAILED at hop 3 of 4 · \d+ blocks · [0-9,]+ gas', head)


def drawn_lines(chain: StoredContracts, raw: bytes) -> list[str]:
    return chain.drawn(raw).split("\n")


def test_the_crossing_in_the_traceback_names_the_blocks_of_the_message(chain: StoredContracts) -> None:
    trace = chain.follow(chain.call(0, "shop", "buy", "owl"))
    charge = find(trace.roots, "wallet.charge")
    assert charge.crossing is not None
    crossing = charge.crossing
    assert (crossing.source, crossing.destination, crossing.consumed) == (0, 2, charge.height)
    makers = [hop for hop in hops(trace) if hop.run and any(m.call_id == charge.call_id for m in hop.run.calls)]
    assert [hop.height for hop in makers] == [crossing.sent]
    [line] = [line for line in traceback_lines(trace.roots[0]) if "⇢" in line]
    prefix = crossing.message_id.hex()[:4]
    assert line == f"  ⇢ message {prefix}… · shard 0 h{crossing.sent} → shard 2 h{crossing.consumed}"


def hops(trace: object) -> list[Hop]:
    return [step for step in trace.tree.nodes if isinstance(step, Hop)]  # type: ignore[attr-defined]  # a Trace


def test_a_purchase_that_works_says_what_it_returned(chain: StoredContracts) -> None:
    chain.call(2, "wallet", "allow", "shop@0", 1000)
    raw = chain.call(0, "shop", "buy", "owl")
    trace = chain.follow(raw)
    assert trace.state is TraceState.SETTLED
    assert drawn_lines(chain, raw)[0].startswith('✓ shop.buy("owl") by alice → 300   settled in ')
    assert not any(node.failed for node in all_calls(trace.roots))
    assert trace.gas == sum(node.gas for node in all_calls(trace.roots)) > 10_000


def test_a_call_is_pending_while_replies_are_under_way(chain: StoredContracts) -> None:
    raw = chain.call(0, "shop", "buy", "owl")
    trace = chain.trace(raw)
    assert trace.state is TraceState.PENDING
    assert trace.roots[0].outcome == WAITING
    lines = drawn_lines(chain, raw)
    assert lines[0].startswith('… shop.buy("owl") by alice   pending 2 of 2 · 1 block')
    assert [line.split()[-2:] for line in lines[2:]] == [["in", "flight"], ["in", "flight"]]


def test_every_run_hangs_below_what_caused_it(chain: StoredContracts) -> None:
    trace = chain.follow(chain.call(0, "shop", "buy", "owl"))
    runs = [hop for hop in hops(trace) if hop.kind is HopKind.RUN]
    causes = {}
    for hop in runs:
        [cause] = trace.tree.predecessors(hop)
        assert isinstance(cause, Hop)
        assert hop.run is not None
        causes[hop.run.contract, hop.run.method, hop.run.run] = cause.kind
    assert causes["shop", "buy", 0] is HopKind.TRANSACTION
    assert causes["stock", "reserve", 0] is HopKind.CALL
    assert {causes["shop", "buy", run] for run in range(1, len(trace.roots[0].runs))} == {HopKind.REPLY}


def test_what_fails_by_itself_has_no_hop_to_blame(chain: StoredContracts) -> None:
    chain.follow(chain.call(0, "shop", "buy", "owl"))
    chain.call(2, "wallet", "allow", "shop@0", 1000)
    chain.follow(chain.call(0, "shop", "buy", "owl"))
    raw = chain.call(0, "shop", "buy", "owl")
    trace = chain.trace(raw)
    assert (trace.state, trace.failed_hop) == (TraceState.FAILED, 0)
    assert drawn_lines(chain, raw)[-1] == "SoldOut: owl"
    assert "FAILED · 1 block" in drawn_lines(chain, raw)[0]


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [("nobody", "at_home", "no_contract: there is no contract nobody"), ("shop", "sell", "no_method: shop has no")],
)
def test_what_cannot_run_at_all_says_why(chain: StoredContracts, name: str, method: str, said: str) -> None:
    raw = chain.call(0, name, method)
    assert chain.trace(raw).state is TraceState.FAILED
    assert said in chain.drawn(raw)


def test_a_failure_that_the_caller_handles_is_no_failure_of_the_trace(chain: StoredContracts) -> None:
    trace = chain.follow(chain.call(0, "same", "handled", -1))
    assert trace.state is TraceState.SETTLED
    assert find(trace.roots, "same.inner").error == "ValueError"


def test_a_call_on_the_same_shard_is_a_hop_like_any_other(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "outer", 4)
    for _ in range(3):
        chain.run(0)
    trace = chain.trace(raw)
    assert trace.state is TraceState.SETTLED
    inner = find(trace.roots, "same.inner")
    assert inner.parent is trace.roots[0]
    assert inner.crossing is not None
    assert (inner.crossing.source, inner.crossing.destination) == (0, 0)
    assert "→ s0@h" in drawn_lines(chain, raw)[2]
    assert "same.outer(4) by alice → 9" in drawn_lines(chain, raw)[0]


def test_a_failure_on_the_same_shard_crosses_blocks_in_the_traceback(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "outer", -4)
    for _ in range(3):
        chain.run(0)
    lines = drawn_lines(chain, raw)
    assert "FAILED at hop 1 of 1" in lines[0]
    assert any("⇢ message" in line and "shard 0 h" in line and "→ shard 0 h" in line for line in lines)
    assert lines[-1] == "ValueError: negative"


def test_a_call_that_nobody_awaits_is_told_all_the_same(chain: StoredContracts) -> None:
    trace = chain.follow(chain.call(0, "same", "unheard"))
    assert trace.state is TraceState.SETTLED
    assert find(trace.roots, "stock.fill").outcome == "ok"


def test_a_call_to_nobody_is_refused_there_and_told_as_such(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "nowhere")
    trace = chain.follow(raw)
    assert (trace.state, trace.failed_hop) == (TraceState.FAILED, 1)
    assert find(trace.roots, "nobody.at_home").outcome == "refused"
    assert drawn_lines(chain, raw)[-1].startswith("refused: there is no contract nobody@1")


def test_a_call_past_its_deadline_makes_the_trace_expired(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "late")
    trace = chain.follow(raw)
    assert (trace.state, trace.failed_hop) == (TraceState.EXPIRED, 1)
    assert find(trace.roots, "stock.fill").outcome == "expired"
    assert "EXPIRED at hop 1 of 1" in drawn_lines(chain, raw)[0]


def test_a_call_that_starves_says_what_to_do(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "greedy", gas=150_000)
    for _ in range(4):
        chain.run(0)
    assert chain.trace(raw).state is TraceState.PENDING
    assert "out of gas; top it up" in chain.drawn(raw)


def test_a_transaction_that_calls_a_contract_of_another_shard_is_the_root(chain: StoredContracts) -> None:
    raw = chain.remote_call(0, 1, "stock", "free")
    trace = chain.follow(raw)
    assert trace.state is TraceState.SETTLED
    assert drawn_lines(chain, raw)[0].startswith('✓ stock.free() by alice → ["owl"]   settled')
    failing = chain.remote_call(0, 1, "stock", "reserve", "dodo")
    assert (chain.follow(failing).state, chain.follow(failing).failed_hop) == (TraceState.FAILED, 1)
    assert drawn_lines(chain, failing)[-1] == "NotInStock: dodo"


def test_a_deployment_is_a_trace_whether_or_not_there_is_an_init(chain: StoredContracts) -> None:
    plain = chain.deploy(1, "again", "def m():\n    return 1\n")
    assert chain.trace(plain).state is TraceState.SETTLED
    assert drawn_lines(chain, plain)[0].startswith("✓ deploy again by alice   settled in 1 block")
    assert drawn_lines(chain, plain)[1].endswith(f" {chain.trace(plain).gas:,}"), "what compiling it took"
    assert chain.trace(plain).gas > 0
    started = chain.deploy(1, "started", "def init():\n    return 1\n")
    [node] = chain.trace(started).roots
    [run] = node.runs
    assert node.gas > run.gas > 0, "the run of its init, and compiling it"
    assert drawn_lines(chain, started)[1].endswith(f" {node.gas:,}")
    assert chain.trace(started).gas == node.gas
    failing = chain.deploy(1, "broken", "def init():\n    raise KeyError('no')\n")
    assert chain.trace(failing).state is TraceState.FAILED
    assert "KeyError" in drawn_lines(chain, failing)[-1]
    unreadable = chain.deploy(1, "typo", "def init(:\n")
    assert chain.trace(unreadable).state is TraceState.FAILED
    assert "SyntaxError" in drawn_lines(chain, unreadable)[-1]


def test_one_shards_part_alone_reads_as_under_way(chain: StoredContracts) -> None:
    raw = chain.call(0, "shop", "buy", "owl")
    chain.follow(raw)

    alone = assemble_trace(chain.parts(transaction_id(raw))[:1])
    # What the other shards did is known from the replies that came home; what ran there is not.
    assert alone.roots[0].failed
    assert {node.outcome for node in alone.roots[0].children} == {"ok", "failed"}
