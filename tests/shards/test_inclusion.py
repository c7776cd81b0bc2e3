"""The terms on which contract operations may wait, be chosen and be voted for."""

import pytest
from msgspec.structs import replace

from contracts import values
from contracts.limits import MAX_CALL_GAS, MAX_SOURCE_BYTES
from contracts.port import MachineIdentity
from contracts.runtime.identity import installed_identity
from primitives.amounts import Amount, AmountBytes, pack_amount, unpack_amount
from primitives.errors import Refused
from primitives.identifiers import CallId, Hash, Milliseconds, ShardId
from shards.gas import fee_of, gas_at_home
from shards.genesis import check_machine
from shards.inclusion import check_inclusion_terms
from shards.ledger import Ledger
from shards.limits import BLOCK_GAS, LOCAL_GAS, MAX_ARGUMENT_BYTES, MAX_TRANSACTION_BYTES, MAX_VALIDITY_MS
from shards.transactions import (
    ContractCall,
    Deploy,
    Operation,
    RemoteCall,
    TopUp,
    Upgrade,
    parse_transaction,
    total_amount,
)
from shards.validator.pending import PendingChain, destinations
from tests.shards.builders import MACHINE
from tests.support.mempool_world import (
    ALICE,
    BOB,
    CAROL,
    CONTEXT,
    HERE,
    NOW,
    World,
    body_of,
    local,
    make,
    remote,
    signed,
)

NOTHING = values.encode([])


def amount(number: int) -> AmountBytes:
    return pack_amount(Amount(number))


def remote_call(destination: int = 1, gas: int = 50_000, deadline_ms: int = NOW + 60_000) -> RemoteCall:
    return RemoteCall(
        destination=ShardId(destination),
        contract="stock",
        method="reserve",
        arguments=NOTHING,
        amount=amount(7),
        gas=gas,
        deadline_ms=Milliseconds(deadline_ms),
    )


LARGEST = values.encode(["x" * (MAX_ARGUMENT_BYTES - 10)])

OPERATIONS: tuple[Operation, ...] = (
    local(),
    remote(),
    remote_call(),
    Deploy("stock", "def hello(): pass", b"", NOTHING, amount(7), 100_000),
    Upgrade("stock", "def hello(): pass", NOTHING, 100_000),
    ContractCall("stock", "hello", NOTHING, amount(7), 100_000),
    TopUp(CallId(bytes(32)), 100_000),
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: type(each).__name__)
def test_every_operation_may_wait_and_holds_back_what_it_can_cost(operation: Operation) -> None:
    body = body_of(operations=[operation])
    cost = unpack_amount(body.fee_limit) + total_amount(body)
    world = World(balance=cost)
    transaction = world.submit(signed(body))
    assert world.select() == [transaction]
    poor = World(balance=cost - 1)
    assert poor.refusal(signed(body)).code == "overdraft"


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        (remote_call(7), "unknown_shard", "shards 0 to 2"),
        (remote_call(0), "same_shard", "use a contract call"),
        (remote_call(deadline_ms=NOW), "deadline_past", f"it is {NOW} ms"),
        (remote_call(deadline_ms=NOW + MAX_VALIDITY_MS + 1), "deadline_too_far", "24 h"),
    ],
)
def test_calls_to_other_shards_have_the_terms_of_transfers_there(operation: Operation, code: str, says: str) -> None:
    refused = World().refusal(make(operations=[operation]))
    assert refused.code == code
    assert says in refused.detail


def test_a_call_waits_for_its_destinations_stream_as_a_transfer_does() -> None:
    world = World()
    transaction = world.submit(make(operations=[local(), remote_call(2)]))
    assert world.select(blocked=(2,)) == []
    assert world.select(blocked=(1,)) == [transaction]
    assert destinations(transaction) == (2,)
    both = parse_transaction(make(operations=[remote_call(1), remote(2), remote_call(1), local()]))
    assert destinations(both) == (1, 2, 1)


def test_the_streams_room_counts_calls_of_blocks_that_are_not_executed_yet() -> None:
    ledger = Ledger(CONTEXT, HERE, machine=MACHINE)
    chain = PendingChain(ledger, ())
    chain._requests.update(destinations(parse_transaction(make(operations=[remote_call(1), remote_call(1)]))))
    assert chain.room(ShardId(1)) == chain.room(ShardId(2)) - 2


def test_whatever_gas_and_size_the_types_allow_fits_into_a_block() -> None:
    largest: list[Operation] = [
        Deploy("stock", "#" * MAX_SOURCE_BYTES, b"", LARGEST, amount(0), MAX_CALL_GAS),
        Upgrade("stock", "#" * MAX_SOURCE_BYTES, LARGEST, MAX_CALL_GAS),
        ContractCall("stock", "hello", LARGEST, amount(0), MAX_CALL_GAS),
        TopUp(CallId(bytes(32)), MAX_CALL_GAS),
    ]
    for operation in largest:
        body = body_of(operations=[operation])
        check_inclusion_terms(body, CONTEXT, HERE, NOW)
        assert len(signed(body)) <= MAX_TRANSACTION_BYTES
        assert gas_at_home(body) <= BLOCK_GAS - LOCAL_GAS


def test_what_needs_more_gas_than_a_block_has_is_refused_and_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    body = body_of(operations=[ContractCall("stock", "hello", NOTHING, amount(0), 100_000)])
    monkeypatch.setattr("shards.inclusion.BLOCK_GAS", LOCAL_GAS + gas_at_home(body))
    check_inclusion_terms(body, CONTEXT, HERE, NOW)
    monkeypatch.setattr("shards.inclusion.BLOCK_GAS", LOCAL_GAS + gas_at_home(body) - 1)
    with pytest.raises(Refused, match=f"too_much_gas: it takes {gas_at_home(body)} gas"):
        check_inclusion_terms(body, CONTEXT, HERE, NOW)


def test_a_calls_fee_holds_the_gas_that_travels_and_its_reply() -> None:
    body = body_of(operations=[remote_call(gas=50_000)])
    assert fee_of(body) - fee_of(body_of(operations=[remote_call(gas=0)])) == 50_000


def test_the_machine_that_is_installed_is_the_one_that_a_new_chain_demands_and_each_difference_is_named() -> None:
    here = installed_identity()
    check_machine(here, here)
    other = MachineIdentity(Hash(bytes(32)), "1.2.3", "pdp11-unknown", "none")
    with pytest.raises(Refused) as caught:
        check_machine(other, here)
    assert caught.value.code == "other_machine"
    for part in ("pip install wasmtime==1.2.3", "contract runtime", "pdp11-unknown", "[none]"):
        assert part in caught.value.detail
    for name in ("wasmtime", "target", "flags"):
        with pytest.raises(Refused, match=name if name == "wasmtime" else "chain"):
            check_machine(replace(here, **{name: "another"}), here)


def test_a_full_mempool_lets_nothing_larger_in_for_something_small(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    small = [world.submit(make(sender)) for sender in (ALICE, BOB)]
    monkeypatch.setattr("shards.mempool.MAX_BYTES", world.pool.size_bytes + 300)
    large = Deploy("stock", "#" * 1000, b"", NOTHING, amount(0), 0)
    assert world.refusal(make(ALICE, operations=[large], fee=500)).code == "mempool_full", "as a replacement"
    assert world.refusal(make(CAROL, operations=[large], fee=10**6)).code == "mempool_full", "as a newcomer"
    assert world.select() == small, "and nobody was pushed out for nothing"
    richer = world.submit(make(ALICE, operations=[local(), local()], fee=500))
    assert {each.id for each in world.select()} == {richer.id, small[1].id}
