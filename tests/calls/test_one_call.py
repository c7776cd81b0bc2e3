"""One contract call between shards, step by step in the words of `docs/one-call.md`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.values import encode
from primitives.amounts import unpack_amount
from primitives.identifiers import CallId, Sequence, ShardId
from shards.calls.records import reply_key
from shards.gas import MESSAGE_GAS, REPLY_GAS
from shards.messages import Call, Outcome, Reply, call_id_of, child_call_id, message_decoder
from shards.receipts import RunCause, RunState
from shards.state import message_key
from tests.calls.network import Network, Told, contract_call, result_of
from tests.shards.builders import BALANCE

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "one-call.md"
GAS = 300_000
VALUE = 25

SHOP = """
from ostraka_contract import call, put

async def buy(item: str) -> int:
    put("wanted", item)
    price = await call(2, "prices", "quote", item, value=25)
    put("price", price)
    return price
"""

PRICES = """
from ostraka_contract import msg, put

def quote(item: str) -> int:
    put("asked", [msg.sender, msg.value])
    return 100 * len(item)
"""

steps: list[str] = []


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """One step of the document, in the words of its heading."""
    steps.append(sentence)
    yield


class Walk:
    """The call and what is known of it so far; a method for each step."""

    def __init__(self) -> None:
        self.chain = Network(shards=3)
        self.chain.deploy(0, "shop", SHOP, value=100)
        self.chain.deploy(2, "prices", PRICES)
        self.before = self.chain.balance(0, self.chain.alice)

    def begin(self) -> None:
        chain = self.chain
        raw = chain.transaction(0, chain.alice, [contract_call("shop", "buy", "owl", gas=GAS)])
        self.told = Told(chain.run(0, [raw]))
        run = self.told.run
        assert (run.cause, run.state, run.method) == (RunCause.TRANSACTION, RunState.SUSPENDED, "buy")
        assert run.call_id == self.told.call_id == call_id_of(chain.context.chain_id, ShardId(0), run.trace_id, 0)
        assert self.told.fee == self.before - chain.balance(0, chain.alice)
        assert self.told.fee > GAS, "all the gas is taken in advance"

    def suspend(self) -> None:
        chain, run = self.chain, self.told.run
        assert chain.stored(0, "shop", "wanted") == "owl"
        assert chain.held(0, "shop") == 100 - VALUE
        message = message_decoder.decode(chain.shards[0].ledger.get(message_key(ShardId(2), Sequence(0))) or b"")
        assert isinstance(message, Call)
        assert (message.sender, message.target, message.method) == (b"shop@0", b"prices@2", "quote")
        assert (message.parent_call_id, message.trace_id, message.depth) == (run.call_id, run.trace_id, 1)
        assert message.call_id == child_call_id(chain.context.chain_id, ShardId(0), ShardId(2), Sequence(0))
        assert unpack_amount(message.value) == VALUE
        (opened,) = chain.open_calls(0)
        assert message.reply_gas == REPLY_GAS + opened.resume_gas
        call = chain.suspended(0, run.call_id)
        assert call is not None
        assert (len(call.journal), call.waits[0].numbers, call.gas_left) == (1, (0,), run.gas_left)
        escrow = chain.shards[0].ledger.commitment.supply.escrow
        assert unpack_amount(escrow) == call.gas_left == GAS - run.gas_used - message.gas
        self.message = message

    def arrive(self) -> None:
        self.there = Told(self.chain.deliver(0, 2))
        run = self.there.run
        assert (run.call_id, run.sender, run.cause) == (self.message.call_id, "shop@0", RunCause.MESSAGE)
        (receipt,) = self.there.calls
        assert (receipt.outcome, receipt.source, receipt.reply) == (Outcome.OK, 0, None)

    def answer(self) -> None:
        chain, run = self.chain, self.there.run
        assert chain.stored(2, "prices", "asked") == ["shop@0", VALUE]
        assert chain.held(2, "prices") == VALUE
        assert run.reply is not None
        reply = message_decoder.decode(chain.shards[2].ledger.get(message_key(ShardId(0), Sequence(0))) or b"")
        assert isinstance(reply, Reply)
        assert (reply.call_id, reply.outcome, reply.result) == (self.message.call_id, Outcome.OK, encode(300))
        assert unpack_amount(reply.returned) == self.message.gas - MESSAGE_GAS - run.gas_used
        assert reply.reply_gas == self.message.reply_gas
        self.reply = reply

    def come_home(self) -> None:
        left = self.told.run.gas_left
        self.home = Told(self.chain.deliver(2, 0))
        assert self.chain.open_calls(0) == []
        assert self.home.replies[0].returned == self.reply.returned
        run = self.home.run
        assert run.gas_left == left + unpack_amount(self.reply.returned) - run.gas_used
        assert self.chain.shards[0].ledger.get(reply_key(CallId(run.call_id), 0)) is None, "delivered at once"

    def go_on(self) -> None:
        run = self.home.run
        assert (run.cause, run.run, run.call_id) == (RunCause.REPLY, 1, self.told.call_id)
        note = self.home.execution.notes[0].record
        assert len(note.journal) == 1
        assert [reply.kind for reply in note.replies] == ["ok"]

    def end(self) -> None:
        assert result_of(self.home.run) == 300
        assert self.chain.stored(0, "shop", "price") == 300
        paid = self.before - self.chain.balance(0, self.chain.alice)
        runs = [*self.told.runs, *self.home.runs, *self.there.runs]
        assert paid == self.told.fee - GAS + sum(run.gas_used for run in runs) + MESSAGE_GAS
        assert self.chain.balance(0, self.chain.alice) == BALANCE - paid - (BALANCE - self.before)

    def settle(self) -> None:
        self.chain.exchange(2)
        for shard in range(3):
            assert self.chain.under_way(shard) == {}
            assert self.chain.open_calls(shard) == []
            assert unpack_amount(self.chain.shards[shard].ledger.commitment.supply.escrow) == 0
        assert {run.trace_id for run in self.chain.runs() if run.depth or run.method == "buy"} == {
            self.told.run.trace_id
        }


def test_one_call_in_eight_steps() -> None:
    steps.clear()
    walk = Walk()
    with step(
        "1. A transaction calls a method: its gas and value are taken from the sender, and the machine runs the first "
        "stretch."
    ):
        walk.begin()
    with step(
        "2. The method awaits: what the stretch did is committed, its calls are sent, and the call is kept as a "
        "journal."
    ):
        walk.suspend()
    with step(
        "3. The shard that is called consumes the message: it checks who speaks, the deadline and the target, and runs "
        "the method."
    ):
        walk.arrive()
    with step(
        "4. The callee's first commit credits the value; its end sends the one reply, with what is left of the gas."
    ):
        walk.answer()
    with step(
        "5. The reply comes home: the call is closed, its money is credited, and what it says is kept for the method "
        "that waits."
    ):
        walk.come_home()
    with step("6. The method goes on: a fresh instance replays the journal and runs the next stretch."):
        walk.go_on()
    with step(
        "7. The method returns: its last stretch is committed, and the gas that is left goes back to who made the call."
    ):
        walk.end()
    with step("8. The trace is settled: no call is open, nothing is in escrow, and every receipt says whose it is."):
        walk.settle()


def test_the_document_and_the_walk_have_the_same_steps() -> None:
    test_one_call_in_eight_steps()
    assert re.findall(r"^\*\*(\d\. .*)\*\*$", DOCUMENT.read_text(), re.MULTILINE) == steps
