"""Breaking and mending a running testnet: every node has a socket that faults come through, the launcher has signals.

A fault on links is told to every node that sends over them; a cut to both ends, so that it holds as long as one of
them lives. Faults of links, disks and clocks die with the process that has them.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from primitives.errors import Refused
from shards.node.injection.admin import ask_node
from shards.node.injection.faults import (
    Active,
    ClockFault,
    Direction,
    DiskEffect,
    DiskFault,
    Fault,
    Lane,
    LinkEffect,
    LinkFault,
    Order,
    Place,
)
from testnet.control import ask
from testnet.faults.targets import Link, Relay, Shape, Shard, Target, Validator, pairs_of
from testnet.home import admin_socket
from testnet.run_file import NodeRun, RunInfo

Operation = Literal["kill", "pause", "resume", "restart", "byzantine"]

_HOW = {"killed": "kill", "paused": "pause", "exited": "exit"}
"""What happened to a node that does not run, by its state."""


class Applied(msgspec.Struct, frozen=True):
    """A fault that has begun, and where."""

    name: str
    text: str
    nodes: tuple[str, ...]
    missed: tuple[str, ...]
    """Nodes that should have been told and are down or paused."""
    lasts_ms: int | None


class Listed(msgspec.Struct, frozen=True):
    """A fault that is on."""

    name: str
    text: str
    nodes: tuple[str, ...]
    left_ms: int | None


@dataclass(frozen=True)
class Degree:
    """How much of a fault of links."""

    permille: int = 1000
    delay_ms: int = 0
    jitter_ms: int = 0


def shape_of(info: RunInfo) -> Shape:
    """How large a testnet is."""
    return Shape(info.shards, info.validators, sum(node.kind == "relay" for node in info.nodes))


class FaultControl:
    """Faults of one running testnet. Blocks for milliseconds; nodes that are down or paused are passed over."""

    def __init__(self, info: RunInfo) -> None:
        self._home = Path(info.home)
        self._control = Path(info.control)
        self.shape = shape_of(info)

    # Beginning

    def links(
        self, effect: LinkEffect, target: Target, text: str, degree: Degree, lasts_ms: int | None = None
    ) -> Applied:
        """Do something to what links carry.

        Raises:
            Refused: `unreachable`, when none of the nodes concerned runs; or what a node refuses.

        """
        return self._put(effect, text, link_faults(effect, target, self.shape, degree), lasts_ms)

    def disk(
        self, effect: DiskEffect, who: Iterable[Validator], text: str, delay_ms: int = 0, lasts_ms: int | None = None
    ) -> Applied:
        """Break the disks of validators; one that is full or broken ends its validator at its next commit.

        Raises:
            Refused: as `links`.

        """
        fault = DiskFault(effect=effect, delay_ms=delay_ms)
        return self._put(f"disk-{effect}", text, {str(each): (fault,) for each in who}, lasts_ms)

    def skew(self, who: Iterable[Validator], offset_ms: int, text: str, lasts_ms: int | None = None) -> Applied:
        """Set the clocks of validators off.

        Raises:
            Refused: as `links`.

        """
        fault = ClockFault(offset_ms=offset_ms)
        return self._put("skew", text, {str(each): (fault,) for each in who}, lasts_ms)

    def _put(self, kind: str, text: str, faults: dict[str, tuple[Fault, ...]], lasts_ms: int | None) -> Applied:
        if not faults:
            raise Refused("no_such_link", f"{text}: there is no such link in this testnet, nobody is connected by it")
        running = {node.name for node in self.nodes() if node.state == "running"}
        name = f"{kind}-{secrets.token_hex(2)}"
        told: list[str] = []
        for node, of_node in faults.items():
            order = Order(name=name, text=text, faults=of_node, lasts_ms=lasts_ms)
            try:
                if node in running:
                    self._ask(node, {"do": "put", "order": msgspec.to_builtins(order)})
                    told.append(node)
            except Refused as refused:
                if refused.code != "unreachable":
                    self._heal_at(told, name)
                    raise
        missed = tuple(node for node in faults if node not in told)
        if not told:
            raise Refused("unreachable", f"none of {', '.join(missed[:6])} runs and answers; see `ostraka status`")
        return Applied(name, text, tuple(told), missed, lasts_ms)

    # Processes

    def process(
        self, operation: Operation, node: str, lasts_ms: int | None = None, behaviour: str | None = None
    ) -> NodeRun:
        """Kill, pause, resume or restart a node, or make it lie; with `lasts_ms` it comes back by itself.

        Raises:
            Refused: what the launcher refuses: `node_down`, `not_paused`, `unknown_behaviour`, …

        """
        request: dict[str, Any] = {"do": operation, "node": node}
        if behaviour is not None:
            request["as"] = behaviour
        if lasts_ms is not None:
            request["for_ms"] = lasts_ms
        (now,) = ask(self._control, request)["nodes"]
        return msgspec.convert(now, NodeRun)

    def nodes(self) -> tuple[NodeRun, ...]:
        """Every node, as the launcher sees it."""
        return self._status()[0]

    def _status(self) -> tuple[tuple[NodeRun, ...], dict[str, int]]:
        status = ask(self._control, {"do": "status"})
        return msgspec.convert(status["nodes"], tuple[NodeRun, ...]), status.get("mending", {})

    # Ending

    def heal(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """End the faults of these names; or all, and bring back every node that is down or paused."""
        nodes = self.nodes()
        running = [node.name for node in nodes if node.state == "running"]
        if names is not None:
            return tuple(sorted({ended for name in names for ended in self._heal_at(running, name)}))
        healed = set(self._heal_at(running, None))
        for node in nodes:
            if (node.state != "running" or node.behaviour) and self._bring_back(node):
                healed.add(_what_happened(node))
        paused = [node.name for node in nodes if node.state == "paused"]
        return tuple(sorted(healed.union(self._heal_at(paused, None))))

    def _bring_back(self, node: NodeRun) -> bool:
        """Let a node run again; False when the launcher was faster, because its time was over."""
        try:
            self.process("resume" if node.state == "paused" else "restart", node.name)
        except Refused as refused:
            if refused.code not in {"not_paused", "already_running"}:
                raise
            return False
        return True

    def _heal_at(self, nodes: Iterable[str], name: str | None) -> list[str]:
        request = {"do": "heal"} if name is None else {"do": "heal", "name": name}
        healed: list[str] = []
        for node in nodes:
            try:
                healed += self._ask(node, request)["healed"]
            except Refused as refused:
                if refused.code != "unreachable":
                    raise
        return healed

    # Listing

    def listing(self) -> tuple[Listed, ...]:
        """Everything that is broken now, on every node that answers, and nodes that are down or paused."""
        nodes, mending = self._status()
        found: dict[str, Listed] = {}
        for node in nodes:
            if node.state != "running" or node.behaviour:
                text = _what_happened(node)
                found[text] = Listed("", text, (node.name,), mending.get(node.name))
            if node.state != "running":
                continue
            for active in self._active(node.name):
                before = found.get(active.name, Listed(active.name, active.text, (), active.left_ms))
                found[active.name] = msgspec.structs.replace(before, nodes=(*before.nodes, node.name))
        return tuple(found.values())

    def _active(self, node: str) -> tuple[Active, ...]:
        try:
            return msgspec.convert(self._ask(node, {"do": "list"})["faults"], tuple[Active, ...])
        except Refused as refused:
            if refused.code != "unreachable":
                raise
            return ()

    def _ask(self, node: str, request: dict[str, Any]) -> dict[str, Any]:
        return ask_node(admin_socket(self._home, node), request)


def _what_happened(node: NodeRun) -> str:
    """Why a node does not do its work."""
    if node.state == "running":
        return f"byzantine {node.name} {node.behaviour}"
    return f"{_HOW[node.state]} {node.name}"


def link_faults(effect: LinkEffect, target: Target, shape: Shape, degree: Degree) -> dict[str, tuple[Fault, ...]]:
    """What each node must be told so that a target's links are broken."""

    def fault(direction: Direction, peers: Iterable[Place] = (), lanes: Iterable[Lane] = ()) -> LinkFault:
        return LinkFault(
            effect=effect,
            peers=tuple(peers),
            lanes=tuple(lanes),
            direction=direction,
            permille=degree.permille,
            delay_ms=degree.delay_ms,
            jitter_ms=degree.jitter_ms,
        )

    leaving: dict[Validator, list[Place]] = {}
    coming: dict[Validator, list[Place]] = {}
    for sender, receiver in pairs_of(target, shape):
        leaving.setdefault(sender, []).append((receiver.shard, receiver.index))
        if effect == "cut":
            coming.setdefault(receiver, []).append((sender.shard, sender.index))
    faults: dict[str, tuple[Fault, ...]] = {}
    for validator in sorted({*leaving, *coming}):
        out, into = leaving.get(validator, []), coming.get(validator, [])
        parts = [fault("out", out)] if out else []
        faults[str(validator)] = (*parts, fault("in", into)) if into else tuple(parts)
    for relay, places, lanes in _of_relays(target, shape):
        faults[str(relay)] = (fault("both", places, lanes),)
    return faults


def _of_relays(target: Target, shape: Shape) -> list[tuple[Relay, list[Place], list[Lane]]]:
    """Which relays a target concerns, and their links and lanes."""
    match target:
        case Relay():
            shards = [shape.members(shard) for shard in range(shape.shards)]
            return [(target, [(each.shard, each.index) for members in shards for each in members], [])]
        case Link(Relay() as relay, other):
            ends = shape.members(other.number) if isinstance(other, Shard) else (other,)
            return [(relay, [(end.shard, end.index) for end in ends if isinstance(end, Validator)], [])]
        case Link(Shard(one), Shard(other), one_way):
            lanes = [(one, other)] if one_way else [(one, other), (other, one)]
            return [(Relay(number), [], lanes) for number in range(shape.relays)]
        case _:
            return []
