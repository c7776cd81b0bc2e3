"""A validator that dies right before or right after a fsync, under load, and comes back."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator

import pytest

from primitives.errors import Refused
from shards.node.api_types import FinalizedEvent
from shards.node.client import NodeUnavailable
from tests.real.harness import PAUSE_S, Load, Testnet, View, testnet, until, view

pytestmark = pytest.mark.real

ACCOUNTS = [f"crash{number}" for number in range(6)]

CRASHES = [(1, False), (1, True), (2, False), (3, True), (5, False), (8, True), (21, False), (40, True), (87, False)]
"""(n-th commit of the process, whether after its fsync). The first ones are those of the start itself; the state is
flushed some 20 blocks later, between commits of the chain."""

VOTING_S = 5.0
CAUGHT_UP_S = 20.0
"""Goals of design/reliability.md, for an idle machine."""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """One shard of four validators."""
    accounts = dict.fromkeys(ACCOUNTS, 1000)
    with testnet(tmp_path_factory.mktemp("crash") / "home", shards=1, relays=0, accounts=accounts) as net:
        yield net


@pytest.fixture(autouse=True)
def _all_run(shard: Testnet) -> None:
    shard.make_whole()


async def signs_again(net: View, name: str, above: int) -> float:
    """Seconds until a certificate of a later height has the validator's signature."""
    began = time.monotonic()
    index = int(name.rpartition("v")[2])

    async def signed() -> bool:
        try:
            newest = await net.clients[name].commitment()
        except Refused:
            return False
        return newest.height > above and index in newest.signers

    await until(signed, f"{name} signs commitments again")
    return time.monotonic() - began


async def listen(net: View, name: str, told: list[int]) -> None:
    """Note every height that a validator calls final, from its start until it is cancelled."""
    while True:
        try:
            async for received in net.clients[name].events("0.0.0"):
                if isinstance(received.event, FinalizedEvent):
                    told.append(received.event.height)  # noqa: PERF401 - a comprehension would tell only at its end
        except NodeUnavailable:
            await asyncio.sleep(PAUSE_S)


def recovered_height(shard: Testnet, name: str) -> int:
    """Finalized height that a validator found on its disk when it last started."""
    lines = (shard.folder(name) / "data" / "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return int([event for event in events if event["event"] == "recovered"][-1]["finalized"])


@pytest.mark.parametrize(("number", "after"), CRASHES)
async def test_killed_at_a_fsync_a_validator_loses_nothing_and_contradicts_nobody(
    shard: Testnet, number: int, after: bool
) -> None:
    victim, witness = f"s0/v{CRASHES.index((number, after)) % 4}", f"s0/v{(CRASHES.index((number, after)) + 1) % 4}"
    load = Load(shard)
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        shard.give_trouble(victim, die_at_commit=number, after=after)
        await asyncio.to_thread(shard.do, "restart", victim)
        told: list[int] = []
        listening = asyncio.create_task(listen(net, victim, told))
        ended = await asyncio.to_thread(shard.until_ended, victim)
        listening.cancel()
        assert ended["signal"] == "SIGKILL"
        acknowledged = dict(load.settled)
        await load.progress(len(ACCOUNTS))  # the other three go on
        ahead = (await net.status(witness)).executed_height
        began = time.monotonic()
        await asyncio.to_thread(shard.do, "restart", victim)
        await signs_again(net, victim, ahead)
        assert time.monotonic() - began < CAUGHT_UP_S, "caught up"
        assert recovered_height(shard, victim) >= max(told, default=0), "what it had called final was on its own disk"
        for identity in acknowledged:
            answer = await net.clients[victim].transaction(identity)
            assert answer.height is not None, "what was final is there"
        assert await net.nobody_is_blamed()
        height = min([(await net.status(name)).executed_height for name in net.clients])
        await net.same_chain(sorted(net.clients), max(1, ahead - 10), height)


async def test_a_killed_validator_votes_again_soon(
    shard: Testnet, record_property: Callable[[str, object], None]
) -> None:
    """With one of the others paused, every block needs the vote of the one that was killed."""
    load = Load(shard)
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        await load.progress()
        await asyncio.to_thread(shard.do, "kill", "s0/v1")
        await load.progress()
        await asyncio.to_thread(shard.do, "pause", "s0/v2")
        try:
            stuck = await _standstill(net, "s0/v0")
            began = time.monotonic()
            await asyncio.to_thread(shard.do, "restart", "s0/v1")

            async def further() -> bool:
                return (await net.status("s0/v0")).finalized_height > stuck

            await until(further, "two validators and the one that came back finalize a block")
            seconds = time.monotonic() - began
        finally:
            await asyncio.to_thread(shard.do, "resume", "s0/v2")
        record_property("kill_to_voting_s", seconds)
        assert seconds < VOTING_S
        await load.progress()
        assert await net.nobody_is_blamed()


async def _standstill(net: View, name: str) -> int:
    """Height at which a shard without a quorum stands: what was under way when the quorum was lost has arrived."""
    heights = [-1]

    async def the_same_twice() -> bool:
        try:
            heights.append((await net.status(name)).finalized_height)
        except NodeUnavailable:
            return False
        return len(heights) > 10 and len(set(heights[-10:])) == 1

    await until(the_same_twice, "the shard stands still")
    return heights[-1]
