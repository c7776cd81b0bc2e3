"""The judge of real testnets: it is silent about what may be, and names every lie that HTTP can show."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from shards.node import api_types as api
from testnet.observer import checker as module
from testnet.observer import watch
from testnet.observer.checker import LiveChecker
from testnet.observer.watch import Observer
from testnet.run_file import NodeRun, RunInfo
from testnet.simulator.findings import Findings

QUORUM = 3


def hex_of(*parts: object) -> str:
    return "".join(f"{hash_ % 256:02x}" for hash_ in map(_number, parts)).ljust(64, "0")


def _number(part: object) -> int:
    return sum(map(ord, str(part)))


def status(shard: int, index: int, height: int, *, blamed: tuple[int, ...] = (), not_ready: str = "") -> Any:
    return api.StatusAnswer(
        version="1", chain_id=hex_of("c"), chain_name="t", development=True, shard=shard, shards=2, index=index,
        public_key=hex_of("k"), validators=4, quorum=QUORUM, peers=[], view=1, leader=0, finalized_height=height,
        executed_height=height, certified_height=height, time_ms=0, mempool_transactions=0, inbox_bundles=0,
        contracts=0, blamed=list(blamed), ready=not not_ready, not_ready=not_ready,
    )  # fmt: skip


def summary(shard: int, height: int, name: str = "block") -> api.BlockSummary:
    return api.BlockSummary(
        height=height, block_id=hex_of(name, shard, height), time_ms=0, items=0, size_bytes=0, executed=True,
        certified=True,
    )  # fmt: skip


def block(shard: int, height: int, *receipts: api.ReceiptView, parent: str = "") -> api.BlockAnswer:
    return api.BlockAnswer(
        summary=summary(shard, height), parent=parent or hex_of("block", shard, height - 1), anchor_height=None,
        items=[], receipts=list(receipts),
    )  # fmt: skip


def sends(destination: int, sequence: int, message: str = "message") -> api.ReceiptView:
    sent = api.SentView(destination, sequence, hex_of(message, sequence), hex_of("call", sequence))
    return api.ReceiptView(kind="transaction", outcome="ok", detail="", sent=[sent])


def takes(source: int, sequence: int, message: str = "message", kind: Any = "call") -> api.ReceiptView:
    return api.ReceiptView(
        kind=kind, outcome="ok", detail="", source=source, sequence=sequence,
        message_id=hex_of(message, sequence), call_id=hex_of("call", sequence),
    )  # fmt: skip


def commitment(shard: int, height: int, result: str = "result", **supply: int) -> api.CommitmentAnswer:
    money = {
        "genesis": 100, "balances": 90, "bonds": 0, "held_fees": 5, "escrow": 0, "burnt": 0, "sent": 10, "received": 5,
    } | supply  # fmt: skip
    some = hex_of("x")
    return api.CommitmentAnswer(
        height=height, block_id=hex_of("block", shard, height), time_ms=0,
        commitment_hash=hex_of(result, shard, height), state_root=some, receipts_root=some, outbox_root=some,
        history_root=some, validator_set_hash=some,
        supply=api.SupplyView(**{name: str(value) for name, value in money.items()}), signers=[0, 1, 2],
        certificate="00",
    )  # fmt: skip


def heads(destination: int, *, begin: int = 0, end: int = 2, taken: int = 0, sent: int = 0, received: int = 0) -> Any:
    head = api.HeadView(destination, begin, end, taken, hex_of("r"), str(sent), str(received))
    return api.StreamsAnswer(height=1, certificate="", heads=[head], encoded_heads="")


def judge() -> LiveChecker:
    return LiveChecker(2, QUORUM, Findings())


def tell_a_whole_story(checker: LiveChecker) -> None:
    """Two shards; the first sends two messages, the second takes both and answers them."""
    for index in range(4):
        checker.status(f"s0/v{index}", status(0, index, 2))
        checker.finalized(f"s0/v{index}", 0, [summary(0, 1), summary(0, 2)])
        checker.commitment(f"s0/v{index}", 0, commitment(0, 2))
    checker.block("s0/v0", 0, block(0, 1, sends(1, 0)))
    checker.block("s0/v0", 0, block(0, 2, sends(1, 1)))
    checker.block("s1/v0", 1, block(1, 1, takes(0, 0), takes(0, 1), sends(0, 0, "reply")))
    checker.block("s0/v0", 0, block(0, 3, takes(1, 0, "reply", "reply")))
    checker.streams(0, heads(1, begin=2, end=2, taken=1, sent=10, received=3))
    checker.streams(1, heads(0, begin=1, end=1, taken=2, sent=3, received=10))
    checker.money()


def test_an_honest_story_is_believed_to_its_end() -> None:
    checker = judge()
    tell_a_whole_story(checker)
    assert checker.settled()
    checker.verdict(must_be_settled=True)
    assert checker.findings.all() == ()
    assert (checker.counts["messages sent"], checker.counts["messages consumed"]) == (3, 3)
    assert checker.next_height(0) == 4


def changed(said: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(said, **fields)


SECOND_ANSWER = changed(takes(1, 1, "reply", "reply"), call_id=hex_of("call", 0))

LIES: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("S1", [("finalized", "s0/v1", 0, [summary(0, 2, "other")])]),
    ("S1", [("block", "s0/v1", 0, block(0, 4, parent=hex_of("other")))]),
    ("S1", [("commitment", "s0/v1", 0, changed(commitment(0, 2), block_id=hex_of("no")))]),
    ("S2", [("commitment", "s0/v1", 0, commitment(0, 2, "other"))]),
    ("S3", [("commitment", "s0/v1", 0, changed(commitment(0, 2), signers=[0, 1]))]),
    ("S3", [("commitment", "s0/v1", 0, changed(commitment(0, 2), signers=[0, 1, 1]))]),
    ("V1", [("commitment", "s0/v1", 0, commitment(0, 3, balances=91))]),
    ("V1", [("commitment", "s0/v1", 0, commitment(0, 3, genesis=101, balances=91))]),
    ("V1", [("streams", 1, heads(0, begin=1, end=1, taken=2, sent=3, received=11)), ("money",)]),
    ("V1", [("streams", 1, heads(0, begin=1, end=1, taken=2, sent=3, received=9)), ("money",)]),
    ("V2", [("commitment", "s0/v1", 0, commitment(0, 3, sent=106, balances=-6))]),
    ("X1", [("block", "s1/v0", 1, block(1, 2, takes(0, 1)))]),
    ("X1", [("block", "s1/v0", 1, block(1, 2, takes(0, 3)))]),
    (
        "X2",
        [("block", "s0/v0", 0, block(0, 4, sends(1, 2))), ("block", "s1/v0", 1, block(1, 2, takes(0, 2, "forged")))],
    ),
    ("X2", [("block", "s1/v0", 1, block(1, 2, takes(0, 2))), ("verdict", False)]),
    ("X4", [("block", "s0/v0", 0, block(0, 4, SECOND_ANSWER))]),
    ("X4", [("streams", 0, heads(1, begin=1, end=2)), ("verdict", True)]),
    ("D1", [("status", "s0/v1", status(0, 1, 1))]),
    ("A1", [("status", "s0/v1", status(0, 1, 2, blamed=(3,)))]),
    ("H1", [("status", "s0/v1", status(0, 1, 2, not_ready="halted: journal contradicts itself"))]),
]


@pytest.mark.parametrize(("invariant", "lies"), LIES)
def test_each_lie_breaks_its_invariant_and_no_other(invariant: str, lies: list[tuple[Any, ...]]) -> None:
    checker = judge()
    tell_a_whole_story(checker)
    for method, *told in lies:
        if method == "verdict":
            checker.verdict(must_be_settled=told[0])
        else:
            getattr(checker, method)(*told)
    assert {found.invariant for found in checker.findings.all()} == {invariant}


def test_heads_of_different_moments_are_no_violation() -> None:
    checker = judge()
    checker.streams(0, heads(1, end=2, sent=10))
    checker.streams(1, heads(0, taken=3, received=15))
    checker.money()
    assert checker.findings.all() == ()
    assert not checker.settled()


def test_a_chain_that_is_read_from_the_middle_is_judged_from_there() -> None:
    checker = judge()
    checker.begin_at(1, 900)
    checker.block("s1/v0", 1, block(1, 900, takes(0, 77)))
    checker.verdict(must_be_settled=False)
    assert checker.findings.all() == (), "who sent it was not read"
    checker.block("s1/v0", 1, block(1, 901, takes(0, 77)))
    assert [found.invariant for found in checker.findings.all()] == ["X1"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_HEIGHTS", 3)
    monkeypatch.setattr(module, "REMEMBERED_CALLS", 2)
    checker = judge()
    for height in range(1, 9):
        checker.block("s0/v0", 0, block(0, height, takes(1, height - 1, "reply", "reply")))
        checker.commitment("s0/v0", 0, commitment(0, height))
        checker.finalized("s0/v1", 0, [summary(0, height)])
    checker.finalized("s0/v2", 0, [summary(0, 1, "long ago"), summary(0, 5, "long ago")])
    checker.commitment("s0/v2", 0, commitment(0, 5, "long ago"))
    assert checker.findings.all() == ()
    assert [len(each) for each in (checker._ids, checker._results, checker._answered)] == [3, 3, 2]
    checker.finalized("s0/v2", 0, [summary(0, 6, "other")])
    assert [found.invariant for found in checker.findings.all()] == ["S1"]


@pytest.mark.parametrize(("invariant", "lies"), [each for each in LIES if each[0] in {"S1", "S2", "D1", "A1", "H1"}])
def test_of_a_liar_what_it_calls_final_and_came_to_is_judged_but_not_whom_it_blames_or_that_it_halts(
    invariant: str, lies: list[tuple[Any, ...]]
) -> None:
    checker = judge()
    checker.guilty.add("s0/v1")
    tell_a_whole_story(checker)
    for method, *told in lies:
        getattr(checker, method)(*told)
    assert {found.invariant for found in checker.findings.all()} == {invariant} - {"A1", "H1"}


class FakeNode:
    """Answers like a validator of a shard; its blocks from `fork` on are of its own making."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.height = 0
        self.fork = 100
        self.result = "result"
        self.asked: Counter[str] = Counter()

    async def status(self) -> api.StatusAnswer:
        return cast("api.StatusAnswer", status(0, self.index, self.height))

    async def blocks(self, first: int, _count: int) -> Any:
        shown = range(first, self.height + 1)
        return SimpleNamespace(blocks=[summary(0, each, "block" if each < self.fork else "other") for each in shown])

    async def block(self, height: int) -> api.BlockAnswer:
        self.asked["block"] += 1
        return block(0, height)

    async def commitment(self, height: int) -> api.CommitmentAnswer:
        return commitment(0, height, self.result)

    async def streams(self) -> api.StreamsAnswer:
        self.asked["streams"] += 1
        return api.StreamsAnswer(height=1, certificate="", heads=[], encoded_heads="")


def observer_of(monkeypatch: pytest.MonkeyPatch, nodes: list[FakeNode]) -> Observer:
    """Of one shard of these, of which the first lies."""
    monkeypatch.setattr(watch, "NodeClient", lambda url, _session: nodes[int(url)])
    runs = tuple(
        NodeRun(
            name=f"s0/v{node.index}", kind="validator", shard=0, api=str(node.index), link_port=1, pid=1,
            state="running", log="",
        )
        for node in nodes
    )  # fmt: skip
    info = RunInfo(
        ostraka="0", home="/nowhere", genesis="", chain_id="", launcher_pid=0, control="", shards=1,
        validators=len(nodes), nodes=runs, accounts={},
    )  # fmt: skip
    observer = Observer(info, cast("Any", None))
    observer.checker.guilty.add("s0/v0")
    return observer


async def test_a_liar_is_compared_with_the_others_and_nothing_is_learned_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [FakeNode(index) for index in range(4)]
    observer = observer_of(monkeypatch, nodes)
    for node in nodes:
        node.height = 3
    await observer.look(broken=False)
    assert observer.checker.counts["results compared"] == 4
    assert (nodes[0].asked["block"], nodes[0].asked["streams"]) == (0, 0)
    nodes[0].height, nodes[0].fork = 5, 4
    await observer.look(broken=False)
    assert observer.heights == {0: 3}, "how far the shard is, is not for a liar to say"
    assert observer.findings.all() == ()
    nodes[0].result = "other"
    for node in nodes[1:]:
        node.height = 5
    await observer.look(broken=False)
    assert [(each.invariant, each.node) for each in observer.findings.all()] == [("S1", "s0/v0"), ("S2", "s0/v0")]


async def test_a_liar_that_lags_keeps_nobody_from_being_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [FakeNode(index) for index in range(4)]
    observer = observer_of(monkeypatch, nodes)
    for node in nodes[1:]:
        node.height = 5
    await observer.look(broken=False)
    assert observer.checker.counts["results compared"] == 3
    nodes[2].result = "other"
    nodes[1].height = nodes[2].height = nodes[3].height = 6
    await observer.look(broken=False)
    assert [(each.invariant, each.node) for each in observer.findings.all()] == [("S2", "s0/v2")]


def test_whoever_blames_a_liar_is_right() -> None:
    checker = judge()
    checker.guilty.add("s0/v3")
    checker.status("s0/v1", status(0, 1, 2, blamed=(3,)))
    checker.status("s0/v2", status(0, 2, 2, blamed=(3,)))
    assert checker.findings.all() == ()
    assert checker.counts["guilty blamed"] == 1
