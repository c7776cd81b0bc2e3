"""Asking a shard: any validator will do, a dead or silent one is passed over, and several together know the newest."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from primitives.errors import Refused
from shards.node.client import NodeClient, NodeError
from testnet.run_file import NodeRun

T = TypeVar("T")

ANSWER_SECONDS = 3.0
"""A validator answers in milliseconds; one that takes this long is paused, stuck or gone."""


class ShardGateway:
    """Connections to the validators of one shard."""

    def __init__(self, shard: int, nodes: tuple[NodeRun, ...]) -> None:
        self._shard = shard
        self._clients = {node.name: NodeClient(node.api) for node in nodes if node.api is not None}
        self._order = list(self._clients)
        """Those that answered last come first."""

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()

    async def ask(self, question: Callable[[NodeClient], Awaitable[T]]) -> T:
        """Answer of the first validator that gives one.

        Raises:
            NodeError: it was refused, by a validator that works.
            Refused: `unreachable`, when no validator answers.

        """
        problems = []
        for name in tuple(self._order):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await question(self._clients[name])
            except (TimeoutError, OSError) as error:
                problems.append(f"{name}: {str(error) or 'no answer'}")
            except NodeError as error:
                if error.fault == "yours":
                    raise
                problems.append(f"{name}: {error.detail}")
            self._order.remove(name)
            self._order.append(name)
        raise Refused(
            "unreachable",
            f"no validator of shard {self._shard} answers ({'; '.join(problems)}); see `ostraka status`",
        )

    async def ask_quorum(self, question: Callable[[NodeClient], Awaitable[T]]) -> list[T]:
        """Answers of at least a quorum of the validators, or of all that answer in time.

        What a quorum has done, one of these has done: whoever takes the newest answer reads what was settled before.

        Raises:
            NodeError: they refuse.
            Refused: `unreachable`, when none answers.

        """
        wanted = len(self._clients) - (len(self._clients) - 1) // 3
        tasks = {asyncio.ensure_future(question(client)) for client in self._clients.values()}
        answers: list[T] = []
        refusal: NodeError | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for done in asyncio.as_completed(tuple(tasks)):
                    try:
                        answers.append(await done)
                    except NodeError as error:
                        refusal = error
                    except OSError:
                        continue
                    if len(answers) >= wanted:
                        break
        except TimeoutError:
            pass  # as many as there are
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if answers:
            return answers
        if refusal is not None:
            raise refusal
        raise Refused("unreachable", f"no validator of shard {self._shard} answers; see `ostraka status`")
