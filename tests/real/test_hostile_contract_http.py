"""Hostile questions about contracts, and hostile contracts behind them: clear refusals, and nobody else waits."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from contracts.limits import MAX_KEY_BYTES
from contracts.values import MAX_VALUE_BYTES, encode
from primitives.errors import OstrakaError
from shards.node.api_types import MAX_BODY_BYTES, ErrorAnswer
from shards.node.client import NodeClient
from shards.node.http_contracts import MAX_STORAGE_BYTES
from shards.node.view_desk import MAX_WAITING
from testnet.contracts import Ask, At, Code
from tests.contracts.support import PROGRAMS
from tests.real.harness import PAUSE_S, Load, Testnet, testnet, until, view
from tests.real.unharmed import port_of, resident_bytes, unharmed

pytestmark = pytest.mark.real

SOURCE = PROGRAMS / "trouble.py"
AT = At("trouble", 0)

STORED = 250
"""Keys, more than two pages."""

BIG = 10
"""Values of the greatest size, more than go into a page together."""

STARTUP_S = 30
"""For the first view of all, which starts the worker for views."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """One validator with a contract that means no good."""
    home = tmp_path_factory.mktemp("trouble") / "home"
    with testnet(home, shards=1, validators=1, relays=0, accounts={"alice": 1000}) as net:
        asyncio.run(deploy(net))
        yield net


async def deploy(net: Testnet) -> None:
    async with view(net) as seen:
        network = seen.network
        seed = network.seed("alice")
        source = SOURCE.read_text()
        sent = await network.contracts.deploy(seed, AT, Code(source), owner=network.key("alice"))
        assert (await network.wait(sent)).outcome == "settled"
        for first in range(0, STORED, 50):
            sent = await network.contracts.call(seed, Ask(AT, "fill", [first, 50], gas=1_000_000))
            assert (await network.wait(sent)).outcome == "settled"
        for number in range(BIG):
            ask = Ask(AT, "stuff", [f"big/{number}", MAX_VALUE_BYTES - 10], gas=1_500_000)
            sent = await network.contracts.call(seed, ask)
            assert (await network.wait(sent)).outcome == "settled"
        assert (await network.contracts.view(Ask(AT, "quick"))).result == 1


@pytest.fixture(autouse=True)
def _stays_well(alone: Testnet) -> Iterator[None]:
    """See `unharmed`."""
    with unharmed(alone):
        yield


@pytest_asyncio.fixture
async def node(alone: Testnet) -> AsyncIterator[NodeClient]:
    """The validator."""
    async with view(alone) as seen:
        yield seen.clients["s0/v0"]


def asked(**fields: Any) -> bytes:
    return json.dumps({"method": "quick", **fields}).encode()


def nested(depth: int) -> bytes:
    return b'{"method":"quick","arguments":' + b"[" * depth + b"]" * depth + b"}"


BODIES = [
    (b"", 400, "bad_request"),
    (b"{", 400, "bad_request"),
    (b"\xff\xfe", 400, "bad_request"),
    (b"[]", 400, "bad_request"),
    (b"{}", 400, "bad_request"),
    (b'{"method":5}', 400, "bad_request"),
    (asked(more=1), 400, "bad_request"),
    (asked(arguments={"a": 1}), 400, "bad_request"),
    (asked(arguments=[], encoded="90"), 400, "bad_request"),
    (asked(encoded="9"), 400, "bad_request"),
    (asked(encoded="zz"), 400, "bad_request"),
    (asked(encoded="c1"), 400, "bad_value"),
    (asked(encoded="01"), 400, "bad_value"),
    (asked(encoded="91" * 5000 + "c0"), 400, "bad_value"),
    (asked(encoded="dd" + "ff" * 4), 400, "bad_value"),
    (asked(arguments=[1.5]), 400, "bad_value"),
    (asked(arguments=[2**300]), 400, "bad_value"),
    (asked(arguments=[{"$int": "9" * 5000}]), 400, "bad_value"),
    (asked(arguments=[{"$decimal": "1e999999999"}]), 400, "bad_value"),
    (asked(arguments=[{"$decimal": "NaN"}]), 400, "bad_value"),
    (asked(arguments=[{"$bytes": "0"}]), 400, "bad_value"),
    (asked(arguments=[{"$map": [[[], 1]]}]), 400, "bad_value"),
    (asked(arguments=[{"$odd": 1}]), 400, "bad_value"),
    (asked(arguments=["x" * (MAX_VALUE_BYTES + 1)]), 400, "bad_value"),
    (asked(arguments=["\ud800"]), 400, "bad_request"),
    (asked(arguments=[0] * 50_000), 400, "bad_value"),
    (asked(arguments=[0] * 100_000), 413, "too_large"),
    (nested(200), 400, "bad_value"),
    (nested(90_000), 400, "bad_request"),
    (b'{"method":"quick","arguments":[' + b'{"$map":[[1,' * 3000 + b"1" + b"]]}" * 3000 + b"]}", 400, None),
    (asked(sender="x" * 129), 400, "bad_request"),
    (asked(value="-1"), 400, "bad_request"),
    (asked(value="9" * 40), 400, "bad_request"),
    (asked(value="9" * 39), 400, "bad_value"),
    (asked(gas=0), 400, "bad_request"),
    (asked(gas=10**12), 400, "bad_request"),
    (asked(gas=1.5), 400, "bad_request"),
    (json.dumps({"method": "x" * 100_000}).encode(), 400, "no_method"),
    (json.dumps({"method": "__import__"}).encode(), 400, "no_method"),
    (json.dumps({"method": "init"}).encode(), 400, "no_method"),
    (asked(sender="x" * (MAX_BODY_BYTES + 1)), 413, "too_large"),
]


@pytest.mark.parametrize("what", ["view", "estimate"])
@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=range(len(BODIES)))
async def test_a_bad_question_is_refused_with_its_reason(
    alone: Testnet, what: str, body: bytes, status: int, code: str | None
) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port_of(alone)}/v1/contracts/trouble/{what}"
        async with session.post(url, data=io.BytesIO(body), headers={"Content-Type": "application/json"}) as response:
            error = msgspec.json.decode(await response.read(), type=ErrorAnswer).error
    assert response.status == status, error
    assert error.fault == "yours"
    assert code in (None, error.code), error
    assert len(error.detail) < 1000


PATHS = [
    "/v1/contracts?limit=0",
    "/v1/contracts?limit=1000000",
    "/v1/contracts?limit=x",
    "/v1/contracts/nothing",
    "/v1/contracts/TROUBLE",
    "/v1/contracts/" + "x" * 4000,
    "/v1/contracts/%00",
    "/v1/contracts/%ff%fe",
    "/v1/contracts/..%2f..%2fetc%2fpasswd",
    "/v1/contracts/trouble?source=2",
    "/v1/contracts/nothing/storage",
    "/v1/contracts/nothing/storage/key",
    "/v1/contracts/trouble/storage?limit=0",
    "/v1/contracts/trouble/storage?limit=101",
    "/v1/contracts/trouble/storage?limit=" + "9" * 5000,
    "/v1/contracts/trouble/storage?prefix=" + "x" * (MAX_KEY_BYTES + 1),
    "/v1/contracts/trouble/storage?after=" + "x" * (MAX_KEY_BYTES + 1),
    "/v1/contracts/trouble/storage/" + "x" * (MAX_KEY_BYTES + 1),
    "/v1/contracts/trouble/storage/key?proof=2",
    "/v1/contracts/trouble/storage/key?proof=x",
    "/v1/contracts/trouble/view",
    "/v1/calls/xyz",
    "/v1/calls/" + "00" * 32,
    "/v1/calls/" + "00" * 4000,
    "/v1/calls/" + "00" * 32 + "/record",
    "/v1/runs?from=-1",
    "/v1/runs?from=0",
    "/v1/runs?limit=1001",
    "/v1/runs?from=" + "9" * 30,
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
async def test_a_bad_path_or_query_is_refused_with_its_reason(alone: Testnet, path: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port_of(alone)}{path}") as response,
    ):
        body = await response.read()
    assert 400 <= response.status < 500, (response.status, body)
    assert msgspec.json.decode(body, type=ErrorAnswer).error.code


ODD_KEYS = ["a/b", "../up", "%2F", "ключ", "a b", "\0", "#?&=", "x" * MAX_KEY_BYTES]


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
async def test_any_key_can_be_asked_for(node: NodeClient, key: str) -> None:
    answer = await node.stored("trouble", key)
    assert (answer.key, answer.found) == (key, False)
    assert (await node.storage("trouble", prefix=key)).entries == []


async def test_pages_of_storage_hold_every_key_once_and_in_order(node: NodeClient) -> None:
    wanted = sorted(f"k/{number}" for number in range(STORED))
    for limit in (7, 100):
        keys: list[str] = []
        after = ""
        while True:
            page = await node.storage("trouble", prefix="k/", after=after, limit=limit)
            assert len(page.entries) <= limit
            keys += [entry.key for entry in page.entries]
            if page.next is None:
                break
            after = page.next
        assert keys == wanted
    assert [entry.key for entry in (await node.storage("trouble", prefix="k/24", after="k/248")).entries] == ["k/249"]
    assert (await node.storage("trouble", prefix="k/", after="l")).entries == []
    assert [entry.key for entry in (await node.storage("trouble", prefix="k/1", after="a", limit=2)).entries] == [
        "k/1",
        "k/10",
    ]


async def test_a_page_of_great_values_is_short(node: NodeClient) -> None:
    page = await node.storage("trouble", prefix="big/", limit=100)
    assert sum(len(entry.encoded) // 2 for entry in page.entries) <= MAX_STORAGE_BYTES
    assert page.next == page.entries[-1].key
    rest = await node.storage("trouble", prefix="big/", after=page.next, limit=100)
    assert [entry.key for entry in page.entries + rest.entries] == [f"big/{number}" for number in range(BIG)]
    assert rest.next is None


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("loops", "out_of_gas"),
        ("recurses", "raised"),
        ("hoards", None),
        ("squares", None),
        ("backtracks", "out_of_gas"),
        ("swallows", "out_of_gas"),
        ("prints", None),
        ("writes", None),
        ("pays", None),
        ("calls", None),
        ("answers_much", None),
        ("answers_nonsense", None),
        ("imports", "raised"),
    ],
)
async def test_a_view_that_means_no_good_ends_with_an_answer(alone: Testnet, method: str, kind: str | None) -> None:
    async with view(alone) as seen:
        answer = await seen.network.contracts.view(Ask(AT, method))
    assert answer.failure is not None
    assert kind in (None, answer.failure.kind), answer.failure
    assert len(answer.failure.message) < 1000
    assert sum(map(len, answer.log)) < 100_000


async def views_are_served(node: NodeClient) -> None:
    """Wait until nothing is left of those who have hung up: the validator is the next test's too."""

    async def served() -> bool | None:
        try:
            return (await node.view("trouble", "quick", encode([]))).failure is None
        except OstrakaError:
            return None

    await until(served, "views are served again", STARTUP_S)


async def test_views_in_great_number_hold_up_neither_the_chain_nor_the_memory(alone: Testnet, node: NodeClient) -> None:
    pid = alone.info.node("s0/v0").pid
    before = resident_bytes(pid)
    answered: list[int] = []
    refused: set[str] = set()

    async def ask_on() -> None:
        while True:
            try:
                answered.append((await node.view("trouble", "loops", encode([]))).height)
            except OstrakaError as error:
                refused.add(str(error))
                await asyncio.sleep(PAUSE_S)

    asking = [asyncio.ensure_future(ask_on()) for _ in range(MAX_WAITING + 20)]
    load = Load(alone)
    try:
        async with view(alone) as seen:
            for _ in range(10):
                await load.settle(seen.network, await load.one(seen.network, "alice", 0, 0))
            sent = await seen.network.contracts.call(seen.network.seed("alice"), Ask(AT, "fill", [0, 1], gas=100_000))
            assert (await seen.network.wait(sent)).outcome == "settled", "blocks have a machine of their own"
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await views_are_served(node)
    assert len(set(answered)) > 1, "each saw the state as it was at its turn"
    assert refused
    assert all("busy" in reason for reason in refused), refused
    assert resident_bytes(pid) - before < 64 * 2**20


async def test_whoever_hangs_up_leaves_no_view_behind(alone: Testnet, node: NodeClient) -> None:
    body = asked().replace(b"quick", b"loops")
    head = b"POST /v1/contracts/trouble/view HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for _ in range(3 * MAX_WAITING):
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(alone))
        writer.write(request)
        await writer.drain()
        writer.close()
    await views_are_served(node)
