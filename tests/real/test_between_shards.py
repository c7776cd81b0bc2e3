"""What happens between shards when relays die, race and lie, and when a shard loses its quorum."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from primitives.codec import encode
from primitives.errors import Refused
from shards.bundles import Bundle, decode_bundle
from shards.node.api_types import StreamsAnswer, SubmitResult
from shards.node.client import NodeUnavailable
from tests.real.harness import Load, Testnet, View, money_is_conserved, testnet, until, view
from tests.shards.mutation import mutations

pytestmark = pytest.mark.real

ACCOUNTS = [f"lane{number}" for number in range(6)]
BYSTANDERS = ["calm0", "calm1", "calm2"]
"""Send only between shards 0 and 1, so that nothing of theirs can wait for shard 2."""

PAIRS = [(0, 1), (1, 0)]
LANES = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)]

RELAY_KILLS = 4

LIES = 60
"""Refused forgeries of bundles that are on their way."""

FACTOR = 4
"""How much slower the others may be while a shard is down, on a machine that other tests use too. A shard that
waited for the missing one would not be slower by a factor: it would stand still."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """Three shards of four validators and two relays that know nothing of each other."""
    accounts = dict.fromkeys([*ACCOUNTS, *BYSTANDERS], 1000)
    with testnet(tmp_path_factory.mktemp("three") / "home", shards=3, relays=2, accounts=accounts) as net:
        yield net


@pytest.fixture(autouse=True)
def _all_run(three: Testnet) -> None:
    three.make_whole()


async def kill(three: Testnet, *names: str) -> None:
    """Kill those that still run."""
    for name in names:
        if three.node(name)["state"] == "running":
            await asyncio.to_thread(three.do, "kill", name)


async def restart(three: Testnet, *names: str) -> None:
    """Start again."""
    for name in names:
        await asyncio.to_thread(three.do, "restart", name)


async def whole(three: Testnet, net: View, load: Load) -> None:
    """Everything that was sent arrives once, all money is accounted for, nobody is blamed."""
    await load.settle_all(net.network)
    await money_is_conserved(three, net.network)
    assert await net.nobody_is_blamed()


async def test_two_relays_race_and_each_message_arrives_once(three: Testnet) -> None:
    load = Load(three)
    async with view(three) as net:
        async with load.running(net.network, ACCOUNTS, LANES):
            await load.progress(3 * len(ACCOUNTS))
        await whole(three, net, load)


async def test_relays_killed_at_random_lose_nothing(three: Testnet) -> None:
    load, draw = Load(three), random.Random(3)
    async with view(three) as net:
        async with load.running(net.network, ACCOUNTS, LANES):
            for _ in range(RELAY_KILLS):
                await load.progress(draw.randrange(1, 6))
                await kill(three, *draw.choice([("r0",), ("r1",), ("r0", "r1")]))
                await restart(three, draw.choice(["r0", "r1"]))
            await load.progress()
        await whole(three, net, load)


async def captured(
    net: View, three: Testnet, load: Load, lanes: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """While no relay runs: a real, unused bundle of several messages for each lane."""
    await kill(three, "r0", "r1")
    bundles = {}
    for source, destination in lanes:
        for name in ACCOUNTS[:3]:
            await load.one(net.network, name, source, destination)

        async def found(source: int = source, destination: int = destination) -> bytes | None:
            node = net.clients[f"s{source}/v0"]
            streams = await node.streams()
            if streams is None:
                return None
            first = next(head.begin for head in streams.heads if head.destination == destination)
            raw = await node.bundle(destination, first, wait_ms=1000)
            return raw if raw is not None and len(decode_bundle(raw).bodies) >= 3 else None

        bundles[source, destination] = await until(found, "the messages are certified")
    return bundles


def forgeries(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """(what was done, bytes) of everything that a liar can make of a true bundle."""
    bundle = decode_bundle(raw)
    for where, changed in mutations(bundle):
        try:
            yield where, encode(changed)
        except (OverflowError, TypeError):
            continue  # no bytes say this
    for length in {0, 1, 64, len(raw) // 2, len(raw) - 1}:
        yield f"cut to {length}", raw[:length]
    yield "with a byte more", raw + b"\0"
    yield "in reverse", raw[::-1]
    yield "without its last message", encode(_shorter(bundle))


def _shorter(bundle: Bundle) -> Bundle:
    return Bundle(
        certificate=bundle.certificate,
        head=bundle.head,
        path=bundle.path,
        first=bundle.first,
        peaks=bundle.peaks,
        bodies=bundle.bodies[:-1],
        right=bundle.right,
    )


async def test_a_lying_relay_is_refused_with_a_reason_and_changes_nothing(three: Testnet) -> None:
    load = Load(three)
    codes: set[str] = set()

    async def lie(node: str, raw: bytes, what: str) -> None:
        result = await net.clients[node].submit_bundle(raw)
        if result.status == "known":  # by its own words it ends where that shard has been already: nobody looks further
            claimed = decode_bundle(raw)
            shard = int(node[1 : node.index("/")])
            assert claimed.bodies, what
            assert claimed.first + len(claimed.bodies) <= before[shard, claimed.head.source][0], what
            return
        assert result.status == "refused", (what, result)
        assert result.code, what
        assert result.detail, what
        codes.add(result.code)

    async with view(three) as net:
        true = await captured(net, three, load, [(0, 1), (1, 2)])
        before = await _received(net)
        for (source, destination), raw in true.items():
            for shard in {0, 1, 2} - {destination}:
                for index in range(4):
                    await lie(f"s{shard}/v{index}", raw, f"{source}→{destination} handed to shard {shard}")
        async with load.running(net.network, ACCOUNTS[3:], [(1, 1)]):
            for number, (what, raw) in enumerate(forgeries(true[0, 1])):
                await lie(f"s1/v{number % 4}", raw, what)
            await load.progress()
        assert await _received(net) == before, "no relay runs, and no liar can replace one"
        await restart(three, "r0", "r1")
        await whole(three, net, load)
    assert {"malformed", "wrong_destination", "not_in_stream", "not_in_outbox", "bad_certificate"} <= codes


async def test_lies_amid_honest_traffic_are_never_accepted(three: Testnet) -> None:
    """What brings nothing new is `known` without being looked at any further; what would bring something is refused."""
    load, draw = Load(three), random.Random(11)
    statuses: Counter[str] = Counter()
    async with view(three) as net:
        async with load.running(net.network, ACCOUNTS, LANES):
            await load.progress()
            while statuses["refused"] < LIES:
                streams = await net.clients["s0/v0"].streams()
                assert streams is not None
                first = next(head.begin for head in streams.heads if head.destination == 1)
                raw = await net.clients["s0/v0"].bundle(1, first, wait_ms=1000)
                if raw is None:
                    continue
                for what, forged in draw.sample(list(forgeries(raw)), 10):
                    result = await net.clients[f"s1/v{draw.randrange(4)}"].submit_bundle(forged)
                    assert result.status != "accepted", what
                    statuses[result.status] += 1
            await load.progress()
        await whole(three, net, load)


async def _received(net: View) -> dict[tuple[int, int], tuple[int, str]]:
    """(messages, value) that each (shard, source) has taken in, once the shard certifies anew."""
    received: dict[tuple[int, int], tuple[int, str]] = {}
    for shard in (0, 1, 2):
        load = Load(net.net)
        await load.settle(net.network, await load.one(net.network, BYSTANDERS[0], shard, shard))
        height = (await net.network.status(shard)).executed_height

        async def certified(shard: int = shard, height: int = height) -> StreamsAnswer | None:
            found = await net.clients[f"s{shard}/v0"].streams()
            return found if found is not None and found.height >= height else None

        streams = await until(certified, "what was executed is certified")
        received |= {(shard, head.destination): (head.ack_next, head.value_received) for head in streams.heads}
    return received


async def test_true_bundles_replayed_and_out_of_order_change_nothing_but_the_time(three: Testnet) -> None:
    load = Load(three)
    async with view(three) as net:
        true = (await captured(net, three, load, [(0, 1)]))[0, 1]
        first = decode_bundle(true).first
        late = await until(lambda: net.clients["s0/v1"].bundle(1, first + 2, 1000), "a bundle that begins later")
        validators = [net.clients[f"s1/v{index}"] for index in range(4)]

        async def hand_in(raw: bytes) -> list[SubmitResult]:
            results = [await client.submit_bundle(raw) for client in validators]
            assert all(result.status != "refused" or result.code for result in results)
            return results

        assert "refused" not in {result.status for result in await hand_in(late)}, "it waits for what comes before"
        await restart(three, "r0", "r1")
        async with load.running(net.network, ACCOUNTS[3:], LANES):
            for _ in range(20):
                for raw in (late, true):
                    await hand_in(raw)
            await load.progress()

            async def consumed() -> bool:
                results = [*await hand_in(true), *await hand_in(late)]
                return "accepted" not in {result.status for result in results}

            await until(consumed, "the bundles are of no use any more")
        await whole(three, net, load)


async def test_without_a_quorum_in_one_shard_the_others_go_on_at_their_pace(three: Testnet) -> None:
    load, calm = Load(three), Load(three)
    async with view(three) as net:

        async def median_s(turns: int) -> float:
            """Of transfers between the shards that are whole."""
            seconds = []
            for turn in range(turns):
                source, destination = PAIRS[turn % 2]
                began = time.monotonic()
                sent = await calm.one(net.network, BYSTANDERS[turn % len(BYSTANDERS)], source, destination)
                await calm.settle(net.network, sent)
                seconds.append(time.monotonic() - began)
            return statistics.median(seconds)

        before = await median_s(9)
        await kill(three, "s2/v0", "s2/v3")
        waiting = [await load.one(net.network, name, 0, 2) for name in ACCOUNTS]
        during = await median_s(15)
        assert during < FACTOR * before, (before, during)
        for sent in waiting:
            assert (await net.network.wait(sent, 0)).outcome == "pending"
        with pytest.raises((Refused, NodeUnavailable)):
            await net.clients["s2/v0"].status()
        stuck = (await net.status("s2/v1")).finalized_height
        await restart(three, "s2/v0", "s2/v3")
        await whole(three, net, load)
        await calm.settle_all(net.network)
        await net.reach("s2/v1", stuck + 1)
