"""What a contract reads is what was written: storage and its keys against a model that knows no layers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedSet

from contracts.machine.local import LocalMachine
from primitives.amounts import Amount, pack_amount
from primitives.identifiers import Height, Milliseconds, ShardId
from shards.calls.records import storage_key
from shards.calls.world import LedgerWorld
from shards.commitments import Supply
from shards.working_state import WorkingState
from tests.calls.network import Network, Told, contract_call, result_of
from tests.shards.builders import TestChain

NAMES = ["shop", "sho", "shop2", "shoq", "z"]
keys = st.one_of(
    st.text(alphabet="ab/\x00~é\U0010ffff", min_size=1, max_size=4).map(str.encode),
    st.sampled_from([b"a", b"a/", b"a/b", b"b", b"\xf4\x8f\xbf\xbf"]),
)
bounds = st.one_of(st.just(b""), keys)

CONTEXT = TestChain().context
ZERO = pack_amount(Amount(0))
SUPPLY = Supply(
    genesis=ZERO, balances=ZERO, bonds=ZERO, held_fees=ZERO, escrow=ZERO, burnt=ZERO, sent=ZERO, received=ZERO
)


def state_over(stored: dict[bytes, bytes]) -> WorkingState:
    return WorkingState(
        CONTEXT,
        ShardId(0),
        stored.get,
        SUPPLY,
        machine=LocalMachine(),
        stored_keys=SortedSet(stored),
        total_supply=0,
        height=Height(1),
        time_ms=Milliseconds(1),
    )


@settings(deadline=None, max_examples=300)
@given(
    before=st.dictionaries(st.tuples(st.sampled_from(NAMES), keys), st.binary(min_size=1, max_size=3), max_size=20),
    writes=st.lists(
        st.tuples(st.sampled_from(NAMES), keys, st.one_of(st.none(), st.binary(min_size=1, max_size=3))), max_size=15
    ),
    name=st.sampled_from(NAMES),
    prefix=bounds,
    after=bounds,
    limit=st.integers(0, 6),
)
def test_keys_are_those_of_a_plain_dictionary(
    before: dict[tuple[str, bytes], bytes],
    writes: list[tuple[str, bytes, bytes | None]],
    name: str,
    prefix: bytes,
    after: bytes,
    limit: int,
) -> None:
    state = state_over({storage_key(owner, key): value for (owner, key), value in before.items()})
    model = dict(before)
    for owner, key, value in writes:
        state.put(storage_key(owner, key), value)
        if value is None:
            model.pop((owner, key), None)
        else:
            model[owner, key] = value
    world = LedgerWorld(state, 0)
    mine = sorted(key for owner, key in model if owner == name)
    expected = [key for key in mine if key.startswith(prefix) and key > after][:limit]
    assert world.keys(name, prefix, after, limit) == expected
    for key in mine:
        assert world.read(name, key) == model[name, key]


def test_no_limit_of_zero_lists_everything() -> None:
    state = state_over({storage_key("shop", b"a"): b"1"})
    assert LedgerWorld(state, 0).keys("shop", b"", b"", 0) == []


PAGES = """
from ostraka_contract import call, delete, keys, put

def fill(first: int, end: int) -> None:
    for number in range(first, end):
        put(f"n/{number:03}", number)

def drop(first: int, end: int) -> None:
    for number in range(first, end):
        delete(f"n/{number:03}")

def all(page: int) -> list:
    found, last = [], None
    while True:
        listed = keys("n/", after=last, limit=page)
        if not listed:
            return found
        found += listed
        last = listed[-1]

async def while_waiting(page: int) -> list:
    before = all(page)
    await call(0, "pages", "drop", 0, 3)
    return [len(before), all(page)]
"""


@pytest.mark.parametrize("page", [1, 7, 256])
def test_pages_of_keys_show_what_the_same_block_wrote_and_deleted(page: int) -> None:
    chain = Network(restart=True)
    chain.deploy(0, "pages", PAGES)

    def numbers(listed: Any) -> list[int]:
        assert isinstance(listed, list)
        return [int(str(key).removeprefix("n/")) for key in listed]

    chain.call(0, "pages", "fill", 0, 20)
    told = chain.call(0, "pages", "while_waiting", page, gas=800_000)
    chain.quiesce()
    before, after = result_of(chain.end_of(told.call_id))
    assert (before, numbers(after)) == (20, list(range(3, 20)))
    raws = [
        chain.transaction(0, chain.alice, [contract_call("pages", "drop", 5, 10)]),
        chain.transaction(0, chain.bob, [contract_call("pages", "fill", 8, 22)]),
        chain.transaction(0, chain.carol, [contract_call("pages", "all", page, gas=800_000)]),
    ]
    assert numbers(result_of(Told(chain.run(0, raws)).runs[-1])) == [3, 4, *range(8, 22)]


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(0, 80),
    changes=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40), st.booleans()), max_size=8),
    after=st.integers(-1, 90),
    limit=st.integers(0, 30),
)
def test_long_runs_of_deleted_keys_are_stepped_over(
    count: int, changes: list[tuple[int, int, bool]], after: int, limit: int
) -> None:
    def named(number: int) -> bytes:
        return f"{number:03}".encode()

    state = state_over({storage_key("shop", named(number)): b"1" for number in range(count)})
    model = set(range(count))
    for first, length, present in changes:
        for number in range(first, first + length):
            state.put(storage_key("shop", named(number)), b"2" if present else None)
        (model.update if present else model.difference_update)(range(first, first + length))
    expected = [named(number) for number in sorted(model) if number > after][:limit]
    found = LedgerWorld(state, 0).keys("shop", b"", named(after) if after >= 0 else b"", limit)
    assert found == expected
