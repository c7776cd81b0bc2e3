"""Deployments of 64 KiB: through gossip, blocks and the mempool's limits, whatever stands around them."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import values
from contracts.limits import MAX_SOURCE_BYTES
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId, ValidatorIndex
from shards.limits import BLOCK_GAS, LOCAL_GAS, MAX_TRANSACTION_BYTES
from shards.transactions import ContractCall, Deploy, Operation, RemoteCall
from shards.validator import intake, wire
from shards.validator.builder import MAX_PAYLOAD_BYTES
from shards.validator.checks import check_items
from shards.validator.pending import PendingChain, parse_block
from tests.shards.builders import TestAccount, TestChain, next_block
from tests.support.core_pump import Pump

NO_MONEY = pack_amount(Amount(0))
NOTHING = values.encode([])


def source_of(size: int) -> str:
    """A contract whose source has exactly this many bytes."""
    code = "def hello():\n    return 'hello'\n"
    return code + "#" * (size - len(code) - 1) + "\n"


def deployment(name: str, size: int = MAX_SOURCE_BYTES, gas: int = 400_000) -> Deploy:
    return Deploy(name=name, source=source_of(size), owner=b"", arguments=NOTHING, amount=NO_MONEY, gas=gas)


def sign(chain: TestChain, account: TestAccount, operations: Sequence[Operation], nonce: int = 0) -> bytes:
    return chain.transaction(0, account, operations, nonce)


def contents(raws: Sequence[bytes]) -> list[bytes]:
    return [raw for batch in batches(raws) for raw in wire.unpack_transactions(batch[1:])]


def batches(raws: Sequence[bytes]) -> list[bytes]:
    """What `Intake` broadcasts for these transactions."""
    said = []
    while raws:
        count = wire.first_batch(raws)
        said.append(wire.pack_transactions(tuple(raws[:count])))
        raws = raws[count:]
    return said


sizes = st.lists(st.integers(1, 400) | st.integers(1, MAX_TRANSACTION_BYTES), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(sizes)
def test_gossip_is_split_by_bytes_and_loses_nothing(lengths: list[int]) -> None:
    raws = [bytes([number % 256]) * length for number, length in enumerate(lengths)]
    for batch in batches(raws):
        assert len(batch) <= wire.MAX_BATCH_BYTES + 1
    assert contents(raws) == raws


def test_a_batch_is_as_full_as_may_be() -> None:
    assert wire.first_batch([]) == 0
    assert wire.first_batch([b"x"] * 1000) == wire.MAX_BATCH_TRANSACTIONS
    assert wire.first_batch([bytes(MAX_TRANSACTION_BYTES)] * 10) == 2


def test_a_batch_beyond_its_bytes_is_refused_whole() -> None:
    packed = wire.pack_transactions((bytes(MAX_TRANSACTION_BYTES),) * 3)
    with pytest.raises(Refused, match="too_large"):
        wire.unpack_transactions(packed[1:])


@settings(deadline=None, max_examples=5)
@given(st.lists(st.integers(200, MAX_SOURCE_BYTES), min_size=1, max_size=4), st.integers(0, 30))
def test_large_deployments_among_transfers_reach_every_validator_and_a_block(
    source_sizes: list[int], transfers: int
) -> None:
    pump = Pump(shards=1, accounts=8)
    chain = pump.chain
    raws = [
        sign(chain, account, [deployment(f"c{n}", size)])
        for n, (account, size) in enumerate(zip(chain.accounts, source_sizes, strict=False))
    ]
    payer, payee = chain.accounts[-2:]
    raws += [chain.local(0, payer, payee, 5, nonce) for nonce in range(transfers)]
    assert {result.status for result in pump.submit(0, raws, to=1)} == {"accepted"}
    for node in pump.nodes[0]:
        assert len(node.core.mempool) == len(raws), "gossiped to all"
    pump.run(5_000)
    for node in pump.nodes[0]:
        assert len(node.core.mempool) == 0
        for account, nonce in [(payer, transfers), *((each, 1) for each in chain.accounts[: len(source_sizes)])]:
            assert node.core.ledger.account(account.key).nonce == nonce
    assert len({node.core.ledger.commitment.state_root for node in pump.nodes[0]}) == 1


def test_a_validator_repeats_one_bounded_batch_at_a_time_of_what_waits() -> None:
    pump = Pump(shards=1, accounts=12)
    chain = pump.chain
    pump.lost = lambda sender, receiver, raw: True
    raws = [sign(chain, account, [deployment(f"c{n}")]) for n, account in enumerate(chain.accounts)]
    pump.submit(0, raws)
    said: list[bytes] = []

    def listen(_sender: object, receiver: int, raw: bytes) -> bool:
        if receiver == 1 and raw[0] == wire.PeerKind.TRANSACTIONS:
            said.append(raw)
        return True

    pump.lost = listen
    for second in range(len(raws)):
        pump.run(1_000)
        assert len(said) <= second + 1
    assert max(map(len, said)) <= wire.MAX_BATCH_BYTES + 1
    assert {raw for batch in said for raw in wire.unpack_transactions(batch[1:])} == set(raws), "all of it in turn"


def test_a_block_takes_large_transactions_up_to_its_bytes_and_the_rest_later() -> None:
    pump = Pump(shards=1, accounts=20)
    chain = pump.chain
    raws = [sign(chain, account, [deployment(f"c{n}", gas=0)]) for n, account in enumerate(chain.accounts)]
    assert {result.status for result in pump.submit(0, raws)} == {"accepted"}
    pump.run(8_000)
    ledger = pump.nodes[0][0].core.ledger
    assert all(ledger.account(account.key).nonce == 1 for account in chain.accounts)
    assert ledger.height >= sum(map(len, raws)) // MAX_PAYLOAD_BYTES + 1


def test_clients_are_told_to_wait_when_too_many_bytes_wait_for_their_signatures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pump = Pump(shards=1)
    chain = pump.chain
    raws = [sign(chain, account, [deployment(f"c{n}")]) for n, account in enumerate(chain.accounts)]
    monkeypatch.setattr(intake, "MAX_OUTSTANDING_BYTES", 2 * len(raws[0]) + 1000)
    assert [(each.status, each.code) for each in pump.submit(0, raws)] == [
        ("accepted", ""),
        ("accepted", ""),
        ("refused", "busy"),
        ("refused", "busy"),
    ]
    assert [each.status for each in pump.submit(0, raws[2:])] == ["accepted", "accepted"], "the room is free again"


def test_a_peers_gossip_beyond_its_bytes_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    pump = Pump(shards=1)
    chain = pump.chain
    raws = [sign(chain, account, [deployment(f"c{n}")]) for n, account in enumerate(chain.accounts[:3])]
    monkeypatch.setattr(intake, "MAX_OUTSTANDING_GOSSIP_BYTES", len(raws[0]) + 1000)
    victim = pump.nodes[0][0]
    at = Milliseconds(chain.time_ms)
    for raw in raws:  # none of their signatures is verified meanwhile
        victim.core._intake.receive_transactions((raw,), at, ValidatorIndex(1))
    assert victim.core._desk.outstanding(ValidatorIndex(1)) == 1
    victim.core._intake.receive_transactions((raws[1],), at, ValidatorIndex(2))
    assert victim.core._desk.outstanding(ValidatorIndex(2)) == 1, "each peer has its own room"


def too_much(chain: TestChain) -> bytes:
    """A call that alone needs more gas than a block has."""
    parts = [
        RemoteCall(
            destination=ShardId(1),
            contract="stock",
            method="reserve",
            arguments=values.encode([bytes(16_000)]),
            amount=NO_MONEY,
            gas=0,
            deadline_ms=Milliseconds(chain.time_ms + 60_000),
        )
    ]
    return sign(chain, chain.accounts[0], parts)


def test_a_transaction_that_no_block_has_room_for_is_refused_at_submission_and_by_voters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The largest possible transaction fits into a block as its limits are; a smaller block shows the rule.
    monkeypatch.setattr("shards.inclusion.BLOCK_GAS", LOCAL_GAS + 16_000)
    pump = Pump(shards=2)
    chain = pump.chain
    raw = too_much(chain)
    (result,) = pump.submit(0, [raw])
    assert (result.status, result.code) == ("refused", "too_much_gas")
    shard = chain.shards[0]
    block = next_block(shard.ledger, chain.context, ShardId(0), (b"\x01" + raw,), chain.time_ms + 1)
    parsed = parse_block(block.header.parent, block, pump.nodes[0][0].core.mempool.parse)
    with pytest.raises(Refused, match="too_much_gas: it takes"):
        check_items(parsed, PendingChain(shard.ledger, ()), chain.context, ShardId(0), lambda _raw, _bundle: None)


def test_voters_refuse_a_block_with_more_gas_than_it_has_room_for() -> None:
    chain = TestChain()
    call = ContractCall(contract="c", method="m", arguments=NOTHING, amount=NO_MONEY, gas=(BLOCK_GAS - LOCAL_GAS) // 2)
    items = tuple(b"\x01" + sign(chain, account, [call]) for account in chain.accounts[:2])
    shard = chain.shards[0]
    pump = Pump(shards=2)
    parse = pump.nodes[0][0].core.mempool.parse
    for count, refused in ((1, False), (2, True)):
        block = next_block(shard.ledger, chain.context, ShardId(0), items[:count], chain.time_ms + 1)
        parsed = parse_block(block.header.parent, block, parse)
        arguments = (parsed, PendingChain(shard.ledger, ()), chain.context, ShardId(0), lambda _raw, _bundle: None)
        if refused:
            with pytest.raises(Refused, match="too_much_gas"):
                check_items(*arguments)
        else:
            check_items(*arguments)
