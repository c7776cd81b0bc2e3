"""Faults of links, disks and clocks in a testnet of real processes, as people begin and end them."""

from collections.abc import Iterator
from typing import Any

import pytest

from testnet.network import connect, read_home
from tests.testnet.real import Shell

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Two shards of four validators and a relay."""
    shell = Shell(tmp_path_factory.mktemp("net"))
    shell.run("up", "--detach", "--shards", "2")
    yield shell
    shell.run("down", code=None)


@pytest.fixture(autouse=True)
def whole(net: Shell) -> Iterator[None]:
    """Every test leaves the testnet whole, and no validator has blamed an honest one."""
    yield
    net.run("fault", "heal", "--all")
    assert net.json("fault", "list")["faults"] == []
    with connect(read_home(net.home)) as ledger:
        assert [ledger.status(shard).blamed for shard in range(2)] == [[], []]


def settles(net: Shell, source: int = 0, destination: int = 1) -> Any:
    sent = net.json("transfer", f"alice@{source}", f"bob@{destination}", "1")
    assert sent["outcome"] == "settled"
    return sent


def pending(net: Shell) -> str:
    sent = net.json("transfer", "alice", "bob@1", "1", "--timeout", "2", code=1)
    assert sent["outcome"] == "pending"
    return str(sent["id"])


def of_node(net: Shell, name: str) -> Any:
    return next(node for node in net.json("status")["nodes"] if node["name"] == name)


def test_a_shard_parted_in_the_middle_waits_and_goes_on_when_it_is_healed(net: Shell) -> None:
    cut = net.json("fault", "partition", "s0/v0", "s0/v1")
    assert (cut["nodes"], cut["missed"]) == ([f"s0/v{index}" for index in range(4)], [])
    waiting = pending(net)
    assert of_node(net, "s0/v3")["detail"] == "connected to 2 of 4 validators, the quorum is 3"
    (listed,) = net.json("fault", "list")["faults"]
    assert (listed["name"], listed["text"], listed["left_ms"]) == (cut["name"], "partition s0/v0+s0/v1", None)
    net.run("fault", "heal", cut["name"])
    assert net.json("wait", waiting)["outcome"] == "settled"


def test_a_validator_that_is_cut_off_misses_blocks_and_catches_up(net: Shell) -> None:
    net.run("fault", "cut", "s0/v2", "--for", "3s")
    settles(net)
    assert of_node(net, "s0/v2")["finalized"] < of_node(net, "s0/v0")["finalized"]
    with connect(read_home(net.home)) as ledger:
        goal = ledger.status(0).finalized_height
    while of_node(net, "s0/v2")["finalized"] < goal:
        pass
    assert net.json("fault", "list")["faults"] == [], "its time is over"


def test_what_is_cut_between_two_shards_arrives_when_it_is_healed(net: Shell) -> None:
    net.run("fault", "cut", "0", "1")
    waiting = pending(net)
    settles(net, 0, 0)
    net.run("fault", "heal", "cut")
    assert net.json("wait", waiting)["outcome"] == "settled"


def test_over_links_that_lose_double_change_and_delay_everything_settles(net: Shell) -> None:
    for arguments in (
        ("drop", "s0", "15%"),
        ("duplicate", "s1", "30%"),
        ("corrupt", "s1", "5%"),
        ("delay", "s0/v0-s0/v1", "40ms", "--jitter", "60ms"),
        ("drop", "r0", "20%"),
        ("corrupt", "r0-s0", "10%"),
        ("skew", "s1/v0", "-400ms"),
        ("disk", "slow", "s0/v3", "--by", "50ms"),
    ):
        net.run("fault", *arguments)
    assert len(net.json("fault", "list")["faults"]) == 8
    for _ in range(3):
        settles(net, 0, 1)
        settles(net, 1, 0)


@pytest.mark.parametrize("effect", ["full", "eio"])
def test_a_validator_whose_disk_fails_stops_loudly_and_is_mended_by_a_restart(net: Shell, effect: str) -> None:
    net.run("fault", "disk", effect, "s1/v3")
    settles(net)
    while of_node(net, "s1/v3")["state"] == "running":
        settles(net)
    assert of_node(net, "s1/v3")["detail"].startswith("stopped with exit code 4")
    net.run("fault", "restart", "s1/v3")
    assert of_node(net, "s1/v3")["ready"]


def test_a_whole_shard_is_killed_for_a_time(net: Shell) -> None:
    killed = net.json("fault", "kill", "s1", "--for", "2s")
    assert [node["state"] for node in killed["nodes"]] == ["killed"] * 4
    assert net.json("wait", pending(net))["outcome"] == "settled"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cut", "s0/v0-s1/v0"], "links connect two validators of one shard"),
        (["cut", "s0/v9"], "there is no node s0/v9"),
        (["delay", "s0", "soon"], "is no duration"),
        (["drop", "s0", "0.2"], "write 10%"),
        (["skew", "r0", "5s"], "has no disk and no clock"),
        (["heal"], "or --all"),
        (["heal", "cut-0000"], "there is no fault"),
        (["cut", "s0", "--for", "0s"], "more than 0"),
        (["kill", "s0/v0", "--for", "99h"], "at most 24h"),
    ],
)
def test_a_fault_that_cannot_be_has_exit_code_2_and_says_what_can(
    net: Shell, arguments: list[str], message: str
) -> None:
    assert message in net.run("fault", *arguments, code=2).stderr
