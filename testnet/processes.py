"""Processes of the testnet: forked from one warm process, signalled, reaped; no threads, no event loop in here.

A fork copies only the calling thread, so it is safe only in a process that has no others: everything in the launcher
is synchronous. Each child gets its own sockets, drops every other descriptor of the launcher's, writes to its own log
and ends when the launcher dies (it reads from a pipe whose other end only the launcher holds).
"""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from primitives.errors import Refused
from testnet.orphans import hold_pid_file
from testnet.ports import PortReservation
from testnet.run_file import NodeState

STOP_SECONDS = 10.0
"""How long a process may take to stop after SIGTERM (it finishes a flush of its state) before it is killed."""

KILL_SECONDS = 5.0
"""How long the system may take to end a process after SIGKILL."""

POLL_SECONDS = 0.005
"""Pause between two looks at a process that is ending."""

CRASHED = 70
"""Exit code of a child whose main function raised (EX_SOFTWARE)."""


Main = Callable[[tuple[socket.socket, ...]], int]


@dataclass(frozen=True)
class NodePlan:
    """What a process is: its name, its folder, its ports, and what it does with sockets bound to them."""

    name: str
    kind: Literal["validator", "relay"]
    shard: int | None
    folder: Path
    log: Path
    ports: tuple[PortReservation, ...]
    """That of the HTTP interface first, then that of the links to the other validators."""
    main: Main
    """Runs in the child until SIGTERM; its result is the exit code."""
    lying: "Callable[[str], Main] | None" = None
    """What does the same with a Byzantine behaviour; None for a node that knows none."""


@dataclass
class NodeProcess:
    """A process as it was last seen."""

    plan: NodePlan
    pid: int = 0
    state: NodeState = "exited"
    exit_code: int | None = None
    signal: str | None = None
    expected: bool = False
    """Whether its last end was asked for."""
    behaviour: str = ""
    """Byzantine, if it lies."""

    def alive(self) -> bool:
        """Whether there is a process."""
        return self.state in {"running", "paused"}


@dataclass
class Supervisor:
    """Starts, signals and watches the processes of one testnet. `release` closes, in a child, what is not its own."""

    release: Callable[[], None]
    nodes: dict[str, NodeProcess] = field(default_factory=dict)
    changes: list[NodeProcess] = field(default_factory=list)
    """What `reap` noticed and nobody has taken out yet."""

    def __post_init__(self) -> None:
        self._lifeline, self._held_end = os.pipe()

    def add(self, plan: NodePlan) -> None:
        """Take a process on, without starting it."""
        self.nodes[plan.name] = NodeProcess(plan)

    def find(self, name: str) -> NodeProcess:
        """Process of a name; `Refused("unknown_node")` when there is none."""
        if name not in self.nodes:
            names = list(self.nodes)
            shown = ", ".join(names if len(names) <= 12 else [*names[:6], "…", *names[-3:]])
            raise Refused("unknown_node", f"there is no node {name[:40]!r}; the nodes are {shown}")
        return self.nodes[name]

    def start(self, name: str, behaviour: str = "") -> None:
        """Fork a process that is not running; with a Byzantine `behaviour` one that lies.

        Raises:
            Refused: `already_running`, `port_taken`.

        """
        node = self.find(name)
        main = node.plan.lying(behaviour) if behaviour and node.plan.lying is not None else node.plan.main
        if node.alive():
            raise Refused("already_running", f"{name} is already running (pid {node.pid})")
        sockets = self._open_ports(node.plan)
        # The child sees signals only after it has replaced the launcher's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            self._become(node.plan, sockets, main)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
        for bound in sockets:
            bound.close()
        node.pid, node.state, node.exit_code, node.signal, node.expected = pid, "running", None, None, False
        node.behaviour = behaviour
        self.changes.append(node)

    def _open_ports(self, plan: NodePlan) -> tuple[socket.socket, ...]:
        """One socket for each port, or none at all."""
        opened: list[socket.socket] = []
        try:
            for port in plan.ports:
                opened.append(port.open())  # noqa: PERF401 - what was opened must be closed when the next fails
        except Refused:
            for bound in opened:
                bound.close()
            raise
        return tuple(opened)

    def _become(self, plan: NodePlan, sockets: tuple[socket.socket, ...], main: Main) -> NoReturn:
        """The child's whole life; nothing of the launcher's runs in it again."""
        code = CRASHED
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            self.release()
            os.close(self._held_end)
            for other in self.nodes.values():
                for port in other.plan.ports:
                    port.close()
            redirect_output(plan.log)
            hold_pid_file(plan.folder)
            threading.Thread(target=_end_with_launcher, args=(self._lifeline,), daemon=True).start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
            code = main(sockets)
        except BaseException:  # noqa: BLE001 - a child must never return into the launcher's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def reap(self) -> None:
        """Notice what has changed since the last call, without waiting."""
        for node in self.nodes.values():
            while node.alive():
                pid, status = os.waitpid(node.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
                if pid == 0:
                    break
                _note(node, status)
                self.changes.append(node)

    def kill(self, name: str) -> None:
        """SIGKILL a process and wait until it is gone."""
        node = self._alive(name)
        node.expected = True
        os.kill(node.pid, signal.SIGKILL)
        self._wait_for(lambda: not node.alive(), KILL_SECONDS)

    def pause(self, name: str) -> None:
        """SIGSTOP a process: its ports accept connections and nothing answers."""
        node = self._alive(name)
        os.kill(node.pid, signal.SIGSTOP)
        self._wait_for(lambda: node.state != "running", KILL_SECONDS)

    def resume(self, name: str) -> None:
        """SIGCONT a paused process."""
        node = self._alive(name)
        if node.state != "paused":
            raise Refused("not_paused", f"{name} is not paused, it is running")
        os.kill(node.pid, signal.SIGCONT)
        self._wait_for(lambda: node.state != "paused", KILL_SECONDS)

    def restart(self, name: str, behaviour: str = "") -> None:
        """Start a process again on its ports, after stopping it if it is alive; it lies if it is told to.

        Raises:
            Refused: `no_such_fault` for a node that knows no Byzantine behaviour.

        """
        node = self.find(name)
        if behaviour and node.plan.lying is None:
            raise Refused("no_such_fault", f"{name} is a {node.plan.kind}; only validators can be made to lie")
        if node.alive():
            self.stop([node])
        self.start(name, behaviour)

    def stop(self, nodes: Iterable[NodeProcess]) -> None:
        """SIGTERM processes and wait; whoever is not gone after `STOP_SECONDS` is killed."""
        stopping = [node for node in nodes if node.alive()]
        for node in stopping:
            node.expected = True
            os.kill(node.pid, signal.SIGTERM)
            os.kill(node.pid, signal.SIGCONT)
        if not self._wait_for(lambda: not any(node.alive() for node in stopping), STOP_SECONDS):
            for node in stopping:
                if node.alive():
                    os.kill(node.pid, signal.SIGKILL)
            self._wait_for(lambda: not any(node.alive() for node in stopping), KILL_SECONDS)

    def _alive(self, name: str) -> NodeProcess:
        """Process of a name that is there to be signalled."""
        node = self.find(name)
        self.reap()
        if not node.alive():
            how = f"was killed by {node.signal}" if node.signal else f"has exited with code {node.exit_code}"
            raise Refused("node_down", f"{name} {how}; start it again with `ostraka fault restart {name}`")
        return node

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Reap until the condition holds; False when it does not within `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            self.reap()
            if condition():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)


def _note(node: NodeProcess, status: int) -> None:
    """Record what `waitpid` said."""
    if os.WIFSTOPPED(status):
        node.state = "paused"
    elif os.WIFCONTINUED(status):
        node.state = "running"
    elif os.WIFSIGNALED(status):
        node.state, node.signal = "killed", signal.Signals(os.WTERMSIG(status)).name
    else:
        node.state, node.exit_code = "exited", os.WEXITSTATUS(status)


def redirect_output(log: Path) -> None:
    """Standard output and error into the log, standard input from nowhere."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    for descriptor in (written, nothing):
        if descriptor > 2:
            os.close(descriptor)
    # What the forking process had put in their place (a test's capture) may lead elsewhere.
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _end_with_launcher(lifeline: int) -> None:
    """Ask this process to stop when the launcher is gone, however it went."""
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(CRASHED)
