"""Everything is killed at once while transfers cross shards, and started again."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.harness import Load, Testnet, View, money_is_conserved, testnet, until, view

pytestmark = pytest.mark.real

ACCOUNTS = [f"cut{number}" for number in range(8)]
PROBE = "probe"
"""Sends nothing while everything is killed: its nonces are nobody else's."""

LANES = [(0, 1), (1, 0), (0, 1), (0, 0)]

NEW_BLOCK_S = 30.0
"""Goal of design/reliability.md."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Testnet]:
    """Two shards of four validators and a relay."""
    with testnet(tmp_path / "home", shards=2, relays=1, accounts=dict.fromkeys([*ACCOUNTS, PROBE], 1000)) as net:
        yield net


async def certified_height(net: View, name: str) -> int:
    """What a validator has read from its own store."""
    streams = await net.clients[name].streams()
    return 0 if streams is None else streams.height


async def test_sigkill_of_every_process_loses_nothing_and_settles_everything_exactly_once(pair: Testnet) -> None:
    load = Load(pair)
    final: dict[bytes, int] = {}
    for _ in range(2):
        async with view(pair) as net, load.running(net.network, ACCOUNTS, LANES):
            await load.progress(2 * len(ACCOUNTS))
            heights = {name: await certified_height(net, name) for name in net.clients}
            pair.kill_everything()
        final |= {identity: load.raws[identity].source for identity in load.settled}
        began = time.monotonic()
        await asyncio.to_thread(pair.up)
        async with view(pair) as net:
            for name, height in heights.items():
                assert (await net.status(name)).finalized_height >= height, "what it showed is on its disk"
            for identity, source in final.items():
                answer = await net.clients[f"s{source}/v0"].transaction(identity)
                assert answer.height is not None, "what was final is there"
            for shard in range(2):
                names = [f"s{shard}/v{index}" for index in range(4)]
                await load.settle(net.network, await load.one(net.network, PROBE, shard, shard))
                assert time.monotonic() - began < NEW_BLOCK_S, "a new block"

                async def same_height(names: list[str] = names) -> int | None:
                    heights = [(await net.status(name)).executed_height for name in names]
                    return heights[0] if len(set(heights)) == 1 else None

                height = await until(same_height, "the validators of a shard agree on its height")
                await net.same_chain(names, 1, height)
            await load.settle_all(net.network)
            assert await net.nobody_is_blamed()
    async with view(pair) as net:
        await money_is_conserved(pair, net.network)
