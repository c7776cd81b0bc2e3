"""One link to one peer: a bounded queue that is sent in frames, whatever the socket beneath it.

The queue outlives connections. Loss is allowed, growth is not: when a peer is slow or away, the oldest messages are
dropped, for the protocol repeats what still matters and the newest says most.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from primitives.errors import Refused
from primitives.identifiers import ValidatorIndex
from shards.node.frames import (
    LENGTH_BYTES,
    MAX_FRAME_BYTES,
    MAX_FRAME_MESSAGES,
    MAX_LINK_MESSAGE_BYTES,
    pack_frame,
    unpack_frame,
)
from shards.node.metrics import NodeMetrics
from shards.node.quotas import TokenBucket

Socket = web.WebSocketResponse | ClientWebSocketResponse

MAX_QUEUED_BYTES = 4 * MAX_LINK_MESSAGE_BYTES
MAX_QUEUED_MESSAGES = 8192
"""For one peer: a few full blocks, and more votes than a view has."""

MAX_QUEUED_AWAY_BYTES = 2**18
"""While a peer is not connected: it fetches what it missed, so only the latest votes are worth keeping."""

FRAME_BYTES = 2**18
"""Messages are gathered into a frame up to about this size; a larger message has one to itself."""

SOCKET_LIMIT_BYTES = MAX_FRAME_BYTES + 1
"""For both ends' sockets: aiohttp refuses a frame that reaches its limit, by its header."""

CLOSE_REFUSED = 4001
"""WebSocket close code of a refused hello or frame; the reason says why."""

PEER_BYTES_PER_SECOND = 64 * 2**20
PEER_MESSAGES_PER_SECOND = 20_000
PEER_BURST_S = 4
"""Several times what a busy shard sends. A peer beyond it is read more slowly, not disconnected."""


_CLOSED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


class Receiver(Protocol):
    """Takes what a peer sent; returns when there is room for more."""

    async def __call__(self, peer: ValidatorIndex, messages: list[bytes]) -> None:
        """Deliver messages in order."""
        ...


class Link:
    """The outgoing queue to one peer, and its socket while there is one."""

    def __init__(self, peer: ValidatorIndex, receive: Receiver, metrics: NodeMetrics) -> None:
        self.peer = peer
        self._receive = receive
        self._metrics = metrics
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._socket: Socket | None = None

    @property
    def connected(self) -> bool:
        """Whether the peer can be spoken to now."""
        return self._socket is not None

    def send(self, raw: bytes) -> None:
        """Queue a message; the oldest ones go when there is no room."""
        if len(raw) > MAX_LINK_MESSAGE_BYTES:
            self._metrics.dropped_messages.labels(str(self.peer)).inc()
            return
        self._queue.append(raw)
        self._queued_bytes += len(raw) + LENGTH_BYTES
        limit = MAX_QUEUED_BYTES if self._socket is not None else MAX_QUEUED_AWAY_BYTES
        while len(self._queue) > MAX_QUEUED_MESSAGES or (self._queued_bytes > limit and len(self._queue) > 1):
            self._queued_bytes -= len(self._queue.popleft()) + LENGTH_BYTES
            self._metrics.dropped_messages.labels(str(self.peer)).inc()
        self._wake.set()

    def _next_frame(self) -> bytes:
        messages: list[bytes] = []
        size = 0
        while self._queue and len(messages) < MAX_FRAME_MESSAGES:
            more = len(self._queue[0]) + LENGTH_BYTES
            if messages and size + more > FRAME_BYTES:
                break
            messages.append(self._queue.popleft())
            size += more
        self._queued_bytes -= size
        return pack_frame(messages)

    async def serve(self, socket: Socket) -> None:
        """Use an introduced socket until it closes; one that is in use already is closed in its favour.

        Raises:
            Refused: `bad_frame`: the peer sent what no validator sends.

        """
        previous, self._socket = self._socket, socket
        if previous is not None:
            await previous.close(code=4000, message=b"replaced by a newer link")
        writer = asyncio.create_task(self._write(socket))
        try:
            await self._read(socket)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            if self._socket is socket:
                self._socket = None

    async def _write(self, socket: Socket) -> None:
        sent_bytes = self._metrics.sent_bytes.labels(str(self.peer))
        sent_frames = self._metrics.sent_frames.labels(str(self.peer))
        while self._socket is socket:
            while self._queue:
                frame = self._next_frame()
                await socket.send_bytes(frame)
                sent_bytes.inc(len(frame))
                sent_frames.inc()
            self._wake.clear()
            await self._wake.wait()

    async def _read(self, socket: Socket) -> None:
        received_bytes = self._metrics.received_bytes.labels(str(self.peer))
        now = time.monotonic()
        bytes_quota = TokenBucket(PEER_BYTES_PER_SECOND, PEER_BURST_S * PEER_BYTES_PER_SECOND, now)
        messages_quota = TokenBucket(PEER_MESSAGES_PER_SECOND, PEER_BURST_S * PEER_MESSAGES_PER_SECOND, now)
        while (message := await socket.receive()).type not in _CLOSED:
            if message.type is WSMsgType.ERROR:
                raise Refused("bad_frame", str(message.data))
            if message.type is not WSMsgType.BINARY:
                raise Refused("bad_frame", "links carry binary frames only")
            messages = unpack_frame(message.data)
            received_bytes.inc(len(message.data))
            await self._receive(self.peer, messages)
            now = time.monotonic()
            pause_s = max(bytes_quota.spend(len(message.data), now), messages_quota.spend(len(messages), now))
            if pause_s:
                await asyncio.sleep(pause_s)
        if message.type is WSMsgType.CLOSE and message.data == CLOSE_REFUSED:
            raise Refused("refused_by_peer", str(message.extra)[:200])
