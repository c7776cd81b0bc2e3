"""What a leader puts into a block when there is more than fits: nobody's traffic keeps anybody else's out."""

from collections import Counter

import pytest

from contracts import values
from primitives.amounts import Amount, pack_amount
from primitives.identifiers import Height, Sequence, ShardId
from shards.items import ItemKind, unpack_item
from shards.limits import BLOCK_GAS, LOCAL_GAS
from shards.mempool import Mempool
from shards.transactions import ContractCall
from shards.validator.builder import TRANSACTIONS_FIRST, choose_items
from shards.validator.inbox import Inbox, Position, WaitingBundle
from shards.validator.pending import PendingChain
from tests.shards.builders import TestChain

HERE = ShardId(0)
ROOM = BLOCK_GAS - LOCAL_GAS
START = Position(Sequence(0), Sequence(0))


class ChainAt(PendingChain):
    """The executed state, said to be at another height."""

    def __init__(self, chain: TestChain, height: int) -> None:
        super().__init__(chain.shards[0].ledger, ())
        self._height = Height(height)

    @property
    def height(self) -> Height:
        return self._height


def crowded(sources: int) -> tuple[TestChain, Inbox, Mempool]:
    """Shards whose bundles each fill a block with gas, and accounts whose call fills one, too."""
    chain = TestChain(shards=sources + 1)
    alice, bob = chain.accounts[:2]
    inbox = Inbox()
    for source in range(1, sources + 1):
        chain.run(source, [chain.remote(source, alice, 0, bob, 5)])
        bundle = chain.bundle(source, 0)
        assert inbox.add(WaitingBundle(values.encode([source]), bundle, ROOM), START)
    mempool = Mempool(chain.context, HERE, chain.shards[0].ledger.account)
    call = ContractCall("main", "work", values.encode([]), pack_amount(Amount(0)), 1_400_000)
    raw = chain.transaction(0, alice, [call])
    mempool.insert(mempool.check(raw, now_ms=chain.time_ms), now_ms=chain.time_ms, from_client=True)
    return chain, inbox, mempool


def first_items(height: int, crowd: tuple[TestChain, Inbox, Mempool]) -> list[str]:
    chain, inbox, mempool = crowd
    items = choose_items(ChainAt(chain, height - 1), chain.context, HERE, inbox, mempool, chain.time_ms)
    found = []
    for item in items:
        kind, raw = unpack_item(item)
        found.append("transaction" if kind is ItemKind.TRANSACTION else f"shard {raw[-1]}")
    return found


@pytest.mark.parametrize("sources", [1, 2, 3, 4])
def test_sources_and_transactions_take_turns_at_filling_a_block(sources: int) -> None:
    crowd = crowded(sources)
    blocks = [first_items(height, crowd) for height in range(1, sources * TRANSACTIONS_FIRST + 1)]
    assert all(len(block) == 1 for block in blocks), "each of them fills a block"
    counts = Counter(block[0] for block in blocks)
    assert counts.pop("transaction") == sources
    assert counts == {f"shard {source}": TRANSACTIONS_FIRST - 1 for source in range(1, sources + 1)}


@pytest.mark.parametrize("height", range(1, 2 * TRANSACTIONS_FIRST))
def test_what_fits_together_is_in_every_block_bundles_before_transactions(height: int) -> None:
    chain = TestChain(shards=2)
    alice, bob = chain.accounts[:2]
    chain.run(1, [chain.remote(1, alice, 0, bob, 5)])
    bundle = chain.bundle(1, 0)
    inbox = Inbox()
    assert inbox.add(WaitingBundle(b"\x01", bundle, 1_000), START)
    mempool = Mempool(chain.context, HERE, chain.shards[0].ledger.account)
    raws = [chain.local(0, alice, bob, 5, nonce) for nonce in range(3)]
    for raw in raws:
        mempool.insert(mempool.check(raw, now_ms=chain.time_ms), now_ms=chain.time_ms, from_client=True)
    assert first_items(height, (chain, inbox, mempool)) == ["shard 1", "transaction", "transaction", "transaction"]
