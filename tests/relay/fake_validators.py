"""Model shards behind real HTTP on port 0, with the answers of the real interface; and servers that answer nonsense."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
from aiohttp import web

from primitives.errors import Refused
from primitives.identifiers import ShardId
from primitives.signatures import ED25519
from relay.service import RelayConfig, run_relay
from relay.settings import CourierSettings
from shards.bundles import decode_bundle
from shards.node import api_types as api
from shards.node.views import streams_view
from tests.relay.model import ModelShard, make_context

Misbehave = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeChain:
    """Shards that make a block as soon as something is sent or delivered; any validator answers for all of them."""

    def __init__(self, shards: int = 2, validators: int = 4) -> None:
        self.context = make_context(shards, validators, ED25519)
        self.shards = [ModelShard(self.context, shard, ED25519) for shard in range(shards)]
        self.changed = asyncio.Condition()
        self.requests: list[tuple[int, int, str]] = []
        self.statuses: list[str] = []
        """What honest validators answered to deliveries."""
        self.misbehave: dict[tuple[int, int], Misbehave] = {}
        self.urls: dict[ShardId, list[str | None]] = {ShardId(shard): [None] * validators for shard in range(shards)}

    async def send(self, source: int, destination: int, count: int) -> None:
        for number in range(count):
            self.shards[source].send(destination, b"call %d" % number)
        await self.settle()

    async def settle(self) -> None:
        """Make the blocks that are due and wake whoever waits for news."""
        for shard in self.shards:
            shard.block()
        async with self.changed:
            self.changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(holds)

    def done(self) -> bool:
        return all(
            len(self.shards[peer].streams[shard.shard].received) == len(stream.bodies) == stream.begin
            for shard in self.shards
            for peer, stream in list(shard.streams.items())
        )

    @asynccontextmanager
    async def serve(self, absent: frozenset[tuple[int, int]] = frozenset()) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for shard, urls in self.urls.items():
                for index in range(len(urls)):
                    if (shard, index) not in absent:
                        await self.open(stack, shard, index)
            yield

    async def open(self, stack: AsyncExitStack, shard: int, index: int) -> None:
        """Start one validator's server; a second time on the port it had."""
        application = web.Application(middlewares=[self._gate(shard, index)])
        application.router.add_get("/v1/streams", partial(self._streams, shard))
        application.router.add_get("/v1/bundles/{destination}", partial(self._bundle, shard))
        application.router.add_post("/v1/bundles", partial(self._deliver, shard))
        runner = web.AppRunner(application, shutdown_timeout=0.01)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.urls[ShardId(shard)][index] = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def _gate(self, shard: int, index: int):  # type: ignore[no-untyped-def]
        @web.middleware
        async def gate(request: web.Request, handler: Misbehave) -> web.StreamResponse:
            self.requests.append((shard, index, f"{request.method} {request.path}"))
            return await self.misbehave.get((shard, index), handler)(request)

        return gate

    async def _streams(self, shard: int, request: web.Request) -> web.StreamResponse:
        after, wait_ms = int(request.query["after"]), int(request.query["wait_ms"])
        model = self.shards[shard]
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000), self.changed:
                await self.changed.wait_for(lambda: model.height > after)
        certificate, heads = model.news
        if certificate is None or model.height <= after:
            return web.Response(status=204)
        return _json(streams_view(certificate, heads, model.shard))

    async def _bundle(self, shard: int, request: web.Request) -> web.StreamResponse:
        raw = self.shards[shard].bundle(int(request.match_info["destination"]), int(request.query["first"]))
        return web.Response(status=204) if raw is None else web.Response(body=raw)

    async def _deliver(self, shard: int, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        status, code = self.shards[shard].deliver(raw)
        self.statuses.append(status)
        await self.settle()
        return _json(api.SubmitResult(status, b"".hex(), code, ""))  # type: ignore[arg-type]

    def check(self) -> None:
        for shard in self.shards:
            for peer, stream in shard.streams.items():
                assert self.shards[peer].streams[shard.shard].received == stream.bodies


@asynccontextmanager
async def relay(
    chain: FakeChain, folder: Path, settings: CourierSettings | None = None, links: list[tuple[int, int]] | None = None
) -> AsyncIterator[str]:
    """A relay over the chain's servers; the base URL of its own interface. It must stop cleanly."""
    ready: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    config = RelayConfig(
        context=chain.context,
        endpoints=chain.urls,
        http_socket=("127.0.0.1", 0),
        log_path=folder / "relay" / "log.jsonl",
        links=links,
        settings=settings if settings is not None else CourierSettings(ack_delay_ms=1),
    )
    running = asyncio.create_task(run_relay(config, ready.set_result, stop))
    running.add_done_callback(lambda _: ready.done() or ready.cancel())
    try:
        host, port = await ready
        yield f"http://{host}:{port}"
    finally:
        stop.set()
        assert await running == 0


def _json(answer: api.Answer) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def mutated(raw: bytes, place: int) -> bytes:
    """A bundle with one bit of its last body changed, or of anything else when it has none."""
    try:
        bodies = decode_bundle(raw).bodies
    except Refused:
        bodies = ()
    at = raw.rindex(bodies[-1]) if bodies else place % len(raw)
    return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
