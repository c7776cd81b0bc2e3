"""One run of a contract's call: its receipt and its note against what the call has in hand and has heard."""

from typing import NamedTuple

from contracts.gas import RESTART_GAS, START_GAS
from contracts.outcomes import Invocation, Reply
from primitives.addresses import parse_address
from testnet.simulator.books.desk import Desk
from testnet.simulator.books.records import CALL, REPLY, RUN_RECEIPT, STARVED, Fields, Heard, OpenCall, Running, number

BY_TRANSACTION, BY_MESSAGE, BY_REPLY, BY_PATIENCE, BY_GAS, BY_STARVING, BY_DEPLOYING, BY_UPGRADING = range(8)
"""Causes of runs."""
COMPLETED, SUSPENDED, FAILED, HUNGRY = range(4)
"""How a call stands after a run."""
OK, FAILURE, _, REFUSED, LANE_FULL, UNDER_WAY = range(6)
"""Outcomes of calls."""

START, LIMIT = START_GAS + RESTART_GAS, 1_500_000
"""Gas that a run needs to begin, which is the machine's to say, and the most that it may be given."""
_RESUME, _CONSUME = 20_000, 200
_TOP_UP_MS = 600_000
_DEPTH, _OPEN_CALLS, _WINDOW = 16, 1_024, 4_096
_NEVER_BEGAN = {"no_contract", "no_method", "bad_arguments", "not_callable"}
_MAX_NAME = 64


class Ended(NamedTuple):
    """What a run led to: how the call stands, and what the receipt says."""

    stands: int
    kind: str
    gas_used: int
    gas_left: int

    @property
    def outcome(self) -> int:
        """Of the call, for its caller."""
        if self.stands in {SUSPENDED, HUNGRY}:
            return UNDER_WAY
        if not self.kind:
            return OK
        return REFUSED if self.kind in _NEVER_BEGAN else FAILURE


class RunBooking:
    """Books runs."""

    def __init__(self, desk: Desk, shard_count: int) -> None:
        self._desk = desk
        self._books = desk.books
        self._shard_count = shard_count

    def is_next(self, call_id: bytes, call: Running, cause: int) -> bool:
        """Whether the next receipt is of a run of this call, for this cause, that has heard all there is so far."""
        receipts = self._desk.receipts
        if not self._desk.runs_next(call_id) or receipts[0][11] != cause:
            return False
        if _ran(receipts[0]) and self._desk.notes:
            return len(_heard(self._desk.notes[0].record)) == len(call.arrivals)
        return True

    def run(
        self, call_id: bytes, call: Running, cause: int, reserved: int = LIMIT, *, at_once: bool = False
    ) -> Ended | None:
        """Book the run whose receipt is next, with at most the gas that the block has reserved for it.

        `at_once`: it may not suspend, and does nothing when it fails.
        """
        desk, first = self._desk, call.runs == 0
        receipt = desk.next_receipt(RUN_RECEIPT)
        if receipt is None:
            desk.fail("X4", f"{call.contract}.{call.method} was to run and did not")
            return None
        expected = [
            call_id, call.trace_id, call.parent, call.depth, call.contract, call.code_hash, call.method, call.sender
        ]  # fmt: skip
        desk.check(receipt[1:9] == expected, "X4", f"a run is not that of {call.contract}.{call.method}")
        desk.check(number(receipt[9]) == (call.value if first else 0), "V1", "a run has another value than came")
        desk.check(receipt[10:12] == [call.runs, cause], "X4", "a run is counted wrongly, or has another cause")
        ended = Ended(stands=receipt[12], kind=receipt[15], gas_used=receipt[13], gas_left=receipt[14])
        desk.count("runs")
        sent = sum(made[6] for made in receipt[22])
        limit = min(reserved, call.gas_left, LIMIT)
        given = (limit, min(call.gas_left, LIMIT) - limit)
        left = call.gas_left - ended.gas_used - sent
        desk.check(ended.gas_left == left >= 0, "V1", f"{ended.gas_left} gas is left of a call that has {left}")
        self._books.held += ended.gas_used
        call.gas_left, call.gas_used = left, call.gas_used + ended.gas_used
        committed = ended.stands in {COMPLETED, SUSPENDED}
        if _ran(receipt):
            committed |= self._note(call_id, call, ended.stands, given)
        call.runs += 1
        call.waits = None
        in_hand = call.value if first and ((at_once and ended.stands == FAILED) or not committed) else 0
        if at_once and ended.stands == FAILED:
            desk.check(receipt[21:24] == [[], [], []], "V1", "an entry point failed and did something all the same")
        elif at_once:
            self._books.contracts[call.contract].balance += call.value
        else:
            self._effects(call_id, call, receipt, ended, in_hand)
        self._stand(call_id, call, receipt, ended, in_hand)
        return ended

    def _note(self, call_id: bytes, call: Running, stands: int, gas: tuple[int, int]) -> bool:
        """Check what the run was given and heard; whether the call has committed anything by now."""
        desk = self._desk
        if not desk.notes:
            desk.fail("S2", "a run has no note")
            return True
        note = desk.notes.popleft()
        record = note.record
        given = (
            note.run, record.contract, record.shard, record.method, record.arguments, record.sender,
            number(record.value), record.trace_id, record.call_id, record.code_hash, record.height, record.time_ms,
            record.gas, record.purse,
        )  # fmt: skip
        right = (
            call.runs, call.contract, self._books.shard, call.method, call.arguments, call.sender,
            call.value, call.trace_id, call_id, call.code_hash, desk.height, desk.time_ms,
            *gas,
        )  # fmt: skip
        desk.check(given == right, "X4", f"a run of {call.contract}.{call.method} was given {given}, not {right}")
        desk.check(
            _heard(record) == call.arrivals, "X4", f"a call heard {_heard(record)}, answered was {call.arrivals}"
        )
        stretches = [(_replies(each.replies), each.answers) for each in record.journal]
        before = len(call.stretches)
        desk.check(stretches[:before] == call.stretches, "X4", "a call does not remember what it did")
        if stands == SUSPENDED:
            stretches.append((_replies(record.replies), record.recorded or ()))
        if stands != HUNGRY or len(stretches) > before:
            call.delivered = len(call.arrivals)
        call.stretches = stretches
        return bool(stretches)

    def _effects(self, call_id: bytes, call: Running, receipt: Fields, ended: Ended, in_hand: int) -> None:
        """Book the money that a run moved, and the calls that it made."""
        contract = self._books.contracts[call.contract]
        if call.runs == 1:
            contract.balance += call.value - in_hand
        for to, amount in receipt[23]:
            contract.balance -= number(amount)
            self._desk.pay(parse_address(to), number(amount))
        waits = ended.stands in {SUSPENDED, HUNGRY}
        resume_gas = min(call.gas_left, _RESUME + 2 * call.gas_used, LIMIT) if waits else 0
        for made in receipt[22]:
            self._made(call_id, call, made, resume_gas)
        self._desk.check(contract.balance >= 0, "V1", "a contract spends more than it has")

    def _made(self, call_id: bytes, call: Running, made: Fields, resume_gas: int) -> None:
        ordinal, name, shard, target, method, value, gas, sent = made
        desk, contract = self._desk, self._books.contracts[call.contract]
        refused = shard >= self._shard_count or call.depth >= _DEPTH
        destination = self._books.shard if sent is None else shard
        body = desk.next_sent(destination)
        desk.check(ordinal == call.made, "X4", "a call's calls are not numbered as they are made")
        desk.check(name not in desk.all.calls, "X4", "a call id is used twice")
        call.made += 1
        principal = f"{target}@{shard}".encode() if method else parse_address(target)
        if body is None:
            desk.fail("X2", "a run made a call that was neither sent nor answered")
        elif sent is None:
            back = body[0] == REPLY and [body[1], number(body[7]), body[8]] == [name, number(value) + gas, 0]
            desk.check(back, "V1", "a call that was not sent does not bring everything back")
            full = self._is_full(call.contract, shard)
            right = body[2] == REFUSED if refused else body[2] == LANE_FULL and full
            desk.check(right, "X4", f"a call was not sent, with outcome {body[2]}")
        else:
            sender = f"{call.contract}@{self._books.shard}".encode()
            expected = [CALL, name, call.trace_id, call_id, call.depth + 1, sender, principal, method]
            right = body[:8] == expected and body[9:12] == [value, gas, _CONSUME + resume_gas] and not refused
            desk.check(
                right,
                "X2",
                f"a run sent {body[:8]} {body[9:12]}, it should {expected} {[value, gas, _CONSUME + resume_gas]}",
            )
        contract.balance -= number(value)
        contract.open_calls += 1
        patience_ms = desk.patience.pop(name, 0)
        if patience_ms:
            self._books.timers.add((patience_ms, 1, name))
        desk.all.calls[name] = OpenCall(
            self._books.shard, call.contract.encode(), number(value), desk.height, call.trace_id, destination, gas,
            call_id, ordinal, resume_gas, patience_ms,
        )  # fmt: skip

    def _is_full(self, contract: str, shard: int) -> bool:
        """Whether there may be no room for another call: a bound that is exact enough to see a wrong `lane_full`."""
        waiting = sum(
            call.shard == self._books.shard and call.destination == shard and not call.settled_height
            for call in self._desk.all.calls.values()
        )
        open_calls = self._books.contracts[contract].open_calls
        return open_calls >= _OPEN_CALLS or waiting >= _WINDOW or len(self._books.queue) >= _WINDOW

    def _stand(self, call_id: bytes, call: Running, receipt: Fields, ended: Ended, in_hand: int) -> None:
        """Keep the call, or end it."""
        books, desk = self._books, self._desk
        books.timers.discard((call.starved_until_ms, STARVED, call_id))
        call.starved_until_ms = 0
        if ended.stands == SUSPENDED:
            books.running[call_id] = call
            return
        if ended.stands == HUNGRY:
            desk.count("gone hungry")
            call.starved_until_ms = desk.time_ms + _TOP_UP_MS
            books.timers.add((call.starved_until_ms, STARVED, call_id))
            books.running[call_id] = call
            if call.gas_left >= START:
                desk.enqueue(b"", call_id)
            return
        failed = ended.stands == FAILED
        desk.count("failed runs" if failed else "completed runs")
        desk.check(bool(ended.kind) == failed, "X4", "a call failed for no reason, or completed with one")
        desk.check(
            number(receipt[20]) == in_hand, "V1", f"{number(receipt[20])} comes back of {in_hand} never credited"
        )
        books.running.pop(call_id, None)
        returned = in_hand + call.gas_left
        if call.payer:
            desk.pay(call.payer, returned)
            return
        reply = desk.next_sent(call.reply_to)
        expected = [
            REPLY, call_id, ended.outcome, receipt[19], (receipt[16] or receipt[15])[:_MAX_NAME], returned,
            max(0, call.gas - call.gas_left), call.reply_gas,
        ]  # fmt: skip
        right = reply is not None and [*reply[:5], number(reply[7]), *reply[8:]] == expected
        desk.check(right, "X4", "a call that ended was not answered with its reply")
        told = reply is None or reply[5:7] == receipt[17:19]
        desk.check(told, "X4", "a caller is told another reason than the receipt has")
        known = desk.all.calls.get(call_id)
        if known is not None:
            known.replies_sent += 1
            desk.check(known.replies_sent == 1, "X4", "a call is answered twice")


def _ran(receipt: Fields) -> bool:
    """Whether the machine ran: it did not where there was not even the gas to begin, or nobody fed the call in time."""
    return receipt[11] != BY_STARVING and not (receipt[12] == HUNGRY and receipt[13] == 0)


def _replies(replies: tuple[Reply, ...]) -> tuple[Heard, ...]:
    return tuple(
        (each.number, each.kind, each.result, each.error, each.message, each.traceback, number(each.returned))
        for each in replies
    )


def _heard(record: Invocation) -> list[Heard]:
    """All that a call has heard when a run ends, in order."""
    heard = [each.replies for each in record.journal]
    return [each for replies in (*heard, record.replies) for each in _replies(replies)]
