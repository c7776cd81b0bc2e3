"""A validator's flat state, compared with the books."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgpack

from testnet.simulator.books.records import CALL, ShardBooks, Timer, number
from testnet.simulator.faults import Name
from testnet.simulator.findings import Findings

if TYPE_CHECKING:
    from testnet.simulator.books.books import Books

_ACCOUNT, _LANE, _OPEN_CALL, _CODE, _CONTRACT, _CALL, _REPLY, _TIMER, _QUEUE = 2, 3, 5, 7, 8, 10, 11, 12, 13
"""Namespaces of the flat state: the first byte of a key."""


class StateComparison:
    """One comparison."""

    def __init__(self, books: "Books", findings: Findings, node: Name, shard: ShardBooks) -> None:
        self._all = books
        self._findings = findings
        self._node = node
        self._books = shard
        self._balances: dict[bytes, int] = {}
        self._open_calls: set[bytes] = set()
        self._codes: set[bytes] = set()
        self._contracts: dict[str, tuple[bytes, bytes, int, int, int]] = {}
        self._running: dict[bytes, tuple[int, int, int]] = {}
        self._replies: set[bytes] = set()
        self._timers: set[Timer] = set()
        self._queue: dict[int, bytes] = {}
        self._ends = (0, 0)

    def run(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Read everything, then compare."""
        readers: dict[int, Callable[[bytes, bytes], None]] = {
            _ACCOUNT: self._account,
            _LANE: self._lane,
            _OPEN_CALL: lambda rest, _: self._open_calls.add(rest),
            _CODE: lambda rest, _: self._codes.add(rest),
            _CONTRACT: self._contract,
            _CALL: self._call,
            _REPLY: lambda rest, _: self._replies.add(rest),
            _TIMER: self._timer,
            _QUEUE: self._queued,
        }
        for key, value in entries:
            reader = readers.get(key[0])
            if reader is not None:
                reader(key[3:], value)
        self._compare()

    def _check(self, condition: bool, invariant: str, detail: str) -> None:  # noqa: FBT001 - reads like assert
        self._findings.check(condition, invariant, self._node, self._books.height, detail)

    def _account(self, rest: bytes, value: bytes) -> None:
        fields = msgpack.unpackb(value)
        self._balances[rest] = number(fields[0])
        self._check(fields[1] == self._books.nonces.get(rest, 0), "X3", "a nonce is not the booked one")

    def _lane(self, rest: bytes, value: bytes) -> None:
        """Compare a lane's window with the messages that are in it."""
        begin, end, _, requests = msgpack.unpackb(value)[:4]
        peer = number(rest)
        stream = self._all.streams[self._books.shard, peer]
        waiting = sum(msgpack.unpackb(body)[0] == CALL for body in stream.bodies[begin:end])
        self._check(begin <= stream.consumed, "X4", f"shard {peer} acknowledged what it has not consumed")
        self._check(requests == waiting, "X4", f"{requests} requests in a window that holds {waiting}")

    def _contract(self, rest: bytes, value: bytes) -> None:
        code_hash, owner, balance, open_calls, _, upgrades = msgpack.unpackb(value)
        self._contracts[rest.decode()] = (code_hash, owner, number(balance), open_calls, upgrades)

    def _call(self, rest: bytes, value: bytes) -> None:
        fields = msgpack.unpackb(value)
        self._running[rest] = (fields[14], len(fields[17]), fields[20])

    def _timer(self, rest: bytes, _value: bytes) -> None:
        self._timers.add((number(rest[:8]), rest[8], rest[9:]))

    def _queued(self, rest: bytes, value: bytes) -> None:
        if rest:
            self._queue[number(rest)] = value
        else:
            first, end = msgpack.unpackb(value)
            self._ends = (first, end)

    def _compare(self) -> None:
        books = self._books
        booked = {account: balance for account, balance in books.balances.items() if balance}
        found = {account: balance for account, balance in self._balances.items() if balance}
        wrong = sum(booked.get(account) != found.get(account) for account in booked.keys() | found.keys())
        self._check(not wrong, "V1", f"{wrong} balances are not the booked ones")
        calls = self._all.calls
        expected = {name for name, call in calls.items() if call.shard == books.shard and not call.settled_height}
        self._check(self._open_calls == expected, "X4", "the open calls are not the booked ones")
        contracts = {
            name: (each.code_hash, each.owner, each.balance, each.open_calls, each.upgrades)
            for name, each in books.contracts.items()
        }
        self._check(self._contracts == contracts, "V1", "a contract is not as it is booked")
        self._check(self._codes == books.codes, "V1", "the codes are not those that were deployed")
        running = {
            name: (call.gas_left, len(call.stretches), call.starved_until_ms) for name, call in books.running.items()
        }
        self._check(self._running == running, "X4", "the calls under way are not the booked ones")
        waiting = {
            name + heard[0].to_bytes(4, "big")
            for name, call in books.running.items()
            for heard in call.arrivals[call.delivered :]
        }
        self._check(self._replies == waiting, "X4", "the replies that wait are not the booked ones")
        self._check(self._timers == books.timers, "X4", "the timers are not the booked ones")
        ends = (books.queued - len(books.queue), books.queued)
        items = {ends[0] + place: item.body or b"\0" + item.resumes for place, item in enumerate(books.queue)}
        self._check((self._ends, self._queue) == (ends, items), "X1", "the queue is not the booked one")
