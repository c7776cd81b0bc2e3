"""`run.json`: where the parts of a running testnet are. For programs; 0600, because it holds (development) keys.

It exists from the moment the launcher has started every process until it has stopped them. A launcher that was killed
leaves it behind; whether it still tells the truth is decided by the home's lock, never by its presence.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from primitives.errors import Refused
from testnet.home import write_atomic

RUN_FILE: Final = "run.json"

NodeState = Literal["running", "paused", "exited", "killed"]


class NodeRun(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `signal` is set when it was killed by one, `exit_code` when it ended by itself."""

    name: str
    kind: Literal["validator", "relay"]
    shard: int | None
    api: str | None
    """Base URL of its HTTP interface."""
    link_port: int | None
    """Where the other validators of its shard reach it."""
    pid: int
    state: NodeState
    exit_code: int | None = None
    signal: str | None = None
    log: str
    behaviour: str | None = None
    """Byzantine, if it was told to lie."""


class AccountRun(msgspec.Struct, frozen=True):
    """A development account; PUBLIC: anyone can derive this seed."""

    address: str
    secret_seed: str


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `run.json`."""

    format: Literal["ostraka-run"] = "ostraka-run"
    version: Literal[1] = 1
    ostraka: str
    home: str
    genesis: str
    chain_id: str
    launcher_pid: int
    control: str
    """Path of the launcher's Unix socket; it takes one JSON object per line."""
    shards: int
    validators: int
    nodes: tuple[NodeRun, ...]
    accounts: dict[str, AccountRun]

    def validators_of(self, shard: int) -> tuple[NodeRun, ...]:
        """Validators of a shard, in order of their indices."""
        return tuple(node for node in self.nodes if node.kind == "validator" and node.shard == shard)

    def node(self, name: str) -> NodeRun:
        """Find a node by its name; `Refused("unknown_node")` lists the names."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = [node.name for node in self.nodes]
        shown = ", ".join(names if len(names) <= 12 else [*names[:6], "…", *names[-3:]])
        raise Refused("unknown_node", f"there is no node {name[:40]!r}; the nodes are {shown}")


def write_run(home: Path, info: RunInfo) -> None:
    """Replace `run.json`."""
    write_atomic(home / RUN_FILE, msgspec.json.format(msgspec.json.encode(info), indent=2).decode() + "\n")


def read_run(home: Path) -> RunInfo | None:
    """Content of `run.json`, or None when there is none that can be read."""
    try:
        return msgspec.json.decode((home / RUN_FILE).read_bytes(), type=RunInfo)
    except (OSError, msgspec.DecodeError):
        return None


def remove_run(home: Path) -> None:
    """Delete `run.json`, if it is there."""
    (home / RUN_FILE).unlink(missing_ok=True)
