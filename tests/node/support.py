"""Small real chains for the tests of the shell."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from consensus.committee import Validator, ValidatorSet
from consensus.pacing import Rules
from contracts.runtime.identity import installed_identity
from primitives.amounts import Amount, pack_amount
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import Epoch, Milliseconds, Nonce, PublicKey, SecretSeed, ShardId, ValidatorIndex
from primitives.signatures import ED25519, public_key_of
from shards.gas import fee_of
from shards.genesis import Allocation, ChainContext, Genesis, GenesisShard
from shards.node.client import NodeClient
from shards.node.clock import system_clock
from shards.node.config import NodeConfig
from shards.node.folder import mark_new
from shards.node.process import run_validator
from shards.node.tls import make_certificate
from shards.transactions import Operation, Transaction, sign_transaction

T = TypeVar("T")

RULES = Rules(min_block_interval_ms=20, idle_interval_ms=500)


def seed_of(name: str) -> SecretSeed:
    return SecretSeed(tagged_hash(Domain.DEVELOPMENT_KEY, name.encode()))


def make_context(
    *, shards: int = 1, validators: int = 4, accounts: Sequence[str] = ("alice", "bob"), name: str = "test"
) -> ChainContext:
    """A chain that began a minute ago, on which every account has 1,000 obol in every shard."""
    allocations = tuple(
        Allocation(account=key, amount=pack_amount(Amount(1_000_000_000)))
        for key in sorted(public_key_of(seed_of(account)) for account in accounts)
    )
    return ChainContext(
        Genesis(
            version=1,
            name=name,
            development=True,
            time_ms=Milliseconds(system_clock().wall_ms - 60_000),
            machine=installed_identity(),
            shards=tuple(
                GenesisShard(validators=_validators(ShardId(shard), validators), allocations=allocations)
                for shard in range(shards)
            ),
        )
    )


def _validators(shard: ShardId, count: int) -> ValidatorSet:
    return ValidatorSet(
        shard=shard,
        epoch=Epoch(0),
        validators=tuple(
            Validator(
                public_key=public_key_of(validator_seed(shard, index)),
                tls_certificate=make_certificate(validator_seed(shard, index), f"s{shard}/v{index}"),
                bond=pack_amount(Amount(0)),
            )
            for index in range(count)
        ),
    )


def validator_seed(shard: int, index: int) -> SecretSeed:
    return seed_of(f"validator/{shard}/{index}")


def bound_socket() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(64)
    return bound


def make_configs(home: Path, context: ChainContext, shard: int = 0, rules: Rules = RULES) -> list[NodeConfig]:
    """Configurations of all validators of a shard, with their sockets bound."""
    size = context.committee(ShardId(shard)).size
    sockets = [(bound_socket(), bound_socket()) for _ in range(size)]
    peers = [p2p.getsockname() for p2p, _ in sockets]
    for index in range(size):
        if not (home / f"s{shard}-v{index}").exists():
            mark_new(home / f"s{shard}-v{index}")
    return [
        NodeConfig(
            home=home / f"s{shard}-v{index}",
            context=context,
            shard=ShardId(shard),
            index=ValidatorIndex(index),
            seed=validator_seed(shard, index),
            p2p_socket=p2p,
            http_socket=http,
            peers=peers,
            rules=rules,
            log_level="debug",
        )
        for index, (p2p, http) in enumerate(sockets)
    ]


@dataclass
class Running:
    """Validators of one or more shards, running in this process, with a client for each."""

    configs: list[NodeConfig]
    tasks: list[asyncio.Task[int]]
    clients: list[NodeClient]
    session: aiohttp.ClientSession

    async def stop(self, index: int) -> int | None:
        """Stop one as its supervisor would, short of a signal: cancelled, it flushes and closes."""
        task = self.tasks[index]
        task.cancel()
        with suppress(asyncio.CancelledError):
            return await task
        return None


@asynccontextmanager
async def running(configs: list[NodeConfig]) -> AsyncIterator[Running]:
    ready = [asyncio.Event() for _ in configs]

    def start(config: NodeConfig, up: asyncio.Event) -> asyncio.Task[int]:
        return asyncio.create_task(run_validator(config, lambda _: up.set()))

    tasks = [start(config, up) for config, up in zip(configs, ready, strict=True)]
    async with aiohttp.ClientSession() as session:
        clients = [
            NodeClient("http://{}:{}".format(*config.http_socket.getsockname()), session)  # type: ignore[union-attr]  # bound
            for config in configs
        ]
        net = Running(configs, tasks, clients, session)
        try:
            for up, task in zip(ready, tasks, strict=True):
                waiter = asyncio.create_task(up.wait())
                await asyncio.wait([waiter, task], timeout=20, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                if task.done():
                    raise AssertionError(f"a validator ended at once with {task.result()}")
            yield net
        finally:
            for index in range(len(tasks)):
                if not tasks[index].done():
                    await net.stop(index)


async def until(condition: Callable[[], Awaitable[T | None]], timeout_s: float = 20) -> T:
    """Wait for a condition by asking again whenever the loop has nothing better to do."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await condition()
            if found:
                return found
            await asyncio.sleep(0.01)


def transfer(context: ChainContext, sender: str, nonce: int, operation: Operation, shard: int = 0) -> bytes:
    """A signed transaction of a named account, with room in its fee limit."""
    body = Transaction(
        version=1,
        chain_id=context.chain_id,
        shard=ShardId(shard),
        sender=public_key_of(seed_of(sender)),
        nonce=Nonce(nonce),
        valid_until_ms=Milliseconds(system_clock().wall_ms + 3_600_000),
        fee_limit=pack_amount(Amount(0)),
        operations=(operation,),
        memo=b"rent",
    )
    body = msgspec.structs.replace(body, fee_limit=pack_amount(max(Amount(100_000), fee_of(body))))
    return sign_transaction(body, seed_of(sender), ED25519)


def key_of(name: str) -> PublicKey:
    return public_key_of(seed_of(name))


def close_sockets(configs: Sequence[NodeConfig]) -> None:
    for config in configs:
        for listener in (config.p2p_socket, config.http_socket):
            if isinstance(listener, socket.socket):
                listener.close()
