"""A validator that lies: what stands between its core and the links, and where that is not to be had."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from primitives.identifiers import ShardId, ValidatorIndex
from shards.genesis import ChainContext
from shards.node.faults import ExitCode
from shards.node.injection.mouth import LyingOutlet, Mouth, Post
from shards.node.process import run_validator
from testnet.lying import BEHAVIOURS, mouth_of
from tests.node.support import close_sockets, make_configs, make_context, running, until, validator_seed

ONE, TWO = ValidatorIndex(1), ValidatorIndex(2)


class Said:
    """An outlet that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []

    def send(self, to: ValidatorIndex, raw: bytes) -> None:
        self.messages.append((to, raw))

    def broadcast(self, raw: bytes) -> None:
        raise AssertionError("to each peer its own story")


class TwoFaced:
    """Tells peer 2 everything twice and peer 1 nothing, and answers what it hears."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        return (raw, raw + b"!") if to == TWO else ()

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        self._post(sender, b"re: " + raw)


class Listening:
    """Lies as another mouth does, and remembers who spoke to it."""

    def __init__(self, mouth: Mouth) -> None:
        self._mouth = mouth
        self.heard_from: set[int] = set()

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        return self._mouth.says(to, raw)

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        self.heard_from.add(sender)
        self._mouth.hears(sender, raw)


def test_everything_that_the_core_says_goes_through_the_mouth() -> None:
    said = Said()
    outlet = LyingOutlet(said, (ONE, TWO), TwoFaced)
    outlet.send(ONE, b"vote")
    outlet.broadcast(b"block")
    outlet.hear(ONE, [b"a", b"b"])
    assert said.messages == [(2, b"block"), (2, b"block!"), (1, b"re: a"), (1, b"re: b")]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_every_behaviour_can_be_put_between_a_real_core_and_its_links(behaviour: str) -> None:
    mouth = mouth_of(behaviour, make_context(), (ShardId(0), ValidatorIndex(0)), validator_seed(ShardId(0), 0))
    outlet = LyingOutlet(Said(), (ONE, TWO), mouth)
    outlet.broadcast(b"\x02gossip")
    outlet.hear(ONE, [b"\x01junk", b""])


async def test_a_liar_is_blamed_by_the_others_and_they_go_on(tmp_path: Path) -> None:
    context = make_context(validators=4)
    configs = make_configs(tmp_path, context)
    make = mouth_of("nullify-and-finalize", context, (ShardId(0), ValidatorIndex(1)), validator_seed(ShardId(0), 1))
    listeners: list[Listening] = []

    def make_listening(post: Post) -> Listening:
        listeners.append(Listening(make(post)))
        return listeners[0]

    configs[1] = replace(configs[1], mouth=make_listening)
    async with running(configs) as net:

        async def blamed() -> bool:
            statuses = [await net.clients[index].status() for index in (0, 2, 3)]
            return all(status.blamed == [1] and status.finalized_height >= 3 for status in statuses)

        await until(blamed, 30)
    assert listeners[0].heard_from == {0, 2, 3}


async def test_on_a_chain_that_is_not_for_development_nobody_can_be_made_to_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = ChainContext(msgspec.structs.replace(make_context(validators=1).genesis, development=False))
    (config,) = make_configs(tmp_path, context)
    try:
        async with asyncio.timeout(30):
            assert await run_validator(replace(config, mouth=TwoFaced)) == ExitCode.BAD_CONFIGURATION
    finally:
        close_sockets([config])
    assert "development chains only" in capsys.readouterr().err
