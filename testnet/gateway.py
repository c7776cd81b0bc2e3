"""Asking a shard: any validator will do, a dead or silent one is passed over, and several together know the newest."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from primitives.errors import Refused
from shards.node.client import NodeClient, NodeUnavailable
from testnet.run_file import NodeRun

T = TypeVar("T")

Question = Callable[[NodeClient], Awaitable[T]]

ANSWER_SECONDS = 3.0
"""A validator answers in milliseconds; one that takes this long is paused, stuck or gone."""


class ShardGateway:
    """The validators of one shard. The session is the caller's."""

    def __init__(self, shard: int, nodes: tuple[NodeRun, ...], session: aiohttp.ClientSession) -> None:
        self._shard = shard
        self._clients = {node.name: NodeClient(node.api, session) for node in nodes if node.api is not None}
        # Those that the launcher knows to be dead or paused are asked last.
        healthy = [node.name for node in nodes if node.state == "running"]
        self._order = sorted(self._clients, key=lambda name: name not in healthy)

    async def ask(self, question: Question[T]) -> T:
        """Answer of the first validator that gives one; the one that answered last time is asked first.

        Raises:
            Refused: what a validator refuses; `unreachable`, when none answers.

        """
        problems = []
        for name in tuple(self._order):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await question(self._clients[name])
            except (TimeoutError, NodeUnavailable) as error:
                problems.append(str(error) or f"{name}: no answer in {ANSWER_SECONDS:g} s")
            self._demote(name)
        raise Refused(
            "unreachable", f"no validator of shard {self._shard} answers; see `ostraka status` ({'; '.join(problems)})"
        )

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
