"""Users of a real testnet while it is broken: each account pays somebody, waits until that has settled, and pays again.

What was called settled is remembered, and asked for again at the end.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from primitives.errors import Refused
from testnet.client import AsyncNetwork, Sent, SubmissionRefused

ASK_SECONDS = 0.5
"""Between two looks at a transfer: everyone asks a quorum."""

RESUBMIT_AFTER_ASKING = 4
"""A transfer that is in no block is handed to another validator every so many looks: the first may have lost it."""

MAX_ASKED_AGAIN = 200
"""Settled transfers that are looked up once more at the end; the newest, which a crash is likeliest to have lost."""

AMOUNT = 1
"""Base units; nobody runs out."""


_HOPELESS = {"expired": "expired", "nonce_used": "superseded"}
"""Refusals that say: never. A nonce is used by a transfer whose sender was told that nobody could be reached."""


_NOT_FINAL = frozenset({"", "accepted"})
"""What is said of a pending transfer that no block has: nobody knows it, or only mempools do."""


@dataclass(frozen=True)
class Settled:
    """A transfer and what it was said to have come to."""

    sent: Sent
    outcome: str


class TransferLoad:
    """Transfers on every shard at a steady rate, as far as accounts are free."""

    def __init__(self, network: AsyncNetwork, rate: int, seed: int) -> None:
        self._network = network
        self._rate = rate
        self._draw = random.Random(seed)  # who pays whom
        self._busy: set[tuple[int, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pacing: list[asyncio.Task[None]] = []
        self.counts: Counter[str] = Counter()
        self.settled: list[Settled] = []

    @property
    def under_way(self) -> int:
        """Transfers that have not settled."""
        return len(self._tasks)

    def start(self) -> None:
        """Begin on every shard."""
        for shard in range(self._network.info.shards):
            self._pacing.append(asyncio.create_task(self._pace(shard)))

    async def stop(self) -> None:
        """Begin nothing more."""
        for task in self._pacing:
            task.cancel()
        await asyncio.gather(*self._pacing, return_exceptions=True)
        self._pacing.clear()

    async def drain(self, seconds: float) -> int:
        """Wait until what is under way has settled, at most so long; returns how many have not."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def lost(self) -> list[str]:
        """Settled transfers that the testnet knows nothing of any more, or something else."""
        lost = []
        for each in self.settled[-MAX_ASKED_AGAIN:]:
            now = (await self._network.wait(each.sent, 0.0)).outcome
            if now != each.outcome:
                lost.append(f"transfer {each.sent.id.hex()[:16]}… was {each.outcome}, is {now}")
        return lost

    async def _pace(self, shard: int) -> None:
        names = list(self._network.info.accounts)
        while True:
            free = [name for name in names if (shard, name) not in self._busy]
            if free:
                self._begin(shard, self._draw.choice(free), self._draw.choice(names))
            else:
                self.counts["skipped"] += 1
            await asyncio.sleep(1 / self._rate)

    def _begin(self, shard: int, sender: str, receiver: str) -> None:
        others = [other for other in range(self._network.info.shards) if other != shard]
        destination = self._draw.choice(others) if others and self._draw.random() < 0.5 else shard
        self._busy.add((shard, sender))
        task = asyncio.create_task(self._transfer(shard, sender, destination, receiver))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _transfer(self, shard: int, sender: str, destination: int, receiver: str) -> None:
        network = self._network
        try:
            sent = await network.send(network.seed(sender), shard, network.key(receiver), destination, AMOUNT)
            self.counts["sent"] += 1
            outcome = await self._await(sent)
            self.counts[outcome] += 1
            if outcome in {"settled", "failed"}:
                self.settled.append(Settled(sent, outcome))
        except SubmissionRefused:
            self.counts["refused"] += 1
        except Refused:
            self.counts["unreachable"] += 1
        finally:
            self._busy.discard((shard, sender))

    async def _await(self, sent: Sent) -> str:
        """How a transfer ends."""
        asked = 0
        while True:
            settlement = await self._network.wait(sent, 0.0)
            if settlement.outcome != "pending":
                return settlement.outcome
            asked += 1
            is_open = settlement.detail in _NOT_FINAL
            if is_open and asked % RESUBMIT_AFTER_ASKING == 0 and (hopeless := await self._hand_in_again(sent)):
                return hopeless
            await asyncio.sleep(ASK_SECONDS)

    async def _hand_in_again(self, sent: Sent) -> str:
        """Hand a transfer to another validator; why it can never be included, empty as long as it can."""
        gateway, raw = self._network.gateway(sent.source), sent.raw
        if raw is None:
            return ""
        gateway.demote_first()
        try:
            (result,) = await gateway.ask(lambda node: node.submit([raw]))
        except Refused:
            return ""
        return _HOPELESS.get(result.code, "") if result.status == "refused" else ""
