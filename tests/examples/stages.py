"""One scenario on two stages: the in-memory double, and the simulator with real validators and the real machine.

What can be compared is what contracts can see or leave behind: results and errors of every call, events, every value in
storage, what contracts hold, what they paid. Gas, heights and exact times exist on one of them only.
"""

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from contracts.values import read
from ostraka_contract import Data
from ostraka_contract.testing import Contract as DoubleContract
from ostraka_contract.testing import Shards, Ticket
from primitives.addresses import format_address
from shards.calls.records import storage_key
from shards.receipts import RunReceipt
from testnet.development_keys import account_key
from testnet.virtual import Account, Contract, Net, TransactionFailed, Tx

PEOPLE = ("alice", "bob", "carol", "dave", "erin")
ADDRESS = {name: format_address(account_key(name)) for name in PEOPLE}
"""Of the development accounts, on both stages."""

LIKE_A_TIME = re.compile(r"1[67]\d{8}(\d{3})?")
"""Unix seconds or milliseconds of either stage's clock; no amount or count of a scenario comes near."""


class OutOfGas(Exception):
    """A scenario needs more gas than there is, and the double has none: there is nothing to compare."""


class Stage(ABC):
    """Where a scenario is played. What became of each call is in `told`, in the order in which they were made."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.folder = folder
        self.shards = shards
        self.told: list[Any] = []

    @abstractmethod
    def deploy(self, file: str, *args: Data, shard: int = 0, name: str = "", by: str = "alice", value: int = 0) -> None:
        """Deploy a file of the example."""

    def call(
        self, contract: str, method: str, *args: Data, by: str = "alice", value: int = 0, home: int | None = None
    ) -> None:
        """Call a method of `name@shard` from an account of that shard, or of `home`, and let everything settle."""
        self.begin(contract, method, *args, by=by, value=value, home=home)
        self.settle()

    @abstractmethod
    def begin(
        self, contract: str, method: str, *args: Data, by: str = "alice", value: int = 0, home: int | None = None
    ) -> None:
        """Call a method and go on while it is under way."""

    @abstractmethod
    def view(self, contract: str, method: str, *args: Data) -> None:
        """Ask a view; its answer is told."""

    @abstractmethod
    def settle(self) -> None:
        """Until nothing is under way any more; then what became of the calls is told."""

    @abstractmethod
    def wait(self, seconds: int) -> None:
        """Let time pass."""

    @abstractmethod
    def halt(self, shard: int) -> None:
        """A shard goes down."""

    @abstractmethod
    def mend(self) -> None:
        """All shards are up again."""

    @abstractmethod
    def report(self) -> dict[str, Any]:
        """What is left in the end."""


class OnDouble(Stage):
    """Under ordinary Python."""

    def __init__(self, folder: Path, shards: int) -> None:
        super().__init__(folder, shards)
        self.chain = Shards()
        self.contracts: dict[str, DoubleContract] = {}
        self.open: list[Ticket] = []

    def deploy(self, file: str, *args: Data, shard: int = 0, name: str = "", by: str = "alice", value: int = 0) -> None:
        made = self.chain.deploy(self.folder / file, shard=shard, name=name, args=args, sender=ADDRESS[by], value=value)
        self.contracts[made.account.principal] = made

    def begin(
        self, contract: str, method: str, *args: Data, by: str = "alice", value: int = 0, home: int | None = None
    ) -> None:
        sender = ADDRESS[by] if home is None else f"{ADDRESS[by]}@{home}"
        self.open.append(self.contracts[contract].send(method, *args, sender=sender, value=value))

    def view(self, contract: str, method: str, *args: Data) -> None:
        self.told.append(plain(self.contracts[contract].view(method, *args)))

    def settle(self) -> None:
        self.chain.settle()
        for ticket in self.open:
            try:
                self.told.append(plain(ticket.result()))
            except Exception as error:  # noqa: BLE001 - whatever the contract raised is what is told
                self.told.append((type(error).__name__, plain(str(error))))
        self.open.clear()

    def wait(self, seconds: int) -> None:
        self.chain.settle()
        self.chain.wait(seconds)

    def halt(self, shard: int) -> None:
        self.chain.halted.add(shard)

    def mend(self) -> None:
        self.chain.halted.clear()

    def report(self) -> dict[str, Any]:
        stored = {
            name: {key.decode(): plain(read(raw)) for key, raw in contract.account.storage.items()}
            for name, contract in self.contracts.items()
        }
        return {
            "told": self.told,
            "events": by_contract(self.chain.events),
            "stored": stored,
            "held": {name: contract.balance for name, contract in self.contracts.items()},
            "paid": {
                (name, shard): self.chain.paid(ADDRESS[name], shard) for name in PEOPLE for shard in range(self.shards)
            },
        }


class OnNet(Stage):
    """On the simulator."""

    def __init__(self, folder: Path, shards: int) -> None:
        super().__init__(folder, shards)
        self.net = Net(shards=shards, folders=[folder])
        self.contracts: dict[str, Contract] = {}
        self.open: list[Tx] = []
        self.events: list[tuple[str, str, Any]] = []
        self.before = {(name, shard): self._who(name).balance(shard) for name in PEOPLE for shard in range(shards)}
        self.senders: set[tuple[str, int]] = set()

    def _who(self, name: str) -> Account:
        return self.net.account(name)

    def deploy(self, file: str, *args: Data, shard: int = 0, name: str = "", by: str = "alice", value: int = 0) -> None:
        made = self.net.deploy(file, *args, shard=shard, name=name or None, by=self._who(by), value=value)
        self.contracts[str(made)] = made
        self.senders.add((by, shard))

    def begin(
        self, contract: str, method: str, *args: Data, by: str = "alice", value: int = 0, home: int | None = None
    ) -> None:
        target = self.contracts[contract]
        tx = self._who(by).send(target.method(method)(*args), value=value, shard=home)
        self.net.run_until(lambda: tx.final)
        self.senders.add((by, target.shard if home is None else home))
        self.open.append(tx)

    def view(self, contract: str, method: str, *args: Data) -> None:
        self.told.append(plain(self.contracts[contract].method(method)(*args)))

    def settle(self) -> None:
        for tx in self.open:
            try:
                self.told.append(plain(tx.result()))
            except TransactionFailed as failed:
                self.told.append((failed.error, plain(failed.message)))
        for tx in self.open:
            for found in self.net.history.of(tx.id):
                if isinstance(found.receipt, RunReceipt):
                    name = f"{found.receipt.contract}@{found.shard}"
                    self.events += [(name, each.name, read(each.data)) for each in found.receipt.events]
                    if found.receipt.kind == "out_of_gas":
                        raise OutOfGas
        self.open.clear()

    def wait(self, seconds: int) -> None:
        self.net.run_for(f"{seconds}s")

    def halt(self, shard: int) -> None:
        self.net.fault.halt(shard)

    def mend(self) -> None:
        self.net.fault.end_all()

    def report(self) -> dict[str, Any]:
        self.net.check()
        entries = [dict(self.net.ledger(shard).entries()) for shard in range(self.shards)]
        stored: dict[str, dict[str, Any]] = {}
        for name, contract in self.contracts.items():
            prefix = storage_key(contract.name, b"")
            stored[name] = {
                key[len(prefix) :].decode(): plain(read(raw))
                for key, raw in entries[contract.shard].items()
                if key.startswith(prefix)
            }
        return {
            "told": self.told,
            "events": by_contract(self.events),
            "stored": stored,
            "held": {name: contract.balance for name, contract in self.contracts.items()},
            "paid": {
                who: self._who(who[0]).balance(who[1]) - before
                for who, before in self.before.items()
                if who not in self.senders
            },
        }


def by_contract(events: list[tuple[str, str, Any]]) -> dict[str, list[Any]]:
    """Events of each contract, in order; between contracts there is none that both stages share."""
    found: dict[str, list[Any]] = {}
    for contract, name, data in events:
        found.setdefault(contract, []).append((name, plain(data)))
    return found


def plain(value: Any) -> Any:
    """A value without what only one stage knows: when exactly it was."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if type(value) is int:
        return "some time" if LIKE_A_TIME.fullmatch(str(value)) else value
    return LIKE_A_TIME.sub("some time", value) if isinstance(value, str) else value
