"""What the guest asks with, read as what any stranger sends: bounds first, then types, then meaning.

Honest guests have checked most of it already and raised a clearer error at the line that is at fault; what is refused
here as `Declined` becomes an exception in the contract all the same.
"""

from functools import lru_cache

from contracts import gas as prices
from contracts import limits
from contracts.checking import checked
from contracts.operations import Operation
from contracts.outcomes import CONTRACT_NAME, Event, OutgoingCall, Transfer, Wait, is_contract_name
from contracts.values import MAX_VALUE_BYTES, BadValue, Value, encode
from primitives.addresses import parse_address
from primitives.amounts import MAX_AMOUNT, Amount, AmountBytes, pack_amount
from primitives.errors import Refused
from primitives.identifiers import MAX_INTEGER, MAX_SHARDS, Milliseconds, ShardId

MAX_REQUEST_BYTES = 3 * MAX_VALUE_BYTES
"""The largest arguments, wrapped once, with names and numbers."""

KNOWN_ADDRESSES = 4096
"""Checksums remembered: verifying one takes 0.1 ms, and contracts pay the same accounts again."""

_NO_ARGUMENTS = encode([])

_HELD = {int(operation): operation for operation in (Operation.PUT, Operation.EMIT)}
_HELD_HEAD = 5
"""See `Operation.HAND_OVER`."""


class Declined(Exception):
    """The host does not do it. `error` names an exception of `ostraka_contract`, which the contract may catch."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error
        self.text = text


def read_key(raw: bytes) -> bytes:
    """A storage key."""
    if not 0 < len(raw) <= limits.MAX_KEY_BYTES:
        raise Declined("LimitExceeded", f"a key of {len(raw)} bytes; 1 to {limits.MAX_KEY_BYTES} are allowed")
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise Declined("ContractError", "a key that is not UTF-8") from None
    return raw


def read_put(request: bytes) -> tuple[bytes, bytes | None]:
    """Key and encoded value, None when there is none."""
    length = int.from_bytes(request[:2], "big")
    key, value = request[2 : 2 + length], request[2 + length :]
    if not value:
        return read_key(key), None
    _decoded(value, MAX_VALUE_BYTES)
    return read_key(key), value


def read_held(request: bytes) -> list[tuple[Operation, bytes]]:
    """The writes and events that were held back; `Declined` when it is anything else."""
    if len(request) > limits.MAX_HELD_BYTES:
        raise Declined("LimitExceeded", f"more than {limits.MAX_HELD_BYTES} bytes handed over at once")
    entries, at = [], 0
    while at < len(request):
        operation = _HELD.get(request[at])
        start = at + _HELD_HEAD
        at = start + int.from_bytes(request[at + 1 : start], "big")
        if operation is None or at > len(request):
            raise Declined("ContractError", "what was handed over is no list of writes and events")
        entries.append((operation, request[start:at]))
    return entries


def read_keys(request: bytes) -> tuple[bytes, bytes, int]:
    """Prefix, start and number of the keys wanted."""
    match _decoded(request, MAX_REQUEST_BYTES):
        case [str(prefix), str() | None as after, int(limit)] if 0 <= limit <= limits.MAX_KEYS_LISTED:
            return prefix.encode(), (after or "").encode(), limit
    raise Declined("LimitExceeded", f"keys(prefix, after, limit) lists at most {limits.MAX_KEYS_LISTED} at a time")


def read_call(request: bytes, *, number: int, now_ms: int, gas_left: int) -> OutgoingCall:
    """A call with its deadline made absolute."""
    match _decoded(request, MAX_REQUEST_BYTES):
        case [
            int(shard),
            str(contract),
            str(method),
            bytes(arguments),
            int(value),
            int() | None as gas,
            int(deadline_ms),
            int(patience_ms),
        ]:
            pass
        case _:
            raise Declined(
                "ContractError", "call(shard, contract, method, ...): shard and times are int, names are str"
            )
    _check_range("shard", shard, MAX_SHARDS - 1)
    gas = _checked_call(contract, method, arguments, gas, gas_left)
    _check_range("deadline in milliseconds", deadline_ms, limits.MAX_DEADLINE_MS)
    _check_range("patience in milliseconds", patience_ms, limits.MAX_DEADLINE_MS)
    return OutgoingCall(
        number=number,
        shard=ShardId(shard),
        contract=contract,
        method=method,
        arguments=arguments,
        value=_amount(value),
        gas=gas,
        deadline_ms=Milliseconds(min(now_ms + deadline_ms, MAX_INTEGER)),
        patience_ms=patience_ms,
    )


def _checked_call(contract: str, method: str, arguments: bytes, gas: int | None, gas_left: int) -> int:
    """Check what a call is for; the gas to set aside for it."""
    if not isinstance(_decoded(arguments, MAX_VALUE_BYTES), list):
        raise Declined("ContractError", "arguments that are not a list")
    if not method:
        check_address(contract)
        if arguments != _NO_ARGUMENTS:
            raise Declined("ContractError", "a payment to an account (a call without a method) takes no arguments")
        default = least = prices.MESSAGE_GAS
    else:
        if not is_contract_name(contract):
            raise Declined(
                "ContractError",
                f"{contract[:64]!r} is no contract's name ({CONTRACT_NAME.pattern}); to pay an account, leave the "
                "method empty: call(shard, address, '', value=...)",
            )
        _check_name("method", method)
        least = prices.MIN_CALL_GAS
        default = max(least, min(prices.DEFAULT_CALL_GAS, gas_left // 2))
    amount = default if gas is None else gas
    if isinstance(gas, bool) or not least <= amount <= limits.MAX_CALL_GAS:
        raise Declined("LimitExceeded", f"gas of a call: {least} to {limits.MAX_CALL_GAS}, not {amount}")
    return amount


def check_address(text: str) -> None:
    """Refuse what is not an account's address."""
    problem = _problem_with(text)
    if problem:
        raise Declined("ContractError", f"{text[:64]!r} is no address: {problem}")


@lru_cache(maxsize=KNOWN_ADDRESSES)
def _problem_with(text: str) -> str:
    try:
        parse_address(text)
    except Refused as refused:
        return refused.detail
    return "" if text == text.lower() else "write it in lower case"


def read_transfer(request: bytes) -> Transfer:
    """Payee and amount."""
    match _decoded(request, MAX_REQUEST_BYTES):
        case [str(to), int(amount)]:
            check_address(to)
            return Transfer(to, _amount(amount))
        case _:
            pass
    raise Declined("ContractError", "transfer(to, amount): an address and an int of base units")


def read_event(request: bytes) -> Event:
    """Name and data."""
    match _decoded(request, MAX_REQUEST_BYTES):
        case [str(name), dict()]:
            _check_name("event", name)
            # Behind the head of the list and the name: there is only one encoding.
            data = request[1 + len(encode(name)) :]
            if len(data) > limits.MAX_EVENT_BYTES:
                raise Declined("LimitExceeded", f"an event's data of more than {limits.MAX_EVENT_BYTES} bytes")
            return Event(name, data)
        case _:
            pass
    raise Declined("ContractError", "emit(name, **data): the name is a str")


def read_commit(request: bytes) -> tuple[bool, tuple[Wait, ...]]:
    """Whether a coroutine can go on, and what the others wait for. What is not that comes from a tampered guest."""
    try:
        decoded = checked(request, max_bytes=MAX_REQUEST_BYTES)
    except BadValue:
        decoded = None
    match decoded:
        case [bool(continues), list(waits)]:
            return continues, tuple(wait for item in waits if (wait := _wait(item)) is not None)
        case _:
            return False, ()


def _wait(item: Value) -> Wait | None:
    match item:
        case [list(numbers), bool(early)] if len(numbers) <= limits.MAX_CALLS:
            known = [number for number in numbers if type(number) is int and 0 <= number < limits.MAX_CALLS]
            return Wait(tuple(known), early)
        case _:
            return None


def _decoded(raw: bytes, max_bytes: int) -> Value:
    try:
        return checked(raw, max_bytes=max_bytes)
    except BadValue as error:
        raise Declined("LimitExceeded" if len(raw) > max_bytes else "ContractError", str(error)) from None


def _amount(value: int) -> AmountBytes:
    _check_range("amount in base units", value, MAX_AMOUNT)
    return pack_amount(Amount(value))


def _check_range(what: str, number: int, highest: int) -> None:
    if isinstance(number, bool) or not 0 <= number <= highest:
        raise Declined("LimitExceeded", f"{what}: 0 to {highest}")


def _check_name(what: str, name: str) -> None:
    if not 0 < len(name) <= limits.MAX_NAME_LENGTH:
        raise Declined("LimitExceeded", f"the name of a {what} has 1 to {limits.MAX_NAME_LENGTH} characters")
