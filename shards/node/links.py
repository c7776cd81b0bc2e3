"""The links among the validators of one shard: WebSockets over mutual TLS, one per pair.

The validator with the lower index dials, the other one listens; each pair has its place, so nobody can take another's
(reserved slots), and whoever shows no certificate of this shard's committee does not get past the TLS handshake.
A link that breaks is dialled again with exponential backoff and jitter, for ever.
"""

import asyncio
import random
import socket as sockets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp import WSMsgType, web

from consensus.committee import Committee
from primitives.errors import Refused
from primitives.identifiers import Hash, SecretSeed, ValidatorIndex
from primitives.signatures import SignatureScheme
from shards.node.hello import check_hello, make_hello
from shards.node.injection.faults import MAX_HELD_BACK
from shards.node.injection.links import Copy
from shards.node.link import CLOSE_REFUSED, SOCKET_LIMIT_BYTES, Link, Receiver, Socket
from shards.node.logs import Log
from shards.node.metrics import NodeMetrics
from shards.node.tls import client_context, peer_index, server_context

PATH = "/v1/link"

HANDSHAKE_S = 5.0
"""For TCP, TLS and the hellos together; takes milliseconds between validators that are well."""

HEARTBEAT_S = 10.0
"""Between pings; a peer that is silent for longer is taken for gone and dialled again."""

FIRST_RETRY_S = 0.05
LAST_RETRY_S = 2.0
"""A validator that comes back is connected again within two seconds, well inside the recovery goal of five."""

MAX_CLOSE_REASON_BYTES = 120


class LinkFilter(Protocol):
    """Faults on purpose, above TLS; development chains only."""

    def copies(self, to: ValidatorIndex, raw: bytes) -> tuple[Copy, ...]:
        """What is sent in the place of this message: usually itself, at once."""
        ...

    def hears(self, peer: ValidatorIndex) -> bool:
        """Whether anything that this peer sends gets in."""
        ...

    def reaches(self, peer: ValidatorIndex) -> bool:
        """Whether anything that is sent to this peer may get through."""
        ...


@dataclass(frozen=True)
class Station:
    """Who this validator is and where the others are. `addresses` are (host, port) by index, the own one unused."""

    committee: Committee
    me: ValidatorIndex
    seed: SecretSeed
    scheme: SignatureScheme
    addresses: Sequence[tuple[str, int]]
    machine: Hash
    """Digest of the identity of what executes contracts here."""


class Links:
    """All links of one validator. `start` listens and dials, `close` ends everything."""

    def __init__(self, station: Station, receive: Receiver, metrics: NodeMetrics, log: Log) -> None:
        self._station = station
        self._metrics = metrics
        self._log = log
        self._filter: LinkFilter | None = None
        self._server_context = server_context(station.committee, station.me, station.seed)
        self._client_context = client_context(station.committee, station.me, station.seed)
        others = [ValidatorIndex(index) for index in range(station.committee.size) if index != station.me]
        self._receive = receive
        self._held_back = 0
        """Messages that a fault delays."""
        self._links = {peer: Link(peer, self._hear, metrics) for peer in others}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted: set[asyncio.Task[object]] = set()
        self._runner = web.ServerRunner(web.Server(self._accept, access_log=None))
        self._server: asyncio.Server | None = None
        self._session: aiohttp.ClientSession | None = None

    def connected(self) -> tuple[ValidatorIndex, ...]:
        """Peers that can be spoken to now, in ascending order; one that a fault cuts off cannot."""
        faults = self._filter
        return tuple(
            peer for peer, link in self._links.items() if link.connected and (faults is None or faults.reaches(peer))
        )

    def set_filter(self, faults: LinkFilter | None, *, development: bool) -> None:
        """Put faults on the links, or take them away; `Refused` unless the chain is a development chain."""
        if faults is not None and not development:
            raise Refused("not_a_development_chain", "faults can be injected on development chains only")
        self._filter = faults

    def send(self, to: ValidatorIndex, raw: bytes) -> None:
        """Send to one peer; it may be lost. A message to oneself or to nobody is our own mistake and goes nowhere."""
        link = self._links.get(to)
        if link is None:
            self._log.error("send_to_nobody", to=to)
        elif self._filter is None:
            link.send(raw)
        else:
            for copy in self._filter.copies(to, raw):
                self._send_copy(link, copy)

    def _send_copy(self, link: Link, copy: Copy) -> None:
        """Send what a fault left of a message, now or later; what no room is left for is lost."""
        if not copy.delay_ms:
            link.send(copy.raw)
        elif self._held_back >= MAX_HELD_BACK:
            self._metrics.dropped_messages.labels(str(link.peer)).inc()
        else:
            self._held_back += 1
            asyncio.get_running_loop().call_later(copy.delay_ms / 1000, self._release, link, copy.raw)

    def _release(self, link: Link, raw: bytes) -> None:
        self._held_back -= 1
        link.send(raw)

    async def _hear(self, peer: ValidatorIndex, messages: list[bytes]) -> None:
        """Pass on what a peer sent, unless a fault keeps it out."""
        if self._filter is None or self._filter.hears(peer):
            await self._receive(peer, messages)

    def broadcast(self, raw: bytes) -> None:
        """Send to every peer."""
        for peer in self._links:
            self.send(peer, raw)

    async def start(self, listener: sockets.socket) -> None:
        """Listen on a bound socket, and dial the peers with higher indices."""
        await self._runner.setup()
        web_server = self._runner.server
        if web_server is None:
            raise RuntimeError("aiohttp's runner has no server after its set-up")
        self._server = await asyncio.get_running_loop().create_server(
            web_server, sock=listener, ssl=self._server_context, ssl_handshake_timeout=HANDSHAKE_S
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._client_context, limit=0, force_close=True)
        )
        for peer in self._links:
            if peer > self._station.me:
                task = asyncio.create_task(self._keep_dialling(self._session, peer))
                self._tasks.add(task)

    async def close(self) -> None:
        """End all links and stop listening."""
        if self._server is not None:
            self._server.close()
        running = [*self._tasks, *self._accepted]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self._runner.cleanup()

    # Dialling

    async def _keep_dialling(self, session: aiohttp.ClientSession, peer: ValidatorIndex) -> None:
        retry_s = FIRST_RETRY_S
        last_reason = ""
        while True:
            try:
                await self._dial(session, peer)
                retry_s, last_reason = FIRST_RETRY_S, ""
            except (aiohttp.ClientError, OSError, TimeoutError, Refused) as error:
                reason = str(error) or type(error).__name__
                if reason != last_reason:  # once for each reason, not once for each attempt
                    self._log.info("dial_failed", peer=peer, reason=reason)
                    last_reason = reason
            # Half to whole: validators that lost one another together do not come back in step.
            await asyncio.sleep(retry_s * (0.5 + random.random() / 2))  # an I/O shell may use chance
            retry_s = min(LAST_RETRY_S, 2 * retry_s)

    async def _dial(self, session: aiohttp.ClientSession, peer: ValidatorIndex) -> None:
        host, port = self._station.addresses[peer]
        where = f"[{host}]" if ":" in host else host
        async with asyncio.timeout(HANDSHAKE_S):
            socket = await session.ws_connect(
                f"https://{where}:{port}{PATH}", heartbeat=HEARTBEAT_S, compress=0, max_msg_size=SOCKET_LIMIT_BYTES
            )
        try:
            certificate = socket.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if peer_index(self._station.committee, certificate) != peer:
                self._metrics.refused_links.labels("wrong_certificate").inc()
                raise Refused("wrong_certificate", f"{host}:{port} shows another certificate than validator {peer}'s")
            await self._converse(socket, peer)
        finally:
            await socket.close()

    # Listening

    async def _accept(self, request: web.BaseRequest) -> web.StreamResponse:
        encryption = request.get_extra_info("ssl_object")
        peer = peer_index(self._station.committee, encryption.getpeercert(binary_form=True))
        if peer is None or peer >= self._station.me or request.path != PATH:
            self._metrics.refused_links.labels("not_expected").inc()
            return web.Response(status=403, text="only a validator of this shard with a lower index may dial here\n")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=SOCKET_LIMIT_BYTES)
        task = asyncio.current_task()
        if task is not None:
            self._accepted.add(task)
        try:
            await socket.prepare(request)
            with suppress(Refused, TimeoutError, ConnectionError):
                await self._converse(socket, peer)
        finally:
            if task is not None:
                self._accepted.discard(task)
            await socket.close()
        return socket

    # Both

    async def _converse(self, socket: Socket, peer: ValidatorIndex) -> None:
        """Exchange hellos, then serve the link until it ends."""
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._exchange_hellos(socket, peer)
            self._log.info("peer_connected", peer=peer)
            await self._links[peer].serve(socket)
            self._log.info("peer_left", peer=peer, close_code=socket.close_code)
        except Refused as refused:
            self._metrics.refused_links.labels(refused.code).inc()
            self._log.warning("link_refused", peer=peer, code=refused.code, detail=refused.detail)
            reason = str(refused).encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()
            await socket.close(code=CLOSE_REFUSED, message=reason)
            raise

    async def _exchange_hellos(self, socket: Socket, peer: ValidatorIndex) -> None:
        station = self._station
        await socket.send_bytes(
            make_hello(station.committee, station.me, peer, station.seed, station.scheme, station.machine)
        )
        message = await socket.receive()
        if message.type is WSMsgType.CLOSE:
            raise Refused("refused_by_peer", f"validator {peer} closed the link: {str(message.extra)[:200]}")
        if message.type is not WSMsgType.BINARY:
            raise ConnectionResetError("the peer left before it said hello")
        check_hello(message.data, station.committee, station.me, peer, station.scheme, station.machine)
