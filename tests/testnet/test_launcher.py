"""The launcher with real processes that do next to nothing: forking, signals, ports, locks, death."""

import errno
import os
import signal
import socket
import stat
import time
from functools import partial
from pathlib import Path

import pytest

from primitives.errors import Refused
from testnet.control import ask, stop_launcher, stream
from testnet.home import HomeLock
from testnet.orphans import end_orphans
from testnet.run_file import NodeRun, RunInfo, read_run, write_run
from tests.testnet.conftest import Homes, reap
from tests.testnet.real import take_behind_a_free_one

pytestmark = pytest.mark.real

PATIENCE = 10.0


def answer_of(port: int) -> bytes:
    """What the node on a port says, once it listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                return connection.recv(100)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise


def port(url: str | None) -> int:
    assert url is not None
    return int(url.rpartition(":")[2])


def until(condition: object) -> None:
    """Poll a condition of the outside world."""
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]  # a callable; tests need no more
        assert time.monotonic() < deadline, "it did not happen in time"
        os.sched_yield()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def recorded(homes: Homes) -> NodeRun:
    """The second node as run.json has it."""
    written = read_run(homes.root / "home")
    assert written is not None
    return written.nodes[1]


def test_every_node_is_a_process_that_answers_on_the_port_in_run_json(homes: Homes) -> None:
    info = homes.start().info
    written = read_run(homes.root / "home")
    assert written is not None
    assert written.nodes == info.nodes
    assert [answer_of(port(node.api)) for node in info.nodes] == [str(node.pid).encode() for node in info.nodes]


def test_the_control_socket_and_run_json_are_for_their_user_only(homes: Homes) -> None:
    info = homes.start().info
    for path in (Path(info.control), homes.root / "home" / "run.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((homes.root / "home").stat().st_mode) == 0o700


def test_a_killed_node_refuses_connections_at_once_and_stays_down(homes: Homes) -> None:
    info = homes.start().info
    victim = info.nodes[0]
    answer_of(port(victim.api))
    (killed,) = ask(Path(info.control), {"do": "kill", "node": victim.name})["nodes"]
    assert (killed["state"], killed["signal"]) == ("killed", "SIGKILL")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port(victim.api)))
    with pytest.raises(Refused, match=r"node_down.*fault restart s0/v0"):
        ask(Path(info.control), {"do": "kill", "node": victim.name})


def test_a_restarted_node_is_a_new_process_on_the_same_port(homes: Homes) -> None:
    info = homes.start().info
    victim = info.nodes[1]
    for _ in range(5):
        ask(Path(info.control), {"do": "kill", "node": victim.name})
        assert recorded(homes).state == "killed", "whoever has the answer finds it in run.json too"
        (restarted,) = ask(Path(info.control), {"do": "restart", "node": victim.name})["nodes"]
        assert restarted["api"] == victim.api
        assert recorded(homes).pid == restarted["pid"]
        assert answer_of(port(victim.api)) == str(restarted["pid"]).encode() != str(victim.pid).encode()


def test_restarting_a_running_node_stops_it_first(homes: Homes) -> None:
    info = homes.start().info
    answer_of(port(info.nodes[0].api))
    (restarted,) = ask(Path(info.control), {"do": "restart", "node": "s0/v0"})["nodes"]
    assert restarted["pid"] != info.nodes[0].pid
    assert gone(info.nodes[0].pid)


def test_a_node_killed_or_paused_for_a_time_comes_back_by_itself(homes: Homes) -> None:
    info = homes.start().info
    control = Path(info.control)
    ask(control, {"do": "kill", "node": "s0/v0", "for_ms": 50})
    ask(control, {"do": "pause", "node": "s0/v1", "for_ms": 60_000})
    assert ask(control, {"do": "status"})["mending"]["s0/v1"] > 50_000
    until(lambda: ask(control, {"do": "status"})["nodes"][0]["state"] == "running")
    assert list(ask(control, {"do": "status"})["mending"]) == ["s0/v1"]
    ask(control, {"do": "resume", "node": "s0/v1"})
    assert ask(control, {"do": "status"})["mending"] == {}


def test_a_node_that_can_lie_is_restarted_as_a_liar_and_honest_again(homes: Homes) -> None:
    info = homes.start(lying=lambda behaviour: partial(echo, behaviour)).info
    control, url = Path(info.control), port(info.nodes[0].api)
    (liar,) = ask(control, {"do": "byzantine", "node": "s0/v0", "as": "equivocate"})["nodes"]
    assert (liar["behaviour"], answer_of(url)) == ("equivocate", b"equivocate")
    (honest,) = ask(control, {"do": "restart", "node": "s0/v0"})["nodes"]
    assert (honest["behaviour"], answer_of(url)) == (None, str(honest["pid"]).encode())
    ask(control, {"do": "byzantine", "node": "s0/v1", "as": "half-send", "for_ms": 50})
    until(lambda: ask(control, {"do": "status"})["nodes"][1]["behaviour"] is None)
    with pytest.raises(Refused, match=r"unknown_behaviour.*equivocate"):
        ask(control, {"do": "byzantine", "node": "s0/v0", "as": "smile"})


def test_a_node_that_knows_no_lies_goes_on_when_it_is_told_to_lie(homes: Homes) -> None:
    info = homes.start().info
    with pytest.raises(Refused, match="only validators can be made to lie"):
        ask(Path(info.control), {"do": "byzantine", "node": "s0/v0", "as": "equivocate"})
    assert answer_of(port(info.nodes[0].api)) == str(info.nodes[0].pid).encode()


def echo(text: str, sockets: tuple[socket.socket, ...]) -> int:
    """A node that answers every connection with a text, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    sockets[0].listen()
    while True:
        connection, _ = sockets[0].accept()
        connection.sendall(text.encode())
        connection.close()


def test_a_paused_node_accepts_and_says_nothing_until_it_is_resumed(homes: Homes) -> None:
    info = homes.start().info
    answer_of(port(info.nodes[0].api))
    (paused,) = ask(Path(info.control), {"do": "pause", "node": "s0/v0"})["nodes"]
    assert paused["state"] == "paused"
    with socket.create_connection(("127.0.0.1", port(info.nodes[0].api))) as connection:
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        (resumed,) = ask(Path(info.control), {"do": "resume", "node": "s0/v0"})["nodes"]
        assert resumed["state"] == "running"
        connection.settimeout(PATIENCE)
        assert connection.recv(100) == str(info.nodes[0].pid).encode()
    with pytest.raises(Refused, match="not_paused"):
        ask(Path(info.control), {"do": "resume", "node": "s0/v0"})


def test_an_unexpected_end_is_told_to_those_who_watch(homes: Homes) -> None:
    info = homes.start().info
    answer_of(port(info.nodes[0].api))
    events = stream(Path(info.control), {"do": "watch"}, seconds=PATIENCE)
    assert next(events) == {"ok": True}
    os.kill(info.nodes[0].pid, signal.SIGKILL)
    event = next(events)
    assert (event["event"], event["expected"], event["node"]["name"]) == ("killed", False, "s0/v0")


def test_an_unknown_node_or_request_is_refused_by_name(homes: Homes) -> None:
    control = Path(homes.start().info.control)
    with pytest.raises(Refused, match=r"unknown_node.*'s9/v9'.*s0/v0, s0/v1"):
        ask(control, {"do": "kill", "node": "s9/v9"})
    with pytest.raises(Refused, match=r"cannot do 'explode'"):
        ask(control, {"do": "explode"})
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(control))
        raw.sendall(b"not json\n[1]\n")
        assert b"malformed" in raw.recv(4096)


def test_stopping_leaves_no_process_no_run_file_and_a_free_home(homes: Homes) -> None:
    info = homes.start().info
    ask(Path(info.control), {"do": "pause", "node": "s0/v0"})
    stop_launcher(Path(info.control))
    assert all(gone(node.pid) for node in info.nodes)
    assert read_run(homes.root / "home") is None
    assert not Path(info.control).exists()
    HomeLock(homes.root / "home").release()


def test_two_launchers_do_not_share_a_home(homes: Homes) -> None:
    homes.start()
    with pytest.raises(Refused, match=r"home_in_use.*ostraka down --home"):
        homes.start()


def test_a_taken_port_is_named_and_nothing_is_left_running(homes: Homes) -> None:
    with socket.socket() as taken:
        number = take_behind_a_free_one(taken)
        with pytest.raises(Refused, match=rf"port_taken: port {number} \(API\)"):
            homes.start(port=number - 1)
    HomeLock(homes.root / "home").release()
    assert read_run(homes.root / "home") is None


def test_nodes_end_when_their_launcher_is_killed_and_paused_ones_are_ended_by_the_next(homes: Homes) -> None:
    launched = homes.start()
    info = launched.info
    [answer_of(port(node.api)) for node in info.nodes]
    ask(Path(info.control), {"do": "pause", "node": "s0/v0"})
    os.kill(launched.pid, signal.SIGKILL)
    reap(launched.pid)
    until(lambda: gone(info.nodes[1].pid))
    assert not gone(info.nodes[0].pid)
    again = homes.start().info
    assert gone(info.nodes[0].pid)
    assert [answer_of(port(node.api)) for node in again.nodes] == [str(node.pid).encode() for node in again.nodes]


def test_after_everything_was_killed_the_home_starts_again(homes: Homes) -> None:
    launched = homes.start()
    for pid in (launched.pid, *(node.pid for node in launched.info.nodes)):
        os.kill(pid, signal.SIGKILL)
    reap(launched.pid)
    assert read_run(homes.root / "home") is not None, "a stale run.json is what this is about"
    with pytest.raises(Refused, match="not_running"):
        ask(Path(launched.info.control), {"do": "status"})
    again = homes.start().info
    assert answer_of(port(again.nodes[0].api)) == str(again.nodes[0].pid).encode()


def test_the_launcher_outlives_a_full_disk_and_stops_the_rest(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(home: Path, info: RunInfo) -> None:
        if any(node.state == "killed" for node in info.nodes):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_run(home, info)

    monkeypatch.setattr("testnet.launcher.write_run", full)
    info = homes.start().info
    assert info.nodes[0].pid is not None
    os.kill(info.nodes[0].pid, signal.SIGKILL)
    until(lambda: ask(Path(info.control), {"do": "status"})["nodes"][0]["state"] == "killed")
    assert not gone(info.nodes[1].pid)
    stop_launcher(Path(info.control))
    assert gone(info.nodes[1].pid)


def test_a_reused_pid_in_a_stale_pid_file_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "nodes" / "s0-v0"
    folder.mkdir(parents=True)
    (folder / "pid").write_text(str(os.getpid()))
    assert end_orphans(tmp_path) == 0


def test_an_attached_launcher_stops_when_its_terminal_is_gone(homes: Homes) -> None:
    launched = homes.start(attached=True)
    assert launched.attached is not None
    os.close(launched.attached)
    homes.launches.clear()
    reap(launched.pid)
    assert all(gone(node.pid) for node in launched.info.nodes)


def test_a_home_with_a_very_long_path_gets_its_socket_elsewhere(homes: Homes) -> None:
    info = homes.start(name="h" * 120).info
    assert len(info.control) <= 100
    assert ask(Path(info.control), {"do": "status"})["ok"]
    stop_launcher(Path(info.control))
    assert not Path(info.control).parent.exists()


def crash(_sockets: tuple[socket.socket, ...]) -> int:
    raise ValueError("a node that cannot start")


def test_a_node_that_crashes_shows_its_exit_code_and_its_traceback_in_the_log(homes: Homes) -> None:
    info = homes.start(count=1, main=crash).info
    until(lambda: ask(Path(info.control), {"do": "status"})["nodes"][0]["state"] == "exited")
    assert ask(Path(info.control), {"do": "status"})["nodes"][0]["exit_code"] == 70
    assert "a node that cannot start" in Path(info.nodes[0].log).read_text()
