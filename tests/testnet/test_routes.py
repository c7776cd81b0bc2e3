"""Why messages between two shards are not carried."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from testnet.home import save_manifest
from testnet.manifest import parse_manifest
from testnet.routes import why_unserved
from testnet.run_file import NodeRun, RunInfo


def run_of(home: Path, *relays: Literal["running", "killed", "paused"]) -> RunInfo:
    """What run.json says of three shards with links 0-1 and 1-2, and relays in these states."""
    save_manifest(home, parse_manifest({"shards": 3, "links": [[0, 1], [2, 1]]}, "test"))
    nodes = tuple(
        NodeRun(name=f"r{number}", kind="relay", shard=None, api=None, link_port=None, pid=1, state=state, log="")
        for number, state in enumerate(relays)
    )
    return RunInfo(
        ostraka="0", home=str(home), genesis="", chain_id="", launcher_pid=0, control="", shards=3, validators=1,
        nodes=nodes, accounts={},
    )  # fmt: skip


def test_a_pair_without_a_link_is_named_and_a_served_one_has_no_excuse(tmp_path: Path) -> None:
    info = run_of(tmp_path, "running")
    assert "no relay serves shards 2 and 0" in why_unserved(info, 2, 0)
    assert [why_unserved(info, *pair) for pair in ((0, 1), (1, 0), (1, 2), (2, 1))] == [""] * 4


@pytest.mark.parametrize(("state", "mend"), [("killed", "restart"), ("paused", "resume")])
def test_without_a_running_relay_the_command_that_mends_it_is_named(
    tmp_path: Path, state: Literal["killed", "paused"], mend: str
) -> None:
    assert f"ostraka fault {mend} r0" in why_unserved(run_of(tmp_path, state), 0, 1)
    assert why_unserved(run_of(tmp_path, state, "running"), 0, 1) == ""
    assert "has no relay" in why_unserved(run_of(tmp_path), 0, 1)


def test_a_home_without_its_manifest_blames_nobody(tmp_path: Path) -> None:
    assert why_unserved(msgspec.structs.replace(run_of(tmp_path, "running"), home=str(tmp_path / "x")), 0, 2) == ""
