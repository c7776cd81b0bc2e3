"""What contracts do under ordinary Python is what they do on the machine: every example, played on both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ostraka_contract import Data
from tests.contracts.support import PROGRAMS
from tests.examples.stages import ADDRESS, OnDouble, OnNet, OutOfGas, Stage

EXAMPLES = Path(__file__).parents[2] / "examples"
OBOL = 10**6
EXPIRED = 70
"""Seconds after which a call that nobody could take has expired."""

Scenario = Callable[[Stage], None]


def played(scenario: Scenario, folder: Path, shards: int = 3) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is left after playing it on the double, and on the simulator."""
    reports = []
    for kind in (OnDouble, OnNet):
        stage = kind(folder, shards)
        scenario(stage)
        reports.append(stage.report())
    double, real = reports
    double["paid"] = {who: double["paid"][who] for who in real["paid"]}
    return double, real


def counter(stage: Stage) -> None:
    stage.deploy("counter.py", 10)
    stage.call("counter@0", "increment")
    stage.call("counter@0", "increment", 5, by="bob")
    stage.call("counter@0", "increment", 2, home=2)
    arguments: list[list[Data]] = [[1], [0], [-3], ["2"], [], [1, 2]]
    for each in arguments:
        stage.call("counter@0", "increment", *each)
    stage.view("counter@0", "movers")
    stage.view("counter@0", "moved_by", ADDRESS["alice"])


def pingpong(stage: Stage) -> None:
    for shard in range(2):
        stage.deploy("player.py", shard=shard)
    stage.call("player@0", "serve", 1, 3)
    stage.call("player@0", "serve", 0, 2)
    stage.call("player@1", "volley", 0, 3)
    stage.call("player@0", "serve", 2, 1)
    stage.halt(1)
    stage.begin("player@0", "serve", 1, 1)
    stage.wait(EXPIRED)
    stage.mend()
    stage.settle()


def token(stage: Stage) -> None:
    for shard in range(3):
        stage.deploy("token.py", 0 if shard else 1000, shard=shard)
        stage.call(f"token@{shard}", "trust", [0, 1, 2])
    stage.call("token@0", "trust", [1], by="bob")
    stage.call("token@0", "send", ADDRESS["bob"], 2, 300)
    stage.call("token@0", "send", ADDRESS["carol"], 0, 100)
    stage.call("token@2", "send", ADDRESS["carol"], 1, 299, by="bob")
    for amount in (0, -1, 601, "5", True):
        stage.call("token@0", "send", ADDRESS["bob"], 1, amount)
    stage.call("token@0", "send", ADDRESS["bob"], 7, 1)
    stage.call("token@0", "receive", ADDRESS["bob"], 1, by="bob", home=1)
    stage.halt(1)
    stage.begin("token@0", "send", ADDRESS["dave"], 1, 50)
    stage.wait(EXPIRED)
    stage.mend()
    stage.settle()


def shop(stage: Stage) -> None:
    for file, shard in (("shop.py", 0), ("stock.py", 1), ("prices.py", 2), ("wallet.py", 2)):
        stage.deploy(file, shard=shard)
    for item in ("owl", "cat", "dog"):
        stage.call("stock@1", "fill", item)
        stage.call("prices@2", "fix", item, 5 * OBOL)
    stage.call("prices@2", "fix", "eel", OBOL)
    stage.call("stock@1", "fill", "eel", by="bob")
    stage.call("prices@2", "fix", "owl", 1, by="bob")
    stage.call("wallet@2", "deposit", value=20 * OBOL)
    stage.call("shop@0", "buy", "owl")
    stage.call("wallet@2", "allow", "shop@0", 6 * OBOL)
    stage.call("shop@0", "buy", "eel")
    stage.call("shop@0", "buy", "owl")
    stage.call("shop@0", "buy", "owl", by="bob")
    stage.call("shop@0", "buy", "cat")
    stage.call("wallet@2", "allow", "shop@0", 50 * OBOL)
    for shard in (1, 2):
        stage.halt(shard)
        stage.begin("shop@0", "buy", "cat")
        stage.wait(EXPIRED)
        stage.mend()
        stage.settle()
    stage.halt(1)
    stage.begin("shop@0", "buy", "dog")
    stage.wait(5)
    stage.mend()
    stage.settle()
    stage.call("wallet@2", "withdraw", 3 * OBOL, ADDRESS["erin"])
    stage.call("wallet@2", "withdraw", 30 * OBOL, ADDRESS["erin"])
    stage.view("stock@1", "free")


def escrow(stage: Stage) -> None:
    stage.deploy("escrow.py")
    erin_there = f"{ADDRESS['erin']}@2"
    for seller, value in ((ADDRESS["bob"], 5 * OBOL), (erin_there, 7 * OBOL), (ADDRESS["erin"], OBOL), (erin_there, 0)):
        stage.call("escrow@0", "offer", seller, 600, value=value)
    stage.call("escrow@0", "offer", "shop@1", 600, value=1)
    stage.call("escrow@0", "release", 1, by="bob")
    stage.call("escrow@0", "refund", 1, by="carol")
    stage.halt(2)
    stage.begin("escrow@0", "release", 2)
    stage.wait(EXPIRED)
    stage.mend()
    stage.settle()
    stage.call("escrow@0", "release", 2)
    stage.call("escrow@0", "release", 2)
    stage.call("escrow@0", "release", 3)
    stage.wait(601)
    stage.call("escrow@0", "refund", 1, by="carol")
    stage.view("escrow@0", "deal", 1)


def auction(stage: Stage) -> None:
    stage.deploy("auction.py", 600, by="dave")
    stage.call("auction@0", "bid", by="alice", value=5 * OBOL)
    stage.call("auction@0", "bid", by="bob", value=5 * OBOL)
    stage.call("auction@0", "bid", by="bob", value=6 * OBOL, home=1)
    stage.call("auction@0", "bid", by="alice", value=8 * OBOL)
    stage.call("auction@0", "close")
    stage.call("auction@0", "withdraw", by="bob", home=1)
    stage.call("auction@0", "withdraw", by="bob", home=1)
    stage.wait(601)
    stage.call("auction@0", "bid", by="carol", value=50 * OBOL)
    stage.call("auction@0", "close")
    stage.call("auction@0", "close")
    for who in ("alice", "dave", "carol"):
        stage.call("auction@0", "withdraw", by=who)
    stage.view("auction@0", "highest")


def aggregator(stage: Stage) -> None:
    for shard, number in ((1, 10), (2, 500), (3, 11)):
        stage.deploy("oracle.py", number, shard=shard)
    stage.deploy("aggregator.py", [0, 1, 2, 3, 9])
    stage.call("aggregator@0", "update")
    stage.halt(3)
    stage.begin("aggregator@0", "update", 10)
    stage.wait(20)
    stage.mend()
    stage.settle()
    stage.call("oracle@1", "report", 12, by="bob")
    stage.call("oracle@1", "report", 12)
    stage.call("aggregator@0", "update")
    stage.view("aggregator@0", "latest")


def swap(stage: Stage) -> None:
    stage.deploy("coin.py", 100, shard=0, name="gold")
    stage.deploy("coin.py", 100, shard=1, name="silver", by="bob")
    stage.deploy("swap.py", shard=2)
    stage.call("swap@2", "offer", [0, "gold", 10], [1, "silver", 70])
    stage.call("swap@2", "offer", [0, "gold", 0], [1, "silver", 70])
    stage.call("swap@2", "accept", 1, by="bob")
    for _ in range(4):
        stage.call("swap@2", "offer", [0, "gold", 10], [1, "silver", 70])
    stage.call("gold@0", "allow", "swap@2", 20)
    stage.call("swap@2", "accept", 2, by="bob")
    stage.call("silver@1", "allow", "swap@2", 75, by="bob")
    stage.call("swap@2", "cancel", 3, by="bob")
    stage.call("swap@2", "cancel", 3)
    stage.call("swap@2", "accept", 3, by="bob")
    stage.halt(1)
    stage.begin("swap@2", "accept", 4, by="bob")
    stage.wait(EXPIRED)
    stage.mend()
    stage.settle()
    stage.call("swap@2", "accept", 5, by="bob")
    stage.call("swap@2", "collect", 1, "silver", ADDRESS["alice"])
    for coin in ("gold@0", "silver@1"):
        for who in (ADDRESS["alice"], ADDRESS["bob"], "swap@2"):
            stage.view(coin, "balance_of", who)


SCENARIOS = {each.__name__: each for each in (counter, pingpong, token, shop, escrow, auction, aggregator, swap)}


def test_every_example_has_its_scenario() -> None:
    assert sorted(SCENARIOS) == sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_example_ends_the_same_under_ordinary_python_and_on_the_simulator(name: str) -> None:
    double, real = played(SCENARIOS[name], EXAMPLES / name, shards=4 if name == "aggregator" else 3)
    assert double == real
    failures = [each for each in real["told"] if isinstance(each, tuple)]
    assert failures, "a scenario in which nothing fails compares half of it"
    assert len(failures) < len(real["told"])


PAYEE = ADDRESS["erin"]

targets: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.integers(0, 2), st.just("agent"), st.sampled_from(["say", "fail"]), st.just(["x"])),
    st.tuples(st.integers(0, 2), st.just("agent"), st.just("add"), st.tuples(st.sampled_from("ab"), st.integers(1, 9))),
    st.tuples(st.integers(0, 2), st.just("agent"), st.sampled_from(["who", "held", "nothing"]), st.just([])),
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["agent", "nobody", PAYEE]),
        st.sampled_from(["init", "migrate", "_play", "CallFailed", "Told", "none", ""]),
        st.just([]),
    ),
)
options = st.fixed_dictionaries({}, optional={"value": st.sampled_from([0, 1, 50, 5_000, -1])})

plain_steps = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abc"), st.sampled_from([0, None, "x", [1, {"k": b"b"}]])),
    st.tuples(st.just("delete"), st.sampled_from("abc")),
    st.tuples(st.just("get"), st.sampled_from("abc")),
    st.tuples(st.just("keys"), st.sampled_from(["", "b"])),
    st.tuples(st.just("held")),
    st.tuples(st.just("emit"), st.sampled_from(["E", "F"]), st.just({"n": 1})),
    st.tuples(st.just("transfer"), st.sampled_from([PAYEE, "nobody"]), st.sampled_from([0, 7, 10_000])),
    st.tuples(st.just("fail"), st.just("so")),
)


def calling(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Steps that call, and steps around steps; one thing after the other, so that there is one order only."""
    target = st.tuples(targets, options).map(lambda t: [*t[0][:3], list(t[0][3]), t[1]])
    several = st.lists(steps, min_size=1, max_size=3)
    played = st.tuples(st.integers(0, 2), several, options).map(lambda t: [t[0], "agent", "play", [t[1]], t[2]])
    ask = st.one_of(target, target, played).map(lambda t: ["ask", *t])
    return st.one_of(
        ask,
        ask.map(lambda step: ["try", [step]]),
        several.map(lambda inner: ["try", inner]),
        st.tuples(several, several).map(lambda t: ["finally", *t]),
        several.map(lambda inner: ["gather", [inner]]),
    )


programs = st.lists(st.recursive(plain_steps.map(list), calling, max_leaves=10), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["agent@0", "agent@1"]), programs), min_size=1, max_size=2))
def test_any_program_does_the_same_under_ordinary_python_and_on_the_simulator(orders: list[tuple[str, Any]]) -> None:
    def scenario(stage: Stage) -> None:
        for shard in range(3):
            stage.deploy("agent.py", 1, shard=shard, value=2_000)
        for contract, program in orders:
            stage.call(contract, "play", program, value=10)

    try:
        double, real = played(scenario, PROGRAMS)
    except OutOfGas:
        reject()  # calls within calls within calls
    assert double == real
