"""The relay's own small HTTP interface: which lanes work and why not, health, metrics. It can change nothing."""

import asyncio
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from primitives.identifiers import ShardId
from relay.links import LaneReport, islands
from relay.service.shell import RelayShell
from shards.node.http_listener import serve_on

LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What a browser may call us: a page of a stranger's that resolves to this machine is not served."""


class LinkView(msgspec.Struct, frozen=True):
    """One ordered pair of shards. `why` says what is in the way when `standing` is not `open`."""

    source: int
    destination: int
    standing: str
    why: str
    sent: int
    consumed: int
    backlog: int
    ahead: int
    bundles: int
    messages: int


class LinksAnswer(msgspec.Struct, frozen=True):
    """All pairs, and the groups of shards within which calls and replies get through."""

    links: list[LinkView]
    islands: list[list[ShardId]]


class ShardView(msgspec.Struct, frozen=True):
    """A shard as this relay sees it; `silent_ms` is null while one of its validators answers."""

    shard: int
    endpoints: int
    height: int
    idle_ms: int
    silent_ms: int | None
    problems: str


class StatusAnswer(msgspec.Struct, frozen=True):
    """Where a relay stands."""

    version: str
    chain_id: str
    chain_name: str
    uptime_ms: int
    shards: list[ShardView]
    links: int
    links_open: int


class RelayHttp:
    """Serves GET /v1/links, /v1/status, /healthz, /readyz and /metrics on a bound socket."""

    def __init__(self, shell: RelayShell) -> None:
        self._shell = shell
        self._started_ms = shell.clock().monotonic_ms
        application = web.Application(middlewares=[_only_local_names], client_max_size=0)
        application.router.add_get("/v1/links", self._links)
        application.router.add_get("/v1/status", self._status)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._server: asyncio.Server | None = None

    async def start(self, bound: socket.socket) -> None:
        """Listen."""
        await self._runner.setup()
        self._server = await serve_on(self._runner, bound)

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    async def _links(self, _request: web.Request) -> web.Response:
        shell = self._shell
        report = shell.courier.report(shell.clock())
        groups = islands(report.lanes, shell.courier.context.shard_count)
        return _json(LinksAnswer([_link_view(lane) for lane in report.lanes], groups))

    async def _status(self, _request: web.Request) -> web.Response:
        shell = self._shell
        now = shell.clock()
        report = shell.courier.report(now)
        context = shell.courier.context
        shards = [
            ShardView(each.shard, each.endpoints, each.height, each.idle_ms, each.silent_ms, each.problems)
            for each in report.shards
        ]
        standings = [lane.standing.value for lane in report.lanes]
        return _json(
            StatusAnswer(
                version=_version(),
                chain_id=context.chain_id.hex(),
                chain_name=context.genesis.name,
                uptime_ms=now.monotonic_ms - self._started_ms,
                shards=shards,
                links=len(standings) - standings.count("not_configured"),
                links_open=standings.count("open"),
            )
        )

    async def _health(self, _request: web.Request) -> web.Response:
        """Alive; whether anything can be carried is what /v1/links is for."""
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        """Whether every link that this relay serves can carry something."""
        report = self._shell.courier.report(self._shell.clock())
        standings = [lane.standing.value for lane in report.lanes]
        served = len(standings) - standings.count("not_configured")
        carrying = standings.count("open")
        text = f"{carrying} of {served} links are open; see /v1/links\n"
        return web.Response(text=text, status=200 if carrying == served else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        shell = self._shell
        body = shell.metrics.text(shell.courier.report(shell.clock()))
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@web.middleware
async def _only_local_names(request: web.Request, handler: Handler) -> web.StreamResponse:
    name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if name not in LOCAL_NAMES:
        raise web.HTTPForbidden(text="ask for this relay as 127.0.0.1 or localhost\n")
    return await handler(request)


def _link_view(lane: LaneReport) -> LinkView:
    return LinkView(
        source=lane.source,
        destination=lane.destination,
        standing=lane.standing.value,
        why=lane.why,
        sent=lane.sent,
        consumed=lane.consumed,
        backlog=max(lane.sent - lane.consumed, 0),
        ahead=lane.ahead,
        bundles=lane.bundles,
        messages=lane.messages,
    )


def _version() -> str:
    try:
        return version("ostraka")
    except PackageNotFoundError:
        return "unknown"


def _json(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
