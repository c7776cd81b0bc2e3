"""Requests to a validator's HTTP API, before a ledger and a store with something in them.

The input is a request as text: method, path with query, content type, then the body, each on a line of its own. It
goes through the real routes, guard and operations. Any answer will do but one that begins with 5 and is "ours": that
is how the guard reports what no operation has foreseen.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from fuzz import samples
from fuzz.target import Target, must
from primitives.codec import encode
from primitives.errors import NotYet, Refused
from primitives.identifiers import Nonce, ShardId, ValidatorIndex
from primitives.storage import Reader
from shards.node import http_calls, http_chain, http_contracts, http_streams, http_transactions
from shards.node.http_guard import LOCAL_HOSTS, Guard
from shards.node.http_operations import Operation
from shards.node.metrics import NodeMetrics
from shards.node.node import Node
from shards.validator.effects import Submission

T = TypeVar("T")

_OPERATIONS: Final[tuple[Operation, ...]] = (
    *http_chain.OPERATIONS,
    *http_transactions.OPERATIONS,
    *http_contracts.OPERATIONS,
    *http_calls.OPERATIONS,
    *http_streams.OPERATIONS,
)
"""All but the event stream, which does not end."""


class _Driver:
    """Answers questions from the samples' store, and takes nothing in."""

    async def query(self, question: Callable[[Reader], T]) -> T:
        """Ask the store."""
        return question(cast("Reader", samples.chain().stores[0]))

    async def between_blocks(self, question: Callable[[], T]) -> T:
        """Ask the ledger."""
        return question()

    async def submit_transactions(self, raws: tuple[bytes, ...]) -> list[Submission]:
        """Refuse them all."""
        return [Submission("refused", bytes(32), "malformed", f"{len(raw)} bytes") for raw in raws]

    async def submit_bundle(self, raw: bytes) -> Submission:
        """Refuse it."""
        return Submission("refused", bytes(32), "malformed", f"{len(raw)} bytes")


class _Desk:
    """Nothing new is certified, however long one waits."""

    finalized_height = executed_height = certified_height = 0

    async def certificate_from(self, _height: int, _seconds: float) -> None:
        """Say so at once."""
        raise NotYet("nothing new")


class _Views:
    """No worker is free."""

    def turn(self) -> Awaitable[None]:
        """Say so."""
        raise Refused("busy", "ask again")


class _Snapshots:
    """The one contract that there is."""

    contract_count = 1

    def contracts_after(self, name: str, limit: int) -> list[str]:
        """Its name, when it comes after this one."""
        return [each for each in ("tally",) if each > name][:limit]


class _Log:
    """Keeps what the guard says of a request that failed for reasons of ours."""

    def __init__(self) -> None:
        self.said = ""

    def exception(self, _event: str, **values: object) -> None:
        """Note it."""
        self.said = str(values)


@cache
def _metrics() -> NodeMetrics:
    return NodeMetrics()


def _node(log: _Log) -> Node:
    made = samples.chain()
    shard = made.shards[0]
    status = SimpleNamespace(
        halted="",
        view=1,
        leader=0,
        time_ms=made.time_ms,
        mempool_transactions=0,
        inbox_bundles=0,
        blamed=(),
        finalized_height=shard.ledger.height,
        executed_height=shard.ledger.height,
    )
    core = SimpleNamespace(
        ledger=shard.ledger,
        mempool=SimpleNamespace(next_nonce=lambda _key: Nonce(0), get=lambda _id: None),
        status=lambda: status,
    )
    links = SimpleNamespace(connected=lambda: (1, 2, 3))
    return Node(
        context=made.context,
        shard=ShardId(0),
        index=ValidatorIndex(0),
        core=cast("Any", core),
        driver=cast("Any", _Driver()),
        links=cast("Any", links),
        desk=cast("Any", _Desk()),
        metrics=_metrics(),
        log=cast("Any", log),
        snapshots=cast("Any", _Snapshots()),
        views=cast("Any", _Views()),
    )


def _parse(raw: bytes) -> tuple[str, str, str, bytes]:
    parts = raw.split(b"\n", 3)
    if len(parts) != 4:
        raise Refused("malformed", "no request")
    method, path, content_type = (part.decode("latin-1") for part in parts[:3])
    if not path.startswith("/") or not method.isalpha() or not path.isprintable() or not content_type.isprintable():
        raise Refused("malformed", "what the parser of HTTP refuses")
    return method, path, content_type, parts[3]


async def _serve(operation: Operation, request: web.Request) -> None:
    log = _Log()
    guard = Guard(_node(log), LOCAL_HOSTS)
    response = await guard.serve(operation.name, operation.serve, request)
    must(response.status != 500, f"{operation.name} fails for a reason of ours: {log.said}")


async def _never(_request: web.Request) -> web.StreamResponse:
    raise AssertionError("routes are looked up here, not followed")


@cache
def _routes() -> tuple[web.UrlDispatcher, dict[tuple[str, str], Operation]]:
    router = web.UrlDispatcher()
    found: dict[tuple[str, str], Operation] = {}
    for operation in _OPERATIONS:
        route = router.add_route(operation.method, operation.path, _never)
        found[operation.method, route.resource.canonical if route.resource else ""] = operation
    return router, found


async def _ask(raw: bytes) -> None:
    method, path, content_type, body = _parse(raw)
    router, operations = _routes()
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    headers = {"Host": "127.0.0.1", "Content-Type": content_type}
    try:
        plain = make_mocked_request(method, path, headers=headers)
    except ValueError as error:
        raise Refused("malformed", str(error)) from None
    match = await router.resolve(plain)
    if match.http_exception is not None or match.route.resource is None:
        raise Refused("not_found", path)
    found = dict(match)
    request = make_mocked_request(method, path, headers=headers, payload=stream, match_info=found)
    await _serve(operations[match.route.method, match.route.resource.canonical], request)


def _read(raw: bytes) -> None:
    asyncio.run(_ask(raw))


def _samples() -> list[bytes]:
    made = samples.chain()
    sent = next(sent for each in made.shards[0].executions for sent in each.sent).message_id.hex()
    transaction = samples.transactions()[0]
    account = made.accounts[0].key.hex()
    gets = [
        "/v1/status",
        f"/v1/accounts/{account}?proof=1",
        "/v1/blocks?from=1&limit=5",
        "/v1/blocks/2",
        f"/v1/messages/{sent}",
        f"/v1/traces/{sent}",
        f"/v1/transactions/{sent}",
        f"/v1/proofs/messages/{sent}",
        "/v1/contracts?after=a&limit=3",
        "/v1/contracts/tally?source=1",
        "/v1/contracts/tally/storage?prefix=t&after=a&limit=5",
        "/v1/contracts/tally/storage/total?proof=1",
        f"/v1/calls/{sent}/record",
        "/v1/commitments/2",
        "/v1/runs?from=1&limit=5",
        "/v1/streams?after=0&wait_ms=5",
        "/v1/bundles/1?first=0&wait_ms=0",
    ]
    posts = [
        ("/v1/transactions", "application/json", json.dumps({"transactions": [transaction.hex()]}).encode()),
        ("/v1/transactions", "application/msgpack", encode([transaction])),
        ("/v1/bundles", "application/octet-stream", samples.bundles()[0]),
        ("/v1/contracts/tally/view", "application/json", b'{"method": "total", "arguments": []}'),
        ("/v1/contracts/tally/estimate", "application/json", b'{"method": "add", "arguments": [1], "value": "5"}'),
    ]
    return [f"GET\n{path}\n\n".encode() for path in gets] + [
        f"POST\n{path}\n{kind}\n".encode() + body for path, kind, body in posts
    ]


TARGETS: Final = (Target("http", _read, _samples, form="text", weight=40),)
