"""S2, V1, X1 to X4: a second set of books, kept from the bytes of finalized blocks and shared with nobody.

It shares no arithmetic with the ledger: bytes are read with the `msgpack` library, the rules of money are written
down again here, and every height is booked once, by whichever honest validator executes it first; the others are
compared with that. What the books say must then be what commitments, receipts, messages and the flat state say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

import msgpack

from consensus.block import Block
from shards.commitments import Commitment
from shards.genesis import ChainContext
from shards.outcome import Execution
from testnet.simulator.faults import Name, place_of
from testnet.simulator.findings import Findings

_TRANSACTION, _BUNDLE = 1, 2
_CALL, _REPLY = 1, 2
_LOCAL = 1
_OK, _EXPIRED = 0, 2
_ACCOUNT_NAMESPACE, _LANE_NAMESPACE, _OPEN_CALL_NAMESPACE = 2, 3, 5

# What things cost, written down a second time (base units).
_BASE, _PER_OPERATION, _PER_SEND, _THERE, _BACK = 500, 100, 200, 300, 200

Fields = list[Any]
"""A decoded MessagePack array: what it holds is checked by use."""


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


@dataclass(slots=True)
class _Stream:
    """Messages from one shard to another: all bodies ever sent, and how many were consumed."""

    bodies: list[bytes] = field(default_factory=list)
    consumed: int = 0
    value_sent: int = 0
    value_received: int = 0


@dataclass(slots=True)
class OpenCall:
    """A call that was sent: by whom, from which height, and how often it was answered."""

    shard: int
    sender: bytes
    value: int
    height: int
    trace_id: bytes
    replies_sent: int = 0
    settled_height: int = 0


@dataclass(slots=True)
class ShardBooks:
    """What one shard should hold after `height`."""

    shard: int
    balances: dict[bytes, int]
    genesis: int
    bonds: int
    nonces: dict[bytes, int] = field(default_factory=dict)
    held: int = 0
    sent: int = 0
    received: int = 0
    height: int = 0
    time_ms: int = 0
    results: list[tuple[Commitment, tuple[bytes, ...]]] = field(default_factory=list)
    """The commitment to each height, from 1, with its receipts."""
    places: dict[bytes, int] = field(default_factory=dict)
    """Transaction id -> height."""


class Books:
    """The books of all shards."""

    def __init__(self, context: ChainContext, findings: Findings) -> None:
        self._findings = findings
        self.shards = [_opening(context, shard) for shard in range(context.shard_count)]
        self.streams = {
            (source, destination): _Stream()
            for source in range(context.shard_count)
            for destination in range(context.shard_count)
            if source != destination
        }
        self.calls: dict[bytes, OpenCall] = {}
        self.outcomes = {"included": 0, "failed": 0, "calls": 0, "expired": 0, "replies": 0}

    def book(self, node: Name, block: Block, execution: Execution) -> bool:
        """Book one executed block, or compare it with what was booked; True when it was new."""
        books = self.shards[place_of(node)[0]]
        height = block.header.height
        result = (execution.commitment, execution.receipts)
        if height <= books.height:
            first = books.results[height - 1]
            same_block = first[0].block_id == execution.commitment.block_id
            self._findings.check(same_block, "S1", node, height, "executes another block than others did")
            self._findings.check(
                first == result, "S2", node, height, "another result than others had for the same block"
            )
            return False
        if height != books.height + 1:
            self._findings.add("S1", node, height, f"executes a height after {books.height}, with a gap")
            return False
        _Booking(self, books, node, block, execution).run()
        books.height, books.time_ms = height, block.header.time_ms
        books.results.append(result)
        return True

    def compare_state(self, node: Name, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Compare a validator's whole flat state with the books: balances, nonces and open calls, one by one."""
        books = self.shards[place_of(node)[0]]
        balances: dict[bytes, int] = {}
        open_calls: set[bytes] = set()
        for key, value in entries:
            namespace, rest = key[0], key[3:]
            if namespace == _ACCOUNT_NAMESPACE:
                fields = msgpack.unpackb(value)
                balances[rest] = _number(fields[0])
                self._check(fields[1] == books.nonces.get(rest, 0), "X3", node, books, "a nonce is not the booked one")
            elif namespace == _OPEN_CALL_NAMESPACE:
                open_calls.add(rest)
            elif namespace == _LANE_NAMESPACE:
                self._compare_lane(node, books, _number(rest), msgpack.unpackb(value))
        booked = {account: balance for account, balance in books.balances.items() if balance}
        found = {account: balance for account, balance in balances.items() if balance}
        wrong = sum(booked.get(account) != found.get(account) for account in booked.keys() | found.keys())
        self._check(not wrong, "V1", node, books, f"{wrong} balances are not the booked ones")
        expected = {name for name, call in self.calls.items() if call.shard == books.shard and not call.settled_height}
        self._check(open_calls == expected, "X4", node, books, "the open calls are not the booked ones")

    def _compare_lane(self, node: Name, books: ShardBooks, peer: int, lane: Fields) -> None:
        """Compare a lane's window with the messages that are in it."""
        begin, end, _, requests = lane[:4]
        stream = self.streams[books.shard, peer]
        waiting = sum(msgpack.unpackb(body)[0] == _CALL for body in stream.bodies[begin:end])
        self._check(begin <= stream.consumed, "X4", node, books, f"shard {peer} acknowledged what it has not consumed")
        self._check(requests == waiting, "X4", node, books, f"{requests} requests in a window that holds {waiting}")

    def conservation(self) -> str:
        """Why money is missing or too much over all shards, or nothing. In-flight value is counted from bodies."""
        there = sum(sum(books.balances.values()) + books.held + books.bonds for books in self.shards)
        flying = sum(
            sum(value_of(body) for body in stream.bodies[stream.consumed :]) for stream in self.streams.values()
        )
        genesis = sum(books.genesis for books in self.shards)
        return "" if there + flying == genesis else f"{there} here and {flying} in flight of {genesis}"

    def unsettled(self) -> list[bytes]:
        """Calls that no reply has settled."""
        return [name for name, call in self.calls.items() if not call.settled_height]

    def _check(self, condition: bool, invariant: str, node: Name, books: ShardBooks, detail: str) -> None:  # noqa: FBT001 - reads like assert
        self._findings.check(condition, invariant, node, books.height, detail)


def _opening(context: ChainContext, shard: int) -> ShardBooks:
    genesis = context.genesis.shards[shard]
    balances = {bytes(each.account): _number(each.amount) for each in genesis.allocations}
    bonds = sum(_number(each.bond) for each in genesis.validators.validators)
    return ShardBooks(shard, balances, genesis=sum(balances.values()) + bonds, bonds=bonds)


def value_of(body: bytes) -> int:
    """Base units that a message carries: a call's value and gas, or what a reply returns."""
    fields = msgpack.unpackb(body)
    return _number(fields[9]) + fields[10] if fields[0] == _CALL else _number(fields[7])


class _Booking:
    """Booking one block."""

    def __init__(self, all_books: Books, books: ShardBooks, node: Name, block: Block, execution: Execution) -> None:
        self._all = all_books
        self._books = books
        self._node = node
        self._block = block
        self._execution = execution
        self._height = block.header.height
        self._time_ms = block.header.time_ms

    def run(self) -> None:
        """Book the items in order against the receipts, then compare totals."""
        receipts = iter([msgpack.unpackb(raw) for raw in self._execution.receipts])
        sent = self._take_sent()
        for item in self._block.items:
            if item[0] == _TRANSACTION:
                self._transaction(item[1:], next(receipts, None), sent)
            elif item[0] == _BUNDLE:
                self._bundle(msgpack.unpackb(item[1:]), receipts, sent)
        self._check(next(receipts, None) is None, "S2", "there are more receipts than the block accounts for")
        self._check(not any(sent.values()), "X2", "a message was sent that nothing in the block accounts for")
        self._totals()

    def _check(self, condition: bool, invariant: str, detail: str) -> None:  # noqa: FBT001 - reads like assert
        self._all._findings.check(condition, invariant, self._node, self._height, detail)  # noqa: SLF001 - one module

    def _fail(self, invariant: str, detail: str) -> None:
        self._check(condition=False, invariant=invariant, detail=detail)

    def _take_sent(self) -> dict[int, list[bytes]]:
        """Append what was sent to the streams, checking that each goes on where it ended."""
        sent: dict[int, list[bytes]] = {}
        for message in self._execution.sent:
            stream = self._all.streams[self._books.shard, message.destination]
            self._check(message.sequence == len(stream.bodies), "X1", "a sent message leaves a gap in its stream")
            stream.bodies.append(message.body)
            stream.value_sent += value_of(message.body)
            self._books.sent += value_of(message.body)
            sent.setdefault(message.destination, []).append(message.body)
        for bodies in sent.values():
            bodies.reverse()
        return sent

    def _pay(self, account: bytes, amount: int) -> None:
        balance = self._books.balances.get(account, 0) + amount
        self._check(balance >= 0, "V1", "an account pays more than it has")
        self._books.balances[account] = balance

    def _transaction(self, raw: bytes, receipt: Fields | None, sent: dict[int, list[bytes]]) -> None:
        name = sha256(b"ostraka/transaction/v1\0" + raw).digest()
        _, _, shard, sender, nonce, valid_until_ms, _, operations, _ = cast("Fields", msgpack.unpackb(raw[64:]))
        books = self._books
        self._check(shard == books.shard, "X3", "includes a transaction of another shard")
        self._check(nonce == books.nonces.get(sender, 0), "X3", f"includes nonce {nonce} out of order")
        self._check(self._time_ms <= valid_until_ms, "X3", "includes a transaction that is no longer valid")
        self._check(name not in books.places, "X1", "includes a transaction twice")
        books.nonces[sender] = nonce + 1
        books.places[name] = self._height
        self._all.outcomes["included"] += 1
        if receipt is None or receipt[0] != _TRANSACTION or receipt[1] != name:
            self._fail("S2", "an included transaction has no receipt in its place")
            return
        remote = [operation for operation in operations if operation[0] != _LOCAL]
        at_home = _BASE + _PER_OPERATION * len(operations) + _PER_SEND * len(remote)
        fee = at_home + (_THERE + _BACK) * len(remote)
        total = sum(_number(operation[-1 if operation[0] == _LOCAL else 3]) for operation in operations)
        balance = books.balances.get(sender, 0)
        if receipt[2]:
            self._all.outcomes["failed"] += 1
            self._check(receipt[2] != "overdraft" or total + fee > balance, "V1", "fails for an overdraft that is none")
            fee = min(at_home, balance)
            books.held += fee
        else:
            books.held += at_home + _BACK * len(remote)
        self._check(_number(receipt[4]) == fee, "V1", f"charges {_number(receipt[4])} for what costs {fee}")
        # Fee and operations in order, so that a sender who pays itself is booked as the ledger does it.
        self._pay(sender, -(min(at_home, balance) if receipt[2] else fee))
        if not receipt[2]:
            self._operations(name, sender, operations, sent)

    def _operations(self, name: bytes, sender: bytes, operations: list[Fields], sent: dict[int, list[bytes]]) -> None:
        for operation in operations:
            if operation[0] == _LOCAL:
                self._pay(sender, -_number(operation[2]))
                self._pay(operation[1], _number(operation[2]))
                continue
            _, destination, target, value, deadline_ms = operation
            self._pay(sender, -_number(value))
            call = self._next_sent(destination, sent)
            expected = [_CALL, name, b"", 0, sender, target, "", b"", value, _THERE, _BACK, deadline_ms]
            if call is None or [call[0], *call[2:]] != expected:
                self._fail("X2", "a remote transfer sent another message than it should")
                continue
            self._check(call[1] not in self._all.calls, "X4", "a call id is used twice")
            self._all.calls[call[1]] = OpenCall(self._books.shard, sender, _number(value), self._height, name)

    def _next_sent(self, destination: int, sent: dict[int, list[bytes]]) -> Fields | None:
        bodies = sent.get(destination)
        return msgpack.unpackb(bodies.pop()) if bodies else None

    def _bundle(self, bundle: Fields, receipts: Iterable[Fields], sent: dict[int, list[bytes]]) -> None:
        source, destination = bundle[1][:2]
        first, bodies = bundle[3], cast("Sequence[bytes]", bundle[5])
        stream = self._all.streams[source, self._books.shard]
        self._check(destination == self._books.shard, "X2", "a bundle for another shard is executed")
        self._check(first <= stream.consumed, "X1", f"a bundle begins at {first}, {stream.consumed} are consumed")
        for sequence in range(stream.consumed, first + len(bodies)):
            body = bodies[sequence - first]
            emitted = stream.bodies[sequence] if sequence < len(stream.bodies) else None
            if body != emitted:
                self._fail("X2", f"message {sequence} of shard {source} was never sent like this")
                return
            stream.consumed += 1
            stream.value_received += value_of(body)
            self._books.received += value_of(body)
            message = msgpack.unpackb(body)
            receipt = next(iter(receipts), None)
            if receipt is None or list(receipt[1:3]) != [source, sequence] or receipt[4] != message[1]:
                self._fail("X1", f"message {sequence} of {source} has no receipt in its place")
            elif message[0] == _CALL:
                self._consume_call(source, message, receipt, sent)
            else:
                self._consume_reply(message)

    def _consume_call(self, source: int, call: Fields, receipt: Fields, sent: dict[int, list[bytes]]) -> None:
        call_id, target, value, deadline_ms = call[1], call[6], _number(call[9]), call[12]
        expired = self._time_ms > deadline_ms
        outcome = _EXPIRED if expired else _OK
        self._all.outcomes["calls"] += 1
        self._all.outcomes["expired"] += expired
        self._books.held += _THERE
        if not expired:
            self._pay(target, value)
        self._check(receipt[6] == outcome, "X4", f"a call ended with outcome {receipt[6]}, it should with {outcome}")
        reply = self._next_sent(source, sent)
        right = reply is not None and (reply[0], reply[1], reply[2]) == (_REPLY, call_id, outcome)
        self._check(right, "X4", "a consumed call was not answered with its reply")
        if reply is not None and right:
            self._check(_number(reply[7]) == (value if expired else 0), "V1", "a reply returns the wrong value")
        known = self._all.calls.get(call_id)
        if known is not None:
            known.replies_sent += 1
            self._check(known.replies_sent == 1, "X4", "a call is answered twice")

    def _consume_reply(self, reply: Fields) -> None:
        call = self._all.calls.get(reply[1])
        if call is None or call.shard != self._books.shard:
            self._fail("X2", "a reply arrives for a call that this shard never made")
            return
        self._all.outcomes["replies"] += 1
        self._check(not call.settled_height, "X4", "a call is settled twice")
        self._check(
            _number(reply[7]) == (call.value if reply[2] else 0), "V1", "a settled call returns the wrong value"
        )
        call.settled_height = self._height
        self._pay(call.sender, _number(reply[7]))

    def _totals(self) -> None:
        """Compare the commitment's counters and the certified heads with the books."""
        books, supply = self._books, self._execution.commitment.supply
        booked = {
            "genesis": books.genesis,
            "balances": sum(books.balances.values()),
            "bonds": books.bonds,
            "held_fees": books.held,
            "escrow": 0,
            "burnt": 0,
            "sent": books.sent,
            "received": books.received,
        }
        for name, amount in booked.items():
            found = _number(getattr(supply, name))
            self._check(found == amount, "V1", f"the commitment counts {found} as {name}, booked are {amount}")
        here = booked["balances"] + booked["bonds"] + booked["held_fees"]
        self._check(here + books.sent == books.genesis + books.received, "V1", "the supply identity does not hold")
        for head in self._execution.heads:
            if head.destination == books.shard:
                continue
            out = self._all.streams[books.shard, head.destination]
            back = self._all.streams[head.destination, books.shard]
            claimed = (head.end, head.ack_next, _number(head.value_sent), _number(head.value_received))
            right = (len(out.bodies), back.consumed, out.value_sent, back.value_received)
            self._check(
                claimed == right, "X1", f"the head towards {head.destination} says {claimed}, booked are {right}"
            )
            self._check(back.value_received <= back.value_sent, "V1", "more value arrived than was ever sent")
