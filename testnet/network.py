"""The synchronous face of a testnet: the same operations as `AsyncNetwork`, for scripts, tests and commands.

with connect(read_home(Path(".ostraka"))) as net:
    sent = net.send(net.seed("alice"), 0, net.key("bob"), 2, 25_000_000)
    assert net.wait(sent).outcome == "settled"
    print(net.draw(net.trace(sent.id)))
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from primitives.addresses import parse_address
from primitives.errors import Refused
from primitives.identifiers import PublicKey, SecretSeed, TransactionId
from shards.node import api_types as api
from shards.traces import Trace, render_trace
from testnet.client import AsyncNetwork, Sent, Settlement
from testnet.run_file import RunInfo, read_run

T = TypeVar("T")


class Network:
    """A running testnet; made by `connect`. Every method blocks; errors are those of `AsyncNetwork`."""

    def __init__(self, runner: asyncio.Runner, network: AsyncNetwork) -> None:
        self._runner = runner
        self._network = network
        self.info = network.info

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Result of something asynchronous, such as several operations at once on `self.asynchronous`."""
        return self._runner.run(work)

    @property
    def asynchronous(self) -> AsyncNetwork:
        """The same network, for `run`."""
        return self._network

    def key(self, name: str) -> PublicKey:
        """Address of a development account."""
        return self._network.key(name)

    def seed(self, name: str) -> SecretSeed:
        """Secret seed of a development account."""
        return self._network.seed(name)

    def status(self, shard: int) -> api.StatusAnswer:
        """Where a shard stands."""
        return self.run(self._network.status(shard))

    def account(self, shard: int, key: PublicKey) -> api.AccountAnswer:
        """An account on a shard."""
        return self.run(self._network.account(shard, key))

    def blocks(self, shard: int, first: int, limit: int) -> list[api.BlockSummary]:
        """Finalized blocks."""
        return self.run(self._network.blocks(shard, first, limit))

    def streams(self, shard: int) -> api.StreamsAnswer:
        """Newest certificate of a shard, with its stream heads."""
        return self.run(self._network.streams(shard))

    def message_proof(self, message_id: bytes) -> bytes:
        """Exported proof of a message."""
        return self.run(self._network.message_proof(message_id))

    def send(
        self, seed: SecretSeed, source: int, to: PublicKey, destination: int, amount: int, memo: bytes = b""
    ) -> Sent:
        """Send a transfer of `amount` base units."""
        return self.run(self._network.send(seed, source, to, destination, amount, memo))

    def find(self, wanted: TransactionId) -> Sent:
        """A transaction that somebody sent."""
        return self.run(self._network.find(wanted))

    def wait(self, sent: Sent, seconds: float = 60.0) -> Settlement:
        """Wait until it has settled."""
        return self.run(self._network.wait(sent, seconds))

    def trace(self, wanted: TransactionId) -> Trace:
        """Call tree of a transaction."""
        return self.run(self._network.trace(wanted))

    def draw(self, trace: Trace) -> str:
        """A trace for a terminal, with the names of the development accounts."""
        names = {bytes(parse_address(account.address)): name for name, account in self.info.accounts.items()}
        return render_trace(trace, names)


@contextmanager
def connect(info: RunInfo) -> Iterator[Network]:
    """Connect to a running testnet."""
    with asyncio.Runner() as runner:
        network = AsyncNetwork(info)
        runner.run(network.__aenter__())
        try:
            yield Network(runner, network)
        finally:
            runner.run(network.__aexit__())


def read_home(home: Path) -> RunInfo:
    """What `run.json` of a home says.

    Raises:
        Refused: `not_running`.

    """
    info = read_run(home)
    if info is None:
        raise Refused("not_running", f"no testnet runs in {home}; start it with `ostraka up --detach`")
    return info
