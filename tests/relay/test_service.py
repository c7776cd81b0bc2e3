"""The relay process against servers on port 0. Nothing here waits for a clock except to fail."""

import asyncio
import json
import signal
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from primitives.identifiers import Height, Sequence, ShardId, ValidatorIndex
from primitives.signatures import ED25519
from relay.service.client import Unusable, ValidatorClient
from relay.service.http import StatusAnswer
from relay.service.process import RelayConfig, main_relay, read_endpoints, run_relay
from shards.limits import MAX_BUNDLE_BYTES
from shards.node.faults import BadConfiguration
from shards.node.views import streams_view
from tests.relay.fake_validators import FakeChain, mutated, relay
from tests.relay.model import make_context


async def get(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.text()


async def test_messages_and_replies_travel_over_http_and_then_all_is_quiet(tmp_path: Path) -> None:
    chain = FakeChain(shards=3)
    async with chain.serve(), relay(chain, tmp_path):
        await chain.send(0, 1, 600)
        await chain.send(2, 0, 20)
        await chain.until(chain.done)
    chain.check()
    carried = [what for _, _, what in chain.requests if "bundles" in what]
    assert 8 <= len(carried) <= 40


async def test_a_relay_that_is_stopped_and_started_again_resumes_from_the_chains(tmp_path: Path) -> None:
    chain = FakeChain()
    async with chain.serve():
        for _ in range(3):
            async with relay(chain, tmp_path):
                await chain.send(0, 1, 30)
                await chain.until(lambda: bool(chain.shards[1].streams[0].received))
        async with relay(chain, tmp_path):
            await chain.until(chain.done)
    chain.check()


async def test_two_relays_at_once_do_no_harm(tmp_path: Path) -> None:
    chain = FakeChain()
    async with chain.serve(), relay(chain, tmp_path / "a"), relay(chain, tmp_path / "b"):
        for _ in range(10):
            await chain.send(0, 1, 20)
            await chain.send(1, 0, 20)
        await chain.until(chain.done)
    chain.check()


async def _nonsense(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"certificate": 7, "heads": [[[[')


async def _wrong_types(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"certificate": "zz", "encoded_heads": "0", "status": "maybe", "code": 1}')


async def _deep(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[" * 500_000)


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(bytes(65_536))
    return response


async def _redirects(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(f"http://{request.host}/elsewhere")


async def _server_error(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, body=b"<html>\xff\xfe")


async def _refuses(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=400, body=b'{"error": {"code": "no", "detail": "never", "fault": "yours"}}')


async def _says_nothing_at_once(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def _cuts(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _claims_gzip(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})


NONSENSE = [
    _nonsense,
    _wrong_types,
    _deep,
    _huge,
    _redirects,
    _server_error,
    _refuses,
    _says_nothing_at_once,
    _cuts,
    _claims_gzip,
]


@pytest.mark.parametrize("misbehave", NONSENSE)
async def test_nonsense_from_one_validator_of_each_shard_only_delays(
    misbehave: Callable[[web.Request], Awaitable[web.StreamResponse]], tmp_path: Path
) -> None:
    chain = FakeChain()
    chain.misbehave = {(0, 0): misbehave, (1, 0): misbehave}
    async with chain.serve(), relay(chain, tmp_path) as url:
        await chain.send(0, 1, 5)
        await chain.send(1, 0, 5)
        await chain.until(chain.done)
        assert (await get(f"{url}/healthz"))[0] == (await get(f"{url}/readyz"))[0] == 200
    chain.check()
    # However it answers, it cannot make the relay ask it again and again without a pause.
    assert sum((shard, index) == (0, 0) for shard, index, _ in chain.requests) < 400


async def test_a_bundle_that_does_not_verify_is_never_delivered(tmp_path: Path) -> None:
    chain = FakeChain()
    spoiled = 0

    async def spoil(request: web.Request) -> web.StreamResponse:
        nonlocal spoiled
        if "bundles/" not in request.path:
            return await chain._streams(0, request)
        raw = chain.shards[0].bundle(1, int(request.query["first"]))
        assert raw is not None
        spoiled += 1
        return web.Response(body=mutated(raw, spoiled))

    chain.misbehave = {(0, index): spoil for index in (0, 1)}
    async with chain.serve(), relay(chain, tmp_path):
        await chain.send(0, 1, 5)
        await chain.until(chain.done)
    assert spoiled >= 1
    assert "refused" not in chain.statuses
    assert "bundle refused: not_in_stream" in (tmp_path / "relay" / "log.jsonl").read_text()


async def test_a_validator_that_tells_old_news_as_new_is_left(tmp_path: Path) -> None:
    chain = FakeChain()
    await chain.send(0, 1, 1)
    certificate, heads = chain.shards[0].news
    assert certificate is not None
    body = msgspec.json.encode(streams_view(certificate, heads, ShardId(0)))

    async def repeat(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    chain.misbehave = {(0, 0): repeat}
    async with chain.serve(), relay(chain, tmp_path) as url, asyncio.timeout(10):
        while "it sent height 1" not in (await get(f"{url}/v1/status"))[1]:
            pass
        await chain.until(chain.done)


async def test_links_say_what_works_and_why_not(tmp_path: Path) -> None:
    chain = FakeChain(shards=3)
    gone = frozenset((2, index) for index in range(4))
    async with chain.serve(absent=gone), AsyncExitStack() as later:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            chain.urls[ShardId(2)] = [f"http://127.0.0.1:{closed.getsockname()[1]}"] * 4
            async with relay(chain, tmp_path, links=[(0, 1), (1, 0), (0, 2), (2, 0)]) as url:
                await chain.send(0, 1, 3)
                await chain.until(chain.done)
                status, text = await get(f"{url}/v1/links")
                answer = json.loads(text)
                links = {(each["source"], each["destination"]): each for each in answer["links"]}
                assert status == 200
                assert links[0, 1]["standing"] == "open"
                assert (links[0, 1]["sent"], links[0, 1]["backlog"]) == (3, 0)
                assert links[0, 2]["standing"] == "destination_silent"
                assert links[0, 2]["why"].startswith("no validator of shard 2 has answered for 0 s")
                assert links[2, 0]["standing"] == "source_silent"
                assert links[1, 2]["standing"] == "not_configured"
                assert answer["islands"] == [[0, 1], [2]]
                _, metrics = await get(f"{url}/metrics")
                assert 'ostraka_relay_lane_open{destination="2",source="0"} 0.0' in metrics
                assert 'ostraka_relay_lane_messages{destination="1",source="0"} 3.0' in metrics
                _, text = await get(f"{url}/v1/status")
                standing = msgspec.json.decode(text, type=StatusAnswer)
                assert (standing.links, standing.links_open) == (4, 2)
                assert await get(f"{url}/readyz") == (503, "2 of 4 links are open; see /v1/links\n")
                assert 0 <= standing.uptime_ms < 60_000
        await later.aclose()


async def test_a_page_of_a_strangers_cannot_read_a_relay_through_the_browser(tmp_path: Path) -> None:
    chain = FakeChain()
    async with chain.serve(), relay(chain, tmp_path) as url:
        assert (await get(f"{url}/v1/links", Host="evil.example:80"))[0] == 403
        assert (await get(f"{url}/v1/links", Host="localhost"))[0] == 200


async def test_a_validator_that_comes_back_is_found(tmp_path: Path) -> None:
    chain = FakeChain(shards=2, validators=1)
    async with AsyncExitStack() as servers:
        await chain.open(servers, 0, 0)
        await chain.open(servers, 1, 0)
        asked = asyncio.Event()

        async def cut(request: web.Request) -> web.StreamResponse:
            asked.set()
            return await _cuts(request)

        chain.misbehave = {(1, 0): cut}
        async with relay(chain, tmp_path):
            await chain.send(0, 1, 3)
            await asyncio.wait_for(asked.wait(), 10)
            chain.misbehave = {}
            await chain.until(chain.done)
    chain.check()


def test_a_relay_stops_cleanly_on_sigterm(tmp_path: Path) -> None:
    config = RelayConfig(make_context(2, 4, ED25519), {}, ("127.0.0.1", 0), tmp_path / "log.jsonl")
    assert main_relay(config, lambda _address: signal.raise_signal(signal.SIGTERM)) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["listening", "stopped"]


async def test_what_an_operator_got_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = make_context(2, 4, ED25519)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        config = RelayConfig(context, {}, ("127.0.0.1", port), tmp_path / "log.jsonl")
        assert await run_relay(config) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    config = RelayConfig(context, {}, ("127.0.0.1", 0), tmp_path / "log.jsonl", links=[(0, 7)])
    assert await run_relay(config) == 2
    assert "no link can lead from shard 0 to shard 7" in capsys.readouterr().err
    for shard, urls in ((5, []), (0, ["http://x"] * 5), (0, ["ftp://x"]), (0, ["http://[::1"]), (0, ["http://h/?a=b"])):
        with pytest.raises(BadConfiguration, match="endpoints"):
            read_endpoints(context, {ShardId(shard): urls})
    assert read_endpoints(context, {ShardId(1): [None, "http://127.0.0.1:7001/"]}) == {
        (ShardId(1), ValidatorIndex(1)): "http://127.0.0.1:7001"
    }


async def test_the_client_reads_no_more_than_the_largest_honest_answer() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = ValidatorClient()
    try:
        with pytest.raises(Unusable, match=f"more than {MAX_BUNDLE_BYTES} bytes"):
            await client.bundle(url, ShardId(1), Sequence(0))
    finally:
        await client.close()
        server.close()
        await server.wait_closed()
    assert sent < 64 * 2**20


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/9.9 999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        struct.pack(">I", 7) * 9,
    ],
)
async def test_garbage_on_the_wire_is_an_unusable_answer_and_nothing_worse(answer: bytes) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = ValidatorClient()
    try:
        for ask in (
            client.streams(url, Height(0), 0),
            client.bundle(url, ShardId(1), Sequence(0)),
            client.deliver(url, b"bundle"),
        ):
            with pytest.raises(Unusable):
                await ask
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


async def test_a_validator_that_hangs_costs_no_more_than_the_timeout() -> None:
    held = []

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = ValidatorClient(request_seconds=0.05)
    try:
        with pytest.raises(Unusable, match="no answer in time"):
            await client.deliver(url, b"bundle")
    finally:
        await client.close()
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()
