"""The HTTP server of a validator: every operation behind one guard, on one socket."""

import asyncio
import socket
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from shards.node import http_calls, http_chain, http_contracts, http_events, http_streams, http_transactions
from shards.node.api_types import MAX_BODY_BYTES
from shards.node.faults import BadConfiguration
from shards.node.http_docs import STYLE, docs_page
from shards.node.http_guard import (
    LOCAL_HOSTS,
    Guard,
    add_security_headers,
    error_response,
)
from shards.node.http_listener import serve_on
from shards.node.http_operations import Operation, not_found
from shards.node.node import Node
from shards.node.openapi import openapi_document

SHUTDOWN_S = 0.5
"""Open requests get this long when the validator stops; event streams and long polls are cut."""

KEEP_ALIVE_S = 75.0

TEXT = "text/plain"
HTML = "text/html"
CSS = "text/css"


async def health(node: Node, _request: web.Request) -> web.StreamResponse:
    """Whether the process is alive and its core has not halted."""
    halted = node.core.status().halted
    return error_response(503, "halted", halted, "ours") if halted else web.Response(text="ok\n")


async def readiness(node: Node, _request: web.Request) -> web.StreamResponse:
    """Whether this validator should be given work."""
    reason = node.not_ready()
    return error_response(503, "not_ready", reason, "not_yet") if reason else web.Response(text="ready\n")


async def metrics(node: Node, _request: web.Request) -> web.StreamResponse:
    """Prometheus metrics."""
    now = node.core.status()
    node.metrics.view.set(now.view)
    node.metrics.finalized_height.set(node.desk.finalized_height)
    node.metrics.executed_height.set(node.desk.executed_height)
    node.metrics.certified_height.set(node.desk.certified_height)
    for what, amount in node.core.held()._asdict().items():
        node.metrics.held.labels(what).set(amount)
    node.metrics.peers.set(len(node.links.connected()))
    return web.Response(body=node.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _unknown(_node: Node, request: web.Request) -> web.StreamResponse:
    resolved = [await resource.resolve(request) for resource in request.app.router.resources()]
    methods = {method for _, allowed in resolved for method in allowed} - {"*"}
    if not methods:
        raise not_found(f"there is no {request.path[:80]}; /docs lists what there is")
    allowed = ", ".join(sorted(methods))
    what = f"{request.path[:80]} takes {allowed}, not {request.method[:20]}"
    response = error_response(405, "method_not_allowed", what, "yours")
    response.headers["Allow"] = allowed
    return response


async def openapi(_node: Node, _request: web.Request) -> web.StreamResponse:
    """Describe this API."""
    document = msgspec.json.format(msgspec.json.encode(_document()), indent=1)
    return web.Response(body=document, content_type="application/json")


async def docs(_node: Node, _request: web.Request) -> web.StreamResponse:
    """Describe this API to people."""
    return web.Response(text=docs_page(_document()), content_type=HTML)


async def docs_style(_node: Node, _request: web.Request) -> web.StreamResponse:
    """How `docs` looks."""
    return web.Response(text=STYLE, content_type=CSS)


OPERATIONS: Final = (
    *http_chain.OPERATIONS,
    *http_transactions.OPERATIONS,
    *http_contracts.OPERATIONS,
    *http_calls.OPERATIONS,
    *http_streams.OPERATIONS,
    *http_events.OPERATIONS,
    Operation("GET", "/healthz", "health", "Alive, and the core has not halted", health, TEXT),
    Operation("GET", "/readyz", "readiness", "Connected to a quorum and caught up", readiness, TEXT),
    Operation("GET", "/metrics", "metrics", "Prometheus metrics", metrics, TEXT),
    Operation("GET", "/openapi.json", "openapi", "This document", openapi, "application/json"),
    Operation("GET", "/docs", "docs", "This document, for people", docs, HTML),
    Operation("GET", "/docs.css", "docs_style", "How it looks", docs_style, CSS),
)


def _document() -> dict[str, Any]:
    return openapi_document(OPERATIONS, http_chain.VERSION)


class HttpApi:
    """Serves one node until it is closed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket. On another address than this machine's own, that address is a valid host too."""
        address = listener.getsockname()[0]
        guard = Guard(self._node, LOCAL_HOSTS | {f"[{address}]" if ":" in address else address})
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.on_response_prepare.append(add_security_headers)
        for operation in OPERATIONS:
            serve = partial(guard.serve, operation.name, operation.serve)
            if operation.method == "GET":
                application.router.add_get(operation.path, serve, allow_head=False)
            else:
                application.router.add_post(operation.path, serve)
        application.router.add_route("*", "/{anything:.*}", partial(guard.serve, "unknown", _unknown))
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=KEEP_ALIVE_S,
            shutdown_timeout=SHUTDOWN_S,
        )
        await self._runner.setup()
        try:
            self._server = await serve_on(self._runner, listener)
        except OSError as error:
            raise BadConfiguration(f"cannot serve HTTP on {address}: {error.strerror}") from error

    async def close(self) -> None:
        """Stop serving."""
        self._node.desk.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._node.views.close()
