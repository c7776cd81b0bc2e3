"""A relay whose connections fail on purpose: messages come late or twice, but as they were, and all of them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from primitives.errors import Refused
from primitives.identifiers import Height, Sequence, ShardId, ValidatorIndex
from relay.service import RelayConfig, run_relay
from relay.service.client import Unusable
from relay.service.faulty_client import FaultyClient
from relay.settings import CourierSettings
from shards.genesis import ChainContext
from shards.node.injection.admin import ask_node
from shards.node.injection.faults import ClockFault, DiskFault, Fault, LinkEffect, LinkFault, Order
from tests.node.support import until
from tests.relay.fake_validators import FakeChain

QUICK = CourierSettings(ack_delay_ms=1)


def order(*faults: Fault, name: str = "x-1") -> Order:
    return Order(name=name, text="", faults=faults)


@asynccontextmanager
async def client_of(chain: FakeChain) -> AsyncIterator[FaultyClient]:
    places = {
        url: (shard, ValidatorIndex(index))
        for shard, urls in chain.urls.items()
        for index, url in enumerate(urls)
        if url is not None
    }
    client = FaultyClient(chain.context, places, random.Random(1))
    try:
        yield client
    finally:
        await client.close()


def url_of(chain: FakeChain, shard: int, index: int = 0) -> str:
    url = chain.urls[ShardId(shard)][index]
    assert url is not None
    return url


async def first_bundle(chain: FakeChain, client: FaultyClient, index: int = 0) -> bytes | None:
    return await client.bundle(url_of(chain, 0, index), ShardId(1), Sequence(0))


async def test_what_is_cut_gets_no_answer_and_what_is_not_does() -> None:
    chain = FakeChain()
    async with chain.serve(), client_of(chain) as client:
        await chain.send(0, 1, 2)
        client.board.put(order(LinkFault(effect="cut", peers=((0, 0),))))
        with pytest.raises(Unusable, match="on purpose"):
            await first_bundle(chain, client)
        with pytest.raises(Unusable, match="on purpose"):
            await client.streams(url_of(chain, 0), Height(0), 0)
        assert await first_bundle(chain, client, index=1)
        client.board.heal(None)
        assert await first_bundle(chain, client)


async def test_a_lane_is_cut_in_its_direction_only() -> None:
    chain = FakeChain()
    async with chain.serve(), client_of(chain) as client:
        await chain.send(0, 1, 2)
        raw = await first_bundle(chain, client)
        assert raw is not None
        client.board.put(order(LinkFault(effect="cut", lanes=((0, 1),))))
        with pytest.raises(Unusable):
            await first_bundle(chain, client)
        with pytest.raises(Unusable):
            await client.deliver(url_of(chain, 1), raw)
        assert await client.streams(url_of(chain, 0), Height(0), 0), "news of the shard itself are heard"
        client.board.put(order(LinkFault(effect="cut", lanes=((1, 0),))))
        assert (await client.deliver(url_of(chain, 1), raw)).status == "accepted"


async def test_a_cut_that_begins_while_news_are_awaited_keeps_them_out() -> None:
    chain = FakeChain()
    async with chain.serve(), client_of(chain) as client:
        news = asyncio.create_task(client.streams(url_of(chain, 0), Height(0), 10_000))

        async def asked() -> bool:
            return any("streams" in what for _, _, what in chain.requests)

        await until(asked)
        client.board.put(order(LinkFault(effect="cut", peers=((0, 0),))))
        await chain.send(0, 1, 1)
        with pytest.raises(Unusable):
            await news


async def test_bundles_are_changed_and_doubled_on_their_way() -> None:
    chain = FakeChain()
    async with chain.serve(), client_of(chain) as client:
        await chain.send(0, 1, 2)
        raw = await first_bundle(chain, client)
        assert raw is not None
        client.board.put(order(LinkFault(effect="corrupt", peers=((0, 0),))))
        changed = await first_bundle(chain, client)
        assert changed is not None
        assert changed != raw
        client.board.put(order(LinkFault(effect="duplicate", peers=((1, 0),))))
        await client.deliver(url_of(chain, 1), raw)
        assert chain.statuses == ["accepted", "known"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (DiskFault(effect="full"), "no_such_fault"),
        (ClockFault(offset_ms=5), "no_such_fault"),
        (LinkFault(effect="cut", peers=((2, 0),)), "no_such_link"),
        (LinkFault(effect="cut", peers=((0, 4),)), "no_such_link"),
        (LinkFault(effect="cut", lanes=((0, 2),)), "no_such_link"),
        (LinkFault(effect="cut", lanes=((1, 1),)), "no_such_link"),
    ],
)
async def test_a_relay_refuses_faults_that_it_cannot_have(fault: Fault, code: str) -> None:
    async with client_of(FakeChain()) as client:
        with pytest.raises(Refused, match=code):
            client.board.put(order(fault))


@asynccontextmanager
async def faulty_relay(chain: FakeChain, folder: Path, context: ChainContext | None = None) -> AsyncIterator[Path]:
    """A relay over the chain's servers; the path of its socket. It must stop cleanly."""
    ready: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    path = folder / "admin.sock"
    config = RelayConfig(
        context=context or chain.context, endpoints=chain.urls, http_socket=("127.0.0.1", 0),
        log_path=folder / "log.jsonl", settings=QUICK, admin_socket=path,
    )  # fmt: skip
    running = asyncio.create_task(run_relay(config, ready.set_result, stop))
    try:
        await ready
        yield path
    finally:
        stop.set()
        assert await running == 0


@pytest.mark.parametrize("effect", ["drop", "duplicate", "corrupt", "delay"])
async def test_through_faulty_links_every_message_arrives_once_and_as_it_was(
    tmp_path: Path, effect: LinkEffect
) -> None:
    chain = FakeChain()
    async with chain.serve(), faulty_relay(chain, tmp_path) as path:
        everyone = tuple((shard, index) for shard in range(2) for index in range(4))
        fault = LinkFault(effect=effect, peers=everyone, permille=300, delay_ms=5, jitter_ms=20)
        request = {"do": "put", "order": msgspec.to_builtins(order(fault))}
        await asyncio.to_thread(ask_node, path, request)
        for _ in range(3):
            await chain.send(0, 1, 20)
            await chain.send(1, 0, 20)
        if effect != "duplicate":
            await asyncio.to_thread(ask_node, path, {"do": "heal"})
        await chain.until(chain.done)
    chain.check()


async def test_a_relay_of_another_chain_takes_no_faults(tmp_path: Path) -> None:
    chain = FakeChain()
    genesis = msgspec.structs.replace(chain.context.genesis, development=False)
    async with chain.serve(), faulty_relay(chain, tmp_path, ChainContext(genesis)) as path:
        assert not path.exists()
