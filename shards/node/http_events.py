"""The event stream: Server-Sent Events for every height that becomes final, executed and certified.

An event's id is a cursor, `finalized.executed.certified`: the heights that its reader has seen of each level. Whoever
comes back with the last one (`Last-Event-ID` or `?after=`) gets what it missed from the store, then what is new, each
event once. Without a cursor the stream begins with what is new.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

import msgspec
from aiohttp import web

from consensus import archive
from consensus.block import block_id_of, decode_block
from primitives.errors import Refused
from primitives.identifiers import MAX_INTEGER, Height
from primitives.storage import Reader
from shards import chain_store
from shards.commitments import commitment_hash
from shards.items import ItemKind, unpack_item
from shards.node import api_types as api
from shards.node.http_operations import Operation, Parameter
from shards.node.node import Node
from shards.node.parts import News
from shards.node.views import sent_view
from shards.transactions import transaction_id
from shards.validator.effects import BlockApplied, BlockFinalized

EVENT_STREAM = "text/event-stream"

REPLAY_HEIGHTS = 50
"""Read from the store at a time."""

KEEP_ALIVE_S = 15.0
"""A comment is sent after so long without news, so that both sides notice a dead connection."""

_LEVELS: Final = ("finalized", "executed", "certified")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Heights that a reader has seen, by level."""

    finalized: int
    executed: int
    certified: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes; raises `Refused("bad_cursor")`."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
            raise Refused("bad_cursor", f"a cursor is the id of an event, like 21.20.19; got {text[:40]!r}")
        heights = [int(part) for part in parts]
        if max(heights) > MAX_INTEGER:
            raise Refused("bad_cursor", "a cursor's heights are below 2**63")
        return cls(*heights)

    def __str__(self) -> str:
        return f"{self.finalized}.{self.executed}.{self.certified}"

    def after(self, event: api.ChainEvent) -> "Cursor | None":
        """Cursor behind this event; None when its reader has seen it."""
        level = _level_of(event)
        seen: int = getattr(self, level)
        if event.height <= seen:
            return None
        heights = {name: getattr(self, name) for name in _LEVELS} | {level: event.height}
        return Cursor(**heights)


def _level_of(event: api.ChainEvent) -> str:
    if isinstance(event, api.FinalizedEvent):
        return "finalized"
    return "executed" if isinstance(event, api.ExecutedEvent) else "certified"


def _event_of(news: News) -> api.ChainEvent:
    if isinstance(news, BlockFinalized):
        ids = [each.hex() for each in news.transactions]
        return api.FinalizedEvent(height=news.height, block_id=news.block_id.hex(), transactions=ids)
    if isinstance(news, BlockApplied):
        commitment = news.execution.commitment
        return _executed_event(commitment.height, commitment.block_id, commitment.time_ms, news.execution.receipts)
    certified = news.certificate.commitment
    return api.CertifiedEvent(height=certified.height, commitment_hash=commitment_hash(certified).hex())


def _executed_event(height: int, block_id: bytes, time_ms: int, receipts: tuple[bytes, ...]) -> api.ExecutedEvent:
    sent = [sent_view(each) for raw in receipts for each in chain_store.sent_by(chain_store.decode_receipt(raw))]
    return api.ExecutedEvent(height=height, block_id=block_id.hex(), time_ms=time_ms, receipts=len(receipts), sent=sent)


def _stored_events(reader: Reader, first: int) -> list[api.ChainEvent]:
    """What the store has of `REPLAY_HEIGHTS` heights, in their order."""
    return [event for height in range(first, first + REPLAY_HEIGHTS) for event in _events_of(reader, height)]


def _events_of(reader: Reader, height: int) -> Iterator[api.ChainEvent]:
    raw = archive.finalized_block(reader, Height(height))
    if raw is not None:
        block = decode_block(raw)
        unpacked = [unpack_item(item) for item in block.items]
        ids = [transaction_id(content).hex() for kind, content in unpacked if kind is ItemKind.TRANSACTION]
        yield api.FinalizedEvent(height=height, block_id=block_id_of(block.header).hex(), transactions=ids)
    executed = chain_store.commitment_at(reader, Height(height))
    if executed is not None:
        receipts = chain_store.receipts_at(reader, Height(height))
        yield _executed_event(height, executed.block_id, executed.time_ms, receipts)
    certificate = chain_store.certificate_at(reader, Height(height))
    if certificate is not None:
        yield api.CertifiedEvent(height=height, commitment_hash=commitment_hash(certificate.commitment).hex())


class _Stream:
    """One open event stream: what was sent last, and how to send more."""

    def __init__(self, response: web.StreamResponse, cursor: Cursor) -> None:
        self._response = response
        self.cursor = cursor

    async def send(self, event: api.ChainEvent) -> None:
        after = self.cursor.after(event)
        if after is not None:
            self.cursor = after
            text = b"id: %b\nevent: %b\ndata: %b\n\n"
            await self._response.write(
                text % (str(after).encode(), _level_of(event).encode(), msgspec.json.encode(event))
            )

    async def keep_alive(self) -> None:
        await self._response.write(b": still here\n\n")


async def events(node: Node, request: web.Request) -> web.StreamResponse:
    """Stream events until the client leaves or falls too far behind."""
    # The header first: a browser that reconnects asks for the same address again, with the cursor it has reached.
    text = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    cursor = Cursor.parse(text) if text else None
    number, news = node.desk.subscribe()
    try:
        response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "Cache-Control": "no-store"})
        await response.prepare(request)
        stream = _Stream(response, await _here(node) if cursor is None else cursor)
        await response.write(b"retry: 1000\n\n")
        if cursor is not None:
            await _replay(node, stream)
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    latest = await news.take()
            except TimeoutError:
                await stream.keep_alive()
                continue
            if latest is None:
                return response  # too slow: the client comes back with its cursor
            await stream.send(_event_of(latest))
    except ConnectionError:
        return response
    finally:
        node.desk.unsubscribe(number)


async def _here(node: Node) -> Cursor:
    """Cursor behind everything that is in the store."""

    def read(reader: Reader) -> Cursor:
        certificate = chain_store.latest_certificate(reader)
        certified = 0 if certificate is None else certificate.commitment.height
        return Cursor(archive.finalized_height(reader), chain_store.executed_height(reader), certified)

    return await node.driver.query(read)


async def _replay(node: Node, stream: _Stream) -> None:
    """Send what the store has after the cursor; what comes in meanwhile waits in the subscription."""
    end = await _here(node)
    begin = stream.cursor
    height = min(begin.finalized, begin.executed, begin.certified)
    while height < end.finalized:
        for event in await node.driver.query(partial(_stored_events, first=height + 1)):
            await stream.send(event)
        height += REPLAY_HEIGHTS


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/events",
        "events",
        "What becomes final, executed and certified, as Server-Sent Events; resumable",
        events,
        EVENT_STREAM,
        (Parameter("after", "query", "cursor: the id of the last event seen (or the header Last-Event-ID)", "string"),),
    ),
)
