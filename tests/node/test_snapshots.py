"""A snapshot stays what it was, whatever is applied meanwhile, and from whichever thread it is read."""

import asyncio

from contracts.values import decode, encode
from primitives.amounts import Amount, pack_amount
from primitives.identifiers import ShardId
from shards.calls.records import storage_key
from shards.items import ItemKind, pack_item
from shards.ledger import Ledger
from shards.node.snapshots import Snapshots, SnapshotWorld, end_of
from shards.transactions import ContractCall, Deploy
from tests.shards.builders import TestChain, next_block

SOURCE = """
from ostraka_contract import delete, put

def write(key, value):
    put(key, value)

def erase(key):
    delete(key)
"""

NOTHING = pack_amount(Amount(0))
GAS = 400_000


class Watched:
    """A shard of which the snapshots hear before each block is applied, as in a validator."""

    def __init__(self) -> None:
        self.chain = TestChain(shards=1)
        self.ledger: Ledger = self.chain.shards[0].ledger
        self.snapshots = Snapshots(self.ledger, asyncio.get_running_loop())

    def act(self, operation: Deploy | ContractCall) -> None:
        """Execute and apply a block with one operation."""
        self.chain.time_ms += 100
        raw = self.chain.transaction(0, self.chain.accounts[0], [operation])
        items = [pack_item(ItemKind.TRANSACTION, raw)]
        execution = self.ledger.execute(
            next_block(self.ledger, self.chain.context, ShardId(0), items, self.chain.time_ms)
        )
        self.snapshots.before_apply(execution.changes)
        self.ledger.apply(execution)

    def deploy(self, name: str) -> None:
        self.act(Deploy(name, SOURCE, b"", encode([]), NOTHING, GAS))

    def write(self, key: str, value: int) -> None:
        self.act(ContractCall("box", "write", encode([key, value]), NOTHING, GAS))

    def erase(self, key: str) -> None:
        self.act(ContractCall("box", "erase", encode([key]), NOTHING, GAS))


async def listed(world: SnapshotWorld, prefix: str = "", after: str = "", limit: int = 10) -> list[str]:
    """Keys, read from another thread as a machine's are."""
    found = await asyncio.to_thread(world.keys, "box", prefix.encode(), after.encode(), limit)
    return [key.decode() for key in found]


def value(world: SnapshotWorld, key: str) -> object:
    raw = world.read("box", key.encode())
    return None if raw is None else decode(raw)


async def test_a_snapshot_shows_old_values_while_blocks_go_on() -> None:
    shard = Watched()
    shard.deploy("box")
    for key, number in (("a", 1), ("b", 2), ("d", 4)):
        shard.write(key, number)
    with shard.snapshots.open() as snapshot:
        world = SnapshotWorld(snapshot, "box")
        shard.write("a", 10)
        shard.erase("b")
        shard.write("c", 3)
        shard.write("a", 100)
        assert [value(world, key) for key in "abcd"] == [1, 2, None, 4]
        assert await listed(world) == ["a", "b", "d"]
        assert await listed(world, limit=2) == ["a", "b"]
        assert await listed(world, after="a") == ["b", "d"]
        with shard.snapshots.open() as later:
            now = SnapshotWorld(later, "box")
            assert [value(now, key) for key in "abcd"] == [100, None, 3, 4]
            assert await listed(now) == ["a", "c", "d"]
            assert later.height == snapshot.height + 4


async def test_what_was_read_is_remembered_for_proving_it() -> None:
    shard = Watched()
    shard.deploy("box")
    shard.write("a", 1)
    with shard.snapshots.open() as snapshot:
        world = SnapshotWorld(snapshot, "box", in_hand=5)
        assert world.balance("box") == 5
        value(world, "a")
        value(world, "nothing")
        assert storage_key("box", b"a") in world.keys_read
        assert storage_key("box", b"nothing") in world.keys_read
        assert not world.has_listed
        await listed(world)
        assert world.has_listed


async def test_a_prefix_that_is_a_key_itself_is_listed_with_what_follows_it() -> None:
    shard = Watched()
    shard.deploy("box")
    for key in ("item", "item/1", "item/2", "jar"):
        shard.write(key, 1)
    with shard.snapshots.open() as snapshot:
        world = SnapshotWorld(snapshot, "box")
        shard.erase("item/1")
        assert await listed(world, "item") == ["item", "item/1", "item/2"]
        assert await listed(world, "item", after="item") == ["item/1", "item/2"]
        assert await listed(world, "item/") == ["item/1", "item/2"]


async def test_the_names_of_contracts_are_known_at_the_start_and_as_they_come() -> None:
    shard = Watched()
    assert shard.snapshots.contracts_after("", 10) == []
    shard.deploy("box")
    shard.deploy("attic")
    shard.write("a", 1)
    shard.deploy("box")  # the name is taken
    for snapshots in (shard.snapshots, Snapshots(shard.ledger, asyncio.get_running_loop())):
        assert snapshots.contracts_after("", 10) == ["attic", "box"]
        assert snapshots.contracts_after("", 1) == ["attic"]
        assert snapshots.contracts_after("attic", 1) == ["box"]
        assert snapshots.contracts_after("b", 10) == ["box"]
        assert snapshots.contract_count == 2


async def test_threads_that_read_while_blocks_are_applied_see_one_state() -> None:
    shard = Watched()
    shard.deploy("box")
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        shard.write(key, 0)
    with shard.snapshots.open() as snapshot:
        world = SnapshotWorld(snapshot, "box")

        def read_all() -> set[object]:
            return {value(world, key) for _ in range(400) for key in keys}

        reading = asyncio.gather(*(asyncio.to_thread(read_all) for _ in range(4)))
        for number in range(1, 9):
            for key in keys:
                shard.write(key, number)
                await asyncio.sleep(0)
        assert await reading == [{0}] * 4


def test_the_end_of_a_prefix_is_above_all_that_begins_with_it() -> None:
    assert end_of(b"\x09ab") == b"\x09ac"
    assert end_of(b"\x09a\xff\xff") == b"\x09b"
    assert end_of(b"\x09a") > b"\x09a\xff\xff\xff"
