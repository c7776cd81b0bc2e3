"""Real validators and relays, driven by the command line as its users drive it."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from primitives.addresses import format_address
from primitives.errors import Refused
from primitives.identifiers import PublicKey
from testnet.client import SubmissionRefused
from testnet.demo import run_demo
from testnet.manifest import parse_manifest
from testnet.network import connect, read_home
from tests.testnet.real import COMMAND, Shell, take_behind_a_free_one

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Two shards of four validators and a relay, for the tests that leave them whole."""
    shell = Shell(tmp_path_factory.mktemp("net"))
    shell.run("up", "--detach", "--shards", "2")
    yield shell
    shell.run("down", code=None)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Shell]:
    """A folder for a testnet of the test's own."""
    shell = Shell(tmp_path)
    yield shell
    shell.run("down", code=None)


def test_a_transfer_across_shards_settles_and_shows_where_it_has_been(net: Shell) -> None:
    before = net.obol("bob@1")
    shown = net.run("transfer", "alice", "bob@1", "25", "--memo", "for the olives").stdout
    assert shown.startswith("✓ settled in ")
    assert "transfer 25 obol → bob@1" in shown
    assert "verified against shard 0's validators" in shown
    assert "⇠ s0@h" in shown
    assert net.obol("bob@1") == before + 25


def test_a_transfer_for_programs_is_one_object(net: Shell) -> None:
    sent = net.json("transfer", "alice@1", "bob@0", "0.000001")
    assert (sent["outcome"], len(sent["id"]), len(sent["message_id"])) == ("settled", 64, 64)
    assert sent["blocks"] >= 2
    assert 0 < sent["seconds"] < 30
    waited = net.json("wait", sent["id"])
    assert {**waited, "seconds": 0} == {**sent, "seconds": 0}
    assert net.json("trace", sent["id"])["state"] == "settled"


def test_a_transfer_on_one_shard_sends_no_message(net: Shell) -> None:
    before = net.obol("dave@0")
    assert net.json("transfer", "erin", "dave", "3")["message_id"] is None
    assert net.obol("dave@0") == before + 3


def test_what_is_sent_without_waiting_can_be_waited_for(net: Shell) -> None:
    sent = net.json("transfer", "bob", "carol@1", "1", "--no-wait")
    assert sent["outcome"] == "pending"
    assert net.json("wait", sent["id"])["outcome"] == "settled"


def test_a_transfer_that_nobody_can_pay_is_refused_with_exit_code_1(net: Shell) -> None:
    refused = net.json("transfer", "carol", "bob@1", "1000000001", code=1)
    assert (refused["outcome"], refused["id"]) == ("refused", None)
    assert "overdraft" in refused["detail"]
    assert "✗" in net.run("transfer", "carol", "bob@1", "1000000001", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "alcie", "bob@1", "1"], 'did you mean "alice"'),
        (["transfer", "alice", "bob@7", "1"], "there is no shard '7'"),
        (["transfer", "alice", "bob@1", "1.0000001"], "is not an amount"),
        (["transfer", "alice@0", "bob@1", "1", "--from-shard", "1"], "say it once"),
        (["transfer", "alice", "bob@1", "1", "--memo", "é" * 40], "at most 64 bytes, this one 80"),
        (["transfer", "alice", "bob@1", "1", "--memo", "\udcff"], "not valid UTF-8"),
        (["balance", "osk1qqqq"], "bad_address"),
        (["trace", "zz"], "is not the id of a transaction"),
        (["fault", "kill", "s9/v9"], "there is no node"),
        (["logs", "s9/v9"], "has no logs of s9/v9"),
        (["blocks", "9"], "there is no shard"),
    ],
)
def test_bad_input_has_exit_code_2_and_says_what_is_wrong(net: Shell, arguments: list[str], message: str) -> None:
    done = net.run(*arguments, code=2)
    assert message in done.stderr
    assert done.stdout == ""


def test_an_unknown_transaction_is_said_to_be_unknown(net: Shell) -> None:
    assert net.json("trace", "00" * 32, code=1)["error"]["code"] == "unknown_transaction"
    assert net.json("wait", "00" * 32, code=2)["error"]["code"] == "unknown_transaction"


def test_the_faucet_pays_anyone(net: Shell) -> None:
    stranger = format_address(PublicKey(bytes(range(32))))
    before = net.obol(f"{stranger}@1")
    net.run("faucet", f"{stranger}@1", "7")
    assert net.obol(f"{stranger}@1") == before + 7


def test_a_proof_is_verified_offline_and_a_changed_one_is_not(net: Shell, tmp_path: Path) -> None:
    sent = net.json("transfer", "alice", "bob@1", "2")
    file = tmp_path / "message.proof"
    net.run("proof", sent["message_id"], "--out", str(file))
    outside = Shell(tmp_path)
    genesis = str(net.home / "genesis.json")
    verified = outside.json("verify", str(file), "--genesis", genesis)
    assert (verified["valid"], verified["message_id"], verified["value"]) == (True, sent["message_id"], "2")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    outside.run("verify", str(file), "--genesis", genesis, code=1)
    outside.run("proof", "00" * 32, "--out", "x", "--home", str(net.home), code=2)


def test_blocks_and_logs_are_listed(net: Shell) -> None:
    net.json("transfer", "alice", "bob", "1")
    blocks = net.json("blocks", "0", "--last", "1")["blocks"]
    assert len(blocks) == 1
    assert blocks[0]["height"] >= 1
    assert "peer_connected" in net.run("logs", "s0/v0", "--lines", "50").stdout


def test_two_testnets_do_not_share_a_home(net: Shell) -> None:
    again = net.run("up", "--detach", code=2)
    assert "another launcher is running the testnet" in again.stderr
    assert net.json("status")["nodes"][0]["state"] == "running", "and the first one was not disturbed"


def test_python_programs_use_the_same_network(net: Shell) -> None:
    info = read_home(net.home)
    with connect(info) as network:
        sent = network.send(network.seed("alice"), 1, network.key("bob"), 0, 5, b"hi")
        assert network.wait(sent).outcome == "settled"
        assert network.draw(network.trace(sent.id)).startswith("✓ settled")
        with pytest.raises(SubmissionRefused, match="overdraft"):
            network.send(network.seed("alice"), 1, network.key("bob"), 0, 10**20)
    with pytest.raises(Refused, match="not_running"):
        read_home(net.folder)


def test_with_one_validator_killed_and_one_paused_elsewhere_transfers_settle(net: Shell) -> None:
    net.run("fault", "kill", "s0/v0")
    net.run("fault", "pause", "s1/v1")
    try:
        assert net.json("transfer", "alice", "bob@1", "1")["outcome"] == "settled"
        states = {node["name"]: node["state"] for node in net.json("status")["nodes"]}
        assert (states["s0/v0"], states["s1/v1"], states["s0/v1"]) == ("killed", "paused", "running")
        assert "down: s0/v0, s1/v1" in net.run("doctor", code=1).stdout
    finally:
        net.run("fault", "resume", "s1/v1")
        net.run("fault", "restart", "s0/v0")
    nodes = {node["name"]: node for node in net.json("status")["nodes"]}
    assert nodes["s0/v0"]["ready"]
    assert nodes["s1/v1"]["ready"]


def test_without_a_quorum_a_transfer_is_pending_and_settles_when_it_is_back(net: Shell) -> None:
    net.run("fault", "kill", "s1/v0")
    net.run("fault", "kill", "s1/v1")
    try:
        pending = net.json("transfer", "alice", "bob@1", "1", "--timeout", "2", code=1)
        assert pending["outcome"] == "pending"
        assert "in flight: 1 obol" in net.run("trace", pending["id"]).stdout
    finally:
        net.run("fault", "restart", "s1/v0", "--no-wait")
        net.run("fault", "restart", "s1/v1")
    assert net.json("wait", pending["id"])["outcome"] == "settled"


def test_after_a_transfer_the_relay_brings_the_acknowledgement_too_and_rests(net: Shell) -> None:
    assert net.json("transfer", "alice", "bob@1", "1")["outcome"] == "settled"
    deadline = time.monotonic() + 20
    with connect(read_home(net.home)) as ledger:
        while True:
            heads = [*ledger.streams(0).heads, *ledger.streams(1).heads]
            if all(head.begin == head.end for head in heads):
                break
            assert time.monotonic() < deadline, heads


def test_with_a_shard_gone_what_is_known_is_shown_and_no_transfer_is_lost_sight_of(net: Shell) -> None:
    for index in range(4):
        net.run("fault", "kill", f"s1/v{index}")
    try:
        partial = net.json("balance", "alice", code=3)
        assert ([each["shard"] for each in partial["balances"]], partial["unreachable"]) == ([0], [1])
        pending = net.json("transfer", "alice", "bob@1", "1", "--timeout", "1", code=1)
        assert pending["outcome"] == "pending"
        assert "in flight: 1 obol" in net.run("trace", pending["id"]).stdout
    finally:
        for index in range(4):
            net.run("fault", "restart", f"s1/v{index}", "--no-wait")
    assert net.json("wait", pending["id"])["outcome"] == "settled"


def test_a_dead_relay_delays_and_a_restarted_one_delivers(net: Shell) -> None:
    net.run("fault", "kill", "r0")
    pending = net.json("transfer", "alice", "bob@1", "1", "--timeout", "1", code=1)
    assert "no relay runs (r0 is killed)" in pending["detail"]
    net.run("fault", "restart", "r0")
    assert net.json("wait", pending["id"])["outcome"] == "settled"


def test_down_and_up_go_on_with_the_same_chain(alone: Shell) -> None:
    first = alone.json("up", "--detach", "--shards", "1")
    alone.json("transfer", "alice", "bob", "10")
    alone.run("down")
    assert not (alone.home / "run.json").exists()
    alone.run("status", code=3)
    second = alone.json("up", "--detach")
    assert (first["chain_id"], first["resumed"], second["resumed"]) == (second["chain_id"], False, True)
    assert alone.obol("bob@0") == 1_000_010
    assert alone.json("transfer", "alice", "bob", "10")["outcome"] == "settled"


def test_after_sigkill_of_everything_nothing_acknowledged_is_lost(alone: Shell) -> None:
    alone.run("up", "--detach", "--shards", "2")
    settled = alone.json("transfer", "alice", "bob@1", "10")
    alone.json("transfer", "alice", "bob@1", "10", "--no-wait")
    alone.kill_everything()
    alone.run("status", code=3)
    begin = time.monotonic()
    assert alone.json("up", "--detach")["resumed"]
    assert alone.json("wait", settled["id"])["outcome"] == "settled"
    assert alone.json("transfer", "alice", "bob@1", "10")["outcome"] == "settled"
    assert time.monotonic() - begin < 30, "a new block within 30 s (reliability.md)"
    assert alone.obol("bob@1") >= 1_000_020


def test_a_port_that_is_taken_is_named_and_nothing_runs(alone: Shell) -> None:
    with socket.socket() as taken:
        number = take_behind_a_free_one(taken)
        (alone.folder / "ostraka.toml").write_text(f"shards = 1\n[ports]\napi = {number - 1}\n")
        failed = alone.run("up", "--detach", code=2)
    assert f"port {number} (the API of s0/v1)" in failed.stderr
    assert not (alone.home / "run.json").exists()


def test_fixed_ports_and_the_manifest_are_obeyed(alone: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    (alone.folder / "ostraka.toml").write_text(
        f'shards = 1\nvalidators = 1\nrelays = 0\nhome = "here"\n[ports]\napi = {number}\n[accounts]\nzoe = "1.5"\n'
    )
    up = alone.json("up", "--detach")
    assert up["home"] == str(alone.folder / "here")
    assert [node["api"] for node in up["nodes"]] == [f"http://127.0.0.1:{number}"]
    assert alone.obol("zoe@0") == 1.5
    alone.json("transfer", "zoe", "zoe", "0.5")


def test_in_the_foreground_ctrl_c_stops_everything_and_crashes_are_shown(alone: Shell) -> None:
    process = subprocess.Popen(
        [*COMMAND, "up", "--shards", "1"], cwd=alone.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = []
    while "Ctrl-C" not in (line := _next_line(process)):
        assert line, process.communicate()
        lines.append(line)
    assert lines[0].startswith("ostraka 0.1.0 · 1 shard × 4 validators (f=1) · 1 relay · home ./.ostraka")
    assert any("PUBLIC development keys" in line for line in lines)
    run = json.loads((alone.home / "run.json").read_text())
    os.kill(run["nodes"][2]["pid"], signal.SIGKILL)
    assert "✗ s0/v2 killed by SIGKILL" in _next_line(process)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "go on with `ostraka up`" in rest
    assert all(_is_gone(node["pid"]) for node in run["nodes"])
    assert not (alone.home / "run.json").exists()


def _next_line(process: "subprocess.Popen[str]") -> str:
    """Next line of a process that must say something within a minute; killed when it does not."""
    assert process.stdout is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        return process.stdout.readline()
    finally:
        watchdog.cancel()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_interrupting_the_wait_says_how_to_go_on(net: Shell) -> None:
    net.run("fault", "kill", "r0")
    try:
        process = subprocess.Popen(
            [*COMMAND, "transfer", "alice", "bob@1", "1"], cwd=net.folder, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while not _has_open_call(net) and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        identity = errors.split("ostraka wait ")[1].split()[0]
    finally:
        net.run("fault", "restart", "r0")
    assert net.json("wait", identity)["outcome"] == "settled"


def _has_open_call(net: Shell) -> bool:
    (balance,) = net.json("balance", "alice@0")["balances"]
    return bool(balance["open_calls"])


def test_the_demo_does_the_main_job() -> None:
    lines: list[str] = []
    report = run_demo(lines.append, manifest=parse_manifest({"shards": 2}, "test"))
    assert report["passed"]
    assert report["transfers"] == 2
    assert report["killed"] == ["s0/v0", "s1/v1"]
    assert report["seconds"] < 90
    assert any("verified offline" in line for line in lines)
