"""A real shard of four validators over real sockets, seen through its HTTP API."""

import asyncio
import io
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import msgspec
import pytest

from consensus.pacing import Rules
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId
from primitives.signatures import ED25519
from shards.bundles import decode_bundle
from shards.commitments import certificate_decoder
from shards.light_client import LightClient
from shards.node.api_types import CertifiedEvent, ExecutedEvent, FinalizedEvent, TransactionAnswer
from shards.node.client import NodeClient, NodeUnavailable, ReceivedEvent
from shards.node.clock import system_clock
from shards.node.http_api import OPERATIONS
from shards.proofs import verify_message_proof
from shards.transactions import RemoteTransfer, Transfer, transaction_id
from tests.node.support import Running, close_sockets, key_of, make_configs, make_context, running, transfer, until

JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/msgpack"}
HTML = {"Content-Type": "text/html"}


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
        # A relay always waits for messages; when none come it must still get what acknowledges the reply.
        acknowledgement = await home.bundle(1, 1, wait_ms=10)
        assert acknowledgement is not None
        opened = decode_bundle(acknowledgement)
        assert (opened.bodies, opened.head.ack_next) == ((), 1)
        assert (await away.submit_bundle(acknowledgement)).status == "accepted"
        assert await home.bundle(1, 9, wait_ms=10) is None


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


async def collect(client: NodeClient, after: str, count: int) -> list[ReceivedEvent]:
    stream = client.events(after)
    seen: list[ReceivedEvent] = []
    async with asyncio.timeout(20), aclosing(stream):  # type: ignore[type-var]  # an async generator
        async for received in stream:
            seen.append(received)
            if len(seen) == count:
                break
    return seen


async def test_events_are_resumed_without_a_gap_or_a_repetition(tmp_path: Path) -> None:
    rules = Rules(min_block_interval_ms=10, idle_interval_ms=40)
    async with running(make_configs(tmp_path, make_context(validators=1), rules=rules)) as net:
        [client] = net.clients
        first = await collect(client, "0.0.0", 8)
        await until(lambda: behind(client, first[-1].event.height + 4))
        second = await collect(client, first[-1].cursor, 20)
        events = [received.event for received in (*first, *second)]
        for kind in (FinalizedEvent, ExecutedEvent, CertifiedEvent):
            heights = [event.height for event in events if isinstance(event, kind)]
            assert heights == list(range(1, len(heights) + 1)), kind
        live = await collect(client, "", 3)
        assert live[0].event.height > second[0].event.height


async def test_a_reconnecting_browser_goes_on_where_it_was_though_its_address_names_an_older_cursor(
    tmp_path: Path,
) -> None:
    rules = Rules(min_block_interval_ms=10, idle_interval_ms=40)
    async with running(make_configs(tmp_path, make_context(validators=1), rules=rules)) as net:
        [client] = net.clients
        await until(lambda: behind(client, 3))
        url, headers = client.base_url + "/v1/events?after=0.0.0", {"Last-Event-ID": "2.2.2"}
        async with asyncio.timeout(20), net.session.get(url, headers=headers) as stream:
            text = await anext(line async for line in stream.content if line.startswith(b"data:"))
        assert b'"height":3,' in text


async def behind(client: NodeClient, height: int) -> bool:
    return (await client.status()).certified_height >= height


async def test_too_many_event_streams_are_refused_and_a_closed_one_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shards.node.news.MAX_SUBSCRIBERS", 1)
    async with running(make_configs(tmp_path, make_context(validators=1))) as net:
        [client] = net.clients
        url = client.base_url + "/v1/events"
        async with net.session.get(url) as open_stream:
            assert open_stream.status == 200
            async with net.session.get(url) as refused:
                assert refused.status == 429
                assert (await refused.json())["error"]["code"] == "too_many_subscribers"

        async def there_is_room() -> bool:
            async with net.session.get(url) as again:
                return again.status == 200

        await until(there_is_room)


async def test_the_openapi_document_is_valid_and_lists_every_route(tmp_path: Path) -> None:
    async with running(make_configs(tmp_path, make_context(validators=1))) as net:
        document = await net.clients[0].openapi()
        schemas = document["components"]["schemas"]
        for schema in schemas.values():
            jsonschema.Draft202012Validator.check_schema(schema)
        listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
        assert listed == {(operation.method, operation.path.replace(":.+}", "}")) for operation in OPERATIONS}
        names = [described["operationId"] for methods in document["paths"].values() for described in methods.values()]
        assert len(set(names)) == len(names)
        text = msgspec.json.encode(document["paths"]).decode()
        assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= set(schemas)
        status = {"$ref": "#/components/schemas/StatusAnswer", "components": document["components"]}
        answer = msgspec.to_builtins(await net.clients[0].status())
        jsonschema.Draft202012Validator(status).validate(answer)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(status).validate(answer | {"shard": "one"})


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, 404, "not_found"),
        ("DELETE", "/v1/status", {}, 405, "method_not_allowed"),
        ("GET", "/v1/blocks?limit=101", {}, 400, "bad_parameter"),
        ("GET", "/v1/blocks?from=-1", {}, 400, "bad_parameter"),
        ("GET", "/v1/blocks?from=99999999999999999999", {}, 400, "bad_parameter"),
        ("GET", "/v1/blocks/99999999", {}, 404, "not_found"),
        ("GET", "/v1/blocks/abc", {}, 400, "bad_id"),
        ("GET", "/v1/commitments/newest", {}, 400, "bad_parameter"),
        ("GET", "/v1/accounts/osk1xyz", {}, 400, "bad_address"),
        ("GET", "/v1/transactions/" + "0" * 64, {}, 404, "not_found"),
        ("GET", "/v1/transactions/xyz", {}, 400, "bad_id"),
        ("GET", "/v1/messages/" + "0" * 64, {}, 404, "not_found"),
        ("GET", "/v1/traces/" + "0" * 64, {}, 404, "not_found"),
        ("GET", "/v1/proofs/messages/" + "0" * 64, {}, 404, "unknown_message"),
        ("GET", "/v1/bundles/0", {}, 404, "not_found"),
        ("GET", "/v1/bundles/7?wait_ms=1", {}, 404, "not_found"),
        ("GET", "/v1/events?after=1.2", {}, 400, "bad_cursor"),
        ("GET", "/v1/status", {"headers": {"Host": "evil.example:80"}}, 403, "forbidden_host"),
        ("POST", "/v1/transactions", {"data": io.BytesIO(b"x" * (2**20 + 1))}, 413, "too_large"),
        ("POST", "/v1/transactions", {"json": {"transactions": []}}, 400, "bad_request"),
        ("POST", "/v1/transactions", {"json": {"transactions": ["0g"]}}, 400, "bad_request"),
        ("POST", "/v1/transactions", {"data": b"[" * 100_000, "headers": JSON}, 400, "bad_request"),
        ("POST", "/v1/transactions", {"data": b"\x91" * 100_000, "headers": MSGPACK}, 400, "bad_request"),
        ("POST", "/v1/transactions", {"data": b"\xdd\xff\xff\xff\xff", "headers": MSGPACK}, 400, "bad_request"),
        ("POST", "/v1/transactions", {"data": b"x", "headers": HTML}, 415, "unsupported_media_type"),
        ("POST", "/v1/bundles", {"data": b"x" * 300_000}, 413, "too_large"),
    ],
)  # fmt: skip
async def test_a_bad_request_is_refused_with_a_code_and_whose_fault_it_is(
    lone: Running, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    async with lone.session.request(method, lone.clients[0].base_url + path, **options) as response:
        body = await response.json()
        assert (response.status, body["error"]["code"], body["error"]["fault"]) == (status, code, "yours")
        assert body["error"]["detail"]
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert not any(name.lower().startswith("access-control") for name in response.headers)


async def test_every_operation_for_programs_has_a_method_of_the_client() -> None:
    named = {operation.name for operation in OPERATIONS} - {"docs", "docs_style"}
    other_names = {"readiness": "ready", "health": "healthy"}
    assert all(callable(getattr(NodeClient, other_names.get(name, name))) for name in named)


async def test_health_readiness_and_metrics_are_told(lone: Running) -> None:
    [client] = lone.clients
    assert await client.healthy()
    assert await client.ready()
    status = await client.status()
    assert (status.chain_name, status.development, status.shards, status.validators) == ("test", True, 1, 1)
    text = await client.metrics()
    for name in ("ostraka_executed_height", "ostraka_commit_seconds_bucket", 'ostraka_held{what="transactions"}'):
        assert name in text


async def test_a_validator_without_a_quorum_is_alive_but_not_ready(tmp_path: Path) -> None:
    [config, *others] = make_configs(tmp_path, make_context())
    close_sockets(others)
    async with running([config]) as net:
        assert await net.clients[0].healthy()
        assert not await net.clients[0].ready()
        assert "quorum is 3" in (await net.clients[0].status()).not_ready


async def test_a_client_that_asks_too_often_is_told_to_slow_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shards.node.http_guard.REQUEST_BURST", 3)
    monkeypatch.setattr("shards.node.http_guard.REQUESTS_PER_SECOND", 0.001)
    async with running(make_configs(tmp_path, make_context(validators=1))) as net:
        for _ in range(3):
            await net.clients[0].status()
        with pytest.raises(NodeUnavailable, match="too_many_requests"):
            await net.clients[0].status()


async def test_a_body_that_trickles_is_refused(lone: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.node.http_guard.BODY_S", 0.05)
    host, port = lone.clients[0].base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/bundles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    assert await lone.clients[0].healthy()


async def test_a_stopped_validator_is_unavailable(tmp_path: Path) -> None:
    async with running(make_configs(tmp_path, make_context(validators=1))) as net:
        await net.stop(0)
        with pytest.raises(NodeUnavailable):
            await net.clients[0].status()
