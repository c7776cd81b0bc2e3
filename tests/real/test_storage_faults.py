"""A disk that is full, and bits that flip while a validator is down."""

import asyncio
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shards.node.faults import ExitCode
from tests.real.harness import PATIENCE_S, PAUSE_S, Load, Testnet, View, testnet, view

pytestmark = pytest.mark.real

ACCOUNTS = [f"disk{number}" for number in range(6)]

FLIPS = 4
"""Bits in turn, in either store."""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """One shard of four validators."""
    accounts = dict.fromkeys(ACCOUNTS, 1000)
    with testnet(tmp_path_factory.mktemp("disk") / "home", shards=1, relays=0, accounts=accounts) as net:
        yield net


@pytest.fixture(autouse=True)
def _all_run(shard: Testnet) -> None:
    shard.make_whole()


async def agrees(net: View, name: str, witness: str) -> None:
    """A validator comes as far as another one is now, with the same chain."""
    height = (await net.status(witness)).executed_height
    await net.reach(name, height)
    await net.same_chain([name, witness], 1, height)
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
        await stops_with(shard, load, victim, "committing failed: ")
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


@pytest.mark.parametrize("store", ["chain", "state"])
async def test_a_bit_that_flipped_in_a_record_is_seen_at_the_start(shard: Testnet, store: str) -> None:
    victim, load = "s0/v3", Load(shard)
    data = shard.folder(victim) / "data"
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        await load.progress()
        recipient, _ = load.sent[next(iter(load.settled))]
        await net.reach(victim, (await net.status("s0/v0")).executed_height)
        assert (await asyncio.to_thread(shard.stop, victim))["exit_code"] == ExitCode.STOPPED
        with _kept(data):
            file = data / store / "data.mdb"
            raw = file.read_bytes()
            assert raw.count(recipient)
            file.write_bytes(raw.replace(recipient, bytes([recipient[0] ^ 1]) + recipient[1:]))
            await asyncio.to_thread(shard.do, "restart", victim)
            assert await _ends(shard, net, victim), "it must not run on this"
            assert shard.node(victim)["exit_code"] == ExitCode.STORAGE
            words = shard.last_words(victim)
            assert words.startswith("validator 3 of shard 0 stopped (exit code 4): "), words
            assert "corrupt record" in words or "damaged" in words, words
        await asyncio.to_thread(shard.do, "restart", victim)
        await agrees(net, victim, "s0/v0")


async def test_a_bit_that_flipped_anywhere_is_seen_or_changes_nothing(shard: Testnet) -> None:
    victim, load, draw = "s0/v3", Load(shard), random.Random(7)
    data = shard.folder(victim) / "data"
    async with view(shard) as net, load.running(net.network, ACCOUNTS, [(0, 0)]):
        await load.progress()
        for turn in range(FLIPS):
            await asyncio.to_thread(shard.do, "kill", victim)
            whole = data.with_name("whole")
            shutil.copytree(data, whole)
            _flip(data / ("chain" if turn % 2 == 0 else "state") / "data.mdb", draw)
            await asyncio.to_thread(shard.do, "restart", victim)
            if await _ends(shard, net, victim):
                assert shard.node(victim)["exit_code"] == ExitCode.STORAGE, shard.last_words(victim)
                assert "stopped (exit code 4)" in shard.last_words(victim)
                shutil.rmtree(data)
                whole.rename(data)
                await asyncio.to_thread(shard.do, "restart", victim)
            else:
                shutil.rmtree(whole)
            await agrees(net, victim, "s0/v0")


@contextmanager
def _kept(data: Path) -> Iterator[None]:
    """Put a data folder back as it was. Right only if its validator signs nothing meanwhile: it would forget that."""
    whole = data.with_name("whole")
    shutil.copytree(data, whole)
    yield
    shutil.rmtree(data)
    whole.rename(data)


def _flip(file: Path, draw: random.Random) -> None:
    raw = bytearray(file.read_bytes())
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
