"""The users of a scenario, and the observer's patience: what they take for lost, for hopeless and for a standstill."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from primitives.errors import Refused
from primitives.identifiers import TransactionId
from shards.node.api_types import SubmitResult
from testnet.client import AsyncNetwork, Sent, Settlement, SubmissionRefused
from testnet.observer import watch
from testnet.observer.watch import Observer
from testnet.run_file import AccountRun, RunInfo
from testnet.scenarios import load as module
from testnet.scenarios.load import TransferLoad

TWO = RunInfo(
    ostraka="0", home="/nowhere", genesis="", chain_id="", launcher_pid=0, control="", shards=2, validators=4,
    nodes=(), accounts={"alice": AccountRun("a", ""), "bob": AccountRun("b", "")},
)  # fmt: skip


class FakeNetwork:
    """Answers as it is told; every transfer gets the next number for its id."""

    def __init__(self, outcomes: Callable[[int], tuple[str, str]], resubmission: str = "") -> None:
        self.info = TWO
        self.sent: list[tuple[int, int]] = []
        self.handed_in_again = 0
        self.refuse: Refused | None = None
        self._outcomes = outcomes
        self._resubmission = resubmission

    def seed(self, name: str) -> str:
        return name

    key = seed

    async def send(self, seed: str, source: int, to: str, destination: int, amount: int) -> Sent:
        if self.refuse is not None:
            raise self.refuse
        self.sent.append((source, destination))
        return Sent(TransactionId(len(self.sent).to_bytes(32, "big")), source, b"raw", 0.0)

    async def wait(self, sent: Sent, seconds: float) -> Settlement:
        outcome, detail = self._outcomes(int.from_bytes(sent.id, "big"))
        return Settlement(sent.id, cast(Any, outcome), detail, 1, 0.0, None)

    def gateway(self, shard: int) -> "FakeNetwork":
        return self

    def demote_first(self) -> None:
        self.handed_in_again += 1

    async def ask(self, question: object) -> list[SubmitResult]:
        return [SubmitResult("refused" if self._resubmission else "known", "", self._resubmission, "")]


def users(network: FakeNetwork) -> TransferLoad:
    return TransferLoad(cast(AsyncNetwork, network), 1000, 1)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0)


async def run_until(load: TransferLoad, condition: Callable[[], bool]) -> None:
    load.start()
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is a count
            await asyncio.sleep(0)
    await load.stop()


async def test_users_pay_on_every_shard_to_every_shard_one_transfer_at_a_time() -> None:
    network = FakeNetwork(lambda _: ("settled", ""))
    load = users(network)
    await run_until(load, lambda: load.counts["settled"] >= 40)
    assert set(network.sent) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert await load.drain(1) == 0
    assert await load.lost() == []


async def test_what_was_called_settled_and_is_not_any_more_is_lost() -> None:
    forgotten: set[int] = set()
    load = users(FakeNetwork(lambda number: ("pending", "") if number in forgotten else ("settled", "")))
    await run_until(load, lambda: load.counts["settled"] >= 3)
    await load.drain(1)
    forgotten.add(2)
    (lost,) = await load.lost()
    assert lost.endswith("was settled, is pending")


async def test_a_transfer_whose_nonce_is_used_is_not_waited_for_but_one_in_a_block_is() -> None:
    superseded = users(FakeNetwork(lambda _: ("pending", ""), "nonce_used"))
    await run_until(superseded, lambda: superseded.counts["superseded"] >= 2)
    await superseded.drain(0)
    network = FakeNetwork(lambda _: ("pending", "finalized"), "nonce_used")
    final = users(network)
    await run_until(final, lambda: final.counts["skipped"] >= 5)
    assert network.handed_in_again == 0
    assert final.under_way == await final.drain(0) == 4, "two accounts on two shards, and none has settled"
    assert final.counts["superseded"] == 0


@pytest.mark.parametrize(
    ("refusal", "count"),
    [(Refused("unreachable", "nobody"), "unreachable"), (SubmissionRefused("overdraft", "no money"), "refused")],
)
async def test_what_cannot_be_sent_is_counted_and_tried_again(refusal: Refused, count: str) -> None:
    network = FakeNetwork(lambda _: ("settled", ""))
    network.refuse = refusal
    load = users(network)
    await run_until(load, lambda: load.counts[count] >= 3)
    network.refuse = None
    await run_until(load, lambda: load.counts["settled"] >= 1)
    await load.drain(1)


def test_a_shard_may_stand_still_while_something_is_broken_and_for_a_while_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)  # type: ignore[attr-defined]  # its module is not exported
    observer = Observer(TWO, cast(Any, None))
    patience = observer._patience_ms / 1000
    for passing, broken, height in (
        (1, False, 5),
        (patience + 1, True, 5),
        (patience - 1, False, 5),
        (2, False, 6),
        (patience - 1, False, 6),
    ):
        now += passing
        observer.heights = {0: height, 1: height}
        observer._demand_progress(broken=broken)
        assert not observer.findings
    now += 2
    observer._demand_progress(broken=False)
    assert [(each.invariant, each.node) for each in observer.findings.all()] == [("L1", "s0"), ("L1", "s1")]
