"""Anchors, and the question whether there is work, taken by themselves."""

import pytest
from msgspec.structs import replace

from primitives.errors import NotYet, Refused
from primitives.identifiers import BlockId, Height, ShardId
from shards.commitments import CommitmentCertificate
from shards.limits import ANCHOR_LAG
from shards.mempool import Mempool
from shards.validator.checks import anchor_height, check_anchor
from shards.validator.pending import ParsedBlock, PendingChain, parse_block
from tests.shards.builders import TestChain, certify, next_block


def anchored_at(chain: TestChain, height: int) -> CommitmentCertificate:
    return certify(replace(chain.shards[0].ledger.commitment, height=Height(height)), chain.context)


def parsed(chain: TestChain, height: int, *, empty: bool = False) -> ParsedBlock:
    raw = chain.local(0, chain.accounts[0], chain.accounts[1], 1)
    block = next_block(chain.shards[0].ledger, chain.context, ShardId(0), () if empty else (b"\x01" + raw,), 1)
    block = replace(block, header=replace(block.header, height=Height(height)))
    mempool = Mempool(chain.context, ShardId(0), chain.shards[0].ledger.account)
    return parse_block(BlockId(bytes(32)), block, mempool.parse)


def test_an_anchor_that_is_not_executed_here_is_not_yet_and_never_invalid() -> None:
    chain = TestChain()
    block, anchor = parsed(chain, 12), anchored_at(chain, 10)
    with pytest.raises(NotYet):
        check_anchor(block, anchor, Height(9))
    check_anchor(block, anchor, Height(10))


def test_an_anchor_stands_before_its_block_and_not_too_far_back_for_items() -> None:
    chain = TestChain()
    assert anchor_height(None) == 0
    for height in (12, 13):
        with pytest.raises(Refused, match="bad_anchor"):
            check_anchor(parsed(chain, 12), anchored_at(chain, height), Height(20))
    check_anchor(parsed(chain, ANCHOR_LAG), None, Height(0))
    with pytest.raises(Refused, match="bad_anchor"):
        check_anchor(parsed(chain, ANCHOR_LAG + 1), None, Height(0))
    check_anchor(parsed(chain, ANCHOR_LAG + 1, empty=True), None, Height(0))


def test_however_many_are_passed_over_whoever_has_something_to_offer_is_found() -> None:
    chain = TestChain(3, accounts=20)
    *many, last = chain.accounts
    ledger = chain.shards[0].ledger
    mempool = Mempool(chain.context, ShardId(0), ledger.account)
    raws = [chain.remote(0, each, 1, last, 5) for each in many] + [chain.remote(0, last, 2, many[0], 5)]
    for raw in raws:
        mempool.insert(mempool.check(raw, now_ms=chain.time_ms), now_ms=chain.time_ms, from_client=True)

    def offers(*blocked: int) -> bool:
        return mempool.has_offer(
            time_ms=chain.time_ms,
            next_nonce=PendingChain(ledger, ()).next_nonce,
            blocked=frozenset(map(ShardId, blocked)),
            max_waiting=4,
        )

    assert offers(1), "the last one, and all before it are passed over now"
    for _ in range(10):
        chosen = mempool.select(
            max_gas=10**9,
            max_bytes=10**9,
            max_items=100,
            time_ms=chain.time_ms,
            next_nonce=PendingChain(ledger, ()).next_nonce,
            blocked=frozenset(map(ShardId, (1, 2))),
        )
        assert chosen == [], "now all have been passed over"
    assert not offers(1, 2)
    assert any(offers(1) for _ in range(5)), "four at a time"
    assert all(offers(1) for _ in range(3)), "found once, found at once"
