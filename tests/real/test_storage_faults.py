"""A disk that is full, and bits that flip while a validator is down."""

import asyncio
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.node.faults import ExitCode
from shards.node.storage import DEFAULT_MAP_BYTES
from tests.real.harness import PATIENCE_S, PAUSE_S, Load, Testnet, View, testnet, view

pytestmark = pytest.mark.real

ACCOUNTS = [f"disk{number}" for number in range(6)]

FLIPS = 5
"""Bits in turn; most pages of a small store are in use, so most of these are seen."""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """One shard of four validators."""
    accounts = dict.fromkeys(ACCOUNTS, 1000)
    with testnet(tmp_path_factory.mktemp("disk") / "home", shards=1, relays=0, accounts=accounts) as net:
        yield net


async def agrees(net: View, name: str, witness: str) -> None:
    """A validator comes as far as another one is now, with the same chain."""
    height = (await net.status(witness)).executed_height
    await net.reach(name, height)
    await net.same_chain([name, witness], max(1, height - 40), height)
    assert await net.nobody_is_blamed()


async def test_a_validator_that_may_write_no_further_stops_loudly_and_goes_on_when_there_is_room(
    shard: Testnet,
) -> None:
    """The system refuses writes beyond the present size of the larger store."""
    victim, load = "s0/v2", Load(shard)
    data = shard.folder(victim) / "data"
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        await load.progress()
        sizes = {store: (data / store / "data.mdb").stat().st_size for store in ("chain", "state")}
        shard.give_trouble(victim, file_limit=max(sizes.values()))
        await stops_with(shard, load, victim, "File too large")
        await asyncio.to_thread(shard.do, "restart", victim)
        await agrees(net, victim, "s0/v0")


@pytest.mark.parametrize("store", ["chain", "state"])
async def test_a_validator_whose_store_is_full_stops_loudly_and_goes_on_when_there_is_room(
    shard: Testnet, store: str
) -> None:
    victim, load = "s0/v1", Load(shard)
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        await load.progress()
        shard.give_trouble(victim, full_store=store)
        await stops_with(shard, load, victim, f"{store}: committing failed: [Errno 28] No space left on device")
        await asyncio.to_thread(shard.do, "restart", victim)
        await agrees(net, victim, "s0/v0")


async def stops_with(shard: Testnet, load: Load, victim: str, reason: str) -> None:
    """A validator that has been given trouble starts and stops with the storage code; the others do without it."""
    await asyncio.to_thread(shard.do, "restart", victim)
    ended = await asyncio.to_thread(shard.until_ended, victim)
    assert ended["exit_code"] == ExitCode.STORAGE
    words = shard.last_words(victim)
    assert words.startswith(f"validator {victim[-1]} of shard 0 stopped (exit code 4)"), words
    assert reason in words, words
    await load.progress(len(ACCOUNTS))


async def test_a_flipped_bit_is_seen_at_the_start_or_changes_nothing(shard: Testnet) -> None:
    victim, load, draw = "s0/v3", Load(shard), random.Random(7)
    folder = shard.folder(victim) / "data"
    refused = 0
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        await load.progress()
        for turn in range(FLIPS):
            if shard.node(victim)["state"] == "running":
                await asyncio.to_thread(shard.do, "kill", victim)
            whole = folder.with_name("whole")
            shutil.copytree(folder, whole)
            _flip(folder / ("chain" if turn % 2 == 0 else "state") / "data.mdb", draw)
            await asyncio.to_thread(shard.do, "restart", victim)
            if await _ends(shard, net, victim):
                node = shard.node(victim)
                assert node["exit_code"] == ExitCode.STORAGE, shard.last_words(victim)
                assert "stopped (exit code 4)" in shard.last_words(victim)
                refused += 1
                # It has signed nothing since the copy was made, so the copy is its true last state.
                shutil.rmtree(folder)
                whole.rename(folder)
            else:
                shutil.rmtree(whole)
                await agrees(net, victim, "s0/v0")
        assert refused, "no flip hit a page in use; look at the draw"
        if shard.node(victim)["state"] != "running":
            await asyncio.to_thread(shard.do, "restart", victim)
        await agrees(net, victim, "s0/v0")


def _flip(file: Path, draw: random.Random) -> None:
    raw = bytearray(file.read_bytes())
    assert len(raw) < DEFAULT_MAP_BYTES
    used = [place for place, byte in enumerate(raw) if byte]
    raw[draw.choice(used)] ^= 1 << draw.randrange(8)
    file.write_bytes(raw)


async def _ends(shard: Testnet, net: View, name: str) -> bool:
    """Whether a validator stops by itself; False once it is ready."""
    async with asyncio.timeout(PATIENCE_S):
        while shard.node(name)["state"] == "running":
            if await net.clients[name].ready():
                return False
            await asyncio.sleep(PAUSE_S)
    return True
