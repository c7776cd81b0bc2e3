"""A real shard of four validators over real sockets, seen through its HTTP API."""

from pathlib import Path

import jsonschema
import pytest

from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId
from primitives.signatures import ED25519
from shards.commitments import certificate_decoder
from shards.light_client import LightClient
from shards.node.api_types import CertifiedEvent, ExecutedEvent, FinalizedEvent, TransactionAnswer
from shards.node.client import NodeUnavailable
from shards.node.clock import system_clock
from shards.node.http_api import OPERATIONS
from shards.proofs import verify_message_proof
from shards.transactions import RemoteTransfer, Transfer, transaction_id
from tests.node.support import Running, key_of, make_configs, make_context, running, transfer, until


async def settled(net: Running, wanted: bytes, level: str = "certified", at: int = 0) -> TransactionAnswer:
    levels = ("accepted", "finalized", "executed", "certified", "settled")

    async def far_enough() -> TransactionAnswer | None:
        try:
            found = await net.clients[at].transaction(wanted)
        except Refused:
            return None
        return found if levels.index(found.level) >= levels.index(level) else None

    return await until(far_enough)


async def test_a_transfer_is_certified_and_every_validator_tells_the_same(tmp_path: Path) -> None:
    context = make_context()
    async with running(make_configs(tmp_path, context)) as net:
        raw = transfer(context, "alice", 0, Transfer(to=key_of("bob"), amount=pack_amount(Amount(25))))
        [result] = await net.clients[1].submit([raw])
        assert result.status == "accepted"
        assert (await net.clients[1].submit([raw]))[0].status == "known"
        done = await settled(net, transaction_id(raw))
        assert done.receipt is not None
        assert done.receipt.outcome == "ok"
        for at, client in enumerate(net.clients):
            await settled(net, transaction_id(raw), "executed", at)
            assert (await client.account(key_of("bob"))).balance == "1000000025"
        block = await net.clients[2].block(done.height or 0)
        assert [item.transaction and item.transaction.memo for item in block.items] == ["rent"]
        assert (await net.clients[2].block(bytes.fromhex(block.summary.block_id))).summary == block.summary
        trace = await net.clients[0].trace(transaction_id(raw))
        assert [each.receipt for each in trace.receipts] == [done.receipt]


async def test_an_account_with_proof_convinces_a_light_client(tmp_path: Path) -> None:
    context = make_context()
    async with running(make_configs(tmp_path, context)) as net:
        raw = transfer(context, "alice", 0, Transfer(to=key_of("bob"), amount=pack_amount(Amount(25))))
        await net.clients[0].submit([raw])
        await settled(net, transaction_id(raw), "executed")
        for name, balance in (("bob", 1_000_000_025), ("nobody", 0)):
            answer = await net.clients[0].account(key_of(name), proof=True)
            assert answer.proof is not None
            light = LightClient(context, ED25519)
            light.accept(certificate_decoder.decode(bytes.fromhex(answer.proof.certificate)))
            value = None if answer.proof.value is None else bytes.fromhex(answer.proof.value)
            account = light.verify_account(ShardId(0), key_of(name), bytes.fromhex(answer.proof.proof), value)
            assert int.from_bytes(account.balance, "big") == balance == int(answer.balance)


async def test_a_message_reaches_its_shard_through_the_bundle_endpoints_and_can_be_proved(tmp_path: Path) -> None:
    context = make_context(shards=2, validators=1)
    configs = make_configs(tmp_path, context) + make_configs(tmp_path, context, shard=1)
    async with running(configs) as net:
        home, away = net.clients
        operation = RemoteTransfer(
            destination=ShardId(1),
            to=key_of("carol"),
            amount=pack_amount(Amount(7)),
            deadline_ms=Milliseconds(system_clock().wall_ms + 600_000),
        )
        raw = transfer(context, "alice", 0, operation)
        assert (await home.submit([raw]))[0].status == "accepted"
        bundle = await home.bundle(1, 0, wait_ms=10_000)
        assert bundle is not None
        assert (await away.submit_bundle(bundle)).status == "accepted"
        answer = await away.bundle(0, 0, wait_ms=10_000)
        assert answer is not None
        assert (await home.submit_bundle(answer)).status == "accepted"
        done = await settled(net, transaction_id(raw), "settled")
        [sent] = done.sent
        assert (sent.state, sent.outcome) == ("answered", "ok")
        assert (await away.account(key_of("carol"))).balance == "7"
        message_id = bytes.fromhex(sent.message.message_id)
        verified = verify_message_proof(await home.message_proof(message_id), context, ED25519)
        assert (verified.source, verified.destination) == (0, 1)
        assert not (await home.message(message_id)).received
        assert (await away.message(message_id)).received
        streams = await home.streams()
        assert streams is not None
        assert [(head.destination, head.end) for head in streams.heads] == [(1, 1)]
        assert await home.streams(after=10**9) is None


async def test_a_bad_submission_is_refused_with_a_reason_and_a_batch_keeps_its_order(tmp_path: Path) -> None:
    context = make_context(validators=1)
    async with running(make_configs(tmp_path, context)) as net:
        [client] = net.clients
        pay = Transfer(to=key_of("bob"), amount=pack_amount(Amount(1)))
        good, late = transfer(context, "alice", 0, pay), transfer(context, "alice", 9, pay)
        forged = good[:5] + bytes([good[5] ^ 1]) + good[6:]
        results = await client.submit([late, b"x", forged, good])
        assert [result.status for result in results] == ["refused", "refused", "refused", "accepted"]
        assert results[0].code == "nonce_gap"
        body = {"transactions": [transfer(context, "alice", 1, pay).hex()]}
        async with net.session.post(client.base_url + "/v1/transactions", json=body) as response:
            assert response.status == 200
            assert (await response.json())["results"][0]["status"] == "accepted"


async def test_events_are_resumed_without_a_gap_or_a_repetition(tmp_path: Path) -> None:
    context = make_context(validators=1)
    async with running(make_configs(tmp_path, context)) as net:
        [client] = net.clients
        pay = Transfer(to=key_of("bob"), amount=pack_amount(Amount(1)))
        live = client.events()
        first = await anext_after(live, lambda: client.submit([transfer(context, "alice", 0, pay)]))
        await live.aclose()  # type: ignore[attr-defined]  # an async generator
        await client.submit([transfer(context, "alice", 1, pay)])
        await settled(net, transaction_id(transfer_cache(context)), "certified") if False else None
        resumed = client.events(first)
        seen: list[tuple[str, int]] = []
        async for received in resumed:
            seen.append((type(received.event).__name__, received.event.height))
            if isinstance(received.event, CertifiedEvent) and received.event.height >= 4:
                break
        await resumed.aclose()  # type: ignore[attr-defined]  # an async generator
        for kind in (FinalizedEvent, ExecutedEvent):
            heights = [height for name, height in seen if name == kind.__name__]
            begin = int(first.split(".")[0 if kind is FinalizedEvent else 1]) + 1
            assert heights == list(range(begin, begin + len(heights)))
        assert len(set(seen)) == len(seen)
