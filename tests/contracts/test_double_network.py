"""The double as a network: deploying and upgrading, lanes, patience, payments, halted shards."""

from pathlib import Path
from textwrap import dedent

import pytest

from ostraka_contract import CallFailed, OutcomeUnknown
from ostraka_contract.testing import Shards, address
from primitives.addresses import parse_address

CALLER = """
from ostraka_contract import CallFailed, OutcomeUnknown, call, get, msg, put, self_balance

async def ask(shard, method, patience, value):
    put("asked", True)
    try:
        return await call(shard, "other", method, patience=patience, value=value)
    except OutcomeUnknown:
        put("unknown", True)
        return "unknown"

async def pay(shard, to, amount, deadline):
    try:
        await call(shard, to, "", value=amount, deadline=deadline)
    except CallFailed as failure:
        return [failure.kind, failure.returned]
    return self_balance()

def tell(count):
    for n in range(count):
        call(1, "other", "note", n)
"""
OTHER = """
from ostraka_contract import get, put

def answer():
    return 42

def fail():
    raise ValueError("no")

def note(n):
    put("notes", [*get("notes", []), n])

def init():
    put("ready", True)

def migrate():
    put("migrated", True)

def _private():
    return 1
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(dedent(text))
    return path


def test_init_runs_once_with_the_deployers_arguments_and_value(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        "vault.py",
        """
        from ostraka_contract import msg, put

        def init(name, size):
            if size > 9:
                raise ValueError("too large")
            put("made", [msg.sender, msg.value, name, size])

        def close():
            pass
        """,
    )
    shards = Shards()
    vault = shards.deploy(source, args=("v", 3), sender="bob", value=7)
    assert (vault.get("made"), vault.balance) == (["bob", 7, "v", 3], 7)
    with pytest.raises(ValueError, match="too large"):
        shards.deploy(source, name="big", args=("v", 10), value=5)
    with pytest.raises(ValueError, match="has no method 'init' that can be called"):
        vault.send("init", "again", 1)


@pytest.mark.parametrize("method", ["init", "migrate", "_private", "missing"])
def test_what_is_private_or_reserved_cannot_be_called(tmp_path: Path, method: str) -> None:
    shards = Shards()
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER))
    shards.deploy(write(tmp_path, "other.py", OTHER), shard=1)
    asked = caller.send("ask", 1, method, None, 0)
    shards.settle()
    with pytest.raises(CallFailed, match="refused"):
        asked.result()


def test_an_upgrade_migrates_and_calls_under_way_finish_on_the_code_they_began_with(tmp_path: Path) -> None:
    shards = Shards()
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER))
    other = shards.deploy(write(tmp_path, "other.py", OTHER), shard=1)
    asked = caller.send("ask", 1, "answer", None, 0)
    caller.upgrade(write(tmp_path, "new.py", "def ask():\n    return 'new'\n"))
    assert caller.send("ask").result() == "new"
    other.upgrade(write(tmp_path, "other2.py", OTHER.replace("42", "43")))
    shards.settle()
    assert (asked.result(), other.get("migrated"), other.get("ready")) == (43, True, True)


def test_an_upgrade_whose_migrate_raises_leaves_the_old_code(tmp_path: Path) -> None:
    shards = Shards()
    other = shards.deploy(write(tmp_path, "other.py", OTHER))
    bad = write(tmp_path, "bad.py", "def migrate():\n    raise ValueError('not yet')\n")
    with pytest.raises(ValueError, match="not yet"):
        other.upgrade(bad)
    assert other.send("answer").result() == 42


def test_messages_of_one_lane_arrive_in_their_order_whatever_is_chosen(tmp_path: Path) -> None:
    shards = Shards(lambda count: count - 1)
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER))
    other = shards.deploy(write(tmp_path, "other.py", OTHER), shard=1)
    caller.send("tell", 5).result()
    shards.settle()
    assert other.get("notes") == [0, 1, 2, 3, 4]


def test_when_patience_runs_out_the_outcome_is_unknown_and_a_late_failure_brings_the_money(tmp_path: Path) -> None:
    shards = Shards()
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER), value=100)
    shards.deploy(write(tmp_path, "other.py", OTHER), shard=1)
    shards.halted.add(1)
    asked = caller.send("ask", 1, "fail", 5, 40)
    shards.settle()
    shards.wait(4)
    assert not asked.done
    shards.wait(2)
    assert (asked.result(), caller.get("unknown"), caller.balance) == ("unknown", True, 60)
    shards.halted.clear()
    shards.settle()
    assert caller.balance == 100


def test_patience_that_is_not_needed_changes_nothing(tmp_path: Path) -> None:
    shards = Shards()
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER))
    shards.deploy(write(tmp_path, "other.py", OTHER), shard=1)
    asked = caller.send("ask", 1, "answer", 5, 0)
    shards.settle()
    shards.wait(60)
    assert asked.result() == 42
    assert caller.get("unknown") is None


def test_an_account_is_paid_on_any_shard_or_the_money_comes_back(tmp_path: Path) -> None:
    shards = Shards()
    bob = address("bob")
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER), value=100)
    paid = caller.send("pay", 2, bob, 30, 60)
    shards.settle()
    assert (paid.result(), shards.paid(bob, shard=2), shards.paid(bob)) == (70, 30, 0)
    late = caller.send("pay", 2, bob, 30, 1)
    shards.wait(2)
    shards.settle()
    assert (late.result(), caller.balance, shards.paid(bob, shard=2)) == (["expired", 30], 70, 30)


def test_what_was_sent_with_a_call_stays_where_the_call_has_committed(tmp_path: Path) -> None:
    shards = Shards()
    caller = shards.deploy(write(tmp_path, "caller.py", CALLER), value=100)
    late = """
        from ostraka_contract import call

        async def accept():
            await call(0, "caller", "tell", 0)
            raise ValueError("too late to give it back")
        """
    other = shards.deploy(write(tmp_path, "other.py", late), shard=1)
    asked = caller.send("ask", 1, "accept", None, 40)
    shards.settle()
    with pytest.raises(CallFailed, match="too late") as caught:
        asked.result()
    assert (caught.value.returned, caller.balance, other.balance) == (0, 60, 40)


def test_a_halted_shard_takes_no_calls_from_outside(tmp_path: Path) -> None:
    shards = Shards()
    other = shards.deploy(write(tmp_path, "other.py", OTHER), shard=1)
    shards.halted.add(1)
    with pytest.raises(RuntimeError, match="shard 1 is halted"):
        other.send("answer")


def test_addresses_for_tests_are_addresses_and_always_the_same() -> None:
    assert len(parse_address(address("alice"))) == 32
    assert address("alice") == address("alice") != address("bob")


def test_outcome_unknown_is_not_a_call_that_failed() -> None:
    assert not issubclass(OutcomeUnknown, CallFailed)
