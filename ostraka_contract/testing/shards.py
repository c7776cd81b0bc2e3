"""Shards in memory, and the calls between the contracts on them."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import CoroutineType, ModuleType, TracebackType
from typing import Any

from contracts.limits import MAX_ERROR_LENGTH, MAX_TRACEBACK_LENGTH
from contracts.operations import REPLY_OK, REPLY_UNKNOWN
from contracts.outcomes import Effects, Invocation, OutgoingCall, Reply, is_contract_name, is_worth_resuming
from contracts.session import Session
from contracts.tracebacks import format_traceback
from contracts.values import Data, Value, decode, encode, read
from ostraka_contract.api import run_as
from ostraka_contract.replaying import Unlimited
from ostraka_contract.scheduler import Block, Execution, Message, Task
from ostraka_contract.testing.parts import Account, Code, Contract, Lanes, Open, Ticket
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.identifiers import CallId, Hash, Height, Milliseconds, ShardId, TransactionId

START_MS = 1_700_000_000_000
"""Block time of the first block; any number would do."""

BLOCK_MS = 200
"""Block time that passes with each delivery."""

MAX_DELIVERIES = 10_000
"""After so many, contracts call each other for ever."""

RESERVED_METHODS = ("init", "migrate")
"""Run by deploying and upgrading, and by nothing else."""


class Shards:
    """Shards in memory. `choose(n)` picks which of n lanes delivers next; by default the one that has waited longest.

    A lane leads from one shard to another and keeps its order.
    """

    def __init__(self, choose: Callable[[int], int] = lambda _count: 0) -> None:
        self.events: list[tuple[str, str, Any]] = []
        """(contract, name, data), in order."""
        self._lanes = Lanes(choose)
        self.halted = self._lanes.halted
        """Shards that consume nothing just now."""
        self._contracts: dict[tuple[int, str], Account] = {}
        self._paid: dict[tuple[str, int], int] = {}
        self._patience: list[tuple[int, Open, int]] = []
        self._height = 1
        self._time_ms = START_MS
        self._count = 0

    def deploy(
        self,
        source: str | Path | ModuleType,
        *,
        shard: int = 0,
        name: str = "",
        args: tuple[Data, ...] = (),
        sender: str = "alice",
        value: int = 0,
    ) -> Contract:
        """Deploy a file, or the file of an imported module, under its own name or another; runs its `init(*args)`."""
        code = Code.of(source)
        account = Account(code, shard, name or code.path.stem)
        self._contracts[shard, account.name] = account
        if "init" in code.load():
            ticket = self._send(account, "init", args, sender, value)
            if ticket.done:
                self._keep_if_good(account, ticket)
        else:
            account.balance = value
        return Contract(self, account)

    def _keep_if_good(self, account: Account, ticket: Ticket) -> None:
        try:
            ticket.result()
        except BaseException:
            del self._contracts[account.shard, account.name]
            raise

    def upgrade(self, account: Account, source: str | Path | ModuleType, sender: str) -> None:
        """See `Contract.upgrade`."""
        before, account.code = account.code, Code.of(source)
        if "migrate" not in account.code.load():
            return
        ticket = self._send(account, "migrate", (), sender, 0)
        try:
            if ticket.done:
                ticket.result()
        except BaseException:
            account.code = before
            raise

    def send(self, account: Account, method: str, args: tuple[Data, ...], sender: str, value: int) -> Ticket:
        """See `Contract.send`."""
        if not _is_callable(account, method):
            raise ValueError(f"{account.principal} has no method {method!r} that can be called")
        if account.shard in self.halted:
            raise RuntimeError(f"shard {account.shard} is halted")
        return self._send(account, method, args, sender, value)

    def step(self) -> bool:
        """Deliver one message or reply: False when there is none to deliver."""
        deliver = self._lanes.take()
        if deliver is None:
            return False
        self._pass_time(BLOCK_MS)
        deliver()
        return True

    def settle(self) -> None:
        """Deliver until nothing is under way."""
        for _ in range(MAX_DELIVERIES):
            if not self.step():
                return
        raise RuntimeError(f"still busy after {MAX_DELIVERIES} deliveries: do two contracts call each other for ever?")

    def wait(self, seconds: int) -> None:
        """Let block time pass: deadlines, patience and leases run out."""
        self._pass_time(seconds * 1000)

    def paid(self, to: str, shard: int = 0) -> int:
        """Base units that contracts have paid to an account on a shard."""
        return self._paid.get((to, shard), 0)

    def read(self, contract: str, key: bytes) -> bytes | None:
        """See `contracts.port.World`; here a contract is named with its shard."""
        return self._named(contract).storage.get(key)

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """See `World`."""
        return sorted(k for k in self._named(contract).storage if k.startswith(prefix) and k > after)[:limit]

    def balance(self, contract: str) -> int:
        """See `World`."""
        return self._named(contract).balance

    def source(self, code_hash: Hash) -> str:
        """See `World`; the double compiles files."""
        raise LookupError(code_hash.hex())

    def _named(self, contract: str) -> Account:
        name, _, shard = contract.rpartition("@")
        return self._contracts[int(shard), name]

    def _pass_time(self, milliseconds: int) -> None:
        self._height += 1
        self._time_ms += milliseconds
        waiting, self._patience = self._patience, []
        for due_ms, caller, number in waiting:
            if due_ms > self._time_ms or caller.account.shard in self.halted:
                self._patience.append((due_ms, caller, number))
            else:
                self._answer(caller, _reply_to(number, REPLY_UNKNOWN))

    def _send(self, account: Account, method: str, args: tuple[Data, ...], sender: str, value: int) -> Ticket:
        ticket = Ticket()
        self._begin(account, method, encode(list(args)), sender, value, ticket=ticket)
        return ticket

    def _begin(
        self,
        account: Account,
        method: str,
        arguments: bytes,
        sender: str,
        value: int,
        *,
        ticket: Ticket | None = None,
        caller: Open | None = None,
        number: int = 0,
    ) -> None:
        """Run the first stretch of a call."""
        self._count += 1
        call_id = CallId(sha256(self._count.to_bytes(8, "big")).digest())
        trace_id = caller.invocation.trace_id if caller else TransactionId(call_id)
        invocation = Invocation(
            code_hash=Hash(bytes(32)),
            contract=account.principal,
            shard=ShardId(account.shard),
            method=method,
            arguments=arguments,
            sender=sender,
            value=pack_amount(Amount(value)),
            trace_id=trace_id,
            call_id=call_id,
            height=Height(self._height),
            time_ms=Milliseconds(self._time_ms),
            gas=0,
            journal=(),
            replies=(),
        )
        account.balance += value
        target = account.code.load()[method]
        session = Session(invocation, self, Unlimited(), read_only=hasattr(target, "__ostraka_view__"))
        message = Message(sender, value, account.shard, account.name, trace_id.hex(), call_id.hex())
        execution = Execution(session, message, Block(self._height, self._time_ms))
        opened = Open(invocation, account, account.code, ticket, caller, number, execution, session)
        self._run(opened, lambda: self._start(opened, target, arguments))

    def _start(self, opened: Open, target: Any, arguments: bytes) -> tuple[bool, Any]:
        result = target(*decode(arguments))  # type: ignore[misc]  # arguments are a list
        if not isinstance(result, CoroutineType):
            return True, result
        opened.main = opened.execution.spawn(result)
        return self._drive(opened, opened.main)

    def _drive(self, opened: Open, main: Task) -> tuple[bool, Any]:
        ended = opened.execution.drive(main)
        return ended, main.result() if ended else None

    def _resume(self, opened: Open, main: Task) -> None:
        """Run the next stretch with the replies that have arrived."""
        session = opened.session
        replies, opened.arrived = tuple(opened.arrived), []
        opened.session = session.following(Height(self._height), Milliseconds(self._time_ms), replies)
        opened.execution.host = opened.session
        listed = [reply.listed() for reply in replies]

        def go_on() -> tuple[bool, Any]:
            opened.execution.begin(Block(self._height, self._time_ms), listed)
            return self._drive(opened, main)

        self._run(opened, go_on)

    def _run(self, opened: Open, work: Callable[[], tuple[bool, Any]]) -> None:
        """Run contract code, apply what it committed, and pass on how it ended."""
        error: BaseException | None = None
        ended, result = True, None
        try:
            with run_as(opened.execution):
                ended, result = work()
            if ended:
                encode(result)
                opened.session.finish()
        except Exception as raised:  # noqa: BLE001 - whatever a contract raises is its outcome
            error = raised
        opened.committed = opened.committed or not ended or bool(opened.session.journal)
        self._apply(opened, opened.session.effects)
        if ended or error is not None:
            self._finish(opened, result, error)

    def _apply(self, opened: Open, effects: Effects) -> None:
        account = opened.account
        for write in effects.writes:
            if write.value is None:
                account.storage.pop(write.key, None)
            else:
                account.storage[write.key] = write.value
        for transfer in effects.transfers:
            account.balance -= unpack_amount(transfer.amount)
            self._pay(transfer.to, account.shard, unpack_amount(transfer.amount))
        for event in effects.events:
            self.events.append((opened.invocation.contract, event.name, read(event.data)))
        for outgoing in effects.calls:
            account.balance -= unpack_amount(outgoing.value)
            self._lanes.send(account.shard, outgoing.shard, self._delivery(opened, outgoing))
            if outgoing.patience_ms:
                self._patience.append((self._time_ms + outgoing.patience_ms, opened, outgoing.number))

    def _delivery(self, caller: Open, outgoing: OutgoingCall) -> Callable[[], None]:
        def deliver() -> None:
            value = unpack_amount(outgoing.value)
            number, shard = outgoing.number, outgoing.shard
            refusal = self._refusal(outgoing)
            if refusal is not None:
                kind, error, message = refusal
                self._reply(caller, shard, _reply_to(number, kind, error=error, message=message, returned=value))
            elif not outgoing.method:
                self._pay(outgoing.contract, shard, value)
                self._reply(caller, shard, _reply_to(number, REPLY_OK, result=encode(None)))
            else:
                target, sender = self._contracts[shard, outgoing.contract], caller.account.principal
                self._begin(target, outgoing.method, outgoing.arguments, sender, value, caller=caller, number=number)

        return deliver

    def _refusal(self, call: OutgoingCall) -> tuple[str, str, str] | None:
        """Kind, error and text of what a call is answered with that is not taken up, as the ledger has them."""
        shown = f"{call.contract}@{call.shard}"
        target = self._contracts.get((call.shard, call.contract))
        if self._time_ms > call.deadline_ms:
            return "expired", "", f"consumed at {self._time_ms} ms, after its deadline {call.deadline_ms} ms"
        if not is_contract_name(call.contract):
            return None if not call.method else ("refused", "", "an account has no methods; send to it without one")
        if target is None:
            return "refused", "", f"there is no contract {shown} on shard {call.shard}"
        if call.method in RESERVED_METHODS or call.method.startswith("_"):
            return "refused", "", f"{call.method!r} cannot be called"
        if not _is_callable(target, call.method):
            return "refused", "no_method", f"{call.contract} has no method {call.method!r}"
        return None

    def _pay(self, to: str, shard: int, amount: int) -> None:
        self._paid[to, shard] = self.paid(to, shard) + amount

    def _finish(self, opened: Open, result: Any, error: BaseException | None) -> None:
        value = unpack_amount(opened.invocation.value)
        returned = value if error is not None and not opened.committed else 0
        opened.account.balance -= returned
        if opened.ticket is not None:
            opened.ticket.finish(None if error else read(encode(result)), error)
        if opened.caller is None:
            return
        if error is None:
            reply = _reply_to(opened.number, REPLY_OK, result=encode(result))
        else:
            reply = _failure_of(opened, error, returned)
        self._reply(opened.caller, opened.account.shard, reply)

    def _reply(self, caller: Open, source: int, reply: Reply) -> None:
        def deliver() -> None:
            caller.account.balance += unpack_amount(reply.returned)
            self._answer(caller, reply)

        self._lanes.send(source, caller.account.shard, deliver)

    def _answer(self, caller: Open, reply: Reply) -> None:
        """Give a reply to the call that awaits it; one that comes after patience ran out has only brought the money."""
        if reply.number in caller.answered or caller.main is None:
            return
        caller.answered.add(reply.number)
        caller.arrived.append(reply)
        if is_worth_resuming(caller.session.waits, {r.number: r.kind for r in caller.arrived}):
            self._resume(caller, caller.main)


def _is_callable(account: Account, method: str) -> bool:
    public = not method.startswith("_") and method not in RESERVED_METHODS
    return public and method in account.code.methods


def _reply_to(
    number: int, kind: str, *, result: bytes = b"", error: str = "", message: str = "", returned: int = 0
) -> Reply:
    return Reply(number, kind, result, error, message, "", pack_amount(Amount(returned)))


def _failure_of(opened: Open, error: BaseException, returned: int) -> Reply:
    account, path = opened.account, opened.code.path
    frames = list(_frames(error.__traceback__, str(path)))
    remote = getattr(error, "remote_traceback", "")
    traceback = format_traceback(account.shard, account.name, path.read_text(encoding="utf-8"), frames, remote)
    return Reply(
        number=opened.number,
        kind="failed",
        result=b"",
        error=type(error).__name__,
        message=str(error)[:MAX_ERROR_LENGTH],
        traceback=traceback[:MAX_TRACEBACK_LENGTH],
        returned=pack_amount(Amount(returned)),
    )


def _frames(step: TracebackType | None, path: str) -> Iterator[Value]:
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename == path:
            yield [step.tb_lineno, code.co_qualname]
        step = step.tb_next
