"""What stands before every operation: who may ask, how often, how much, and how errors are told.

The API is for programs on this machine. A web page that a developer happens to visit is no such program: the Host
check stops DNS rebinding, there are no CORS headers, and answers forbid being framed or sniffed.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from primitives.errors import NotYet, Refused
from shards.node.api_types import MAX_BODY_BYTES, Answer, ErrorAnswer, ErrorBody, Fault
from shards.node.faults import StorageFault
from shards.node.http_operations import Served
from shards.node.node import Node
from shards.node.quotas import TokenBucket

BODY_S = 10.0
"""For a body to arrive; it takes milliseconds on one machine."""

REQUESTS_PER_SECOND = 2_000
REQUEST_BURST = 4_000
"""Of one client address. All of a testnet's programs share one, 127.0.0.1, so this only stops a runaway loop."""

MAX_CLIENTS = 1024
"""Addresses remembered; the longest silent one is forgotten first."""

LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_STATUS_OF_CODE: Final = {
    "not_found": 404,
    "unknown_message": 404,
    "unknown_shard": 404,
    "pruned": 410,
    "forbidden_host": 403,
    "too_slow": 408,
    "too_large": 413,
    "unsupported_media_type": 415,
    "too_many_requests": 429,
    "too_many_subscribers": 429,
    "busy": 503,
    "stopping": 503,
}
_NOT_YET_CODES: Final = frozenset({"busy", "stopping", "too_many_requests", "too_many_subscribers"})

RETRY_AFTER_S = "1"


class Guard:
    """Checks requests and turns errors into answers, for one node."""

    def __init__(self, node: Node, hosts: frozenset[str]) -> None:
        self._node = node
        self._hosts = hosts
        self._clients: OrderedDict[str, TokenBucket] = OrderedDict()

    async def serve(
        self, name: str, handler: Callable[[Node, web.Request], Awaitable[Served]], request: web.Request
    ) -> web.StreamResponse:
        """Serve one request from check to answer; nothing but cancellation gets past this."""
        try:
            self._admit(request)
            await _read_body(request)
            response = _respond(await handler(self._node, request))
        except web.HTTPRequestEntityTooLarge:
            limit = f"a body has at most {MAX_BODY_BYTES} bytes; hand in less at a time"
            response = error_response(413, "too_large", limit, "yours")
        except Refused as refused:
            response = _refusal(refused)
        except NotYet as reason:
            response = error_response(503, "not_yet", str(reason), "not_yet")
        except StorageFault as fault:
            self._node.driver.fail(fault)
            response = error_response(500, "storage_fault", "the validator's storage failed; it stops", "ours")
        except ConnectionError:
            raise  # the client is gone; there is nobody to answer
        except Exception as error:
            self._node.log.exception("request_failed", operation=name, error=repr(error))
            response = error_response(500, "internal", "a mistake of ours; the validator's log has it", "ours")
        self._node.metrics.http_requests.labels(name, response.status).inc()
        return response

    def _admit(self, request: web.Request) -> None:
        host = request.headers.get("Host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name not in self._hosts:
            raise Refused(
                "forbidden_host", f"this API answers to {', '.join(sorted(self._hosts))}, not to {name[:80]!r}"
            )
        now = time.monotonic()
        client = request.remote or ""
        bucket = self._clients.get(client)
        if bucket is None:
            bucket = self._clients[client] = TokenBucket(REQUESTS_PER_SECOND, REQUEST_BURST, now)
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        self._clients.move_to_end(client)
        if not bucket.take(1, now):
            raise Refused(
                "too_many_requests", f"more than {REQUESTS_PER_SECOND} requests a second; slow down, or batch"
            )


async def _read_body(request: web.Request) -> None:
    """Take the body in now, so that no operation waits for one that trickles."""
    if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
        raise Refused("too_large", f"a body has at most {MAX_BODY_BYTES} bytes, not {request.content_length}")
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        raise Refused("too_slow", f"the body did not arrive within {BODY_S} seconds") from None


def _respond(served: Served) -> web.StreamResponse:
    return json_response(served) if isinstance(served, Answer) else served


def json_response(answer: Answer, status: int = 200) -> web.Response:
    """Answer in JSON."""
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")


def error_response(status: int, code: str, detail: str, fault: Fault) -> web.Response:
    """Error in JSON; what may be asked again soon says so."""
    response = json_response(ErrorAnswer(ErrorBody(code=code, detail=detail, fault=fault)), status)
    if fault == "not_yet":
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _refusal(refused: Refused) -> web.Response:
    fault: Fault = "not_yet" if refused.code in _NOT_YET_CODES else "yours"
    return error_response(_STATUS_OF_CODE.get(refused.code, 400), refused.code, refused.detail, fault)


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """For aiohttp's `on_response_prepare`."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
