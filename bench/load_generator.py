"""The load generator of `throughput.py`: signed transfers in, what became of them out. One process, one event loop."""

import argparse
import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from contracts.values import encode as encode_value
from primitives.addresses import format_address
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import ChainId, Milliseconds, Nonce, PublicKey, SecretSeed, ShardId, TransactionId
from primitives.signatures import public_key_of
from shards.node import api_types as api
from shards.node.api_contracts import CallAnswer
from shards.node.client import NodeClient
from shards.transactions import ContractCall, Deploy, Operation, RemoteTransfer, Transfer, transaction_id
from testnet.run_file import RunInfo
from testnet.transfers import DEADLINE_MS, sign_operation

T = TypeVar("T")

TICK_S = 0.01
"""Resolution of the sender's clock and of the polls of sampled transactions."""

DEPLOY_GAS = 200_000
CALL_GAS = 30_000
CROSSING_GAS = 200_000
"""Gas limits of the token's calls: their use, what every run reserves, and what a call sets aside for its callee."""

SAMPLES_AT_ONCE = 8
"""Crossing transactions that are followed by polling at a time; more would be a load of their own."""


@dataclass(frozen=True)
class Signed:
    """A transfer that is ready to be handed in."""

    raw: bytes
    id: str
    crosses: bool


@dataclass
class Lane:
    """Everything for one validator: its accounts' transfers, in order of nonces. Others gossip, this one is told."""

    shard: int
    client: NodeClient
    transfers: deque[Signed]


@dataclass
class Measured:
    """What was seen during the window; times in seconds of the monotonic clock."""

    begin: float = 0.0
    end: float = 0.0
    finality: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    settled_blocks: list[int] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)
    blocks: Counter[int] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    exhausted: bool = False


class Load:
    """Hands in transfers and hears what becomes of them."""

    def __init__(self, info: RunInfo, options: argparse.Namespace, session: aiohttp.ClientSession) -> None:
        self._options = options
        self.clients = {
            node.name: NodeClient(node.api, session) for node in info.nodes if node.kind == "validator" and node.api
        }
        self._info = info
        self._submitted: dict[str, float] = {}
        self._final: dict[str, asyncio.Event] = {}
        self._outstanding = [0] * info.shards
        self._room = [asyncio.Event() for _ in range(info.shards)]
        self._following = asyncio.Semaphore(SAMPLES_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.measured = Measured()
        self.open = False
        """Whether the window is open."""

    async def listen(self, shard: int) -> None:
        """Note when transactions of a shard become final."""
        client = self.clients[f"s{shard}/v{self._info.validators - 1}"]
        async for received in client.events():
            if not isinstance(received.event, api.FinalizedEvent):
                continue
            now = time.monotonic()
            known = [at for each in received.event.transactions if (at := self._submitted.pop(each, None)) is not None]
            self._outstanding[shard] -= len(known)
            self._room[shard].set()
            for each in received.event.transactions:
                if (waiting := self._final.get(each)) is not None:
                    waiting.set()
            if self.open:
                self.measured.blocks[shard] += 1
                self.measured.finality += [now - at for at in known]

    async def saturate(self, lane: Lane) -> None:
        """Keep the shard's window full."""
        room = self._room[lane.shard]
        while lane.transfers:
            while self._outstanding[lane.shard] >= self._options.window:
                room.clear()
                await room.wait()
            await self._hand_in(lane, self._options.batch)
        self.measured.exhausted = True

    async def pace(self, lanes: list[Lane]) -> None:
        """Hand in at the rate that was asked for, the validators taking turns; whoever is slow delays only itself."""
        begin, handed, turn = time.monotonic(), 0, 0
        while any(lane.transfers for lane in lanes):
            due = int((time.monotonic() - begin) * self._options.rate) - handed
            while due > 0:
                count = min(due, self._options.batch)
                self._spawn(self._hand_in(lanes[turn % len(lanes)], count))
                handed, turn, due = handed + count, turn + 1, due - count
            await asyncio.sleep(TICK_S)
        self.measured.exhausted = True

    async def _hand_in(self, lane: Lane, count: int) -> None:
        batch = [lane.transfers.popleft() for _ in range(min(count, len(lane.transfers)))]
        if not batch:
            return
        now = time.monotonic()
        for each in batch:
            self._submitted[each.id] = now
        self._outstanding[lane.shard] += len(batch)
        results = await lane.client.submit([each.raw for each in batch])
        for each, result in zip(batch, results, strict=True):
            if result.status == "refused" and self._submitted.pop(each.id, None) is not None:
                self._outstanding[lane.shard] -= 1
                self.measured.refused[result.code] += 1
        sample = next((each for each in batch if each.crosses), None)
        if self.open and sample is not None and not self._following.locked():
            self._spawn(self._follow(lane, sample, now))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, lane: Lane, sample: Signed, begin: float) -> None:
        """Follow one crossing transfer to its destination and back."""
        async with self._following:
            final = self._final[sample.id] = asyncio.Event()
            if sample.id not in self._submitted:
                final.set()
            await final.wait()
            del self._final[sample.id]
            wanted = TransactionId(bytes.fromhex(sample.id))
            answer = await _until(lambda: _at_level(lane.client, wanted, {"executed", "certified", "settled"}))
            if answer.call is not None:
                await self._follow_call(lane, bytes.fromhex(answer.call.call_id), begin)
                return
            message = answer.sent[0].message
            destination = self.clients[f"s{message.destination}/v0"]
            await _until(lambda: _received(destination, bytes.fromhex(message.message_id)))
            delivered = time.monotonic() - begin
            answer = await _until(lambda: _at_level(lane.client, wanted, {"settled"}))
            self.measured.delivered.append(delivered)
            self.measured.settled.append(time.monotonic() - begin)
            if answer.height is not None and answer.sent[0].answered_height is not None:
                self.measured.settled_blocks.append(answer.sent[0].answered_height - answer.height + 1)

    async def _follow_call(self, lane: Lane, wanted: bytes, begin: float) -> None:
        """Follow a contract's call until it has gone on after its await."""

        async def ended() -> CallAnswer | None:
            answer = await lane.client.call(wanted)
            return answer if answer.state in {"completed", "failed"} else None

        answer = await _until(ended)
        self.measured.settled.append(time.monotonic() - begin)
        self.measured.settled_blocks.append(answer.runs[-1].height - answer.runs[0].height)

    async def finish(self) -> None:
        """Let what is being followed arrive, within reason."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)


async def _until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """What somebody answers, once it is not None."""
    while True:
        answer = await ask()
        if answer is not None:
            return answer
        await asyncio.sleep(TICK_S)


async def _at_level(client: NodeClient, wanted: TransactionId, levels: set[str]) -> api.TransactionAnswer | None:
    try:
        answer = await client.transaction(wanted)
    except Refused:  # another validator has told of it first
        return None
    return answer if answer.level in levels else None


async def _received(client: NodeClient, message: bytes) -> api.MessageAnswer | None:
    try:
        answer = await client.message(message)
    except Refused:
        return None
    return answer if answer.received else None


Make = Callable[[int, int, bytes], tuple[Operation, bool]]
"""The operation of an account's next transaction on a shard, given the payee's key, and whether it crosses shards."""


def sign_all(
    info: RunInfo, seeds: list[SecretSeed], options: argparse.Namespace, make: Make, first_nonce: Nonce
) -> dict[tuple[int, int], list[Signed]]:
    """Transactions by (shard, validator that is told), in order of nonces; signed now, not in the window.

    Account `i` is told to validator `i % validators`, on every shard, so that its nonces follow one another there.
    """
    draw = random.Random(1)
    keys = [public_key_of(seed) for seed in seeds]
    total = (options.rate or options.signed) * (options.warmup + options.seconds + 2)
    rounds = -(-int(total) // (len(seeds) * info.shards))
    chain_id, now_ms = ChainId(bytes.fromhex(info.chain_id)), Milliseconds(time.time_ns() // 1_000_000)
    signed: dict[tuple[int, int], list[Signed]] = {
        (shard, index): [] for shard in range(info.shards) for index in range(info.validators)
    }
    for nonce in range(first_nonce, first_nonce + rounds):
        for number, seed in enumerate(seeds):
            for shard in range(info.shards):
                operation, crosses = make(shard, number, draw.choice(keys))
                raw = sign_operation(operation, ShardId(shard), chain_id, seed, Nonce(nonce), now_ms)
                signed[shard, number % info.validators].append(Signed(raw, transaction_id(raw).hex(), crosses))
    return signed


def transfers(info: RunInfo, options: argparse.Namespace) -> Make:
    """Plain transfers of one base unit, some of them to another shard."""
    draw = random.Random(2)
    deadline_ms = Milliseconds(time.time_ns() // 1_000_000 + DEADLINE_MS)
    one = pack_amount(Amount(1))

    def make(shard: int, _number: int, to: bytes) -> tuple[Operation, bool]:
        if info.shards > 1 and draw.random() * 100 < options.cross:
            other = ShardId((shard + draw.randrange(1, info.shards)) % info.shards)
            return RemoteTransfer(destination=other, to=PublicKey(to), amount=one, deadline_ms=deadline_ms), True
        return Transfer(to=PublicKey(to), amount=one), False

    return make


def token_calls(info: RunInfo, options: argparse.Namespace) -> Make:
    """Calls of `examples/token`: units for an account of the same shard, or of another one."""
    draw = random.Random(2)
    nothing = pack_amount(Amount(0))

    def make(shard: int, _number: int, to: bytes) -> tuple[Operation, bool]:
        crosses = info.shards > 1 and draw.random() * 100 < options.cross
        other = (shard + draw.randrange(1, info.shards)) % info.shards if crosses else shard
        arguments = encode_value([format_address(PublicKey(to)), other, 1])
        gas = CROSSING_GAS if crosses else CALL_GAS
        return ContractCall("token", "send", arguments, nothing, gas), crosses

    return make


def deployment(seeds: list[SecretSeed], shards: int) -> list[Operation]:
    """What the first account sends on every shard before: the token, with units for everybody."""
    nothing = pack_amount(Amount(0))
    source = (Path(__file__).parent.parent / "examples" / "token" / "token.py").read_text()
    calls: list[Operation] = [Deploy("token", source, b"", encode_value([10**12]), nothing, DEPLOY_GAS)]
    calls.append(ContractCall("token", "trust", encode_value([list(range(shards))]), nothing, CALL_GAS))
    return calls


def gift(shard: int, seed: SecretSeed) -> Operation:
    """Units for one account."""
    arguments = encode_value([format_address(public_key_of(seed)), shard, 10**6])
    return ContractCall("token", "send", arguments, pack_amount(Amount(0)), CALL_GAS)
