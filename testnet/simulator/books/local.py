"""What a block does before its items: what is due, then the shard's messages to itself, first in, first out."""

import msgpack

from testnet.simulator.books.desk import Desk
from testnet.simulator.books.messages import MessageBooking
from testnet.simulator.books.records import CALL, KINDS, PATIENCE, OpenCall, Queued
from testnet.simulator.books.runs import BY_STARVING, RunBooking

_BUDGET, _LEAST, _LEAST_REPLY = 200_000, 300, 200
_DUE = 1_024


class LocalBooking:
    """Books timers and the queue. What may be done in this block is worked out here, and must have been done."""

    def __init__(self, desk: Desk, runs: RunBooking, messages: MessageBooking) -> None:
        self._desk = desk
        self._books = desk.books
        self._runs = runs
        self._messages = messages
        self._left = _BUDGET
        self._held: int | None = None
        """Fees before the piece of work under way; they grow by what it uses."""

    def run(self) -> None:
        """Book it all."""
        due = sorted(timer for timer in self._books.timers if timer[0] <= self._desk.time_ms)[:_DUE]
        for timer in due:
            if not self._allows(self._timer_gas(*timer)):
                return
            self._books.timers.discard(timer)
            self._fire(*timer)
        queue = self._books.queue
        while queue and queue[0].height < self._desk.height:
            if not self._allows(self._item_gas(queue[0])):
                return
            self._execute(len(queue), queue.popleft())

    def _allows(self, gas: int) -> bool:
        if self._held is not None:
            self._left -= max(self._books.held - self._held, _LEAST_REPLY)
            if gas > self._left:
                return False
        self._held = self._books.held
        return True

    def _timer_gas(self, due_ms: int, kind: int, call_id: bytes) -> int:
        call = self._desk.all.calls.get(call_id)
        if kind != PATIENCE or call is None:
            return _LEAST
        told = self._desk.was_cleared((due_ms, kind, call_id)) and not self._desk.runs_next(call.parent)
        return _LEAST + self._resuming_gas(call, "unknown", only_told=told)

    def _resuming_gas(self, call: OpenCall, kind: str, *, only_told: bool) -> int:
        """What is reserved for the caller of an answered call: nothing if it hears of it and does not go on.

        `only_told` is what the block shows, where the books do not know.
        """
        caller = self._books.running.get(call.parent)
        if caller is None or call.given_up:
            return 0
        goes_on = caller.goes_on(call.ordinal, kind)
        return call.resume_gas if goes_on or (goes_on is None and not only_told) else 0

    def _fire(self, due_ms: int, kind: int, call_id: bytes) -> None:
        if kind == PATIENCE:
            call = self._desk.all.calls[call_id]
            self._desk.check(not call.settled_height, "X4", "patience runs out with a call that was answered")
            self._messages.give_up(call)
            return
        starved = self._books.running.get(call_id)
        if starved is not None and starved.starved_until_ms == due_ms:
            self._desk.count("starved")
            self._runs.run(call_id, starved, BY_STARVING)

    def _item_gas(self, item: Queued) -> int:
        if item.resumes:
            call = self._books.running.get(item.resumes)
            return _LEAST + (call.gas_left if call is not None else 0)
        message = msgpack.unpackb(item.body)
        if message[0] == CALL:
            return max(int(message[10]), _LEAST)
        answered = self._desk.all.calls[message[1]]
        told = self._desk.settles_next(message[1])
        return _LEAST_REPLY + self._resuming_gas(answered, KINDS[message[2]], only_told=told)

    def _execute(self, waiting: int, item: Queued) -> None:
        if item.resumes:
            call = self._books.running.get(item.resumes)
            if call is not None:
                self._messages.have_turn(item.resumes, call)
            return
        self._desk.count("same-shard messages")
        sequence, message = self._books.queued - waiting, msgpack.unpackb(item.body)
        if message[0] == CALL:
            self._messages.consume_call(self._books.shard, sequence, message)
        else:
            self._messages.consume_reply(self._books.shard, sequence, message)
