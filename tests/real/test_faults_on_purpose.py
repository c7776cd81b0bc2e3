"""Faults of links, disks and clocks in a testnet of real processes, as programs and people begin and end them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from shards.node.injection.faults import DiskEffect
from testnet.client import Sent
from testnet.faults.control import Degree, FaultControl
from testnet.faults.targets import Validator
from testnet.network import Network, connect, read_home
from testnet.reports import NodeReport, node_reports
from tests.testnet.real import Shell

pytestmark = pytest.mark.real

SHARDS = 2


@dataclass
class Broken:
    """A testnet with what breaks it and what uses it."""

    shell: Shell
    control: FaultControl
    ledger: Network

    def send(self, source: int = 0, destination: int = 1) -> Sent:
        """A transfer that has just begun."""
        return self.ledger.send(self.ledger.seed("alice"), source, self.ledger.key("bob"), destination, 1)

    def settle(self, sent: Sent | None = None) -> None:
        """Wait until a transfer (a new one) has settled."""
        assert self.ledger.wait(sent or self.send()).outcome == "settled"

    def is_pending(self, sent: Sent) -> bool:
        """Whether it does not settle within a second, many times as long as it takes."""
        return self.ledger.wait(sent, 1.0).outcome == "pending"

    def report(self, name: str) -> NodeReport:
        """One node."""
        return next(report for report in node_reports(self.ledger.info) if report.node.name == name)

    def links(self, effect: str, target: str, **degree: int) -> str:
        """Begin a fault of links; its name."""
        parsed = self.control.shape.parse(target)
        return self.control.links(effect, parsed, f"{effect} {target}", Degree(**degree)).name  # type: ignore[arg-type]  # one of them


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    """Two shards of four validators and a relay."""
    shell = Shell(tmp_path_factory.mktemp("net"))
    shell.run("up", "--detach", "--shards", str(SHARDS))
    info = read_home(shell.home)
    try:
        with connect(info) as ledger:
            yield Broken(shell, FaultControl(info), ledger)
    finally:
        shell.run("down", code=None)


@pytest.fixture(autouse=True)
def whole(net: Broken) -> Iterator[None]:
    """Every test leaves the testnet whole, and no validator has blamed an honest one."""
    yield
    net.control.heal()
    assert net.control.listing() == ()
    assert [net.ledger.status(shard).blamed for shard in range(SHARDS)] == [[]] * SHARDS


def test_a_shard_parted_in_the_middle_waits_and_goes_on_when_it_is_healed(net: Broken) -> None:
    name = net.links("cut", "s0/v0+s0/v1")
    waiting = net.send()
    assert net.is_pending(waiting)
    assert net.report("s0/v3").detail == "connected to 2 of 4 validators, the quorum is 3"
    assert net.control.heal([name]) == (name,)
    net.settle(waiting)


def test_a_validator_that_is_cut_off_misses_blocks_and_catches_up(net: Broken) -> None:
    name = net.links("cut", "s0/v2")
    net.settle()
    goal = net.report("s0/v0").finalized
    assert net.report("s0/v2").finalized < goal
    net.control.heal([name])
    while net.report("s0/v2").finalized < goal:
        net.settle()


def test_what_is_cut_between_two_shards_arrives_when_it_is_healed(net: Broken) -> None:
    name = net.links("cut", "0-1")
    waiting = net.send()
    assert net.is_pending(waiting)
    net.settle(net.send(0, 0))
    net.control.heal([name])
    net.settle(waiting)


def test_over_links_that_lose_double_change_and_delay_everything_settles(net: Broken) -> None:
    net.links("drop", "s0", permille=150)
    net.links("duplicate", "s1", permille=300)
    net.links("corrupt", "s1", permille=50)
    net.links("delay", "s0/v0-s0/v1", delay_ms=40, jitter_ms=60)
    net.links("drop", "r0", permille=200)
    net.links("corrupt", "r0-s0", permille=100)
    net.control.skew([Validator(1, 0)], -400, "skew")
    net.control.disk("slow", [Validator(0, 3)], "slow", 50)
    for sent in [net.send(0, 1), net.send(1, 0), net.send(0, 1)]:
        net.settle(sent)
    assert len(net.control.listing()) == 8


@pytest.mark.parametrize("effect", ["full", "eio"])
def test_a_validator_whose_disk_fails_stops_loudly_and_is_mended_by_a_restart(net: Broken, effect: DiskEffect) -> None:
    net.control.disk(effect, [Validator(1, 3)], effect)
    while net.report("s1/v3").node.state == "running":
        net.settle()
    assert net.report("s1/v3").detail.startswith("stopped with exit code 4")
    assert [each.text for each in net.control.listing()] == ["exit s1/v3"]
    net.control.process("restart", "s1/v3")
    net.settle()


def test_a_whole_shard_is_killed_for_a_time(net: Broken) -> None:
    for node in net.control.shape.nodes("s1"):
        net.control.process("kill", str(node), 2_000)
    waiting = net.send()
    assert net.is_pending(waiting)
    net.settle(waiting)


def test_people_begin_list_and_end_faults(net: Broken) -> None:
    cut = net.shell.json("fault", "cut", "s0/v0-s0/v1", "--for", "10m")
    assert (cut["text"], cut["nodes"], cut["missed"]) == ("cut s0/v0-s0/v1", ["s0/v0", "s0/v1"], [])
    assert "heal skew-" in net.shell.run("fault", "skew", "s1/v0", "-300ms").stdout
    cut_listed, skew_listed = net.shell.json("fault", "list")["faults"]
    assert (cut_listed["name"], cut_listed["nodes"]) == (cut["name"], cut["nodes"])
    assert 0 < cut_listed["left_ms"] <= 600_000
    assert skew_listed["left_ms"] is None
    assert net.shell.json("fault", "heal", "skew")["healed"] == [skew_listed["name"]]
    assert cut["name"] in net.shell.run("fault", "list").stdout
    assert " broken: cut s0/v0-s0/v1 · ostraka fault list" in net.shell.run("status").stdout
    assert net.shell.run("fault", "heal", "--all").stdout == f"✓ healed: {cut['name']}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cut", "s0/v0-s1/v0"], "links connect two validators of one shard"),
        (["drop", "s0", "0.2"], "write 10%"),
        (["heal", "cut-0000"], "there is no fault"),
        (["kill", "s0/v0", "--for", "99h"], "at most 24h"),
    ],
)
def test_a_fault_that_cannot_be_has_exit_code_2_and_says_what_can(
    net: Broken, arguments: list[str], message: str
) -> None:
    assert message in net.shell.run("fault", *arguments, code=2).stderr
