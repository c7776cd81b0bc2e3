"""What a shard knows of a contract's call, how far its transaction has come, and what pruning leaves of either."""

import pytest

from contracts.machine.local import LocalMachine
from contracts.outcomes import Completed, Failed
from contracts.replaying import replay
from contracts.values import decode
from primitives.errors import Refused
from primitives.identifiers import CallId, Height, ShardId, TransactionId
from shards import chain_store, pruning, queries
from shards.call_queries import CallState, CallView, call_view, run_notes
from shards.messages import Outcome
from shards.queries import Level, MessageState, TransactionStatus
from shards.receipts import RunState
from shards.run_store import RUNS
from shards.stream_store import message_body, received_place
from shards.transactions import transaction_id
from tests.contracts.support import PROGRAMS
from tests.shards.test_contract_traces import LOCAL
from tests.support.stored_contracts import StoredContracts

TALKATIVE = """
from ostraka_contract import call, emit, put

async def talk(n):
    print("before", n)
    put("n", n)
    emit("Asked", n=n)
    found = await call(1, "stock", "free")
    print("after", found)
    return found
"""


@pytest.fixture
def chain() -> StoredContracts:
    chain = StoredContracts()
    chain.deploy(1, "stock")
    chain.deploy(0, "talkative", TALKATIVE)
    chain.deploy(0, "same", LOCAL)
    chain.call(1, "stock", "fill", "owl")
    return chain


def status_of(chain: StoredContracts, raw: bytes, shard: int = 0) -> TransactionStatus:
    status = queries.transaction_status(chain.stores[shard], transaction_id(raw), lambda _: None)
    assert status is not None
    return status


def call_of(chain: StoredContracts, raw: bytes) -> CallView:
    call = status_of(chain, raw).call
    assert call is not None
    return call


def test_a_call_is_known_from_its_first_run_to_its_last(chain: StoredContracts) -> None:
    raw = chain.call(0, "talkative", "talk", 7)
    begun = call_of(chain, raw)
    assert (begun.state, [call.made.method for call in begun.waits_for]) == (CallState.UNDER_WAY, ["free"])
    assert begun.last.gas_left > 0
    assert [run.note.log for run in begun.runs if run.note] == [("before 7",)]
    chain.follow(raw)
    ended = call_of(chain, raw)
    assert (ended.state, ended.waits_for) == (CallState.COMPLETED, ())
    assert [run.receipt.run for run in ended.runs] == [0, 1]
    assert [run.note.log for run in ended.runs if run.note] == [("before 7",), ("after ['owl']",)]
    assert decode(ended.last.result) == ["owl"]
    [child] = ended.calls
    assert child.answer is not None
    assert child.answer.outcome is Outcome.OK
    assert child.answer.reply is not None
    assert decode(child.answer.reply.result) == ["owl"]
    assert [event.name for event in ended.runs[0].receipt.events] == ["Asked"]


def test_a_transaction_is_settled_when_its_call_and_all_that_it_made_from_here_have_ended(
    chain: StoredContracts,
) -> None:
    raw = chain.call(0, "talkative", "talk", 7)
    assert status_of(chain, raw).level is Level.CERTIFIED
    chain.carry(0, 1)
    assert status_of(chain, raw).level is Level.CERTIFIED
    chain.certified = False
    chain.carry(1, 0)
    assert call_of(chain, raw).state is CallState.COMPLETED
    assert status_of(chain, raw).level is Level.CERTIFIED
    chain.certified = True
    chain.run(0)
    assert status_of(chain, raw).level is Level.SETTLED


def test_a_call_that_nobody_awaits_keeps_its_transaction_from_being_settled(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "unheard")
    assert call_of(chain, raw).state is CallState.COMPLETED
    assert status_of(chain, raw).level is Level.CERTIFIED
    chain.round_trip(0, 1)
    assert status_of(chain, raw).level is Level.SETTLED


def test_a_failed_call_is_settled_and_tells_its_failure(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "nowhere")
    chain.follow(raw)
    status = status_of(chain, raw)
    assert status.level is Level.SETTLED
    assert status.call is not None
    assert (status.call.state, status.call.last.error_type) == (CallState.FAILED, "CallFailed")


def test_the_destinations_run_is_found_by_the_same_call_id(chain: StoredContracts) -> None:
    raw = chain.call(0, "talkative", "talk", 1)
    chain.follow(raw)
    [child] = call_of(chain, raw).calls
    there = call_view(chain.stores[1], CallId(child.made.call_id))
    assert there is not None
    assert (there.last.contract, there.last.method, there.shard) == ("stock", "free", 1)
    assert call_view(chain.stores[0], CallId(child.made.call_id)) is None
    assert call_view(chain.stores[0], CallId(bytes(32))) is None


def test_every_run_can_be_repeated_from_its_note_alone(chain: StoredContracts) -> None:
    raw = chain.call(0, "talkative", "talk", 3)
    chain.follow(raw)
    call = call_of(chain, raw)
    notes = run_notes(chain.stores[0], call.call_id)
    assert [note.run for note in notes] == [0, 1]
    outcome = replay(notes[-1].record, TALKATIVE, LocalMachine())
    assert isinstance(outcome, Completed)
    assert decode(outcome.result) == ["owl"]


def test_a_failed_run_is_repeated_with_its_traceback(chain: StoredContracts) -> None:
    raw = chain.remote_call(0, 1, "stock", "reserve", "dodo")
    chain.follow(raw)
    [sent] = status_of(chain, raw).sent
    there = call_view(chain.stores[1], CallId(sent.message.call_id))
    assert there is not None
    [note] = run_notes(chain.stores[1], there.call_id)
    outcome = replay(note.record, (PROGRAMS / "stock.py").read_text(), LocalMachine())
    assert isinstance(outcome, Failed)
    assert (outcome.error, outcome.traceback) == ("NotInStock", there.last.traceback)


def test_a_message_of_a_shard_to_itself_is_found_read_and_not_provable(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "outer", 4)
    store, zero = chain.stores[0], ShardId(0)
    sent = call_of(chain, raw).calls[0].made.sent
    assert sent is not None
    view = queries.message_view(store, sent.message_id)
    assert view is not None
    assert view.status is not None
    assert (view.source, view.destination, view.provable, view.status.state) == (0, 0, False, MessageState.PENDING)
    assert received_place(store, zero, sent.sequence) is None
    chain.run(0)
    found = received_place(store, zero, sent.sequence)
    assert found is not None
    chain.run(0)
    view = queries.message_view(store, sent.message_id)
    assert view is not None
    assert view.status is not None
    assert view.status.state is MessageState.ANSWERED
    with pytest.raises(Refused, match="to itself") as refusal:
        queries.message_proof(store, sent.message_id)
    assert refusal.value.code == "not_provable"
    assert call_of(chain, raw).state is CallState.COMPLETED


def test_messages_to_itself_are_told_apart_though_their_numbers_have_gaps(chain: StoredContracts) -> None:
    raws = [chain.call(0, "same", "outer", number) for number in range(5)]
    for _ in range(3):
        chain.run(0)
    bodies = []
    for raw in raws:
        sent = call_of(chain, raw).calls[0].made.sent
        assert sent is not None
        bodies.append(message_body(chain.stores[0], ShardId(0), sent.sequence))
    assert None not in bodies
    assert len(set(bodies)) == 5
    assert [decode(call_of(chain, raw).last.result) for raw in raws] == [1, 3, 5, 7, 9]


def test_notes_and_own_messages_are_pruned_with_the_history(chain: StoredContracts) -> None:
    raw = chain.call(0, "same", "outer", 4)
    for _ in range(3):
        chain.run(0)
    call = call_of(chain, raw)
    sent = call.calls[0].made.sent
    assert sent is not None
    store = chain.stores[0]
    later = chain.call(0, "same", "outer", 5)
    for _ in range(3):
        chain.run(0)
    newest = call_of(chain, later)
    below = newest.runs[0].place.height
    while writes := pruning.pruning_writes(store, Height(below)):
        store.commit(writes)
    assert call_view(store, call.call_id) is None
    assert run_notes(store, newest.call_id) == tuple(run.note for run in newest.runs)
    assert message_body(store, ShardId(0), sent.sequence) is None
    assert {int.from_bytes(key[:8], "big") >= below for key, _ in store.scan(RUNS)} == {True}
    assert message_body(store, ShardId(0), newest.calls[0].made.sent.sequence) is not None  # type: ignore[union-attr]


def test_a_transaction_without_a_run_has_no_call(chain: StoredContracts) -> None:
    raw = chain.call(0, "nobody", "at_home")
    status = status_of(chain, raw)
    assert (status.level, status.call) == (Level.SETTLED, None)
    assert status.receipt is not None
    assert status.receipt.failure == "no_contract"


def test_every_id_of_a_run_leads_to_it(chain: StoredContracts) -> None:
    raw = chain.call(0, "talkative", "talk", 1)
    chain.follow(raw)
    call = call_of(chain, raw)
    store = chain.stores[0]
    made = call.calls[0].made
    assert made.sent is not None
    for wanted in (call.call_id, TransactionId(transaction_id(raw)), made.call_id, made.sent.message_id):
        found = chain_store.receipts_naming(store, wanted)
        assert call.runs[0].receipt in [each.receipt for each in found], wanted.hex()
    assert {run.receipt.state for run in call.runs} == {RunState.SUSPENDED, RunState.COMPLETED}
