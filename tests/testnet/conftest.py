"""Real launchers with trivial nodes, each in a home of its own; whatever a test leaves running is ended."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from primitives.errors import Refused
from testnet.control import stop_launcher
from testnet.home import HomeLock, node_folder, node_log
from testnet.launcher import Launch, launch
from testnet.orphans import end_orphans
from testnet.ports import PortReservation
from testnet.processes import Main, NodePlan
from testnet.run_file import RunInfo


def echo_pid(sockets: tuple[socket.socket, ...]) -> int:
    """A node that answers every connection with its pid, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = sockets[0]
    listener.listen()
    while True:
        connection, _ = listener.accept()
        connection.sendall(str(os.getpid()).encode())
        connection.close()


def blank_run(home: Path) -> RunInfo:
    """The part of run.json that the launcher does not fill in."""
    return RunInfo(
        ostraka="0", home=str(home), genesis="", chain_id="", launcher_pid=0, control="", shards=1, validators=2,
        nodes=(), accounts={},
    )  # fmt: skip


def reap(pid: int, seconds: float = 20.0) -> None:
    """Wait for a child to end; one that does not is killed."""
    deadline = time.monotonic() + seconds
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"process {pid} did not end in {seconds} s")
        time.sleep(0.005)


@dataclass
class Homes:
    """Starts launchers of trivial nodes and remembers them."""

    root: Path
    launches: list[Launch]

    def start(
        self,
        name: str = "home",
        count: int = 2,
        main: Callable[[tuple[socket.socket, ...]], int] = echo_pid,
        port: int = 0,
        lying: Callable[[str], Main] | None = None,
        *,
        attached: bool = False,
    ) -> Launch:
        """Launch `count` nodes s0/v0, s0/v1, … in the home called `name`."""
        home = self.root / name

        def plan() -> list[NodePlan]:
            return [
                NodePlan(
                    name=f"s0/v{index}",
                    kind="validator",
                    shard=0,
                    folder=node_folder(home, f"s0/v{index}"),
                    log=node_log(home, f"s0/v{index}"),
                    ports=(PortReservation(port and port + index, "API"),),
                    main=main,
                    lying=lying,
                )
                for index in range(count)
            ]

        launched = launch(home, HomeLock(home), plan, blank_run(home), attached=attached)
        self.launches.append(launched)
        return launched


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    """See `Homes`."""
    started = Homes(tmp_path, [])
    yield started
    for launched in started.launches:
        if launched.attached is not None:
            os.close(launched.attached)
        with contextlib.suppress(Refused):  # the test has stopped it
            stop_launcher(Path(launched.info.control))
        with contextlib.suppress(ChildProcessError):  # the test has waited for it
            reap(launched.pid)
    for home in tmp_path.iterdir():
        end_orphans(home)  # a launcher that failed its test may have left nodes behind
