"""A real testnet under test: start, break, load, compare. Everything waits for conditions, nothing for time to pass."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from primitives.codec import Decoder
from primitives.errors import Refused
from primitives.identifiers import Hash, PublicKey
from primitives.signatures import ED25519
from shards.commitments import CommitmentCertificate, certificate_decoder
from shards.light_client import LightClient, Verdict
from shards.node.api_types import StatusAnswer
from shards.node.client import NodeClient, NodeUnavailable
from shards.streams import StreamHead
from testnet.client import AsyncNetwork, Sent, Settlement, SubmissionRefused
from testnet.control import ask
from testnet.home import node_folder, open_genesis
from testnet.run_file import RunInfo, read_run
from testnet.start import wait_ready
from tests.real.host import TROUBLE

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
"""Of every wait: many times what it takes on an idle machine, because the tests share theirs."""

heads_decoder = Decoder(tuple[StreamHead, ...], max_bytes=2**20, name="stream heads")

PAUSE_S = 0.02
"""Between two looks at a condition."""


class Testnet:
    """The processes of one home."""

    __test__ = False

    def __init__(self, home: Path, **manifest: Any) -> None:
        self.home = home
        self._manifest = manifest
        self._host: subprocess.Popen[str] | None = None

    @property
    def info(self) -> RunInfo:
        """What run.json says now."""
        info = read_run(self.home)
        assert info is not None, "the testnet does not run"
        return info

    def up(self) -> None:
        """Start, or go on with what is in the home; returns when everybody is ready."""
        command = [sys.executable, "-m", "tests.real.host", str(self.home), json.dumps(self._manifest)]
        self._host = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._host.stdout is not None
        readable, _, _ = select.select([self._host.stdout], [], [], PATIENCE_S)
        line = self._host.stdout.readline() if readable else "nothing"
        assert line == "started\n", line
        wait_ready(self.info, PATIENCE_S)

    def do(self, what: str, node: str) -> dict[str, Any]:
        """Kill, pause, resume or restart a node; how it is afterwards."""
        (changed,) = ask(Path(self.info.control), {"do": what, "node": node})["nodes"]
        return dict(changed)

    def node(self, name: str) -> dict[str, Any]:
        """A process as its launcher sees it."""
        nodes = ask(Path(self.info.control), {"do": "status"})["nodes"]
        return next(dict(node) for node in nodes if node["name"] == name)

    def folder(self, name: str) -> Path:
        """Folder of a node."""
        return node_folder(self.home, name)

    def give_trouble(self, name: str, **trouble: Any) -> None:
        """Arm what the node does to itself from its next start on."""
        (self.folder(name) / TROUBLE).write_text(json.dumps(trouble))

    def until_ended(self, name: str) -> dict[str, Any]:
        """Wait until a node is no more; how it ended."""
        deadline = time.monotonic() + PATIENCE_S
        while (node := self.node(name))["state"] == "running":
            assert time.monotonic() < deadline, f"{name} does not end"
            time.sleep(PAUSE_S)
        return node

    def make_whole(self) -> None:
        """Every node runs and is ready, whatever the test before left."""
        for node in self.info.nodes:
            (self.folder(node.name) / TROUBLE).unlink(missing_ok=True)
            if self.node(node.name)["state"] == "paused":
                self.do("resume", node.name)
            elif self.node(node.name)["state"] != "running":
                self.do("restart", node.name)
        wait_ready(self.info, PATIENCE_S)

    def stop(self, name: str) -> dict[str, Any]:
        """Stop a node as an operator does, with a signal; how it ended."""
        os.kill(self.node(name)["pid"], signal.SIGTERM)
        return self.until_ended(name)

    def last_words(self, name: str) -> str:
        """What a node wrote to its standard error last."""
        return (self.folder(name) / "log").read_text().splitlines()[-1]

    def kill_everything(self) -> None:
        """SIGKILL of launcher, validators and relays, as a power cut would have it."""
        info = self.info
        for pid in (info.launcher_pid, *(node.pid for node in info.nodes if node.state == "running")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end_host()

    def down(self) -> None:
        """Stop whatever is left."""
        if self._host is None:
            return
        info = read_run(self.home)
        self._end_host()
        if info is not None:
            deadline = time.monotonic() + PATIENCE_S
            while any(_is_alive(pid) for pid in (info.launcher_pid, *(node.pid for node in info.nodes))):
                assert time.monotonic() < deadline, "the testnet does not stop"
                time.sleep(PAUSE_S)

    def _end_host(self) -> None:
        if self._host is not None:
            self._host.communicate()
            self._host = None

    def light_client(self) -> LightClient:
        """Knows nothing but the genesis."""
        return LightClient(open_genesis(self.home), ED25519)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def testnet(home: Path, **manifest: Any) -> Iterator[Testnet]:
    """A testnet that is up, and down again whatever happens."""
    net = Testnet(home, **manifest)
    try:
        net.up()
        yield net
    finally:
        net.down()


testnet.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


async def until(condition: Callable[[], Awaitable[T | None]], why: str, seconds: float = PATIENCE_S) -> T:
    """Wait for a condition; who cannot be reached now has not fulfilled it."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(NodeUnavailable):
            found = await condition()
            if found:
                return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {why}"
        await asyncio.sleep(PAUSE_S)


@dataclass
class View:
    """A network with a client for each validator."""

    net: Testnet
    network: AsyncNetwork
    clients: dict[str, NodeClient]

    async def status(self, name: str) -> StatusAnswer:
        """Where a validator stands."""
        return await self.clients[name].status()

    async def reach(self, name: str, height: int) -> StatusAnswer:
        """Wait until a validator has executed a height."""

        async def there() -> StatusAnswer | None:
            status = await self.status(name)
            return status if status.executed_height >= height else None

        return await until(there, f"{name} executes height {height}")

    async def nobody_is_blamed(self) -> bool:
        """No validator has evidence against another."""
        return not any([(await client.status()).blamed for client in self.clients.values()])

    async def same_chain(self, names: list[str], first: int, last: int) -> None:
        """Compare blocks, receipts and state roots of validators that have executed `last`, height by height."""
        told = await asyncio.gather(*(self._chain(name, first, last) for name in names))
        for name, chain in zip(names, told, strict=True):
            assert len(chain) == last - first + 1
            assert chain == told[0], f"{name} and {names[0]} differ"

    async def _chain(self, name: str, first: int, last: int) -> list[tuple[object, ...]]:
        chain: list[tuple[object, ...]] = []
        for height in range(first, last + 1):
            block, commitment = await asyncio.gather(
                self.clients[name].block(height), self.clients[name].commitment(height)
            )
            chain.append((height, block.summary.block_id, block.items, block.receipts, commitment.state_root))
        return chain


@asynccontextmanager
async def view(net: Testnet) -> AsyncIterator[View]:
    """Connect to a testnet; after a restart of everything, again."""
    info = net.info
    async with AsyncNetwork(info) as network, aiohttp.ClientSession() as session:
        clients = {each.name: NodeClient(each.api or "", session) for each in info.nodes if each.kind == "validator"}
        yield View(net, network, clients)


@dataclass
class Load:
    """Transfers from development accounts to recipients that nobody else pays, and what became of them."""

    net: Testnet
    sent: dict[bytes, tuple[PublicKey, int]] = field(default_factory=dict)
    """Transaction id -> (recipient, shard)."""
    raws: dict[bytes, Sent] = field(default_factory=dict)
    settled: dict[bytes, Settlement] = field(default_factory=dict)
    _recipients: Iterator[int] = field(default_factory=lambda: count(int.from_bytes(os.urandom(8), "big")))

    async def one(self, network: AsyncNetwork, name: str, source: int, destination: int) -> Sent:
        """Hand in one transfer of one base unit."""
        recipient = PublicKey(Hash(next(self._recipients).to_bytes(32, "big")))
        sent = await network.send(network.seed(name), source, recipient, destination, 1)
        self.sent[sent.id] = (recipient, destination)
        self.raws[sent.id] = sent
        return sent

    async def settle(self, network: AsyncNetwork, sent: Sent, seconds: float = PATIENCE_S) -> Settlement:
        """Wait for one."""
        settlement = await network.wait(sent, seconds)
        assert settlement.outcome == "settled", settlement
        self.settled[sent.id] = settlement
        return settlement

    async def run(self, network: AsyncNetwork, names: list[str], lanes: list[tuple[int, int]]) -> None:
        """Send without end; every account settles one transfer before its next. Cancel it, or let everything die."""

        async def sender(name: str, turn: int) -> None:
            for number in count(turn):
                source, destination = lanes[number % len(lanes)]
                try:
                    await self.settle(network, await self.one(network, name, source, destination))
                except SubmissionRefused:
                    raise
                except (Refused, aiohttp.ClientError):  # everybody of that shard is down
                    await asyncio.sleep(PAUSE_S)

        async with asyncio.TaskGroup() as senders:
            for turn, name in enumerate(names):
                senders.create_task(sender(name, turn))

    @asynccontextmanager
    async def running(
        self, network: AsyncNetwork, names: list[str], lanes: list[tuple[int, int]]
    ) -> AsyncIterator[None]:
        """Load while the `with` block lasts; fails when it failed."""
        task = asyncio.create_task(self.run(network, names, lanes))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def progress(self, more: int = 5) -> None:
        """Wait until so many more transfers have settled."""
        wanted = len(self.settled) + more

        async def enough() -> bool:
            return len(self.settled) >= wanted

        await until(enough, f"{more} more transfers settle")

    async def settle_all(self, network: AsyncNetwork) -> None:
        """Whatever was accepted by anybody settles, handed in again if need be; then each recipient has its unit."""
        waiting = [sent for identity, sent in self.raws.items() if identity not in self.settled]
        await asyncio.gather(*(self.settle(network, sent) for sent in waiting))
        owed = Counter(self.sent.values())
        for (recipient, shard), units in owed.items():
            account = await network.account(shard, recipient)
            assert int(account.balance) == units, "exactly once"


async def money_is_conserved(net: Testnet, network: AsyncNetwork) -> None:
    """A light client adds up one certificate per shard; all that was sent has arrived."""
    client = net.light_client()

    async def settled() -> bool:
        certificates: list[CommitmentCertificate] = []
        heads: dict[Any, list[StreamHead]] = {}
        for shard in range(net.info.shards):
            answer = await network.streams(shard)
            certificates.append(certificate_decoder.decode(bytes.fromhex(answer.certificate)))
            heads[shard] = list(heads_decoder.decode(bytes.fromhex(answer.encoded_heads)))
        report = client.supply_identity(certificates, heads)
        assert report.verdict is not Verdict.VIOLATED, report
        assert report.held + report.in_flight + report.burnt == report.genesis
        return report.verdict is Verdict.CONSERVED and not report.in_flight

    await until(settled, "one set of certificates shows all money at rest")
