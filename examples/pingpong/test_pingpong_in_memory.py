"""Ping-pong under ordinary Python."""

from pathlib import Path

import pytest

from ostraka_contract import CallFailed
from ostraka_contract.testing import Contract, Shards

PLAYER = Path(__file__).parent / "player.py"


def court() -> tuple[Shards, Contract, Contract]:
    shards = Shards()
    return shards, shards.deploy(PLAYER, shard=0), shards.deploy(PLAYER, shard=1)


@pytest.mark.parametrize("exchanges", [0, 1, 7])
def test_each_exchange_crosses_the_net_twice(exchanges: int) -> None:
    shards, here, there = court()
    rally = here.send("serve", 1, exchanges)
    shards.settle()
    assert rally.result() == 2 * exchanges
    assert there.view("hits") == exchanges


def test_players_call_each_other_in_turns() -> None:
    shards, here, there = court()
    volley = here.send("volley", 1, 4)
    shards.settle()
    assert volley.result() == 4
    assert (here.view("hits"), there.view("hits")) == (3, 2)


def test_without_an_opponent_the_serve_fails() -> None:
    shards, here, _ = court()
    rally = here.send("serve", 5, 1)
    shards.settle()
    with pytest.raises(CallFailed, match="refused"):
        rally.result()
