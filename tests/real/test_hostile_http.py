"""Requests that no program of good will sends, to a real validator: a clear refusal each, and nothing lasting."""

import asyncio
import io
import re
import socket
from collections.abc import Iterator

import aiohttp
import msgspec
import pytest

from shards.node.api_types import MAX_BODY_BYTES, ErrorAnswer
from shards.node.client import NodeClient
from tests.real.harness import PATIENCE_S, Load, Testnet, testnet, until, view
from tests.real.unharmed import port_of, unharmed

pytestmark = pytest.mark.real

HALF_OPEN = 200
"""Requests that are begun and never finished."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """One validator on two shards each: the smallest chain with streams."""
    home = tmp_path_factory.mktemp("http") / "home"
    with testnet(home, shards=2, validators=1, relays=0, accounts={"alice": 1000}) as net:
        yield net


@pytest.fixture(autouse=True)
def _stays_well(alone: Testnet) -> Iterator[None]:
    """See `unharmed`."""
    with unharmed(alone):
        yield


def deep_msgpack(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


JSON, MSGPACK, OCTETS = "application/json", "application/msgpack", "application/octet-stream"

BODIES = [
    ("/v1/transactions", JSON, b"", 400),
    ("/v1/transactions", JSON, b"{", 400),
    ("/v1/transactions", JSON, b"\xff\xfe\x00", 400),
    ("/v1/transactions", JSON, b'{"transactions":[]}', 400),
    ("/v1/transactions", JSON, b'{"transactions":["zz"]}', 400),
    ("/v1/transactions", JSON, b'{"transactions":["0"]}', 400),
    ("/v1/transactions", JSON, b'{"transactions":"00"}', 400),
    ("/v1/transactions", JSON, b'{"transactions":["00"],"more":1}', 400),
    ("/v1/transactions", JSON, b'{"transactions":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    ("/v1/transactions", JSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
    ("/v1/transactions", MSGPACK, b"", 400),
    ("/v1/transactions", MSGPACK, b"\xc1", 400),
    ("/v1/transactions", MSGPACK, b"\xdd\xff\xff\xff\xff", 400),
    ("/v1/transactions", MSGPACK, b"\x91\xc6\xff\xff\xff\xff", 400),
    ("/v1/transactions", MSGPACK, b"\xdf\xff\xff\xff\xff", 400),
    ("/v1/transactions", MSGPACK, deep_msgpack(100_000), 400),
    ("/v1/transactions", MSGPACK, b"\x81\xa1a" * 100_000 + b"\xc0", 400),
    ("/v1/transactions", MSGPACK, b"\x91\xa1a", 400),
    ("/v1/transactions", MSGPACK, b"\x90", 400),
    ("/v1/transactions", MSGPACK, b"\x91\xc4\x00trailing", 400),
    ("/v1/transactions", MSGPACK, b"\xdd\x00\x00\x20\x01" + b"\xc4\x00" * 8193, 400),
    ("/v1/transactions", MSGPACK, bytes(MAX_BODY_BYTES + 1), 413),
    ("/v1/transactions", JSON, b" " * (4 * MAX_BODY_BYTES), 413),
    ("/v1/transactions", "text/html", b"<p>", 415),
    ("/v1/transactions", "multipart/form-data; boundary=x", b"--x--", 415),
    ("/v1/transactions", OCTETS, b"\x90", 415),
    ("/v1/bundles", OCTETS, bytes(300_000), 413),
    ("/v1/bundles", OCTETS, bytes(2 * MAX_BODY_BYTES), 413),
]


@pytest.mark.parametrize(("path", "kind", "body", "status"), BODIES)
async def test_a_bad_body_is_refused_with_its_reason(
    alone: Testnet, path: str, kind: str, body: bytes, status: int
) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port_of(alone)}{path}"
        async with session.post(url, data=io.BytesIO(body), headers={"Content-Type": kind}) as response:
            error = msgspec.json.decode(await response.read(), type=ErrorAnswer).error
    assert response.status == status, error
    assert error.fault == "yours"
    assert error.code
    assert len(error.detail) < 1000


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", bytes(4096), b"\xff" * 4097, deep_msgpack(4000), bytes(64) + deep_msgpack(4000)]
)
async def test_garbage_as_a_transaction_or_bundle_gets_a_refusal_of_its_own(alone: Testnet, raw: bytes) -> None:
    async with view(alone) as net:
        client: NodeClient = net.clients["s0/v0"]
        for result in [*await client.submit([raw, raw]), await client.submit_bundle(raw)]:
            assert result.status == "refused"
            assert result.code in {"malformed", "too_large", "not_canonical"}, result


PATHS = [
    ("GET", "/v1/transactions/xyz"),
    ("GET", "/v1/transactions/" + "00" * 31),
    ("GET", "/v1/transactions/" + "AB" * 32),
    ("GET", "/v1/transactions/" + "00" * 32),
    ("GET", "/v1/messages/" + "00" * 4000),
    ("GET", "/v1/traces/%00%ff"),
    ("GET", "/v1/proofs/messages/" + "11" * 32),
    ("GET", "/v1/accounts/osk1qqqq"),
    ("GET", "/v1/accounts/" + "00" * 31),
    ("GET", "/v1/accounts/" + "00" * 32 + "?proof=2"),
    ("GET", "/v1/blocks?from=-1"),
    ("GET", "/v1/blocks?from=99999999999999999999999999"),
    ("GET", "/v1/blocks?limit=0"),
    ("GET", "/v1/blocks?limit=1000000000"),
    ("GET", "/v1/blocks?from=" + "9" * 5000),
    ("GET", "/v1/blocks?from=%F0%9F%92%A9"),
    ("GET", "/v1/blocks?from=٣"),
    ("GET", "/v1/blocks/18446744073709551616"),
    ("GET", "/v1/blocks/-1"),
    ("GET", "/v1/commitments/newest"),
    ("GET", "/v1/commitments/999999999"),
    ("GET", "/v1/streams?after=x"),
    ("GET", "/v1/streams?wait_ms=99999999"),
    ("GET", "/v1/bundles/0?first=0"),
    ("GET", "/v1/bundles/2?first=0"),
    ("GET", "/v1/bundles/1?first=-1"),
    ("GET", "/v1/bundles/x"),
    ("GET", "/v1/events?after=../../etc/passwd"),
    ("GET", "/v1/events?after=1.2.99999999999999999999"),
    ("GET", "/../../../../etc/passwd"),
    ("GET", "/v1/../v1/nothing"),
    ("GET", "/"),
    ("DELETE", "/v1/status"),
    ("PUT", "/v1/transactions"),
    ("POST", "/v1/status"),
    ("TRACE", "/v1/status"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_bad_path_query_or_method_is_refused_with_its_reason(alone: Testnet, method: str, path: str) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port_of(alone)}{path}"
        async with session.request(method, url) as response:
            body = await response.read()
    assert 400 <= response.status < 500, (response.status, body)
    assert msgspec.json.decode(body, type=ErrorAnswer).error.code


RAW_REQUESTS = [
    b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"\x00" * 10_000,
    b"GET /v1/status HTTP/9.9\r\n\r\n",
    b"GET  /v1/status\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", RAW_REQUESTS, ids=range(len(RAW_REQUESTS)))
async def test_what_is_no_http_is_answered_with_400_or_hung_up_on(alone: Testnet, request_bytes: bytes) -> None:
    answer = await _talk(port_of(alone), request_bytes)
    assert not answer or re.match(rb"HTTP/[0-9.]+ 4[0-9][0-9] ", answer), answer[:200]


async def test_headers_of_gigabytes_are_refused_before_they_are_read(alone: Testnet) -> None:
    head = b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/msgpack\r\n"
    answer = await _talk(port_of(alone), head + b"Content-Length: 4294967296\r\n\r\n" + bytes(2 * 2**20))
    assert not answer or answer.startswith(b"HTTP/1.1 413"), answer[:200]
    answer = await _talk(port_of(alone), head + b"Content-Length: 4294967296\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413"), "at once, without waiting for the body"


async def test_headers_without_end_are_refused_while_they_still_come(alone: Testnet) -> None:
    lines = b"".join(b"X-%d: " % number + b"a" * 4000 + b"\r\n" for number in range(500))
    answer = await _talk(port_of(alone), b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lines)
    assert not answer or re.match(rb"HTTP/1.[01] 400 ", answer), answer[:200]


async def test_requests_that_are_begun_and_never_finished_hold_nobody_up(alone: Testnet) -> None:
    begun = [await asyncio.open_connection("127.0.0.1", port_of(alone)) for _ in range(HALF_OPEN)]
    try:
        for number, (_, writer) in enumerate(begun):
            writer.write(b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n")
            if number % 2:
                writer.write(b"Content-Type: application/msgpack\r\n\r\n\x91")
        await asyncio.gather(*(writer.drain() for _, writer in begun))
        load = Load(alone)
        async with view(alone) as net:
            await load.settle(net.network, await load.one(net.network, "alice", 0, 0))
    finally:
        for _, writer in begun:
            writer.close()


async def test_a_stranger_in_the_host_header_is_turned_away(alone: Testnet) -> None:
    for host in (b"evil.example", b"127.0.0.1.evil.example", b"", b"localhost@evil.example"):
        answer = await _talk(port_of(alone), b"GET /v1/status HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400")), answer[:200]


async def test_clients_that_never_read_their_answers_cost_nothing(alone: Testnet) -> None:
    """Their answers wait in the sockets' buffers, and then the validator waits, not its memory."""
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200
    silent = []
    try:
        for _ in range(10):
            connection = socket.create_connection(("127.0.0.1", port_of(alone)))
            connection.setblocking(False)
            silent.append(connection)
            try:
                connection.send(asked)
            except BlockingIOError:
                continue
        async with view(alone) as net:

            async def answers() -> bool:
                return bool((await net.status("s0/v0")).version)

            await until(answers, "others are served")
    finally:
        for connection in silent:
            connection.close()


async def _talk(port: int, request: bytes) -> bytes:
    """Send bytes; the beginning of the answer, empty when the other side hangs up (its answer may be lost then)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read(4096)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer
