"""A call of the chain is repeated from its record, and what is otherwise here is named; a debugger may look on."""

import io
import sys

import msgspec
import pytest

from contracts.machine.local import LocalMachine
from primitives.codec import encode
from primitives.errors import Refused
from shards.call_queries import call_view
from shards.call_tree import all_calls
from shards.node.api_contracts import RecordAnswer
from shards.node.contract_views import record_answer
from shards.receipts import RunReceipt, receipt_decoder
from testnet.replaying import debug_call, replay_call
from tests.contracts.support import PROGRAMS
from tests.support.stored_contracts import StoredContracts

SHOP = (PROGRAMS / "shop.py").read_text()


@pytest.fixture(scope="module")
def machine() -> LocalMachine:
    return LocalMachine()


@pytest.fixture(scope="module")
def record() -> RecordAnswer:
    """A purchase that fails at the wallet."""
    chain = StoredContracts()
    for shard, name in ((0, "shop"), (1, "stock"), (2, "prices"), (2, "wallet")):
        chain.deploy(shard, name)
    chain.call(1, "stock", "fill", "owl")
    trace = chain.follow(chain.call(0, "shop", "buy", "owl"))
    [root] = [node for node in all_calls(trace.roots) if node.parent is None]
    view = call_view(chain.stores[0], root.call_id)
    assert view is not None
    return record_answer(view, SHOP)


def test_every_run_does_what_the_chain_says(record: RecordAnswer, machine: LocalMachine) -> None:
    replayed = replay_call(record, machine)
    assert [each.number for each in replayed] == list(range(len(record.runs)))
    assert len(replayed) >= 3
    assert all(not each.differences for each in replayed)
    assert replayed[-1].receipt.error_type == "CallFailed"


def changed(record: RecordAnswer, at: int, **fields: object) -> RecordAnswer:
    """The record with another receipt of one run."""
    run = record.runs[at]
    receipt = receipt_decoder.decode(bytes.fromhex(run.receipt))
    assert isinstance(receipt, RunReceipt)
    forged = encode(msgspec.structs.replace(receipt, **fields)).hex()
    runs = [msgspec.structs.replace(each, receipt=forged) if each is run else each for each in record.runs]
    return msgspec.structs.replace(record, runs=runs)


@pytest.mark.parametrize(
    ("at", "fields", "said"),
    [
        (-1, {"error_text": "other"}, "here it is raised: CallFailed"),
        (-1, {"state": 0, "kind": ""}, "the chain says completed, here it is failed"),
        (0, {"calls": ()}, "the calls it makes are others"),
    ],
)
def test_what_the_chain_says_otherwise_is_named(
    record: RecordAnswer, machine: LocalMachine, at: int, fields: dict[str, object], said: str
) -> None:
    replayed = replay_call(changed(record, at, **fields), machine)[at]
    assert any(said in difference for difference in replayed.differences)


def test_other_code_is_refused(record: RecordAnswer, machine: LocalMachine) -> None:
    with pytest.raises(Refused, match="not the source that ran"):
        replay_call(msgspec.structs.replace(record, source=SHOP + "\n"), machine)


def debugged(record: RecordAnswer, commands: str, monkeypatch: pytest.MonkeyPatch, number: int | None = None) -> str:
    """What a debugger's user sees who types these commands."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(commands))
    monkeypatch.setattr(sys, "stdout", said)
    debug_call(record, lambda text: print(text, file=said), number)
    return said.getvalue()


def test_the_debugger_stops_at_the_first_statement_and_at_the_failure(
    record: RecordAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = debugged(record, "p item\nc\np item, price\nq\n", monkeypatch)
    assert 'shop.py(12)buy()\n-> if get(f"sold:{item}"):' in said
    assert "'owl'" in said
    assert "CallFailed: failed: InsufficientFunds" in said
    assert "('owl', 300)" in said


def test_the_debugger_can_be_left_and_an_earlier_run_can_be_chosen(
    record: RecordAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "left; the run is not finished" in debugged(record, "q\n", monkeypatch)
    assert "it awaits replies" in debugged(record, "c\n", monkeypatch, 0)
    with pytest.raises(Refused, match="has the runs 0 to"):
        debug_call(record, print, 99)
