"""Messages that are consumed, from another shard or from the shard's own queue, and what waits for them."""

from primitives.addresses import format_address
from primitives.identifiers import PublicKey
from testnet.simulator.books.desk import Desk
from testnet.simulator.books.records import (
    CALL_RECEIPT,
    KINDS,
    PATIENCE,
    REPLY,
    REPLY_RECEIPT,
    Fields,
    Heard,
    OpenCall,
    Running,
    number,
)
from testnet.simulator.books.runs import (
    BY_GAS,
    BY_MESSAGE,
    BY_PATIENCE,
    BY_REPLY,
    LIMIT,
    OK,
    REFUSED,
    START,
    RunBooking,
)

_EXPIRED = 2
_KEY_BYTES = 32
"""A principal of this length is an account."""
_THERE = 300
"""Gas of consuming a message."""
_NONE = b"\xc0"
"""What a contract hears where there is no result: an encoded None."""
UNKNOWN_TEXT = "no reply came within the call's patience; it may still happen"


class MessageBooking:
    """Books what arrives."""

    def __init__(self, desk: Desk, runs: RunBooking) -> None:
        self._desk = desk
        self._books = desk.books
        self._runs = runs

    def consume_call(self, source: int, sequence: int, call: Fields) -> None:
        """Book a call that has its turn: it runs a contract, credits an account, or is refused."""
        desk, call_id, gas, value = self._desk, call[1], call[10], number(call[9])
        known = desk.all.calls.get(call_id)
        right = known is not None and (known.shard, known.destination) == (source, self._books.shard)
        desk.check(right, "X2", "a call arrives that was never sent to here")
        used = min(gas, _THERE)
        self._books.held += used
        outcome = self._refusal(call)
        if outcome == OK and call[7]:
            outcome, used = self._run(source, call, used)
        else:
            if outcome == OK:
                desk.pay(call[6], value)
            returned = gas - used + (0 if outcome == OK else value)
            reply = desk.next_sent(source)
            error = "" if outcome == OK else KINDS[outcome]
            expected = [REPLY, call_id, outcome, b"", error, returned, used, call[11]]
            answered = reply is not None and [*reply[:5], number(reply[7]), *reply[8:]] == expected
            desk.check(answered, "X4", "a consumed call was not answered with its reply, or with another value")
            if known is not None:
                known.replies_sent += 1
                desk.check(known.replies_sent == 1, "X4", "a call is answered twice")
        if outcome == _EXPIRED:
            desk.count("expired")
        receipt = desk.next_receipt(CALL_RECEIPT)
        if receipt is None or [*receipt[1:3], *receipt[4:6]] != [source, sequence, call_id, call[2]]:
            desk.fail("X1", f"message {sequence} of {source} has no receipt in its place")
        else:
            right = [receipt[6], receipt[8]] == [outcome, used]
            desk.check(right, "X4", f"a call ended with outcome {receipt[6]}, it should with {outcome}")

    def _refusal(self, call: Fields) -> int:
        """The outcome of a call that is not taken up, or OK."""
        target, method = call[6], call[7]
        if self._desk.time_ms > call[12]:
            return _EXPIRED
        if len(target) == _KEY_BYTES:
            return REFUSED if method else OK
        name, _, shard = target.decode().rpartition("@")
        there = int(shard) == self._books.shard and name in self._books.contracts
        callable_ = method and not method.startswith("_") and method not in {"init", "migrate"}
        return OK if there and callable_ else REFUSED

    def _run(self, source: int, call: Fields, used: int) -> tuple[int, int]:
        """Book the first run of a message's call; its outcome so far and the gas it took."""
        name = call[6].decode().rpartition("@")[0]
        running = Running(
            contract=name,
            code_hash=self._books.contracts[name].code_hash,
            method=call[7],
            arguments=call[8],
            sender=_principal(self._books.shard, source, call[5]),
            value=number(call[9]),
            trace_id=call[2],
            parent=call[3],
            depth=call[4],
            gas=call[10],
            gas_left=call[10] - used,
            reply_to=source,
            reply_gas=call[11],
        )
        ended = self._runs.run(call[1], running, BY_MESSAGE)
        return (OK, used) if ended is None else (ended.outcome, used + ended.gas_used)

    def consume_reply(self, source: int, sequence: int, reply: Fields) -> None:
        """Book a reply that has come home: the call is settled, and whoever waits for it hears of it."""
        desk = self._desk
        call = desk.all.calls.get(reply[1])
        if call is None or (call.shard, call.destination) != (self._books.shard, source):
            desk.fail("X2", "a reply arrives for a call that this shard never made")
            return
        desk.check(not call.settled_height, "X4", "a call is settled twice")
        call.settled_height = desk.height
        if call.parent:
            self._books.timers.discard((call.patience_ms, PATIENCE, reply[1]))
            self._settle(call, reply)
        else:
            desk.pay(call.sender, number(reply[7]))
        receipt = desk.next_receipt(REPLY_RECEIPT)
        right = [source, sequence, reply[1], call.trace_id, reply[2], reply[7]]
        if receipt is None or [*receipt[1:3], *receipt[4:7], receipt[8]] != right:
            desk.fail("X1", f"message {sequence} of {source} has no receipt in its place")

    def _settle(self, call: OpenCall, reply: Fields) -> None:
        value = number(reply[7])
        refund = min(value, max(call.gas - reply[8], 0))
        contract = self._books.contracts[call.sender.decode()]
        contract.open_calls -= 1
        contract.balance += value - refund
        caller = self._books.running.get(call.parent)
        if caller is None:
            contract.balance += refund
            return
        caller.gas_left += refund
        if call.given_up:
            self._feed(call.parent, caller)
        else:
            kind, raised = KINDS[reply[2]], reply[4]
            error = "" if raised == kind else raised
            heard = (call.ordinal, kind, reply[3] or _NONE, error, *reply[5:7], value - refund)
            self._deliver(call, caller, heard, BY_REPLY)

    def give_up(self, call: OpenCall) -> None:
        """Book that a caller's patience with a call is over."""
        self._desk.count("impatient")
        call.given_up = True
        caller = self._books.running.get(call.parent)
        if caller is not None:
            self._deliver(call, caller, (call.ordinal, "unknown", b"", "", UNKNOWN_TEXT, "", 0), BY_PATIENCE)

    def _deliver(self, call: OpenCall, caller: Running, heard: Heard, cause: int) -> None:
        """Add to what a call has heard, and have it run if that lets it go on."""
        goes_on = caller.goes_on(heard[0], heard[1])
        caller.arrivals.append(heard)
        if caller.starved_until_ms:
            self._resume(call.parent, caller, cause, call.resume_gas)
        elif goes_on or (goes_on is None and self._runs.is_next(call.parent, caller, cause)):
            self._runs.run(call.parent, caller, cause, call.resume_gas)

    def _feed(self, call_id: bytes, call: Running) -> None:
        if call.starved_until_ms and call.gas_left >= START:
            self._desk.enqueue(b"", call_id)

    def top_up(self, call_id: bytes, gas: int) -> bool:
        """Book more gas for a call; False when there is none of this id."""
        call = self._books.running.get(call_id)
        if call is None:
            return False
        call.gas_left += gas
        self._desk.count("fed")
        self._feed(call_id, call)
        return True

    def have_turn(self, call_id: bytes, call: Running) -> None:
        """Book the turn of a starved call in the queue."""
        if call.starved_until_ms:
            self._resume(call_id, call, BY_GAS, call.gas_left)

    def _resume(self, call_id: bytes, call: Running, cause: int, gas: int) -> None:
        if min(gas, call.gas_left, LIMIT) >= START:
            self._runs.run(call_id, call, cause, gas)
            return
        self._feed(call_id, call)
        self._desk.check(not self._desk.runs_next(call_id), "X4", "a call runs without the gas to begin")


def _principal(shard: int, source: int, principal: bytes) -> str:
    """A sender as its callee sees it."""
    if len(principal) != _KEY_BYTES:
        return principal.decode()
    address = format_address(PublicKey(principal))
    return address if source == shard else f"{address}@{source}"
