"""A relay's client with faults on purpose: what is cut, late, lost, doubled or changed between it and validators.

On development chains only; `shards.node.injection` says how faults are written and come in. A request and its answer
are a message each. Bundles are what is changed and doubled: their proofs must show it, their streams must bear it.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

from primitives.errors import Refused
from primitives.identifiers import Height, Sequence, ShardId, ValidatorIndex
from relay.service.client import DeliveryResult, StreamNews, Unusable, ValidatorClient
from shards.bundles import decode_bundle
from shards.genesis import ChainContext
from shards.node.injection.board import FaultBoard
from shards.node.injection.faults import Fault, LinkFault
from shards.node.injection.links import Copy, Fate

Place = tuple[ShardId, ValidatorIndex]

_NOTHING: Final = b""
"""Stands for a message whose bytes do not matter."""


class FaultyClient(ValidatorClient):
    """Talks to validators as far as the faults on its board let it. Made inside the running loop."""

    def __init__(self, context: ChainContext, places: Mapping[str, Place], chance: random.Random | None = None) -> None:
        """`places` says whose each base URL is."""
        super().__init__()
        self._context = context
        self._places = places
        self._chance = chance or random.Random()  # faults may strike by chance; no run of processes is repeated exactly
        self._faults: tuple[LinkFault, ...] = ()
        self.board = FaultBoard(self._check, self._apply)

    def _check(self, fault: Fault) -> None:
        """Refuse what a relay has no part in."""
        if not isinstance(fault, LinkFault):
            raise Refused(
                "no_such_fault", "a relay keeps nothing on disk and reads no time of day: only its links fail"
            )
        for shard, index in fault.peers:
            if shard >= self._context.shard_count or index >= self._context.committee(ShardId(shard)).size:
                raise Refused("no_such_link", f"there is no validator s{shard}/v{index}")
        for lane in fault.lanes:
            if max(lane) >= self._context.shard_count or lane[0] == lane[1]:
                raise Refused("no_such_link", f"there is no lane from shard {lane[0]} to shard {lane[1]}")

    def _apply(self, board: FaultBoard) -> None:
        self._faults = board.of_kind(LinkFault)

    async def streams(self, url: str, after: Height, wait_ms: int) -> StreamNews | None:
        """See `ValidatorClient`."""
        await self._pass(url, None, _NOTHING)
        news = await super().streams(url, after, wait_ms)
        await self._pass(url, None, _NOTHING)  # a fault may have begun while it waited
        return news

    async def bundle(self, url: str, destination: ShardId, first: Sequence) -> bytes | None:
        """See `ValidatorClient`."""
        if not self._faults:
            return await super().bundle(url, destination, first)
        lane = (self._places[url][0], destination)
        await self._pass(url, lane, _NOTHING)
        raw = await super().bundle(url, destination, first)
        return None if raw is None else (await self._pass(url, lane, raw))[0].raw

    async def deliver(self, url: str, raw: bytes) -> DeliveryResult:
        """See `ValidatorClient`."""
        if not self._faults:
            return await super().deliver(url, raw)
        head = decode_bundle(raw).head
        lane = (head.source, head.destination)
        first, *others = await self._pass(url, lane, raw)
        result = await super().deliver(url, first.raw)
        for copy in others:
            await super().deliver(url, copy.raw)
        await self._pass(url, lane, _NOTHING)
        return result

    async def _pass(self, url: str, lane: tuple[ShardId, ShardId] | None, raw: bytes) -> tuple[Copy, ...]:
        """What gets through of a message; waits as long as the first copy is late.

        Raises:
            Unusable: nothing does.

        """
        if not self._faults:
            return (Copy(0, raw),)
        place = self._places[url]
        fate = Fate(tuple(fault for fault in self._faults if place in fault.peers or lane in fault.lanes))
        copies = fate.copies(raw, self._chance)
        if not copies:
            raise Unusable("no answer in time (a fault on purpose)")
        if copies[0].delay_ms:
            await asyncio.sleep(copies[0].delay_ms / 1000)
        return copies
