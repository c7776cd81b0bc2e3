"""The books of all shards: each block is booked once, compared ever after, and so is each validator's flat state."""

from collections.abc import Iterable
from hashlib import sha256

from consensus.block import Block
from primitives.codec import encode
from shards.genesis import ChainContext
from shards.outcome import Execution, RunNote
from testnet.simulator.books.blocks import BlockBooking
from testnet.simulator.books.records import OpenCall, ShardBooks, Stream, number, value_of
from testnet.simulator.books.states import StateComparison
from testnet.simulator.faults import Name, place_of
from testnet.simulator.findings import Findings


class Books:
    """The books of all shards."""

    def __init__(self, context: ChainContext, findings: Findings) -> None:
        self._findings = findings
        self.shards = [_opening(context, shard) for shard in range(context.shard_count)]
        self.streams = {
            (source, destination): Stream()
            for source in range(context.shard_count)
            for destination in range(context.shard_count)
            if source != destination
        }
        self.calls: dict[bytes, OpenCall] = {}
        self._reached: dict[Name, int] = {}
        """Highest height that each validator ever executed."""
        self.outcomes = {
            "included": 0,
            "failed": 0,
            "calls": 0,
            "expired": 0,
            "replies": 0,
            "runs": 0,
            "runs by the machine": 0,
            "runs compared": 0,
            "completed runs": 0,
            "failed runs": 0,
            "starved": 0,
            "fed": 0,
            "gone hungry": 0,
            "impatient": 0,
            "same-shard messages": 0,
        }

    def book(self, node: Name, block: Block, execution: Execution) -> bool:
        """Book one executed block, or compare it with what was booked; True when it was new."""
        books = self.shards[place_of(node)[0]]
        height = block.header.height
        result = (execution.commitment, execution.receipts, _digest(execution.notes))
        first_time = height > self._reached.get(node, 0)
        self._reached[node] = max(height, self._reached.get(node, 0))
        if height <= books.height:
            first = books.results[height - 1]
            same_block = first[0].block_id == execution.commitment.block_id
            self._findings.check(same_block, "S1", node, height, "executes another block than others did")
            self._findings.check(
                first == result, "S2", node, height, "another result than others had for the same block"
            )
            # Every run is done again by every validator, and all that came of it, gas included, is in its receipt.
            self.outcomes["runs compared"] += len(execution.notes) if first_time else 0
            return False
        if height != books.height + 1:
            self._findings.add("S1", node, height, f"executes a height after {books.height}, with a gap")
            return False
        try:
            BlockBooking(self, self._findings, books, node, block, execution).run()
        except (LookupError, TypeError, ValueError) as error:
            # Something of another kind stands where a receipt or a message should.
            self._findings.add("S2", node, height, f"what the block led to cannot be booked: {error!r}")
        books.height, books.time_ms = height, block.header.time_ms
        books.results.append(result)
        self.outcomes["runs by the machine"] += len(execution.notes)
        return True

    def compare_state(self, node: Name, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Compare a validator's whole flat state with the books, one by one."""
        StateComparison(self, self._findings, node, self.shards[place_of(node)[0]]).run(entries)

    def conservation(self) -> str:
        """Why money is missing or too much over all shards, or nothing. In-flight value is counted from bodies."""
        there = sum(books.total() for books in self.shards)
        flying = sum(
            sum(value_of(body) for body in stream.bodies[stream.consumed :]) for stream in self.streams.values()
        )
        genesis = sum(books.genesis for books in self.shards)
        return "" if there + flying == genesis else f"{there} here and {flying} in flight of {genesis}"

    def outflow(self) -> str:
        """Which shard has sent out more than it began with and received from others, or nothing."""
        for shard, books in enumerate(self.shards):
            sent = sum(stream.value_sent for (source, _), stream in self.streams.items() if source == shard)
            received = sum(stream.value_received for (_, to), stream in self.streams.items() if to == shard)
            if sent > books.genesis + received:
                return f"shard {shard} sent {sent} of {books.genesis} and {received} that it received"
        return ""

    def unsettled(self) -> list[bytes]:
        """Calls that no reply has settled."""
        return [name for name, call in self.calls.items() if not call.settled_height]

    def under_way(self) -> int:
        """Contracts' calls that have not ended, and messages that wait in their shard's own queue."""
        return sum(len(books.running) + len(books.queue) for books in self.shards)

    def leftovers(self) -> list[str]:
        """What is left on some shard although all calls have ended: it would be there for ever."""
        left = []
        for books in self.shards:
            open_calls = sum(contract.open_calls for contract in books.contracts.values())
            amounts = {"open calls of contracts": open_calls, "timers": len(books.timers), "escrow": books.escrow()}
            left += [f"shard {books.shard}: {amount} {name}" for name, amount in amounts.items() if amount]
        return left


def _opening(context: ChainContext, shard: int) -> ShardBooks:
    genesis = context.genesis.shards[shard]
    balances = {bytes(each.account): number(each.amount) for each in genesis.allocations}
    bonds = sum(number(each.bond) for each in genesis.validators.validators)
    return ShardBooks(shard, balances, genesis=sum(balances.values()) + bonds, bonds=bonds)


def _digest(notes: tuple[RunNote, ...]) -> bytes:
    """Notes are compared and not kept: their journals are long."""
    digest = sha256()
    for note in notes:
        digest.update(encode(note.record) + "\n".join((str(note.run), *note.log)).encode())
    return digest.digest()
