"""What relays need: the newest certificate with all stream heads, bundles out, bundles in."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from aiohttp import web

from primitives.errors import Refused
from primitives.identifiers import Height, Sequence, ShardId
from primitives.storage import Reader
from shards import chain_store, queries
from shards.limits import MAX_BUNDLE_BYTES
from shards.node import api_types as api
from shards.node.http_operations import (
    MAX_WAIT_MS,
    Operation,
    Parameter,
    integer_parameter,
    not_found,
    octets,
    path_number,
)
from shards.node.http_transactions import OCTETS, submit_result
from shards.node.node import Node
from shards.node.views import streams_view

T = TypeVar("T")


async def _poll(node: Node, wait_ms: int, read: Callable[[Reader], T | None]) -> T | None:
    """Ask the store now and after each new certificate, until there is an answer or the time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_ms / 1000
    while True:
        certified = Height(node.desk.certified_height + 1)
        # It listens before it reads: what is certified meanwhile wakes it.
        news = asyncio.ensure_future(node.desk.certificate_from(certified, max(0.0, until - loop.time())))
        try:
            found = await node.driver.query(read)
            if found is not None or loop.time() >= until:
                return found
            await news
        finally:
            news.cancel()


async def streams(node: Node, request: web.Request) -> api.Answer | web.StreamResponse:
    """Newest certificate and all heads that it covers, newer than `after`."""
    after = integer_parameter(request, "after", 0)
    wait_ms = integer_parameter(request, "wait_ms", 0, high=MAX_WAIT_MS)

    def read(reader: Reader) -> api.StreamsAnswer | None:
        certificate = chain_store.latest_certificate(reader)
        if certificate is None or certificate.commitment.height <= after:
            return None
        heads = chain_store.heads_at(reader, Height(certificate.commitment.height))
        return None if heads is None else streams_view(certificate, heads, node.shard)

    found = await _poll(node, wait_ms, read)
    return web.Response(status=204) if found is None else found


async def bundle(node: Node, request: web.Request) -> web.StreamResponse:
    """Bundle for a shard that begins at message `first`.

    Where there are no messages it holds only what acknowledgements need. With `wait_ms` messages are waited for first:
    a relay that asks a validator which lacks the newest certificate, or has only an acknowledgement to carry, gets
    what comes meanwhile.
    """
    number = path_number(request, "destination")
    if number is None or number >= node.context.shard_count or number == node.shard:
        raise not_found(f"shard {node.shard} has no stream to shard {request.match_info['destination'][:20]}")
    destination = ShardId(number)
    first = Sequence(integer_parameter(request, "first", 0))
    wait_ms = integer_parameter(request, "wait_ms", 0, high=MAX_WAIT_MS)

    def read(reader: Reader, *, ack_only: bool) -> bytes | None:
        return queries.bundle_for(reader, node.context, node.shard, destination, first, ack_only=ack_only)

    found = await _poll(node, wait_ms, partial(read, ack_only=False)) if wait_ms else None
    if found is None:
        found = await node.driver.query(partial(read, ack_only=True))
    return web.Response(status=204) if found is None else octets(found)


async def submit_bundle(node: Node, request: web.Request) -> api.Answer:
    """Hand in a bundle for this shard; anyone may, and the same one any number of times."""
    if request.content_length is not None and request.content_length > MAX_BUNDLE_BYTES:
        raise Refused("too_large", f"a bundle has at most {MAX_BUNDLE_BYTES} bytes, this one {request.content_length}")
    return submit_result(await node.driver.submit_bundle(await request.read()))


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/streams",
        "streams",
        "The newest certificate with the heads of all streams; 204 when there is none newer",
        streams,
        api.StreamsAnswer,
        (
            Parameter("after", "query", "only one of a greater height"),
            Parameter("wait_ms", "query", f"wait so long for one, at most {MAX_WAIT_MS}"),
        ),
        may_be_empty=True,
    ),
    Operation(
        "GET",
        "/v1/bundles/{destination}",
        "bundle",
        "A proved bundle of messages for a shard; 204 when there is none",
        bundle,
        OCTETS,
        (
            Parameter("destination", "path", "shard"),
            Parameter("first", "query", "sequence number of its first message"),
            Parameter("wait_ms", "query", f"wait so long for one, at most {MAX_WAIT_MS}"),
        ),
        may_be_empty=True,
    ),
    Operation(
        "POST",
        "/v1/bundles",
        "submit_bundle",
        "Hand in a bundle for this shard",
        submit_bundle,
        api.SubmitResult,
        body=((OCTETS, None),),
    ),
)
