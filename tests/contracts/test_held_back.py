"""Writes and events are held back in the machine and handed over together, and nobody can tell."""

import pytest

from contracts import gas, limits
from contracts.machine.local import LocalMachine
from contracts.operations import Operation
from contracts.outcomes import Completed, Failed, OutOfGas, StorageWrite, Suspended
from contracts.values import Value, decode, encode
from primitives.identifiers import Hash
from tests.contracts.support import MemoryWorld, deployed, invocation, ok, result, resumed, run_one

SOURCE = """
import dataclasses
from ostraka_contract import LimitExceeded, call, delete, emit, get, keys, put, view

def write_and_read():
    put("a", 1)
    put("a", [2])
    delete("b")
    return [get("a"), get("b", "none"), get("c")]

def write(count):
    for n in range(count):
        put(f"key/{n}", n)

def write_long(count):
    for n in range(count):
        put(f"key/{n}", "x" * 10_000)

def write_too_many(count):
    for n in range(count):
        try:
            put(f"key/{n}", n)
        except LimitExceeded as error:
            return [n, str(error)]

def list_between(count):
    for n in range(count):
        put(f"key/{n}", n)
    found = len(keys("key/", limit=256))
    put("key/0", "again")
    return found

def list_often(count, times):
    for n in range(count):
        put(f"key/{n}", n)
    for _ in range(times):
        found = keys("key/", limit=1)
    return found

def delete_and_list(count):
    for n in range(count):
        delete(f"key/{n}")
    return keys("key/", limit=count)

async def await_between():
    put("a", 1)
    emit("Before")
    await call(1, "c", "m", gas=20_000)
    put("a", get("a") + 1)
    emit("After", seen=get("a"))
    return get("a")

async def fill_stretches(count):
    for _ in range(2):
        for n in range(count):
            put(f"key/{n}", n)
            emit("E", n=n) if n < 64 else None
        await call(1, "c", "m", gas=20_000)

def emit_of(name, size):
    emit(name, text="x" * size)

@view
def emit_in_view():
    emit("E")

@view
def delete_in_view():
    delete("a")

def hand_over(entries, times=1):
    dataclasses.sys.modules["wit_world"].ask(10, entries.decode("latin-1") * times)

def return_with(held, times=1):
    app = dataclasses.sys.modules["app"]
    app.failure = lambda _error: app.COMPLETED + bytes([0, 0, 0, 1, 0xC0]) + held * times
    raise ValueError

@view
def return_with_in_view(held):
    return_with(held)
"""


@pytest.fixture
def code(machine: LocalMachine, world: MemoryWorld) -> Hash:
    return deployed(machine, world, SOURCE)


def put(key: bytes, value: bytes) -> bytes:
    """An entry as it is handed over."""
    request = len(key).to_bytes(2, "big") + key + value
    return bytes((Operation.PUT,)) + len(request).to_bytes(4, "big") + request


def test_what_was_written_is_read_back_without_the_ledger(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    world.storage = {b"a": encode(0), b"b": encode(0), b"c": encode(3)}
    world.reads = 0
    outcome = run_one(machine, world, invocation(code, "write_and_read"))
    assert result(outcome) == [[2], "none", 3]
    assert outcome.effects.writes == (StorageWrite(b"a", encode([2])), StorageWrite(b"b", None))
    assert world.reads == 1


def test_each_key_is_paid_as_if_it_had_been_asked_for_itself(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    costs = [run_one(machine, MemoryWorld(world.sources), invocation(code, "write", n)).cost.used for n in (10, 11, 12)]
    price = gas.price_of(Operation.PUT, b"\0\6key/10" + encode(10))
    instructions = 60
    assert price < costs[1] - costs[0] < price + instructions
    assert price < costs[2] - costs[1] < price + instructions


def test_without_the_gas_for_what_was_held_back_nothing_is_done(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call = invocation(code, "write", 20)
    needed = run_one(machine, MemoryWorld(world.sources), call).cost.used + gas.RESTART_GAS
    for limit in (needed - 1, needed - 20 * 400):
        outcome = run_one(machine, world, invocation(code, "write", 20, gas=limit))
        assert isinstance(outcome, OutOfGas)
        assert outcome.cost.used == limit
        assert outcome.effects.writes == ()
    assert isinstance(run_one(machine, world, invocation(code, "write", 20, gas=needed)), Completed)


def test_more_than_is_held_back_at_once_arrives_in_parts(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "write_long", 30))
    assert isinstance(outcome, Completed)
    assert [write.key for write in outcome.effects.writes] == [f"key/{n}".encode() for n in range(30)]
    assert {write.value for write in outcome.effects.writes} == {encode("x" * 10_000)}


def test_one_key_too_many_is_refused_at_its_line(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "write_too_many", limits.MAX_WRITES + 1))
    assert result(outcome) == [limits.MAX_WRITES, limits.TOO_MANY_WRITES]
    assert len(outcome.effects.writes) == limits.MAX_WRITES
    assert result(run_one(machine, world, invocation(code, "list_between", limits.MAX_WRITES))) == limits.MAX_WRITES


def test_listing_keys_costs_more_the_more_the_call_has_written(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    def price(written: int) -> int:
        """Of one more page of keys."""
        calls = (invocation(code, "list_often", written, times) for times in (2, 3))
        few, more = (run_one(machine, MemoryWorld(world.sources), call).cost.used for call in calls)
        return more - few

    assert abs(price(200) - price(50) - 150 * gas.OVERLAY_KEY_GAS) <= 2


def test_keys_that_the_call_deleted_do_not_shorten_the_page(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    world.storage = {f"key/{n}".encode(): encode(n) for n in range(9)}
    assert result(run_one(machine, world, invocation(code, "delete_and_list", 3))) == ["key/3", "key/4", "key/5"]


def test_a_stretch_commits_its_own_writes_and_events(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    call = invocation(code, "await_between")
    first = run_one(machine, world, call)
    assert isinstance(first, Suspended)
    assert first.effects.writes == (StorageWrite(b"a", encode(1)),)
    assert [event.name for event in first.effects.events] == ["Before"]
    world.storage[b"a"] = encode(10)  # another call's, meanwhile
    second = run_one(machine, world, resumed(call, first, ok(0, None)))
    assert result(second) == 11
    assert second.effects.writes == (StorageWrite(b"a", encode(11)),)
    assert [(event.name, decode(event.data)) for event in second.effects.events] == [("After", {"seen": 11})]


def test_the_limits_of_a_stretch_begin_anew_with_the_next(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call = invocation(code, "fill_stretches", limits.MAX_WRITES)
    outcome = run_one(machine, world, call)
    for number in range(2):
        assert isinstance(outcome, Suspended), outcome
        assert len(outcome.effects.writes) == limits.MAX_WRITES
        assert len(outcome.effects.events) == limits.MAX_EVENTS
        call = resumed(call, outcome, ok(number, None), height=6 + number)
        outcome = run_one(machine, world, call)
    assert isinstance(outcome, Completed)


@pytest.mark.parametrize(
    ("method", "arguments", "error", "line"),
    [
        ("emit_of", ["E", limits.MAX_EVENT_BYTES], "LimitExceeded", "emit(name"),
        ("emit_of", ["E" * (limits.MAX_NAME_LENGTH + 1), 1], "LimitExceeded", "emit(name"),
        ("emit_of", [7, 1], "LimitExceeded", "emit(name"),
        ("emit_in_view", [], "NotAllowed", 'emit("E")'),
        ("delete_in_view", [], "NotAllowed", 'delete("a")'),
    ],
)
def test_what_is_refused_is_refused_where_it_is_asked(
    machine: LocalMachine, world: MemoryWorld, code: Hash, method: str, arguments: list[Value], error: str, line: str
) -> None:
    outcome = run_one(machine, world, invocation(code, method, *arguments))
    assert isinstance(outcome, Failed)
    assert outcome.error == error
    assert line in outcome.traceback


FORGED: dict[str, bytes] = {
    "garbage": b"garbage",
    "cut short": put(b"k", b"\1")[:-1],
    "another operation": bytes((Operation.TRANSFER,)) + bytes(4),
    "no key": put(b"", b"\1"),
    "a long key": put(b"k" * 300, b"\1"),
    "no value": put(b"k", b"\xcb" + bytes(8)),
    "a value that is not canonical": put(b"k", b"\xcc\1"),
    "too many keys": b"".join(put(f"k{n}".encode(), b"\1") for n in range(limits.MAX_WRITES + 1)),
}


@pytest.mark.parametrize("name", list(FORGED))
@pytest.mark.parametrize("method", ["hand_over", "return_with"])
def test_a_guest_that_hands_over_what_it_has_to_refuse_fails(
    machine: LocalMachine, world: MemoryWorld, code: Hash, method: str, name: str
) -> None:
    outcome = run_one(machine, world, invocation(code, method, FORGED[name]))
    assert isinstance(outcome, Failed), outcome
    assert outcome.kind == "protocol"
    assert outcome.effects.writes == ()


@pytest.mark.parametrize("method", ["hand_over", "return_with"])
def test_no_more_than_a_bound_is_handed_over_at_once(
    machine: LocalMachine, world: MemoryWorld, code: Hash, method: str
) -> None:
    entry = put(b"k", encode("x" * 8_000))
    fitting = limits.MAX_HELD_BYTES // len(entry)
    kinds = []
    for times in (fitting, fitting + 1):
        outcome = run_one(machine, world, invocation(code, method, entry, times))
        kinds.append(outcome.kind if isinstance(outcome, Failed) else "")
    assert kinds == ["", "protocol"]


def test_a_view_cannot_write_by_handing_over(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "return_with_in_view", put(b"k", b"\1")))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.effects.writes) == ("protocol", ())
    outcome = run_one(machine, world, invocation(code, "return_with", put(b"k", b"\1")))
    assert outcome.effects.writes == (StorageWrite(b"k", b"\1"),)
