"""What people may break and how it reaches the nodes; no process of a testnet is needed for that."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import Refused
from shards.node.injection.faults import Fault, LinkEffect, LinkFault
from testnet.faults import control as module
from testnet.faults.amounts import parse_delay, parse_lasts, parse_offset, parse_share
from testnet.faults.control import Degree, FaultControl, link_faults
from testnet.faults.targets import Group, Link, Relay, Shape, Shard, Validator, pairs_of
from testnet.mending import Mending, time_of_mending
from testnet.run_file import NodeRun, NodeState, RunInfo

SHAPE = Shape(shards=3, validators=4, relays=2)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("s0/v1", Validator(0, 1)),
        ("s2v3", Validator(2, 3)),
        ("s1", Shard(1)),
        ("r1", Relay(1)),
        ("relay0", Relay(0)),
        ("s0/v1-s0/v2", Link(Validator(0, 1), Validator(0, 2), one_way=False)),
        ("s0/v1>s0/v2", Link(Validator(0, 1), Validator(0, 2), one_way=True)),
        ("0-2", Link(Shard(0), Shard(2), one_way=False)),
        ("s0>s2", Link(Shard(0), Shard(2), one_way=True)),
        ("r0-s1", Link(Relay(0), Shard(1), one_way=False)),
        ("s1/v2 - r0", Link(Relay(0), Validator(1, 2), one_way=False)),
        ("s0/v2+s0/v0", Group((Validator(0, 0), Validator(0, 2)))),
    ],
)
def test_a_target_is_read_as_it_is_written(text: str, target: object) -> None:
    parsed = SHAPE.parse(text)
    assert parsed == target
    assert SHAPE.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is nothing that can be broken"),
        ("alice", "is nothing that can be broken"),
        ("s0/v1-", "is nothing that can be broken"),
        ("x" * 1000, "has 1000 characters"),
        ("s3", "no shard s3"),
        ("s0/v4", "no node s0/v4; this testnet has 3 shards of 4 validators"),
        ("r2", "no node r2"),
        ("s0/v1-s1/v1", "links connect two validators of one shard"),
        ("s0/v1-s0/v1", "no link between"),
        ("s1-s1", "no link between"),
        ("r0-r1", "no link between"),
        ("s0-s1/v1", "no link between"),
        ("r0>s1", "write r0-s1"),
        ("s0/v0+s1/v0", "several shards"),
        ("s0/v0+s0/v0", "each once"),
        ("s0/v0+s0/v1+s0/v2+s0/v3", "some of the 4 validators"),
        ("s0/v0+r0", "validators of one shard"),
    ],
)
def test_what_is_no_target_is_refused_with_what_can_be_written(text: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        SHAPE.parse(text)
    assert message in refused.value.detail


@settings(max_examples=300)
@given(st.text(alphabet="s0123/vr-+> ", max_size=20))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        target = SHAPE.parse(text)
    except Refused:
        return
    assert SHAPE.parse(str(target)) == target


def test_the_processes_that_are_meant() -> None:
    assert SHAPE.nodes("s1") == tuple(Validator(1, index) for index in range(4))
    assert len(SHAPE.nodes("all")) == 14
    assert SHAPE.nodes("r1") == (Relay(1),)
    with pytest.raises(Refused, match="has no disk"):
        SHAPE.validator("r0")


def test_directions_of_a_target() -> None:
    zero, one, two, three = SHAPE.members(0)
    assert pairs_of(SHAPE.parse("s0/v1>s0/v2"), SHAPE) == ((one, two),)
    assert set(pairs_of(SHAPE.parse("s0/v1"), SHAPE)) == {
        pair for other in (zero, two, three) for pair in ((one, other), (other, one))
    }
    assert len(pairs_of(Shard(0), SHAPE)) == 12
    assert len(pairs_of(Group((zero, one)), SHAPE)) == 8
    assert pairs_of(Relay(0), SHAPE) == ()


def told(effect: LinkEffect, text: str) -> dict[str, list[tuple[str, tuple[Any, ...], tuple[Any, ...]]]]:
    faults = link_faults(effect, SHAPE.parse(text), SHAPE, Degree())
    return {node: [_short(fault) for fault in of_node] for node, of_node in faults.items()}


def _short(fault: Fault) -> tuple[str, tuple[Any, ...], tuple[Any, ...]]:
    assert isinstance(fault, LinkFault)
    return fault.direction, fault.peers, fault.lanes


def test_a_cut_is_told_to_both_ends_and_holds_as_long_as_one_lives() -> None:
    assert told("cut", "s0/v1>s0/v2") == {"s0/v1": [("out", ((0, 2),), ())], "s0/v2": [("in", ((0, 1),), ())]}
    both = told("cut", "s0/v1-s0/v2")
    assert both["s0/v1"] == [("out", ((0, 2),), ()), ("in", ((0, 2),), ())]


def test_what_is_not_a_cut_is_told_to_those_who_send() -> None:
    assert told("delay", "s0/v1>s0/v2") == {"s0/v1": [("out", ((0, 2),), ())]}
    assert set(told("drop", "s0")) == {"s0/v0", "s0/v1", "s0/v2", "s0/v3"}


def test_relays_are_told_of_validators_and_of_lanes() -> None:
    assert told("cut", "0-2") == {f"r{number}": [("both", (), ((0, 2), (2, 0)))] for number in range(2)}
    assert told("cut", "s0>s2")["r0"] == [("both", (), ((0, 2),))]
    assert told("cut", "r1-s1") == {"r1": [("both", tuple((1, index) for index in range(4)), ())]}
    assert told("drop", "r0-s1/v2") == {"r0": [("both", ((1, 2),), ())]}
    assert len(told("cut", "r0")["r0"][0][1]) == 12


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_share, "10%", 100),
        (parse_share, "0.5 %", 5),
        (parse_share, "100%", 1000),
        (parse_offset, "+900ms", 900),
        (parse_offset, "-2s", -2000),
        (parse_offset, "1h", 3_600_000),
        (parse_delay, "200ms", 200),
        (parse_lasts, "20s", 20_000),
        (parse_lasts, None, None),
    ],
)
def test_amounts_are_read_as_people_write_them(parse: Any, text: str | None, value: int | None) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_share, "10"),
        (parse_share, "0%"),
        (parse_share, "101%"),
        (parse_share, "-1%"),
        (parse_offset, "0ms"),
        (parse_offset, "--5s"),
        (parse_offset, "900"),
        (parse_delay, "2m"),
        (parse_delay, "0s"),
        (parse_lasts, "25h"),
        (parse_lasts, "soon"),
    ],
)
def test_amounts_outside_their_limits_are_refused(parse: Any, text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


class FakeTestnet:
    """A launcher and nodes that only remember what they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: NodeState) -> None:
        names = [*(f"s0/v{index}" for index in range(4)), "r0"]
        self.states: dict[str, NodeState] = {name: states.get(name.replace("/", ""), "running") for name in names}
        self.told: list[tuple[str, str]] = []
        self.done: list[tuple[str, str, int | None]] = []
        self.refuse = ""
        self.faster = False
        self.behaviours: dict[str, str] = {}
        """Byzantine, by node."""
        self.orders: dict[str, dict[str, Any]] = {name: {} for name in names}
        monkeypatch.setattr(module, "ask", self.launcher)
        monkeypatch.setattr(module, "ask_node", self.node)
        self.control = FaultControl(self.info())

    def info(self) -> RunInfo:
        return RunInfo(
            ostraka="0", home="/h", genesis="", chain_id="", launcher_pid=0, control="/c", shards=1, validators=4,
            nodes=tuple(self.run(name) for name in self.states), accounts={},
        )  # fmt: skip

    def run(self, name: str) -> NodeRun:
        kind: Literal["relay", "validator"] = "relay" if name.startswith("r") else "validator"
        return NodeRun(
            name=name, kind=kind, shard=0, api=None, link_port=None, pid=1, state=self.states[name], log="",
            behaviour=self.behaviours.get(name),
        )  # fmt: skip

    def launcher(self, _path: Path, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "byzantine":
            self.behaviours[request["node"]] = request["as"]
        elif request["do"] == "restart":
            self.behaviours.pop(request["node"], None)
        if request["do"] == "status":
            return {"nodes": [msgspec.to_builtins(self.run(name)) for name in self.states], "mending": {"s0/v1": 700}}
        if self.faster:
            raise Refused("not_paused", "it is running")
        self.done.append((request["do"], request["node"], request.get("for_ms")))
        self.states[request["node"]] = "running"
        return {"nodes": [msgspec.to_builtins(self.run(request["node"]))]}

    def node(self, path: Path, request: dict[str, Any]) -> dict[str, Any]:
        name = path.parent.name.replace("-", "/")
        assert self.states[name] == "running" or self.faster, "nobody waits for a node that is paused"
        if request["do"] == "put" and name == self.refuse:
            raise Refused("too_many", "no room")
        self.told.append((name, request["do"]))
        orders = self.orders[name]
        if request["do"] == "put":
            orders[request["order"]["name"]] = request["order"]
        elif request["do"] == "heal":
            ended = [each for each in orders if request.get("name") in {None, each}]
            for each in ended:
                del orders[each]
            return {"healed": ended}
        faults = [{**order, "left_ms": order["lasts_ms"]} for order in orders.values()]
        return {"faults": [{key: value for key, value in each.items() if key != "lasts_ms"} for each in faults]}


def test_a_fault_is_listed_once_with_all_its_nodes_and_healed_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FakeTestnet(monkeypatch, s0v1="paused")
    applied = net.control.links("cut", Validator(0, 0), "cut s0/v0", Degree(), 5_000)
    assert (applied.nodes, applied.missed) == (("s0/v0", "s0/v2", "s0/v3"), ("s0/v1",))
    paused, cut = sorted(net.control.listing(), key=lambda each: each.name)
    assert (paused.text, paused.left_ms) == ("pause s0/v1", 700)
    assert (cut.name, cut.nodes, cut.left_ms) == (applied.name, applied.nodes, 5_000)
    assert net.control.heal([applied.name]) == (applied.name,)
    assert net.done == [], "only what was named is healed"
    net.control.skew([Validator(0, 2)], 5, "skew")
    assert net.control.heal()[0] == "pause s0/v1"
    assert net.done == [("resume", "s0/v1", None)]
    assert net.control.listing() == ()


def test_a_fault_that_one_node_refuses_is_taken_back_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FakeTestnet(monkeypatch)
    net.refuse = "s0/v2"
    with pytest.raises(Refused, match="no room"):
        net.control.links("cut", Shard(0), "cut s0", Degree())
    assert not any(net.orders.values())


def test_a_fault_that_nobody_can_be_told_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FakeTestnet(monkeypatch, s0v1="killed")
    with pytest.raises(Refused, match=r"unreachable.*s0/v1"):
        net.control.disk("full", [Validator(0, 1)], "disk full s0/v1")


def test_a_node_that_goes_on_by_itself_meanwhile_is_healed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FakeTestnet(monkeypatch, s0v1="paused")
    net.faster = True
    net.control.disk("slow", [Validator(0, 0)], "slow", 5)
    (healed,) = net.control.heal()
    assert healed.startswith("disk-slow-")


def test_a_liar_is_listed_and_healed_by_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FakeTestnet(monkeypatch)
    net.control.process("byzantine", "s0/v2", 5_000, "half-send")
    assert [each.text for each in net.control.listing()] == ["byzantine s0/v2 half-send"]
    assert net.control.heal() == ("byzantine s0/v2 half-send",)
    assert net.done == [("byzantine", "s0/v2", 5_000), ("restart", "s0/v2", None)]
    assert net.control.listing() == ()


def test_what_is_killed_for_a_time_is_brought_back_once_unless_somebody_was_faster() -> None:
    mending = Mending()
    assert mending.seconds_left(5.0) is None
    mending.plan("s0/v0", "kill", 10.0)
    mending.plan("s0/v1", "pause", 12.0)
    assert mending.seconds_left(9.0) == 1.0
    assert mending.left_ms(11.0) == {"s0/v0": 0, "s0/v1": 1000}
    assert mending.due(11.0) == [("s0/v0", "restart")]
    assert mending.due(11.0) == []
    mending.plan("s0/v1", "resume", None)
    assert mending.due(99.0) == []


@pytest.mark.parametrize(
    ("request_", "operation"),
    [
        ({"for_ms": 5}, "restart"),
        ({"for_ms": 0}, "kill"),
        ({"for_ms": "5"}, "kill"),
        ({"for_ms": True}, "kill"),
        ({"for_ms": 10**12}, "pause"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused(request_: dict[str, Any], operation: str) -> None:
    with pytest.raises(Refused, match="malformed"):
        time_of_mending(request_, operation)
