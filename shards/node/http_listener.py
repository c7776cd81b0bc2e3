"""Listening for HTTP with a bound on open connections, so that idle ones cannot use up the process's descriptors."""

import asyncio
import socket
from typing import Final

from aiohttp import web

MAX_CONNECTIONS: Final = 512
"""Open at once; half of the descriptors that a process commonly has, and more than a testnet's programs need."""

_WHY: Final = b"too many connections are open\n"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_WHY), _WHY)
)


class _TurnedAway(asyncio.Protocol):
    """A connection beyond the bound: it is told so and closed, before it says anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_BUSY)
        transport.close()


async def serve_on(
    runner: web.AppRunner, listener: socket.socket, *, max_connections: int = MAX_CONNECTIONS
) -> asyncio.Server:
    """Serve a runner that was set up on a bound socket; the caller closes what is returned, then the runner.

    Raises:
        OSError: the socket cannot listen.

    """
    server = runner.server
    if server is None:
        raise RuntimeError("the runner has not been set up")

    def protocol() -> asyncio.BaseProtocol:
        return server() if len(server.connections) < max_connections else _TurnedAway()

    return await asyncio.get_running_loop().create_server(protocol, sock=listener, backlog=128)
