"""Tailing a testnet: every so often all validators are asked, and the checker hears what they say.

A validator that does not answer says nothing; that is no violation. Whether a shard that stands still is one is
asked of whoever breaks it: progress is demanded only while nothing is broken on purpose.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp

from consensus.pacing import Rules
from primitives.errors import Refused
from shards.node import api_types as api
from shards.node.client import NodeClient, NodeUnavailable
from testnet.home import open_manifest
from testnet.observer.checker import LiveChecker
from testnet.run_file import RunInfo
from testnet.simulator.findings import Findings

T = TypeVar("T")

ANSWER_SECONDS = 3.0
"""A validator answers in milliseconds; one that takes this long says nothing this time."""

PAGE = 100
"""Blocks in one list."""

BLOCKS_AT_ONCE = 60
"""Blocks of a shard that are read in one look; more than a second makes, so that the observer catches up."""

LONG_CHAIN = 500
"""Blocks; of a longer chain only what comes from now on is read."""

SLACK_MS = 5_000
"""Beside what the protocol may take: for a machine that does something else."""


@dataclass
class Progress:
    """How a shard moves."""

    height: int = 0
    at: float = field(default_factory=time.monotonic)


class Observer:
    """Looks at one testnet. `session` is the caller's."""

    def __init__(self, info: RunInfo, session: aiohttp.ClientSession) -> None:
        self._info = info
        self._clients: dict[str, NodeClient] = {}
        self._shard_of: dict[str, int] = {}
        for shard in range(info.shards):
            for node in info.validators_of(shard):
                if node.api is not None:
                    self._clients[node.name] = NodeClient(node.api, session)
                    self._shard_of[node.name] = shard
        self.findings = Findings()
        quorum = info.validators - (info.validators - 1) // 3
        self.checker = LiveChecker(info.shards, quorum, self.findings)
        self.heights: dict[int, int] = dict.fromkeys(range(info.shards), 0)
        """Highest block that any validator of a shard has finalized."""
        self.silent: tuple[str, ...] = ()
        """Validators that did not answer at the last look."""
        self._listed: dict[str, int] = dict.fromkeys(self._clients, 0)
        self._compared: dict[int, int] = dict.fromkeys(range(info.shards), 0)
        self._progress = {shard: Progress() for shard in range(info.shards)}
        self._started = False
        self._patience_ms = _patience_ms(info)

    async def look(self, *, broken: bool) -> None:
        """Ask everyone once. While something is `broken` on purpose nobody has to make progress.

        How far a shard is and what it did is learned from those who do not lie; liars are compared with them.
        """
        names = list(self._clients)
        answers = await asyncio.gather(*(_answer(self._clients[name].status()) for name in names))
        statuses = {name: said for name, said in zip(names, answers, strict=True) if said is not None}
        self.silent = tuple(name for name in names if name not in statuses)
        honest = {name: said for name, said in statuses.items() if name not in self.checker.guilty}
        if not self._started and honest:
            self._begin(honest)
        for name, said in statuses.items():
            self.checker.status(name, said)
        for said in honest.values():
            self.heights[said.shard] = max(self.heights[said.shard], said.finalized_height)
        await asyncio.gather(*(self._list(name, said) for name, said in honest.items()))
        liars = {name: said for name, said in statuses.items() if name not in honest}
        await asyncio.gather(*(self._list(name, said) for name, said in liars.items()))
        for shard in range(self._info.shards):
            here = {name: said for name, said in honest.items() if said.shard == shard}
            await self._read(shard, here)
            height = min((said.executed_height for said in here.values()), default=0)
            also = [name for name, said in liars.items() if said.shard == shard and said.executed_height >= height]
            await self._compare(shard, height, [*here, *also])
        await self._weigh(honest)
        self._demand_progress(broken=broken)

    def _begin(self, statuses: dict[str, api.StatusAnswer]) -> None:
        """Decide from where on the chain is read."""
        self._started = True
        for shard in range(self._info.shards):
            executed = max((said.executed_height for said in statuses.values() if said.shard == shard), default=0)
            if executed > LONG_CHAIN:
                self.checker.begin_at(shard, executed)
                self._listed.update({name: executed for name, of in self._shard_of.items() if of == shard})

    async def _list(self, name: str, said: api.StatusAnswer) -> None:
        """Hear which blocks a validator has finalized since the last look, as far as any honest one has."""
        last = min(said.finalized_height, self.heights[said.shard])
        if last <= self._listed[name]:
            return
        page = await _answer(self._clients[name].blocks(self._listed[name] + 1, PAGE))
        blocks = [block for block in page.blocks if block.height <= last] if page is not None else []
        if blocks:
            self.checker.finalized(name, said.shard, blocks)
            self._listed[name] = blocks[-1].height

    async def _read(self, shard: int, statuses: dict[str, api.StatusAnswer]) -> None:
        """Read the next blocks of a shard, from whoever has executed most."""
        for name in sorted(statuses, key=lambda each: -statuses[each].executed_height):
            for _ in range(BLOCKS_AT_ONCE):
                height = self.checker.next_height(shard)
                if height > statuses[name].executed_height:
                    return
                said = await _answer(self._clients[name].block(height))
                if said is None:
                    break  # let another one tell
                self.checker.block(name, shard, said)
            else:
                return

    async def _compare(self, shard: int, height: int, names: list[str]) -> None:
        """Compare what validators came to at a block that all of them have executed: it covers all before."""
        if height <= self._compared[shard]:
            return
        self._compared[shard] = height
        answers = await asyncio.gather(*(_answer(self._clients[name].commitment(height)) for name in names))
        for name, said in zip(names, answers, strict=True):
            if said is not None:
                self.checker.commitment(name, shard, said)

    async def _weigh(self, statuses: dict[str, api.StatusAnswer]) -> None:
        """Hear the heads of all streams from the validator of each shard that has certified most."""
        for shard in range(self._info.shards):
            here = [name for name, said in statuses.items() if said.shard == shard]
            if here:
                name = max(here, key=lambda each: statuses[each].certified_height)
                said = await _answer(self._clients[name].streams())
                if said is not None:
                    self.checker.streams(shard, said)
        self.checker.money()

    def _demand_progress(self, *, broken: bool) -> None:
        now = time.monotonic()
        for shard, progress in self._progress.items():
            if broken or self.heights[shard] > progress.height:
                self._progress[shard] = Progress(self.heights[shard], now)
                continue
            stands_ms = round(1000 * (now - progress.at))
            detail = f"finalized nothing for {stands_ms} ms, though nothing is broken"
            self.findings.check(stands_ms <= self._patience_ms, "L1", f"s{shard}", progress.height, detail)

    async def settle(self, seconds: float, every_seconds: float) -> bool:
        """Look on until every message is settled, at most so long; False when some are not."""
        deadline = time.monotonic() + seconds
        while True:
            await self.look(broken=False)
            if self.checker.settled():
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(every_seconds)


async def _answer(asked: Awaitable[T]) -> T | None:
    """What a validator says; None when it says nothing, or not now."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asked
    except (TimeoutError, NodeUnavailable, Refused):
        return None


def _patience_ms(info: RunInfo) -> int:
    """How long a whole shard may take for a block: an idle interval, and six views that fail."""
    try:
        rules = open_manifest(Path(info.home)).consensus.rules()
    except Refused:
        rules = Rules()
    return rules.idle_interval_ms + 6 * rules.max_timeout_ms + SLACK_MS
