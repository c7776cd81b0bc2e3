"""The ledger: deterministic, atomic, restorable, provable; every commitment says exactly what the state is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from consensus.block import block_id_of
from primitives import mmr
from primitives.amounts import MAX_SUPPLY, Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.errors import InvariantViolated, Refused
from primitives.identifiers import Hash, ShardId
from primitives.merkle import inclusion_proof, leaf_hash, verify_inclusion
from primitives.state_tree import value_hash, verify_proof
from shards.commitments import Commitment, commitment_hash
from shards.genesis import ChainContext
from shards.items import ItemKind, pack_item
from shards.lanes import unused_head
from shards.ledger import Ledger
from shards.state import CHAIN_KEY, account_key, decode_account, lane_key, path_of_key
from shards.streams import head_leaf
from tests.shards.builders import BALANCE, BOND, MACHINE, TestAccount, TestChain, next_block

ROOT = Path(__file__).parents[2]


def workload(chain: TestChain) -> None:
    """Local and remote transfers, failures, deliveries and replies."""
    a, b, c, d = chain.accounts
    for turn in range(3):
        chain.run(
            0, [chain.local(0, a, b, 10 + turn), chain.remote(0, b, 1, c, 7 + turn), chain.local(0, c, d, 10**12)]
        )
        chain.run(1, [chain.remote(1, d, 0, a, 3), chain.local(1, a, TestAccount(f"new{turn}"), 11)])
        chain.deliver(0, 1)
        chain.deliver(1, 0)
    chain.settle()


def final_state() -> str:
    """Hash of the last commitments after the workload; also run in other processes."""
    chain = TestChain()
    workload(chain)
    return " ".join(commitment_hash(shard.ledger.commitment).hex() for shard in chain.shards)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_execution_is_the_same_in_every_process(seed: str) -> None:
    command = "from tests.shards.test_ledger import final_state; print(final_state())"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == final_state()


def test_the_genesis_is_the_same_for_everybody_and_holds_what_it_says() -> None:
    chain = TestChain()
    commitment = chain.shards[0].ledger.commitment
    assert commitment == Ledger(chain.context, ShardId(0), machine=MACHINE).commitment
    assert commitment != chain.shards[1].ledger.commitment
    assert (commitment.height, commitment.block_id) == (0, chain.context.genesis_block_id(ShardId(0)))
    supply = commitment.supply
    assert unpack_amount(supply.balances) == BALANCE * 4
    assert unpack_amount(supply.bonds) == BOND * 4
    assert unpack_amount(supply.genesis) == BALANCE * 4 + BOND * 4
    assert supply.holds()


def test_readers_see_the_state_before_a_block_until_it_is_applied() -> None:
    chain = TestChain()
    alice, bob = chain.accounts[:2]
    ledger = chain.shards[0].ledger
    items = [pack_item(ItemKind.TRANSACTION, chain.local(0, alice, bob, 5))]
    before = (ledger.height, ledger.block_id, ledger.time_ms, ledger.commitment, ledger.heads, dict(ledger.entries()))
    block = next_block(ledger, chain.context, ShardId(0), items, chain.time_ms + 1)
    execution = ledger.execute(block)
    assert before == (
        ledger.height,
        ledger.block_id,
        ledger.time_ms,
        ledger.commitment,
        ledger.heads,
        dict(ledger.entries()),
    )
    ledger.apply(execution)
    assert (ledger.height, ledger.block_id) == (1, block_id_of(block.header))
    assert (ledger.time_ms, ledger.commitment) == (chain.time_ms + 1, execution.commitment)
    assert unpack_amount(ledger.account(bob.key).balance) == BALANCE + 5


def test_executing_again_forgets_what_was_not_applied() -> None:
    chain = TestChain()
    alice, bob, carol, dave = chain.accounts
    ledger = chain.shards[0].ledger
    one, other = (
        next_block(ledger, chain.context, ShardId(0), [pack_item(ItemKind.TRANSACTION, raw)], chain.time_ms + 1)
        for raw in (chain.local(0, alice, bob, 5), chain.local(0, carol, dave, 6))
    )
    forgotten = ledger.execute(one)
    execution = ledger.execute(other)
    assert ledger.execute(other) == execution
    with pytest.raises(InvariantViolated):
        ledger.apply(forgotten)
    ledger.apply(execution)
    assert (
        ledger.commitment.state_root
        == Ledger.restore(chain.context, ShardId(0), ledger.entries(), machine=MACHINE).commitment.state_root
    )
    with pytest.raises(InvariantViolated):
        ledger.apply(execution)


def test_a_block_that_cannot_be_executed_leaves_no_trace() -> None:
    chain = TestChain()
    alice, bob = chain.accounts[:2]
    ledger = chain.shards[0].ledger
    good = pack_item(ItemKind.TRANSACTION, chain.local(0, alice, bob, 5))
    block = next_block(ledger, chain.context, ShardId(0), [good, good], chain.time_ms + 1)
    before = dict(ledger.entries())
    with pytest.raises(InvariantViolated):
        ledger.execute(block)
    assert dict(ledger.entries()) == before
    chain.run(0, [chain.local(0, alice, bob, 5)])
    twin = TestChain()
    twin.run(0, [twin.local(0, alice, bob, 5)])
    assert ledger.commitment == twin.shards[0].ledger.commitment


def test_only_the_next_block_is_executed() -> None:
    chain = TestChain()
    ledger = chain.shards[0].ledger
    block = next_block(ledger, chain.context, ShardId(0), [], chain.time_ms + 1)
    for header in (
        replace(block.header, height=2),
        replace(block.header, height=0),
        replace(block.header, shard=1),
        replace(block.header, parent=bytes(32)),
    ):
        with pytest.raises(InvariantViolated):
            ledger.execute(replace(block, header=header))


def test_a_restored_ledger_is_the_same_and_goes_on_the_same() -> None:
    chain = TestChain()
    workload(chain)
    chain.run(0, [chain.remote(0, chain.accounts[0], 1, chain.accounts[1], 5)])
    for shard in chain.shards:
        entries = sorted(shard.ledger.entries(), reverse=True)
        restored = Ledger.restore(chain.context, shard.shard, entries, machine=MACHINE)
        assert restored.commitment == shard.ledger.commitment
        assert (restored.heads, restored.height) == (shard.ledger.heads, shard.ledger.height)
        block = next_block(restored, chain.context, shard.shard, [], chain.time_ms + 1)
        assert restored.execute(block) == shard.ledger.execute(block)


def restored_commitment(chain: TestChain, entries: dict[bytes, bytes]) -> Commitment | str:
    """Commitment of shard 0 restored from entries, or the code of why they were refused."""
    try:
        return Ledger.restore(chain.context, ShardId(0), entries.items(), machine=MACHINE).commitment
    except Refused as refused:
        return refused.code


def test_a_state_without_a_readable_chain_record_is_refused() -> None:
    chain = TestChain()
    entries = dict(chain.shards[0].ledger.entries())
    for changed in ({}, {**entries, CHAIN_KEY: b"junk"}, {**entries, b"\x01": b""}, {**entries, b"": b""}):
        assert restored_commitment(chain, changed) == "corrupt_state"


def test_a_state_with_any_entry_changed_or_missing_is_not_restored_to_the_certified_commitment() -> None:
    chain = TestChain()
    workload(chain)
    ledger = chain.shards[0].ledger
    for key, value in ledger.entries():
        for changed in (
            {k: v for k, v in ledger.entries() if k != key},
            {**dict(ledger.entries()), key: value[:-1] + b"\x7f"},
        ):
            assert restored_commitment(chain, changed) != ledger.commitment


def test_flushed_changes_bring_a_stored_state_to_the_same_commitment() -> None:
    chain = TestChain()
    shard = chain.shards[0]
    stored = dict(shard.ledger.entries())
    assert shard.ledger.take_flush() is None
    for _ in range(2):
        workload(chain)
        flush = shard.ledger.take_flush()
        assert flush is not None
        assert flush.height == shard.ledger.height
        assert list(flush.changes) == sorted(flush.changes)
        for key, value in flush.changes.items():
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value
        assert (
            Ledger.restore(chain.context, ShardId(0), stored.items(), machine=MACHINE).commitment
            == shard.ledger.commitment
        )
        assert shard.ledger.take_flush() is None


def test_accounts_and_their_absence_are_proved_under_the_state_root() -> None:
    chain = TestChain()
    workload(chain)
    ledger = chain.shards[0].ledger
    root = ledger.commitment.state_root
    for account in chain.accounts:
        key = account_key(account.key)
        raw = ledger.get(key)
        assert raw is not None
        assert verify_proof(root, path_of_key(key), ledger.prove(key)) == value_hash(raw)
        assert decode_account(raw) == ledger.account(account.key)
    absent = account_key(TestAccount("nobody").key)
    assert verify_proof(root, path_of_key(absent), ledger.prove(absent)) is None
    with pytest.raises(Refused):
        verify_proof(root, path_of_key(absent), ledger.prove(CHAIN_KEY))


def test_nothing_is_proved_between_execution_and_application() -> None:
    chain = TestChain()
    ledger = chain.shards[0].ledger
    ledger.execute(next_block(ledger, chain.context, ShardId(0), [], chain.time_ms + 1))
    with pytest.raises(InvariantViolated):
        ledger.prove(CHAIN_KEY)


def test_the_receipts_root_proves_each_receipt() -> None:
    chain = TestChain()
    a, b = chain.accounts[:2]
    execution = chain.run(0, [chain.local(0, a, b, 1, n) for n in range(5)])
    commitment = execution.commitment
    assert commitment.receipt_count == len(execution.receipts) == 5
    leaves = [leaf_hash(receipt) for receipt in execution.receipts]
    for place, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, place)
        assert verify_inclusion(leaf, place, commitment.receipt_count, proof, commitment.receipts_root)


def test_the_outbox_root_has_one_leaf_for_each_shard_and_unused_streams_are_constant() -> None:
    chain = TestChain(shards=5)
    a, b = chain.accounts[:2]
    execution = chain.run(3, [chain.remote(3, a, 1, b, 1)])
    assert [head.destination for head in execution.heads] == [0, 1, 2, 3, 4]
    unused = [unused_head(ShardId(3), ShardId(peer)) for peer in range(5)]
    assert [head == constant for head, constant in zip(execution.heads, unused, strict=True)] == [
        True,
        False,
        True,
        True,
        True,
    ]
    leaves = [head_leaf(chain.context.chain_id, head) for head in execution.heads]
    for place, leaf in enumerate(leaves):
        assert verify_inclusion(leaf, place, 5, inclusion_proof(leaves, place), execution.commitment.outbox_root)


def test_a_lane_that_was_looked_at_but_not_used_stays_absent() -> None:
    chain = TestChain()
    a, b = chain.accounts[:2]
    poor = TestAccount("poor")
    chain.run(0, [chain.local(0, a, poor, 5_000)])
    late = chain.remote(0, poor, 1, b, 1, deadline_ms=1)
    chain.run(0, [late])
    assert chain.shards[0].ledger.get(lane_key(ShardId(1))) is None


def test_the_history_root_proves_every_earlier_commitment() -> None:
    chain = TestChain()
    shard = chain.shards[0]
    commitments = [shard.ledger.commitment]
    for _ in range(6):
        chain.run(0)
        commitments.append(shard.ledger.commitment)
    latest = commitments.pop()

    def read(level: int, index: int) -> Hash | None:
        return shard.history_nodes.get((level, index))

    peaks = mmr.peaks_at(latest.height, read)
    assert peaks.root() == latest.history_root
    for height, commitment in enumerate(commitments):
        path = mmr.inclusion_path(height, latest.height, read)
        leaf = commitment_hash(commitment)
        assert mmr.verify_inclusion(leaf, height, latest.height, path, peaks.hashes, latest.history_root)


def test_an_empty_block_changes_only_where_the_chain_is() -> None:
    chain = TestChain()
    execution = chain.run(0)
    assert list(execution.changes) == [CHAIN_KEY]
    assert (execution.receipts, execution.sent) == ((), ())


def test_an_account_with_nothing_in_it_is_absent() -> None:
    accounts = TestChain().accounts
    chain = TestChain(balance=Amount(0))
    assert all(chain.shards[0].ledger.get(account_key(account.key)) is None for account in accounts)
    assert chain.account(0, accounts[0]).nonce == 0


def test_executions_carry_what_restores_a_state_from_the_one_before() -> None:
    chain = TestChain()
    a, b = chain.accounts[:2]
    before = dict(chain.shards[0].ledger.entries())
    execution = chain.run(0, [chain.remote(0, a, 1, b, 1)])
    for key, value in execution.changes.items():
        if value is None:
            before.pop(key, None)
        else:
            before[key] = value
    assert before == dict(chain.shards[0].ledger.entries())
    assert encode(execution.commitment) == encode(chain.shards[0].ledger.commitment)
    assert pack_amount(Amount(0)) == execution.commitment.supply.received


def test_a_genesis_with_more_money_than_there_may_be_is_refused_bonds_included() -> None:
    genesis = TestChain().context.genesis
    shard = genesis.shards[0]
    first, *others = shard.validators.validators
    for bond, refused in ((MAX_SUPPLY, True), (BOND, False)):
        members = (replace(first, bond=pack_amount(bond)), *others)
        changed = replace(shard, validators=replace(shard.validators, validators=members))
        candidate = replace(genesis, shards=(changed, *genesis.shards[1:]))
        if refused:
            with pytest.raises(Refused):
                ChainContext(candidate)
        else:
            assert ChainContext(candidate).chain_id == TestChain().context.chain_id
