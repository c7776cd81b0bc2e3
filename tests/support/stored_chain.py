"""The small chain of `tests.shards.builders` with a store for each shard, written as a validator writes its own."""

from collections.abc import Sequence

from consensus.archive import BLOCKS, HEIGHTS
from consensus.block import block_id_of
from primitives.codec import encode
from primitives.identifiers import Sequence as SequenceNumber
from primitives.identifiers import ShardId
from primitives.storage import Write, integer_key
from shards import chain_store, queries
from shards.bundles import Bundle, decode_bundle
from shards.outcome import Execution
from shards.trace_parts import TracePart, trace_part
from tests.shards.builders import TestChain, certify
from tests.support.memory_store import MemoryStore


class StoredChain(TestChain):
    """Every block is stored when it is run; certified too, unless `certified` is False."""

    __test__ = False

    def __init__(self, shards: int = 2, accounts: int = 4) -> None:
        super().__init__(shards, accounts=accounts)
        self.stores = [MemoryStore() for _ in range(shards)]
        self.certified = True

    def run(
        self, shard: int, transactions: Sequence[bytes] = (), bundles: Sequence[Bundle] = (), *, execute: bool = True
    ) -> Execution:
        execution = super().run(shard, transactions, bundles)
        block = self.shards[shard].blocks[-1]
        height = block.header.height
        store = self.stores[shard]
        store.commit(
            [
                Write(BLOCKS, integer_key(height), encode(block)),
                Write(HEIGHTS, block_id_of(block.header), integer_key(height)),
                *chain_store.block_index_writes(height, block.items),
            ]
        )
        if execute:
            store.commit(chain_store.execution_writes(execution))
            if self.certified:
                store.commit(chain_store.certificate_writes(certify(execution.commitment, self.context)))
        return execution

    def carry(self, source: int, destination: int) -> Execution:
        """A block of the destination with what the source's *store* has for it: messages, or an acknowledgement."""
        first = self.shards[destination].ledger.lane(ShardId(source)).recv_next
        raw = queries.bundle_for(
            self.stores[source], self.context, ShardId(source), ShardId(destination), SequenceNumber(first)
        )
        assert raw is not None
        return self.run(destination, bundles=[decode_bundle(raw)])

    def round_trip(self, source: int, destination: int) -> None:
        """Carry messages there, the replies back, and the acknowledgement of the replies there again."""
        self.carry(source, destination)
        self.carry(destination, source)
        self.carry(source, destination)

    def parts(self, trace_id: bytes) -> list[TracePart]:
        """What every shard knows of a trace."""
        return [trace_part(store, trace_id) for store in self.stores]  # type: ignore[arg-type]  # ids are bytes in tests
