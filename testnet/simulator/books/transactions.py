"""Transactions: what they cost, what they move, and the messages and runs that they lead to."""

from collections.abc import Sequence
from hashlib import sha256
from typing import cast

import msgpack

from primitives.addresses import format_address
from primitives.identifiers import PublicKey
from testnet.simulator.books.desk import Desk
from testnet.simulator.books.messages import MessageBooking
from testnet.simulator.books.records import (
    CALL,
    RUN_RECEIPT,
    TRANSACTION_RECEIPT,
    ContractBook,
    Fields,
    OpenCall,
    Running,
    number,
)
from testnet.simulator.books.runs import (
    BY_DEPLOYING,
    BY_TRANSACTION,
    BY_UPGRADING,
    COMPLETED,
    FAILED,
    Ended,
    RunBooking,
)

_LOCAL, _REMOTE, _DEPLOY, _UPGRADE, _CONTRACT_CALL, _REMOTE_CALL, _TOP_UP = range(1, 8)
"""Tags of operations."""
_AWAY = {_REMOTE, _REMOTE_CALL}
_ALONE = {_DEPLOY, _UPGRADE, _CONTRACT_CALL, _TOP_UP}
_AMOUNT_AT = {_LOCAL: 2, _REMOTE: 3, _DEPLOY: 5, _CONTRACT_CALL: 4, _REMOTE_CALL: 5}
_GAS_AT = {_DEPLOY: 6, _UPGRADE: 4, _CONTRACT_CALL: 5, _REMOTE_CALL: 6, _TOP_UP: 2}
_CONTENT_AT = {_DEPLOY: (2, 4), _UPGRADE: (2, 3), _CONTRACT_CALL: (3,), _REMOTE_CALL: (4,)}

# What things cost, written down a second time (base units).
_BASE, _PER_OPERATION, _PER_SEND, _THERE, _BACK = 500, 100, 200, 300, 200

_FARTHEST_MS = 24 * 3_600_000
"""From a block to the deadline of a message that a transaction in it sends."""


class TransactionBooking:
    """Books included transactions."""

    def __init__(self, desk: Desk, runs: RunBooking, messages: MessageBooking) -> None:
        self._desk = desk
        self._books = desk.books
        self._runs = runs
        self._messages = messages

    def book(self, raw: bytes) -> None:
        """Book one."""
        desk, books = self._desk, self._books
        name = sha256(b"ostraka/transaction/v1\0" + raw).digest()
        fields = cast("Fields", msgpack.unpackb(raw[64:]))
        _, _, shard, sender, nonce, valid_until_ms, fee_limit, operations, _ = fields
        desk.check(shard == books.shard, "X3", "includes a transaction of another shard")
        desk.check(nonce == books.nonces.get(sender, 0), "X3", f"includes nonce {nonce} out of order")
        desk.check(desk.time_ms <= valid_until_ms, "X3", "includes a transaction that is no longer valid")
        desk.check(name not in books.places, "X1", "includes a transaction twice")
        books.nonces[sender] = nonce + 1
        books.places[name] = desk.height
        desk.count("included")
        if desk.receipts and desk.receipts[0][0] != TRANSACTION_RECEIPT and operations[0][0] not in _ALONE:
            desk.fail("S2", "an included transaction has no receipt in its place")
            return
        fixed = sum(map(_fixed_gas, operations)) + _BASE
        total = sum(map(_amount, operations))
        prepaid = sum(_gas(operation) + (_BACK if operation[0] in _AWAY else 0) for operation in operations)
        obstacle = self._obstacle(sender, operations, fixed + prepaid, total, number(fee_limit))
        failure: str | None
        gas_used: int | None
        if obstacle:
            # It did nothing but pay.
            fee, failure, gas_used = min(fixed, books.balances.get(sender, 0)), obstacle, fixed
            books.held += fee
            desk.pay(sender, -fee)
        elif operations[0][0] in _ALONE:
            fee, failure, gas_used = self._alone(name, sender, operations[0], fixed, total)
        else:
            failure, fee, gas_used = None, fixed + prepaid, fixed
            books.held += fixed + sum(_BACK for operation in operations if operation[0] in _AWAY)
            # Fee and operations in order, so that a sender who pays itself is booked as the ledger does it.
            desk.pay(sender, -fee)
            for operation in operations:
                self._move(name, sender, operation)
        self._close(name, fee, failure, gas_used)

    def _close(self, name: bytes, fee: int, failure: str | None, gas_used: int | None) -> None:
        """Compare with the receipt. `failure` None: there is none; empty: any is right."""
        desk = self._desk
        receipt = desk.next_receipt(TRANSACTION_RECEIPT)
        if receipt is None or receipt[1] != name:
            desk.fail("S2", "an included transaction has no receipt in its place")
            return
        if receipt[2]:
            desk.count("failed")
        right = bool(receipt[2]) if failure == "" else receipt[2] == (failure or "")
        desk.check(right, "V1", f"ended with {receipt[2]!r}, it should with {failure!r}")
        desk.check(number(receipt[4]) == fee, "V1", f"charges {number(receipt[4])} for what costs {fee}")
        if gas_used is not None:
            desk.check(receipt[5] == gas_used, "V1", f"counts {receipt[5]} gas, {gas_used} were used")

    def _obstacle(self, sender: bytes, operations: list[Fields], fee: int, total: int, fee_limit: int) -> str:
        """Why a transaction fails before it has done anything, or nothing; no workload comes near full streams."""
        if fee > fee_limit:
            return "fee_too_low"
        if fee + total > self._books.balances.get(sender, 0):
            return "overdraft"
        deadlines = [operation[-1] for operation in operations if operation[0] in _AWAY]
        for deadline_ms in deadlines:
            if deadline_ms <= self._desk.time_ms:
                return "deadline_past"
            if deadline_ms > self._desk.time_ms + _FARTHEST_MS:
                return "deadline_too_far"
        return ""

    def _move(self, name: bytes, sender: bytes, operation: Fields) -> None:
        """Book an operation that cannot fail any more."""
        desk, value = self._desk, _amount(operation)
        desk.pay(sender, -value)
        if operation[0] == _LOCAL:
            desk.pay(operation[1], value)
            return
        destination, gas, deadline_ms = operation[1], _gas(operation), operation[-1]
        if operation[0] == _REMOTE:
            target, method, arguments = operation[2], "", b""
        else:
            target, method, arguments = f"{operation[2]}@{destination}".encode(), operation[3], operation[4]
        call = desk.next_sent(destination)
        expected = [CALL, name, b"", 0, sender, target, method, arguments, value, gas, _BACK, deadline_ms]
        if call is None or [call[0], *call[2:9], number(call[9]), *call[10:]] != expected:
            desk.fail("X2", "a transaction's call was sent as another message than it should be")
            return
        desk.check(call[1] not in desk.all.calls, "X4", "a call id is used twice")
        desk.all.calls[call[1]] = OpenCall(
            self._books.shard, sender, value, desk.height, name, destination=destination, gas=gas
        )

    def _alone(
        self, name: bytes, sender: bytes, operation: Fields, fixed: int, total: int
    ) -> tuple[int, str | None, int | None]:
        """Book what runs a contract here: its fee, how it failed, and the gas it used where that is known."""
        gas = _gas(operation)
        self._desk.pay(sender, -(fixed + gas + total))
        self._books.held += fixed
        refusal = self._refusal(sender, operation)
        if refusal is not None:
            self._desk.pay(sender, gas + total)
            return fixed, refusal, fixed
        if operation[0] == _TOP_UP:
            self._messages.top_up(operation[1], gas)
            return fixed + gas, None, fixed
        if operation[0] == _CONTRACT_CALL:
            call_id, call = self._new(name, sender, operation[1], operation[2], operation[3], total, gas)
            ended = self._runs.run(call_id, call, BY_TRANSACTION)
            return (fixed, "", None) if ended is None else _ending(ended, fixed, gas, 0)
        return self._install(name, sender, operation, fixed, total)

    def _refusal(self, sender: bytes, operation: Fields) -> str | None:
        """The failure of an operation that cannot even begin."""
        books, kind = self._books, operation[0]
        if kind == _TOP_UP:
            return None if operation[1] in books.running else "no_call"
        contract = books.contracts.get(operation[1])
        if kind == _DEPLOY:
            return "name_taken" if contract is not None else None
        if contract is None:
            return "no_contract"
        if kind == _UPGRADE:
            return None if contract.owner == sender else "not_owner"
        reserved = operation[2] in {"init", "migrate"} or operation[2].startswith("_")
        return "no_method" if reserved else None

    def _install(
        self, name: bytes, sender: bytes, operation: Fields, fixed: int, total: int
    ) -> tuple[int, str | None, int | None]:
        """Book a deployment or an upgrade. What compiling took is the machine's to say, and is in the receipt."""
        desk, books, gas = self._desk, self._books, _gas(operation)
        runs = bool(desk.receipts) and desk.receipts[0][0] == RUN_RECEIPT
        last = desk.receipts[1 if runs else 0] if len(desk.receipts) > runs else None
        if last is None or last[0] != TRANSACTION_RECEIPT:
            return fixed, "", None
        compiling = last[5] - fixed - (desk.receipts[0][13] if runs else 0)
        desk.check(0 <= compiling <= gas, "V1", f"compiling took {compiling} of {gas} gas")
        books.held += compiling
        before = books.contracts.get(operation[1])
        code_hash = sha256(b"ostraka/contract-code/v1\0" + operation[2].encode()).digest()
        if operation[0] == _DEPLOY:
            new = ContractBook(code_hash, owner=operation[3])
        else:
            owner, balance, open_calls, upgrades = _kept(before)
            new = ContractBook(code_hash, owner, balance, open_calls, upgrades + 1)
        books.contracts[operation[1]] = new
        failed = last[2] != ""
        method = "init" if operation[0] == _DEPLOY else "migrate"
        has_entry = f"\ndef {method}(" in f"\n{operation[2]}"
        desk.check(
            runs == (has_entry and last[2] != "compile_error"), "X4", f"{method} ran that is not there, or did not"
        )
        ended: Ended | None = None
        if runs:
            cause = BY_DEPLOYING if operation[0] == _DEPLOY else BY_UPGRADING
            arguments = operation[4] if operation[0] == _DEPLOY else operation[3]
            call_id, call = self._new(name, sender, operation[1], method, arguments, total, gas - compiling)
            ended = self._runs.run(call_id, call, cause, at_once=True)
            right = ended is not None and ended.stands == (FAILED if failed else COMPLETED)
            desk.check(right, "X4", f"{method} ran, and its contract is not as that says")
        elif failed:
            desk.pay(sender, gas - compiling + total)
            desk.check(last[2] in {"compile_error", "bad_arguments"}, "V1", f"installs nothing for {last[2]!r}")
        else:
            new.balance += total
            desk.pay(sender, gas - compiling)
        if not failed:
            books.codes.add(code_hash)
        elif before is None:
            del books.contracts[operation[1]]
        else:
            books.contracts[operation[1]] = before
        return (fixed + compiling, last[2] or None, last[5]) if ended is None else _ending(ended, fixed, gas, compiling)

    def _new(
        self, name: bytes, sender: bytes, contract: str, method: str, arguments: bytes, value: int, gas: int
    ) -> tuple[bytes, Running]:
        """A call at the root of a trace."""
        chain_id = self._desk.execution.commitment.chain_id
        place = self._books.shard.to_bytes(2, "big") + name + bytes(4)
        call_id = sha256(b"ostraka/call-id/v1\0" + chain_id + place).digest()
        running = Running(
            contract=contract,
            code_hash=self._books.contracts[contract].code_hash,
            method=method,
            arguments=arguments,
            sender=format_address(PublicKey(sender)),
            value=value,
            trace_id=name,
            parent=b"",
            depth=0,
            gas=gas,
            gas_left=gas,
            payer=sender,
        )
        return call_id, running


def _ending(ended: Ended, fixed: int, gas: int, compiling: int) -> tuple[int, str | None, int]:
    """Fee, failure and used gas of an operation that ran a contract."""
    over = ended.stands in {COMPLETED, FAILED}
    kept = gas - ended.gas_left if over else gas
    return fixed + kept, ended.kind or None, fixed + compiling + ended.gas_used


def _kept(before: ContractBook | None) -> tuple[bytes, int, int, int]:
    """What an upgrade leaves as it was."""
    return (b"", 0, 0, 0) if before is None else (before.owner, before.balance, before.open_calls, before.upgrades)


def _amount(operation: Fields) -> int:
    at = _AMOUNT_AT.get(operation[0])
    return 0 if at is None else number(operation[at])


def _gas(operation: Fields) -> int:
    """What is prepaid for running contracts, or for the message's consumption there."""
    at = _GAS_AT.get(operation[0])
    return int(operation[at]) if at is not None else _THERE if operation[0] == _REMOTE else 0


def _fixed_gas(operation: Fields) -> int:
    content: Sequence[str | bytes] = [operation[at] for at in _CONTENT_AT.get(operation[0], ())]
    length = sum(len(part.encode() if isinstance(part, str) else part) for part in content)
    return _PER_OPERATION + (_PER_SEND if operation[0] in _AWAY else 0) + length
