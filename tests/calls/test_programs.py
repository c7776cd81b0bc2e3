"""Random programs on all shards at once: whatever they do, money is conserved and restarts change nothing.

Every example runs twice: once as it comes, once with all ledgers restored from their stored state between any two
blocks and each block executed twice. `audit` checks every state after every block.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.values import encode
from primitives.addresses import format_address
from primitives.identifiers import CallId, ShardId
from shards.receipts import RunReceipt, RunState
from shards.state import ZERO_AMOUNT
from shards.transactions import ContractCall, TopUp
from tests.calls.network import Network, Told
from tests.shards.builders import make_accounts

SHARDS = 3
PAYEE = format_address(make_accounts(2)[1].key)

shards = st.integers(0, SHARDS)
"""One beyond the last, which does not exist."""

options = st.fixed_dictionaries(
    {},
    optional={
        "value": st.sampled_from([0, 1, 50, 5_000]),
        "gas": st.sampled_from([12_000, 20_000, 60_000, 150_000]),
        "patience": st.sampled_from([1, 2]),
        "deadline": st.sampled_from([1, 600]),
    },
)

plain = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.sampled_from("abc")),
    st.tuples(st.just("get"), st.sampled_from("abc")),
    st.tuples(st.just("keys"), st.just("")),
    st.tuples(st.just("held")),
    st.tuples(st.just("emit"), st.just("E"), st.just({"n": 1})),
    st.tuples(st.just("transfer"), st.just(PAYEE), st.sampled_from([0, 7, 10_000])),
    st.tuples(st.just("work"), st.sampled_from([10, 3_000])),
    st.tuples(st.just("fail"), st.just("so")),
)


def calling(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Steps that call, and steps around steps."""
    method: st.SearchStrategy[Any] = st.one_of(
        st.tuples(st.sampled_from(["say", "fail"]), st.just(["x"])),
        st.tuples(st.just("keep"), st.just(["a", 1])),
        st.tuples(st.sampled_from(["who", "none", "burn"]), st.just([])),
        st.tuples(st.just("play"), st.lists(steps, max_size=3).map(lambda inner: [inner])),
    )
    contract = st.sampled_from(["agent", "agent", "agent", "nobody"])
    to_contract = st.tuples(shards, contract, method, options).map(lambda t: [t[0], t[1], t[2][0], t[2][1], t[3]])
    to_account = st.tuples(shards, options).map(
        lambda t: [t[0], PAYEE, "", [], {name: value for name, value in t[1].items() if name != "gas"}]
    )
    target = st.one_of(to_contract, to_contract, to_account)
    several = st.lists(steps, min_size=1, max_size=3)
    return st.one_of(
        target.map(lambda t: ["ask", *t]),
        st.tuples(st.integers(0, 2), target).map(lambda t: ["call", t[0], *t[1]]),
        target.map(lambda t: ["try", [["ask", *t]]]),
        several.map(lambda inner: ["try", inner]),
        st.tuples(several, several).map(lambda t: ["finally", *t]),
        st.lists(several, min_size=2, max_size=3).map(lambda branches: ["gather", branches]),
    )


programs = st.lists(st.recursive(plain.map(list), calling, max_leaves=12), min_size=1, max_size=4)

moves = st.one_of(
    st.tuples(st.just("play"), st.integers(0, SHARDS - 1), programs, st.sampled_from([30_000, 200_000, 800_000])),
    st.tuples(st.just("exchange"), st.integers(0, SHARDS - 1)),
    st.tuples(st.just("exchange"), st.integers(0, SHARDS - 1)),
    st.tuples(st.just("wait"), st.sampled_from([500, 2_000, 700_000])),
    st.tuples(st.just("feed"), st.integers(0, SHARDS - 1), st.sampled_from([1, 100_000])),
)


def perform(history: list[Any], *, restart: bool) -> Network:
    """Make the moves, then let everything come to an end."""
    chain = Network(shards=SHARDS, restart=restart)
    for shard in range(SHARDS):
        chain.deploy(shard, "agent", value=2_000)
    for move in history:
        match move:
            case ("play", shard, program, gas):
                operation = ContractCall("agent", "play", encode([program]), ZERO_AMOUNT, gas)
                chain.run(shard, [chain.transaction(shard, chain.alice, [operation])], chain.bundles_for(shard))
            case ("exchange", shard):
                chain.run(shard, bundles=chain.bundles_for(shard))
            case ("wait", milliseconds):
                chain.wait(milliseconds)
            case ("feed", shard, gas):
                for call_id in sorted(chain.under_way(shard))[:1]:
                    feed = chain.transaction(shard, chain.bob, [TopUp(CallId(call_id), gas)])
                    chain.run(shard, [feed])
            case _:
                raise AssertionError(move)
    chain.quiesce(120)
    chain.wait(700_000)
    chain.quiesce(120)
    chain.exchange(2)
    return chain


@settings(deadline=None, max_examples=25)
@given(st.lists(moves, min_size=1, max_size=8))
def test_random_programs_conserve_money_and_end_and_restarts_change_nothing(history: list[Any]) -> None:
    chain = perform(history, restart=False)
    check_the_end(chain)
    again = perform(history, restart=True)
    for node, other in zip(chain.shards, again.shards, strict=True):
        assert node.ledger.commitment == other.ledger.commitment
        assert dict(node.ledger.entries()) == dict(other.ledger.entries())
        assert [e.receipts for e in node.executions] == [e.receipts for e in other.executions]


def check_the_end(chain: Network) -> None:
    """Nothing is in limbo: every call ended once, was answered once, and nothing is held back anywhere."""
    ends: dict[bytes, int] = {}
    for shard, node in enumerate(chain.shards):
        assert chain.under_way(shard) == {}
        assert chain.open_calls(shard) == []
        supply = node.ledger.commitment.supply
        assert int.from_bytes(supply.escrow, "big") == 0
        assert node.ledger.next_due_ms() is None
        for peer in range(SHARDS):
            if peer != shard:
                lane = node.ledger.lane(ShardId(peer))
                assert lane.value_sent == chain.shards[peer].ledger.lane(ShardId(shard)).value_received
    for run in chain.runs():
        if run.state in (RunState.COMPLETED, RunState.FAILED):
            ends[run.call_id] = ends.get(run.call_id, 0) + 1
    assert set(ends.values()) <= {1}
    made = {made.call_id for run in chain.runs() for made in run.calls}
    answered = [
        receipt.call_id for node in chain.shards for execution in node.executions for receipt in Told(execution).replies
    ]
    assert sorted(answered) == sorted(made)
    for run in chain.runs():
        check_run(run)


def check_run(run: RunReceipt) -> None:
    """What each run says of itself."""
    assert run.gas_used >= 0 <= run.gas_left
    assert (run.kind == "") == (run.state != RunState.FAILED)
    assert run.reply is None or run.state in (RunState.COMPLETED, RunState.FAILED)


def test_a_known_program_takes_every_turn() -> None:
    """So that the property above is known to see suspensions, failures, starvation, timers and local messages."""
    inner: list[Any] = [["ask", 0, "agent", "keep", ["a", 1], {"gas": 20_000}], ["work", 3_000], ["fail", "so"]]
    history: list[Any] = [
        ("play", 0, [["try", [["ask", 1, "agent", "play", [inner], {"value": 50, "gas": 60_000}]]]], 800_000),
        ("play", 1, [["try", [["ask", 2, "agent", "say", ["x"], {"patience": 1, "value": 5}]]]], 200_000),
        ("wait", 2_000),
        ("exchange", 1),
        ("exchange", 0),
        ("exchange", 1),
        ("feed", 1, 100_000),
    ]
    chain = perform(history, restart=False)
    check_the_end(chain)
    states = {RunState(run.state) for run in chain.runs()}
    causes = {run.cause for run in chain.runs()}
    assert states == set(RunState)
    assert len(causes) >= 5
