"""The stored chain with contracts: deploy, call, carry until nothing is under way, and look at the trace."""

from contracts.values import Value, encode
from primitives.amounts import Amount, pack_amount
from primitives.identifiers import Milliseconds, ShardId
from shards.traces import Trace, assemble_trace, render_trace
from shards.transactions import ContractCall, Deploy, Operation, RemoteCall, transaction_id
from tests.contracts.support import PROGRAMS
from tests.shards.builders import TestAccount
from tests.support.stored_chain import StoredChain

GAS = 800_000
MAX_ROUNDS = 12
"""More than any test's calls take."""


class StoredContracts(StoredChain):
    """Three shards; alice signs unless a test says otherwise."""

    __test__ = False

    def __init__(self, shards: int = 3) -> None:
        super().__init__(shards=shards)
        self.alice, self.bob = self.accounts[:2]

    def deploy(self, shard: int, name: str, source: str = "", arguments: tuple[Value, ...] = ()) -> bytes:
        """Deploy a source, or the program of this name."""
        source = source or (PROGRAMS / f"{name}.py").read_text()
        nothing = pack_amount(Amount(0))
        return self.act(shard, Deploy(name, source, self.alice.key, encode(list(arguments)), nothing, GAS))

    def act(self, shard: int, operation: Operation, who: TestAccount | None = None) -> bytes:
        """Execute a transaction of one operation in a block of its own; its raw bytes."""
        raw = self.transaction(shard, who or self.alice, [operation])
        self.run(shard, [raw])
        return raw

    def call(self, shard: int, name: str, method: str, *arguments: Value, gas: int = GAS, value: int = 0) -> bytes:
        """Call a method of a contract of this shard."""
        amount = pack_amount(Amount(value))
        return self.act(shard, ContractCall(name, method, encode(list(arguments)), amount, gas))

    def remote_call(self, source: int, shard: int, name: str, method: str, *arguments: Value) -> bytes:
        """Call a method of a contract of another shard."""
        deadline = Milliseconds(self.time_ms + 600_000)
        operation = RemoteCall(
            ShardId(shard), name, method, encode(list(arguments)), pack_amount(Amount(0)), 100_000, deadline
        )
        return self.act(source, operation)

    def trace(self, raw: bytes) -> Trace:
        """All that the shards know of a transaction."""
        return assemble_trace(self.parts(transaction_id(raw)))

    def round(self) -> None:
        """Every shard hears from every other one, once."""
        for source in range(len(self.stores)):
            for destination in range(len(self.stores)):
                if source != destination:
                    self.carry(source, destination)

    def follow(self, raw: bytes) -> Trace:
        """Carry messages until nothing of a transaction is under way."""
        for _ in range(MAX_ROUNDS):
            trace = self.trace(raw)
            if trace.state != "pending":
                return trace
            self.round()
        raise AssertionError(f"it does not settle:\n{self.drawn(raw)}")

    def drawn(self, raw: bytes) -> str:
        """The trace as people see it."""
        names: dict[bytes, str] = {self.alice.key: "alice", self.bob.key: "bob"}
        return render_trace(self.trace(raw), names)
