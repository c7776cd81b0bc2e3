"""Links on real sockets: who gets in, what gets through, and that nothing a stranger does ends the validator."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.committee import Committee
from contracts.runtime.identity import installed_identity
from primitives.errors import Refused
from primitives.identifiers import Hash, SecretSeed, ShardId, ValidatorIndex
from primitives.signatures import ED25519
from shards.genesis import ChainContext
from shards.node import frames, hello
from shards.node.faults import BadConfiguration
from shards.node.injection.links import Copy
from shards.node.link import MAX_QUEUED_AWAY_BYTES, Link, Receiver
from shards.node.links import PATH, Links, Station
from shards.node.metrics import NodeMetrics
from shards.node.tls import client_context, make_certificate, peer_index, server_context
from tests.node.fakes import a_log
from tests.node.support import bound_socket, make_context, seed_of, until, validator_seed

MACHINE = installed_identity().digest()

ZERO, ONE, TWO = ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(2)


class End:
    """The links of one validator, and what came in over them."""

    def __init__(self, links: Links, port: int, metrics: NodeMetrics, received: list[tuple[int, bytes]]) -> None:
        self.links = links
        self.port = port
        self.metrics = metrics
        self.received = received

    def refused(self, reason: str) -> float:
        value = self.metrics.registry.get_sample_value("ostraka_refused_links_total", {"reason": reason})
        return value or 0.0


@asynccontextmanager
async def ends(
    tmp_path: Path,
    committees: list[Committee],
    order: tuple[int, ...] = (0, 1, 2),
    machines: tuple[Hash, ...] = (MACHINE,) * 3,
) -> AsyncIterator[list[End]]:
    """One end for each index, each with the committee it believes in and what it runs contracts with.

    `order` shuffles the addresses they know.
    """
    sockets = [bound_socket() for _ in committees]
    addresses = [sockets[place].getsockname() for place in order[: len(sockets)]]
    made: list[End] = []
    async with AsyncExitStack() as stack:
        for index, (committee, bound) in enumerate(zip(committees, sockets, strict=True)):
            received: list[tuple[int, bytes]] = []
            metrics = NodeMetrics()
            (tmp_path / str(index)).mkdir()
            log = stack.enter_context(a_log(tmp_path / str(index)))
            seed = validator_seed(committee.shard, index)
            station = Station(committee, ValidatorIndex(index), seed, ED25519, addresses, machines[index])
            links = Links(station, receiver(received), metrics, log)
            stack.push_async_callback(links.close)
            made.append(End(links, bound.getsockname()[1], metrics, received))
            await links.start(bound)
        yield made


def receiver(received: list[tuple[int, bytes]]) -> Receiver:
    async def receive(peer: ValidatorIndex, messages: list[bytes]) -> None:
        received.extend((peer, raw) for raw in messages)

    return receive


def committee_of(context: ChainContext, shard: int = 0) -> Committee:
    return context.committee(ShardId(shard))


async def reached(condition: Callable[[], object]) -> None:
    async def ask() -> bool:
        return bool(condition())

    await until(ask, 10)


async def connected(made: list[End]) -> None:
    await reached(lambda: all(len(end.links.connected()) == len(made) - 1 for end in made))


async def test_every_pair_has_one_link_and_messages_arrive_in_order(tmp_path: Path) -> None:
    async with ends(tmp_path, [committee_of(make_context(validators=3))] * 3) as made:
        await connected(made)
        for number in range(500):
            for end in made:
                end.links.broadcast(number.to_bytes(2, "big"))
        made[0].links.send(TWO, b"to two")
        made[0].links.send(ZERO, b"to myself")
        await reached(lambda: [len(end.received) for end in made] == [1000, 1000, 1001])
        for index, end in enumerate(made):
            for peer in range(3):
                numbers = [raw for sender, raw in end.received if sender == peer and len(raw) == 2]
                assert numbers == [n.to_bytes(2, "big") for n in range(500 if peer != index else 0)]
        sent = made[0].metrics.registry.get_sample_value("ostraka_link_sent_frames_total", {"peer": "1"})
        assert sent is not None
        assert sent < 50  # what is said in one turn shares a frame


async def test_the_largest_message_gets_through_and_a_larger_one_is_not_sent(tmp_path: Path) -> None:
    async with ends(tmp_path, [committee_of(make_context(validators=2))] * 2) as made:
        await connected(made)
        made[0].links.send(ONE, bytes(frames.MAX_LINK_MESSAGE_BYTES + 1))
        made[0].links.send(ONE, bytes(frames.MAX_LINK_MESSAGE_BYTES))
        await reached(lambda: made[1].received)
        assert [len(raw) for _, raw in made[1].received] == [frames.MAX_LINK_MESSAGE_BYTES]


async def test_a_link_that_breaks_is_made_again(tmp_path: Path) -> None:
    context = make_context(validators=2)
    async with ends(tmp_path, [committee_of(context)] * 2) as made:
        await connected(made)
        session = made[0].links._session
        assert session is not None
        assert session.connector is not None
        for connection in list(session.connector._acquired):
            assert connection.transport is not None
            connection.transport.abort()
        await reached(lambda: not made[1].links.connected())
        await connected(made)
        made[1].links.send(ZERO, b"again")
        await reached(lambda: (1, b"again") in made[0].received)


async def test_a_validator_of_another_chain_with_the_same_keys_is_refused(tmp_path: Path) -> None:
    here, there = make_context(validators=2), make_context(validators=2, name="other")
    async with ends(tmp_path, [committee_of(here), committee_of(there)]) as made:
        await reached(lambda: made[0].refused("wrong_chain") or made[1].refused("wrong_chain"))
        assert made[0].links.connected() == made[1].links.connected() == ()
        assert made[0].received == made[1].received == []


async def test_a_validator_whose_contract_machine_differs_is_refused(tmp_path: Path) -> None:
    committees = [committee_of(make_context(validators=2))] * 2
    async with ends(tmp_path, committees, machines=(MACHINE, Hash(bytes(32)))) as made:
        await reached(lambda: made[0].refused("other_machine") or made[1].refused("other_machine"))
        assert made[0].links.connected() == made[1].links.connected() == ()


async def test_a_validator_of_another_shard_does_not_get_past_tls(tmp_path: Path) -> None:
    context = make_context(shards=2, validators=2)
    async with ends(tmp_path, [committee_of(context), committee_of(context)]) as made:
        await connected(made)
        other_shard = committee_of(context, 1)
        with pytest.raises(aiohttp.ClientError):
            await dial(made[1].port, client_context(other_shard, ZERO, validator_seed(1, 0)))
        made[0].links.send(ONE, b"still here")
        await reached(lambda: made[1].received == [(0, b"still here")])


async def dial(port: int, context: ssl.SSLContext | bool, first: bytes | None = None) -> tuple[int | None, str]:
    """Dial as somebody would who trusts anyone; returns how the other end closed the link."""
    if isinstance(context, ssl.SSLContext):
        context.verify_mode = ssl.CERT_NONE
    scheme = "https" if context else "http"
    async with (
        asyncio.timeout(10),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{scheme}://127.0.0.1:{port}{PATH}", ssl=context, max_msg_size=0) as socket,
    ):
        greeting = await socket.receive()
        assert greeting.type is aiohttp.WSMsgType.BINARY
        if first is not None:
            await socket.send_bytes(first)
        message = await socket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        return socket.close_code, str(message.extra or "")


async def test_a_validator_found_at_anothers_address_is_refused(tmp_path: Path) -> None:
    async with ends(tmp_path, [committee_of(make_context(validators=3))] * 3, order=(0, 2, 1)) as made:
        await reached(lambda: made[0].refused("wrong_certificate") >= 2)
        assert made[0].links.connected() == ()


async def test_strangers_do_not_get_in_and_the_validator_goes_on(tmp_path: Path) -> None:
    committee = committee_of(make_context(validators=2))
    async with ends(tmp_path, [committee] * 2) as made:
        await connected(made)
        port = made[1].port
        anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anonymous.check_hostname = False
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await dial(port, anonymous)
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await dial(port, context=False)
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), bytes(70_000)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            async with asyncio.timeout(10):
                await reader.read()  # the validator closes; it does not wait for more
            writer.close()
        old = client_context(committee, ZERO, validator_seed(0, 0))
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(aiohttp.ClientError):
            await dial(port, old)
        made[0].links.send(ONE, b"still here")
        await reached(lambda: made[1].received == [(0, b"still here")])


@pytest.mark.parametrize(
    ("first", "reason"),
    [(b"", "malformed"), (bytes(64) + b"\xc0", "malformed"), (bytes(5000), "too_large")],
)
async def test_a_validator_that_does_not_introduce_itself_is_refused_with_the_reason(
    tmp_path: Path, first: bytes, reason: str
) -> None:
    committee = committee_of(make_context(validators=3))
    async with ends(tmp_path, [committee] * 3) as made:
        await connected(made)
        code, text = await dial(made[2].port, client_context(committee, ONE, validator_seed(0, 1)), first)
        assert (code, text.split(":")[0]) == (4001, reason)
        await connected(made)


async def test_a_frame_beyond_the_limit_is_refused_and_the_link_is_made_again(tmp_path: Path) -> None:
    committee = committee_of(make_context(validators=2))
    async with ends(tmp_path, [committee] * 2) as made:
        await connected(made)
        socket = made[0].links._links[ONE]._socket
        assert socket is not None
        await socket.send_bytes(bytes(frames.MAX_FRAME_BYTES + 1))
        await reached(lambda: made[1].refused("bad_frame"))
        await connected(made)
        socket = made[0].links._links[ONE]._socket
        assert socket is not None
        await socket.send_bytes(b"\xff\xff\xff\xff")
        await reached(lambda: made[1].refused("bad_frame") == 2)
        assert made[1].received == []
        await connected(made)


async def test_a_filter_drops_and_delays_on_development_chains_only(tmp_path: Path) -> None:
    class Faults:
        def copies(self, to: ValidatorIndex, raw: bytes) -> tuple[Copy, ...]:
            return {b"drop": (), b"late": (Copy(30, raw),)}.get(raw, (Copy(0, raw),))

        def hears(self, peer: ValidatorIndex) -> bool:
            return True

        def reaches(self, peer: ValidatorIndex) -> bool:
            return True

    async with ends(tmp_path, [committee_of(make_context(validators=2))] * 2) as made:
        await connected(made)
        with pytest.raises(Refused, match="not_a_development_chain"):
            made[0].links.set_filter(Faults(), development=False)
        made[0].links.set_filter(Faults(), development=True)
        for raw in (b"drop", b"late", b"now"):
            made[0].links.send(ONE, raw)
        await reached(lambda: len(made[1].received) == 2)
        assert made[1].received == [(0, b"now"), (0, b"late")]


async def test_the_queue_to_a_peer_that_is_away_stays_small_and_keeps_the_newest() -> None:
    link = Link(ONE, receiver([]), NodeMetrics())
    for number in range(1000):
        link.send(bytes([number % 256]) * 1000)
    link.send(bytes(MAX_QUEUED_AWAY_BYTES * 2))
    assert list(link._queue) == [bytes(MAX_QUEUED_AWAY_BYTES * 2)]
    link.send(b"newest")
    assert list(link._queue) == [b"newest"]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=50))
def test_a_frame_holds_what_was_put_into_it(messages: list[bytes]) -> None:
    assert frames.unpack_frame(frames.pack_frame(messages)) == messages


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(raw: bytes) -> None:
    messages = None
    with suppress(Refused):
        messages = frames.unpack_frame(raw)
    assert messages is None or frames.pack_frame(messages) == raw


def test_a_frame_of_too_many_messages_is_refused() -> None:
    most = frames.pack_frame([b""] * frames.MAX_FRAME_MESSAGES)
    assert len(frames.unpack_frame(most)) == frames.MAX_FRAME_MESSAGES
    with pytest.raises(Refused):
        frames.unpack_frame(most + bytes(4))


CONTEXT = make_context(shards=2, validators=3)


def test_a_hello_with_any_bit_changed_is_refused() -> None:
    committee = committee_of(CONTEXT)
    good = hello.make_hello(committee, ONE, TWO, validator_seed(0, 1), ED25519, MACHINE)
    hello.check_hello(good, committee, TWO, ONE, ED25519, MACHINE)
    for place in range(len(good) * 8):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(Refused):
            hello.check_hello(bytes(bad), committee, TWO, ONE, ED25519, MACHINE)
    for cut in range(len(good)):
        with pytest.raises(Refused):
            hello.check_hello(good[:cut], committee, TWO, ONE, ED25519, MACHINE)


@pytest.mark.parametrize(
    ("shard", "speaker", "to", "seed", "code"),
    [
        (1, ONE, TWO, validator_seed(1, 1), "wrong_shard"),
        (0, ONE, ZERO, validator_seed(0, 1), "wrong_validator"),
        (0, ZERO, TWO, validator_seed(0, 0), "wrong_validator"),
        (0, TWO, TWO, validator_seed(0, 2), "self_link"),
        (0, ONE, TWO, seed_of("mallory"), "bad_signature"),
    ],
)
def test_a_hello_says_who_speaks_to_whom(
    shard: int, speaker: ValidatorIndex, to: ValidatorIndex, seed: SecretSeed, code: str
) -> None:
    raw = hello.make_hello(committee_of(CONTEXT, shard), speaker, to, seed, ED25519, MACHINE)
    with pytest.raises(Refused) as caught:
        hello.check_hello(raw, committee_of(CONTEXT), TWO, ONE, ED25519, MACHINE)
    assert caught.value.code == code


def test_a_certificate_is_a_function_of_seed_and_name_and_pinned_to_the_byte() -> None:
    committee = committee_of(CONTEXT)
    certificate = make_certificate(validator_seed(0, 1), "s0/v1")
    assert certificate == make_certificate(validator_seed(0, 1), "s0/v1")
    assert peer_index(committee, certificate) == 1
    assert peer_index(committee, make_certificate(validator_seed(0, 1), "s0/v2")) is None
    assert peer_index(committee, make_certificate(validator_seed(1, 1), "s1/v1")) is None
    assert peer_index(committee, None) is None


def test_a_seed_that_is_not_the_certificates_is_refused_at_start_up() -> None:
    for context in (server_context, client_context):
        with pytest.raises(BadConfiguration, match="seed is not that of validator 1"):
            context(committee_of(CONTEXT), ONE, seed_of("mallory"))
