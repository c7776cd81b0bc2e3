"""One block: what is due, the shard's own queue, the items in order; then the totals that its commitment states."""

from typing import TYPE_CHECKING, cast

import msgpack

from consensus.block import Block
from shards.outcome import Execution
from testnet.simulator.books.desk import Desk
from testnet.simulator.books.local import LocalBooking
from testnet.simulator.books.messages import MessageBooking
from testnet.simulator.books.records import CALL, FREEZE_RECEIPT, Fields, ShardBooks, number, value_of
from testnet.simulator.books.runs import RunBooking
from testnet.simulator.books.transactions import TransactionBooking
from testnet.simulator.faults import Name
from testnet.simulator.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testnet.simulator.books.books import Books

_TRANSACTION, _BUNDLE = 1, 2


class BlockBooking:
    """Booking one block."""

    def __init__(
        self, books: "Books", findings: Findings, shard: ShardBooks, node: Name, block: Block, execution: Execution
    ) -> None:
        self._desk = Desk(books, findings, shard, node, block, execution)
        self._all = books
        self._books = shard
        runs = RunBooking(self._desk, len(books.shards))
        self._messages = MessageBooking(self._desk, runs)
        self._local = LocalBooking(self._desk, runs, self._messages)
        self._transactions = TransactionBooking(self._desk, runs, self._messages)

    def run(self) -> None:
        """Book everything in order against the receipts, then compare totals."""
        self._local.run()
        for item in self._desk.block.items:
            if item[0] == _TRANSACTION:
                self._transactions.book(item[1:])
            elif item[0] == _BUNDLE:
                self._bundle(msgpack.unpackb(item[1:]))
        self._desk.close()
        self._totals()

    def _bundle(self, bundle: Fields) -> None:
        desk, books = self._desk, self._books
        source, destination = bundle[1][:2]
        first, bodies = bundle[3], cast("Sequence[bytes]", bundle[5])
        stream = self._all.streams[source, books.shard]
        desk.check(destination == books.shard, "X2", "a bundle for another shard is executed")
        desk.check(first <= stream.consumed, "X1", f"a bundle begins at {first}, {stream.consumed} are consumed")
        if desk.next_receipt(FREEZE_RECEIPT) is not None:
            desk.fail("A1", f"freezes the lane with shard {source}, whose validators contradicted nothing")
            return
        for sequence in range(stream.consumed, first + len(bodies)):
            body = bodies[sequence - first]
            emitted = stream.bodies[sequence] if sequence < len(stream.bodies) else None
            if body != emitted:
                desk.fail("X2", f"message {sequence} of shard {source} was never sent like this")
                return
            stream.consumed += 1
            stream.value_received += value_of(body)
            books.received += value_of(body)
            message = msgpack.unpackb(body)
            if message[0] == CALL:
                desk.count("calls")
                self._messages.consume_call(source, sequence, message)
            else:
                desk.count("replies")
                self._messages.consume_reply(source, sequence, message)

    def _totals(self) -> None:
        """Compare the commitment's counters and the certified heads with the books."""
        desk, books, supply = self._desk, self._books, self._desk.execution.commitment.supply
        balances = sum(books.balances.values()) + sum(contract.balance for contract in books.contracts.values())
        booked = {
            "genesis": books.genesis,
            "balances": balances,
            "bonds": books.bonds,
            "held_fees": books.held,
            "escrow": books.escrow(),
            "burnt": 0,
            "sent": books.sent,
            "received": books.received,
        }
        for name, amount in booked.items():
            found = number(getattr(supply, name))
            desk.check(found == amount, "V1", f"the commitment counts {found} as {name}, booked are {amount}")
        here = balances + books.bonds + books.held + books.escrow()
        desk.check(here + books.sent == books.genesis + books.received, "V1", "the supply identity does not hold")
        for head in desk.execution.heads:
            if head.destination == books.shard:
                continue
            out = self._all.streams[books.shard, head.destination]
            back = self._all.streams[head.destination, books.shard]
            claimed = (head.end, head.ack_next, number(head.value_sent), number(head.value_received))
            right = (len(out.bodies), back.consumed, out.value_sent, back.value_received)
            desk.check(
                claimed == right, "X1", f"the head towards {head.destination} says {claimed}, booked are {right}"
            )
            early = head.begin > out.consumed
            desk.check(not early, "X1", f"{head.begin} messages are called settled, {out.consumed} were consumed")
            desk.check(back.value_received <= back.value_sent, "V1", "more value arrived than was ever sent")
