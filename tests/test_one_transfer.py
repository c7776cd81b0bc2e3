"""docs/one-transfer.md, walked with the production objects: three shards of four validators, and a courier."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consensus.effects import CancelTimer, Note, SetTimer
from consensus.events import TimerFired
from primitives.amounts import BASE_UNITS_PER_OBOL, unpack_amount
from primitives.identifiers import Height, Milliseconds, Sequence, ShardId
from primitives.instant import Instant
from primitives.signatures import ED25519
from relay import effects as wanted
from relay import events as heard
from relay.core import Courier
from relay.links import Links
from shards import chain_store, queries
from shards.bundles import decode_bundle, verify_bundle
from shards.commitments import check_certificate
from shards.gas import fee_of
from shards.messages import Call, Outcome, Reply, message_decoder
from shards.proofs import verify_message_proof
from shards.receipts import CallReceipt, ReplyReceipt, TransactionReceipt
from shards.state import message_key, open_call_key
from shards.transactions import parse_transaction, transaction_id
from shards.validator import events as told
from shards.validator.effects import BlockFinalized
from tests.shards.builders import BALANCE, GENESIS_TIME, TestAccount
from tests.support.core_pump import Node, Pump

SOURCE, DESTINATION = ShardId(0), ShardId(2)
AMOUNT = 25 * BASE_UNITS_PER_OBOL
DOCUMENT = Path(__file__).parent.parent / "docs" / "one-transfer.md"

steps: list[str] = []


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """One step of the document, in the words of its heading."""
    steps.append(sentence)
    yield


class Relay:
    """A courier with its hands: what it wants to deliver is laid aside, so that a test may look at it first."""

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.courier = Courier(pump.chain.context, Links(3), ED25519)
        self.watched: dict[tuple[int, int], int] = {}
        """Watched validators with the height that was last told of each."""
        self.timers: dict[str, int] = {}
        self.deliveries: list[wanted.Deliver] = []
        self.hear(heard.Started())

    def hear(self, event: heard.Event) -> None:
        for effect in self.courier.handle(event, Instant(self.pump.now, Milliseconds(GENESIS_TIME + self.pump.now))):
            match effect:
                case wanted.Watch(shard, validator):
                    self.watched[shard, validator] = -1
                case wanted.Unwatch(shard, validator):
                    self.watched.pop((shard, validator), None)
                case wanted.Fetch():
                    self.hear(self._fetched(effect))
                case wanted.Deliver():
                    self.deliveries.append(effect)
                case SetTimer(name, at_ms):
                    self.timers[name] = at_ms
                case CancelTimer(name):
                    self.timers.pop(name, None)
                case Note():
                    pass

    def _fetched(self, fetch: wanted.Fetch) -> heard.BundleFetched:
        store = self.pump.nodes[fetch.source][fetch.validator].store
        raw = queries.bundle_for(store, self.pump.chain.context, fetch.source, fetch.destination, fetch.first)
        return heard.BundleFetched(fetch.source, fetch.validator, fetch.destination, fetch.first, raw)

    def look(self, milliseconds: int = 1_000) -> None:
        """Watch for a while what the shards certify."""
        end = self.pump.now + milliseconds
        while self.pump.now < end:
            self.pump.run(50)
            for shard, validator in list(self.watched):
                node = self.pump.nodes[shard][validator]
                certificate = node.core.certified
                height = 0 if certificate is None else certificate.commitment.height
                if self.watched.get((shard, validator), height) < height:
                    self.watched[shard, validator] = height
                    heads = chain_store.heads_at(node.store, Height(height)) or ()
                    self.hear(heard.ShardSeen(node.shard, node.index, certificate, heads))
            for name in [name for name, at in self.timers.items() if at <= self.pump.now]:
                del self.timers[name]
                self.hear(TimerFired(name))

    def deliver(self) -> tuple[wanted.Deliver, Node]:
        """Hand the one bundle that is laid aside to the validator that it is for."""
        (delivery,) = self.deliveries
        self.deliveries.clear()
        node = self.pump.nodes[delivery.destination][delivery.validator]
        self.pump.requests += 1
        node.hear(told.BundleSubmitted(self.pump.requests, delivery.raw))
        (answer,) = node.answers[self.pump.requests]
        assert answer.status == "accepted"
        at = (delivery.source, delivery.destination, delivery.validator, delivery.first)
        self.hear(heard.Delivered(*at, answer.status, answer.code, answer.detail))
        return delivery, node


def balance(node: Node, account: TestAccount) -> int:
    return unpack_amount(node.core.ledger.account(account.key).balance)


class Walk:
    """The transfer and what is known of it so far; a method for each step."""

    def __init__(self) -> None:
        self.pump = Pump(shards=3)
        self.context = self.pump.chain.context
        self.relay = Relay(self.pump)
        self.alice, self.bob = self.pump.chain.accounts[:2]
        self.source, self.destination = self.pump.nodes[SOURCE], self.pump.nodes[DESTINATION]
        self.raw = self.pump.chain.remote(SOURCE, self.alice, DESTINATION, self.bob, AMOUNT)
        self.name = transaction_id(self.raw)
        self.fee = fee_of(parse_transaction(self.raw).body)

    def level(self, node: Node) -> queries.Level:
        status = queries.transaction_status(node.store, self.name, node.core.mempool.get)
        assert status is not None
        return status.level

    def submit(self) -> None:
        client_of = self.source[2]
        client_of.hear(told.TransactionsSubmitted(1_000, (self.raw,)))
        assert client_of.effects["VerifySignatures"] == 1
        assert client_of.answers == {}, "not before its signature is verified"
        while not client_of.answers:
            self.pump.queue.popleft()()
        (answer,) = client_of.answers[1_000]
        assert (answer.status, answer.id) == ("accepted", self.name)
        assert client_of.core.mempool.get(self.name) is not None
        assert self.level(client_of) is queries.Level.ACCEPTED

    def finalize(self) -> None:
        node = self.source[0]
        while not node.news:
            self.pump.queue.popleft()() if self.pump.queue else self.pump.run(10)
        final = node.news[0]
        assert isinstance(final, BlockFinalized)
        assert final.transactions == (self.name,)
        assert chain_store.transaction_place(node.store, self.name) == chain_store.Place(final.height, 0)
        self.height = final.height

    def execute(self) -> None:
        self.pump.run(200)
        for node in self.source:
            assert balance(node, self.alice) == BALANCE - AMOUNT - self.fee
            receipt = chain_store.decode_receipt(chain_store.receipts_at(node.store, self.height)[0])
            assert isinstance(receipt, TransactionReceipt)
            assert receipt.failure == ""
            (self.sent,) = receipt.sent
            message = message_decoder.decode(node.core.ledger.get(message_key(DESTINATION, Sequence(0))) or b"")
            assert isinstance(message, Call)
            assert unpack_amount(message.value) == AMOUNT
            assert node.core.ledger.get(open_call_key(message.call_id)) is not None, "open until the answer comes"
            self.call = message

    def certify(self) -> None:
        for node in self.source:
            certificate = node.core.certified
            assert certificate is not None
            assert certificate.commitment == node.core.ledger.commitment
            assert len(certificate.quorum.signatures) == self.context.committee(SOURCE).quorum
            check_certificate(certificate, self.context.committee(SOURCE), ED25519)
            assert self.level(node) is queries.Level.CERTIFIED

    def carry(self) -> None:
        self.relay.look()
        self.bundle = decode_bundle(self.relay.deliveries[0].raw)
        verify_bundle(self.bundle, self.context, DESTINATION, ED25519)
        assert (self.bundle.head.source, self.bundle.first, len(self.bundle.bodies)) == (SOURCE, 0, 1)
        assert message_decoder.decode(self.bundle.bodies[0]) == self.call
        self.delivery, self.receiver = self.relay.deliver()

    def keep(self) -> None:
        assert len(self.receiver.core.inbox) == 1
        assert self.receiver.core.ledger.height == 0, "nothing has waited for it, nothing has happened yet"
        assert balance(self.receiver, self.bob) == BALANCE

    def consume(self) -> None:
        self.pump.run(500)
        for node in self.destination:
            assert balance(node, self.bob) == BALANCE + AMOUNT
            assert node.core.ledger.lane(SOURCE).recv_next == 1
            assert len(node.core.inbox) == 0
        assert self.pump.submit_bundle(DESTINATION, self.delivery.raw).status == "known", "once, whoever brings it"
        self.pump.run(500)
        assert balance(self.receiver, self.bob) == BALANCE + AMOUNT

    def answer(self) -> None:
        node = self.receiver
        consumed = chain_store.decode_receipt(chain_store.receipts_at(node.store, node.core.ledger.height)[0])
        assert isinstance(consumed, CallReceipt)
        assert (consumed.outcome, consumed.message_id) == (Outcome.OK, self.sent.message_id)
        self.relay.look()
        back = decode_bundle(self.relay.deliveries[0].raw)
        verify_bundle(back, self.context, SOURCE, ED25519)
        reply = message_decoder.decode(back.bodies[0])
        assert isinstance(reply, Reply)
        assert (reply.call_id, reply.outcome) == (self.call.call_id, Outcome.OK)
        self.reply = reply
        delivery, _ = self.relay.deliver()
        assert (delivery.source, delivery.destination) == (DESTINATION, SOURCE)

    def settle(self) -> None:
        self.pump.run(500)
        for node in self.source:
            ledger = node.core.ledger
            assert ledger.get(open_call_key(self.call.call_id)) is None
            assert ledger.account(self.alice.key).open_calls == 0
            refund = unpack_amount(self.reply.returned)
            assert balance(node, self.alice) == BALANCE - AMOUNT - self.fee + refund
            assert ledger.get(message_key(DESTINATION, Sequence(0))) is None, "acknowledged: out of the state"
            settled = chain_store.decode_receipt(chain_store.receipts_at(node.store, ledger.height)[0])
            assert isinstance(settled, ReplyReceipt)
            assert self.level(node) is queries.Level.SETTLED

    def rest(self) -> None:
        """An empty bundle acknowledges the reply; then nobody has anything to do, and the proof still stands."""
        self.relay.look()
        bare, _ = self.relay.deliver()
        assert decode_bundle(bare.raw).bodies == ()
        self.relay.look(3_000)
        assert self.relay.deliveries == []
        for node in self.destination:
            assert node.core.ledger.get(message_key(SOURCE, Sequence(0))) is None
        proof = queries.message_proof(self.source[3].store, self.sent.message_id)
        verified = verify_message_proof(proof, self.context, ED25519)
        assert (verified.source, verified.destination, verified.sequence) == (SOURCE, DESTINATION, 0)
        assert verified.message == self.call


def test_one_transfer_in_nine_steps() -> None:
    steps.clear()
    walk = Walk()
    with step(
        "1. A client signs a transaction and submits it to any validator of the source shard; "
        "it is checked and enters the mempool."
    ):
        walk.submit()
    with step("2. The leader proposes a block that contains it; the committee notarizes and finalizes the block."):
        walk.finalize()
    with step(
        "3. Every validator executes the finalized block: the sender is debited and a message is appended to the "
        "stream for the destination shard."
    ):
        walk.execute()
    with step(
        "4. Every validator signs the block's commitment; a quorum of those signatures is the commitment certificate."
    ):
        walk.certify()
    with step(
        "5. The relay sees the certificate, takes the stream's new messages with their Merkle proof, and delivers the "
        "bundle to the destination's validators."
    ):
        walk.carry()
    with step(
        "6. A destination validator verifies the bundle off the consensus path and keeps it for the next proposal."
    ):
        walk.keep()
    with step("7. A destination block includes the bundle; execution consumes each message exactly once."):
        walk.consume()
    with step("8. Every consumed message yields a reply in the reverse stream; a relay carries it back."):
        walk.answer()
    with step("9. The source settles the call: the reply releases what was held and refunds what was not used."):
        walk.settle()
        walk.rest()


def test_the_document_and_the_walk_have_the_same_steps() -> None:
    test_one_transfer_in_nine_steps()
    assert re.findall(r"^\*\*(\d\. .*)\*\*$", DOCUMENT.read_text(), re.MULTILINE) == steps
