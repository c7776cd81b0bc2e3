"""Asking a shard: any validator will do, a dead or silent one is passed over, and several together know the newest."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

import aiohttp

from primitives.errors import Refused, invariant
from shards.node.client import NodeClient, NodeUnavailable
from testnet.run_file import NodeRun

T = TypeVar("T")


class Placed(Protocol):
    """An answer that says of which height it is."""

    @property
    def height(self) -> int:
        """Of the block after which it holds."""
        ...


P = TypeVar("P", bound=Placed)

Question = Callable[[NodeClient], Awaitable[T]]

ANSWER_SECONDS = 3.0
"""A validator answers in milliseconds; one that takes this long is paused, stuck or gone."""

CATCH_UP_SECONDS = 0.02
"""Pause before another validator is asked, because one was behind; a fraction of the time between two blocks."""

LATE_CODES = frozenset({"not_found", "no_method", "not_a_view"})
"""Refusals of a validator that has not executed a contract's deployment or upgrade yet."""


class ShardGateway:
    """The validators of one shard. The session is the caller's."""

    def __init__(self, shard: int, nodes: tuple[NodeRun, ...], session: aiohttp.ClientSession) -> None:
        self._shard = shard
        self._clients = {node.name: NodeClient(node.api, session) for node in nodes if node.api is not None}
        # Those that the launcher knows to be dead or paused are asked last.
        healthy = [node.name for node in nodes if node.state == "running"]
        self._order = sorted(self._clients, key=lambda name: name not in healthy)

    async def ask(self, question: Question[T], seconds: float | None = None) -> T:
        """Answer of the first validator that gives one in `seconds` (None: `ANSWER_SECONDS`).

        The one that answered last time is asked first.

        Raises:
            Refused: what a validator refuses; `unreachable`, when none answers.

        """
        limit = ANSWER_SECONDS if seconds is None else seconds
        problems = []
        for name in tuple(self._order):
            try:
                async with asyncio.timeout(limit):
                    return await question(self._clients[name])
            except (TimeoutError, NodeUnavailable) as error:
                problems.append(str(error) or f"{name}: no answer in {limit:g} s")
            self._demote(name)
        raise Refused(
            "unreachable", f"no validator of shard {self._shard} answers; see `ostraka status` ({'; '.join(problems)})"
        )

    async def ask_newest(self, question: "Question[P]", seconds: float | None = None) -> P:
        """Answer of a validator that has executed what any of a quorum has now; what was settled before is in it.

        Raises:
            Refused: as `ask`; of what only some know yet, what the last one refuses.

        """
        goal = max(answer.executed_height for answer in await self.ask_quorum(lambda node: node.status()))
        best: P | None = None
        refusal: Refused | None = None
        for attempt in range(len(self._order)):
            if attempt:
                self.demote_first()
                await asyncio.sleep(CATCH_UP_SECONDS)
            try:
                answer = await self.ask(question, seconds)
            except Refused as refused:
                if refused.code not in LATE_CODES:
                    raise
                refusal = refused
                continue
            if best is None or answer.height > best.height:
                best = answer
            if best.height >= goal:
                return best
        if best is None and refusal is not None:
            raise refusal
        invariant(best is not None, "a shard has validators")
        return cast(P, best)

    def demote_first(self) -> None:
        """Ask another validator from now on."""
        self._demote(self._order[0])

    def _demote(self, name: str) -> None:
        self._order.remove(name)
        self._order.append(name)

    async def ask_quorum(self, question: Question[T]) -> list[T]:
        """Answers of a quorum of the validators, or of as many as answer in time.

        What a quorum has done, one of these has done: whoever takes the newest answer reads what was settled before.

        Raises:
            Refused: what they refuse, when none answers otherwise; `unreachable`.

        """
        wanted = len(self._clients) - (len(self._clients) - 1) // 3
        tasks = [asyncio.ensure_future(_within(question(client))) for client in self._clients.values()]
        answers: list[T] = []
        refusal = Refused("unreachable", f"no validator of shard {self._shard} answers; see `ostraka status`")
        try:
            for done in asyncio.as_completed(tasks):
                try:
                    answers.append(await done)
                except (TimeoutError, NodeUnavailable):
                    continue
                except Refused as refused:
                    refusal = refused
                if len(answers) == wanted:
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not answers:
            raise refusal
        return answers


async def _within(answer: Awaitable[T]) -> T:
    """The answer, if it comes in time."""
    async with asyncio.timeout(ANSWER_SECONDS):
        return await answer
