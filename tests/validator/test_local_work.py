"""What a shard owes itself is work: its queued messages, and timers when they are due (protocol.md section 2)."""

from collections.abc import Sequence

import pytest

from consensus.effects import CancelTimer, SetTimer
from contracts import values
from primitives.amounts import Amount, pack_amount
from primitives.instant import Instant
from shards.ledger import Ledger
from shards.receipts import RunReceipt, receipt_decoder
from shards.transactions import ContractCall, Deploy
from shards.validator import events as told
from shards.validator.alarm import Alarm
from shards.validator.effects import BlockApplied
from tests.support.core_pump import Node, Pump

IDLE_MS = 10_000

SOURCE = """
from ostraka_contract import OutcomeUnknown, call, put

async def outer():
    return await call(0, "main", "inner")

def inner():
    put("ran", True)
    return 7

async def wait():
    try:
        await call(1, "nobody", "answers", patience=3)
    except OutcomeUnknown:
        return "gave up"
"""


def deployed() -> Pump:
    """A shard with one contract and a block as late as its clock, and no relay that would carry anything away."""
    pump = Pump(shards=2)
    operation = Deploy(
        name="main",
        source=SOURCE,
        owner=b"",
        arguments=values.encode([]),
        amount=pack_amount(Amount(0)),
        gas=1_000_000,
    )
    assert submit(pump, operation) == "accepted"
    pump.run(1_000)
    assert heights(pump) == [1]
    return pump


def submit(pump: Pump, operation: Deploy | ContractCall) -> str:
    chain = pump.chain
    account = pump.nodes[0][0].core.ledger.account(chain.accounts[0].key)
    chain.time_ms += 1
    raw = chain.transaction(0, chain.accounts[0], [operation], nonce=account.nonce)
    (result,) = pump.submit(0, [raw])
    return result.status


def call_to(method: str) -> ContractCall:
    return ContractCall(
        contract="main", method=method, arguments=values.encode([]), amount=pack_amount(Amount(0)), gas=500_000
    )


def heights(pump: Pump) -> list[int]:
    """Heights that the validators of shard 0 have executed, when they are all the same just one."""
    return sorted({node.core.ledger.height for node in pump.nodes[0]})


def runs(pump: Pump, after: int) -> list[tuple[int, str, int]]:
    """(height, method, number) of every run of a contract after a height, as validator 0 published them."""
    found: list[tuple[int, str, int]] = []
    for news in pump.nodes[0][0].news:
        if isinstance(news, BlockApplied) and news.execution.commitment.height > after:
            for raw in news.execution.receipts:
                receipt = receipt_decoder.decode(raw)
                if isinstance(receipt, RunReceipt):
                    found.append((news.execution.commitment.height, receipt.method, receipt.run))
    return found


def test_a_message_of_a_shard_to_itself_and_its_reply_are_executed_at_the_pace_of_blocks_with_work() -> None:
    pump = deployed()
    assert submit(pump, call_to("outer")) == "accepted"
    pump.run(1_000)  # a tenth of what an idle shard waits for one block
    assert runs(pump, after=1) == [(2, "outer", 0), (3, "inner", 0), (4, "outer", 1)]
    assert heights(pump) == [4], "and then there is nothing more to do"
    pump.run(IDLE_MS // 2)
    assert heights(pump) == [4]


def test_a_timer_that_is_due_in_three_seconds_makes_a_block_then_and_not_before() -> None:
    pump = deployed()
    assert submit(pump, call_to("wait")) == "accepted"
    pump.run(100)
    assert heights(pump) == [2]
    pump.run(2_800)
    assert heights(pump) == [2], "nothing is due yet"
    pump.run(400)
    assert runs(pump, after=2) == [(3, "wait", 1)]
    assert heights(pump) == [3]
    pump.run(IDLE_MS - 400)
    assert heights(pump) == [3], "an idle shard again"
    pump.run(800)
    assert heights(pump) == [4]


def test_a_validator_that_was_down_when_a_timer_was_set_and_restarts_knows_of_it() -> None:
    pump = deployed()
    assert submit(pump, call_to("wait")) == "accepted"
    pump.run(500)
    for node in pump.nodes[0]:
        node.flush()
        node.kill()
        node.timers.clear()
    pump.run(1_000)
    for node in pump.nodes[0]:
        node.life = object()
        node.start()
    pump.run(1_000)
    assert heights(pump) == [2]
    pump.run(1_200)
    assert runs(pump, after=2) == [(3, "wait", 1)]


def test_a_message_waits_no_longer_because_a_leader_is_down() -> None:
    pump = deployed()
    pump.nodes[0][1].kill()
    assert submit(pump, call_to("outer")) == "accepted"
    pump.run(5_000)
    assert [method for _, method, _ in runs(pump, after=1)] == ["outer", "inner", "outer"]


def test_blocks_that_wait_for_their_execution_take_the_work_up_and_no_more_are_made_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pump = deployed()
    assert submit(pump, call_to("outer")) == "accepted"
    assert heights(pump) == [2]
    held: list[tuple[Node, told.Event]] = []
    later = Node.later

    def hold(node: Node, event: told.Event) -> None:
        if isinstance(event, told.BlockExecuted):
            held.append((node, event))
        else:
            later(node, event)

    monkeypatch.setattr(Node, "later", hold)
    pump.run(2_000)
    assert heights(pump) == [2]
    assert {node.core.status().finalized_height for node in pump.nodes[0]} == {3}
    monkeypatch.undo()
    for node, event in held:
        later(node, event)
    pump.run(1_000)
    assert [method for _, method, _ in runs(pump, after=1)] == ["outer", "inner", "outer"]


class DueAt(Ledger):
    """A ledger of which only the next due time matters."""

    def __init__(self, due_ms: Sequence[int | None]) -> None:
        self.answers = list(due_ms)
        self.at = 0

    @property
    def height(self) -> int:  # type: ignore[override]  # a plain number will do
        return self.at

    def next_due_ms(self) -> int | None:
        return self.answers[self.at]


def test_an_alarm_is_set_once_for_each_due_time_and_again_when_the_wall_clock_was_set_back() -> None:
    ledger = DueAt([None, 5_000, 5_000, 900, None])
    said: list[SetTimer | CancelTimer] = []
    alarm = Alarm(ledger, said.append)

    def at(monotonic_ms: int, wall_ms: int) -> Instant:
        return Instant(monotonic_ms, wall_ms)  # type: ignore[arg-type]  # a plain number will do

    alarm.follow(at(0, 1_000))
    assert said == []
    ledger.at = 1
    for _ in range(3):
        alarm.follow(at(10, 1_010))
    assert said == [SetTimer("due", 4_000)]
    ledger.at = 2
    alarm.follow(at(20, 1_020))
    assert len(said) == 1, "the timer stands"
    alarm.ring(at(4_000, 3_000))
    assert not alarm.is_due(at(4_000, 3_000))
    assert said[1:] == [SetTimer("due", 6_000)]
    alarm.ring(at(6_000, 5_000))
    assert alarm.is_due(at(6_000, 5_000))
    assert len(said) == 2
    ledger.at = 3
    alarm.follow(at(6_010, 5_010))
    assert len(said) == 2, "due already is work already"
    assert alarm.is_due(at(6_010, 5_010))
    ledger.at = 4
    alarm.follow(at(6_020, 5_020))
    assert not alarm.is_due(at(6_020, 5_020))
