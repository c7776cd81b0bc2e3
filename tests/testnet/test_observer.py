"""The judge of real testnets: it is silent about what may be, and names every lie that HTTP can show."""

from typing import Any

import msgspec
import pytest

from shards.node import api_types as api
from testnet.observer import checker as module
from testnet.observer.checker import LiveChecker
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


def test_whoever_blames_a_liar_is_right() -> None:
    checker = judge()
    checker.guilty.add("s0/v3")
    checker.status("s0/v1", status(0, 1, 2, blamed=(3,)))
    checker.status("s0/v2", status(0, 2, 2, blamed=(3,)))
    assert checker.findings.all() == ()
    assert checker.counts["guilty blamed"] == 1
