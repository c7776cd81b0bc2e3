"""The launcher: one process that forks every node of a testnet, watches them and obeys the control socket.

`launch` is called by a process that has imported everything and started no threads; it forks the launcher, and the
launcher forks the nodes: nothing is imported twice and the nodes share the imported memory. The launcher has no event
loop and no threads, only a selector, so it can go on forking (`restart`) for as long as it lives. It leads a session
of its own, so Ctrl-C in the terminal reaches only the command, which then asks it to stop. A node that was killed or
crashed stays down until somebody restarts it: a fault that heals by itself shows nothing.
"""

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from primitives.errors import Refused
from testnet.control import ControlServer, Json
from testnet.home import LAUNCHER_LOG, HomeLock
from testnet.lying import check_behaviour
from testnet.mending import Mending, time_of_mending
from testnet.orphans import end_orphans
from testnet.ports import LOOPBACK
from testnet.processes import CRASHED, NodePlan, NodeProcess, Supervisor, redirect_output
from testnet.run_file import NodeRun, RunInfo, remove_run, write_run

MAX_SOCKET_PATH = 100
"""Bytes of a Unix socket's path; systems allow 104 (BSD) to 108 (Linux) with a NUL."""

Planner = Callable[[], list[NodePlan]]
"""Reserves the ports and says what to run; called once, in the launcher."""


@dataclass(frozen=True)
class Launch:
    """A launcher that has started everything."""

    pid: int
    info: RunInfo
    attached: int | None
    """Descriptor that keeps an attached launcher alive: it stops everything when this closes."""


def launch(home: Path, lock: HomeLock, plan: Planner, info: RunInfo, *, attached: bool) -> Launch:
    """Fork the launcher of a home that the caller has locked; returns when every process has been started.

    `info` is completed with pids and ports. The lock passes to the launcher. An attached launcher stops when this
    process ends.

    Raises:
        Refused: what the planner or the first start refused, or `launch_failed`.

    """
    end_orphans(home)
    remove_run(home)
    reading, writing = os.pipe()
    watched, held = os.pipe() if attached else (None, None)
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        if held is not None:
            os.close(held)
        _become_launcher(home, lock, plan, info, writing, watched)
    gc.unfreeze()
    os.close(writing)
    if watched is not None:
        os.close(watched)
    lock.close_copy()
    with os.fdopen(reading, "rb") as report:
        line = report.readline()
    answer = json.loads(line) if line else {"code": "launch_failed", "detail": f"see {home / LAUNCHER_LOG}"}
    if "code" in answer:
        os.waitpid(pid, 0)
        raise Refused(answer["code"], answer["detail"])
    return Launch(pid=pid, info=msgspec.convert(answer["run"], RunInfo), attached=held)


def _become_launcher(
    home: Path, lock: HomeLock, plan: Planner, info: RunInfo, report: int, watched: int | None
) -> NoReturn:
    """The forked process's whole life."""
    code = CRASHED
    try:
        os.setsid()
        os.umask(0o077)
        redirect_output(home / LAUNCHER_LOG)
        launcher = Launcher(home, lock, info, watched)
        launcher.begin(plan, report)
        launcher.serve()
        code = 0
    except Refused as refused:
        _report(report, {"code": refused.code, "detail": refused.detail})
    except BaseException:  # noqa: BLE001 - the fork must never return into the command's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _report(descriptor: int, message: Json) -> None:
    """Tell the command what became of its launch."""
    with os.fdopen(descriptor, "wb") as report:
        report.write(json.dumps(message).encode() + b"\n")


def _only_wake(_number: int, _frame: object) -> None:
    """Handler of every signal: its number has gone to the wake-up socket, where the selector finds it."""


class Launcher:
    """What the launcher process does, from its first fork to its last answer."""

    def __init__(self, home: Path, lock: HomeLock, info: RunInfo, watched: int | None) -> None:
        self._home = home
        self._lock = lock
        self._info = info
        self._watched = watched
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain_wakeups)
        if watched is not None:
            self._selector.register(watched, selectors.EVENT_READ, self._stop)
        self._control_folder: Path | None = None
        self._control = ControlServer(self._control_path(), self._selector, self._handle)
        self._supervisor = Supervisor(release=self._release)
        self._mending = Mending()
        self._stopping = False
        self._report_end: int | None = None

    def _control_path(self) -> Path:
        """Where the control socket goes: the home, or a private temporary folder when that path is too long."""
        path = self._home / "control.sock"
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            self._control_folder = Path(tempfile.mkdtemp(prefix="ostraka-"))
            path = self._control_folder / "control.sock"
        return path

    def begin(self, plan: Planner, report: int) -> None:
        """Start every process, write `run.json`, and report; when one cannot start, none is left running."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, _only_wake)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._report_end = report
        try:
            for node in plan():
                self._supervisor.add(node)
            for name in self._supervisor.nodes:
                self._supervisor.start(name)
        except BaseException:
            self._close()
            raise
        self._note_changes()
        self._report_end = None
        _report(report, {"run": msgspec.to_builtins(self._run_info())})

    def serve(self) -> None:
        """Handle signals and requests until told to stop."""
        while not self._stopping:
            for key, _ in self._selector.select(self._mending.seconds_left(time.monotonic())):
                key.data()
            self._supervisor.reap()
            self._mend()
            self._note_changes()
        self._close()

    def _handle(self, request: Json) -> Json:
        """Carry out one request of the control socket."""
        operations: dict[str, Callable[[str], None]] = {
            "kill": self._supervisor.kill,
            "pause": self._supervisor.pause,
            "resume": self._supervisor.resume,
            "restart": self._supervisor.restart,
        }
        if request.get("do") == "byzantine":
            behaviour = check_behaviour(str(request.get("as", "")))
            operations["byzantine"] = lambda node: self._supervisor.restart(node, behaviour)
        wanted, name = request.get("do"), str(request.get("node", ""))
        if wanted == "status":
            self._supervisor.reap()
            nodes = [msgspec.to_builtins(node) for node in self._run_info().nodes]
            return {"nodes": nodes, "mending": self._mending.left_ms(time.monotonic())}
        if wanted == "stop":
            self._stop()
            return {}
        if wanted not in operations:
            raise Refused(
                "malformed",
                f"cannot do {str(wanted)[:40]!r}; possible: status, watch, stop, byzantine, {', '.join(operations)}",
            )
        for_ms = time_of_mending(request, wanted)
        operations[wanted](name)
        self._mending.plan(name, wanted, None if for_ms is None else time.monotonic() + for_ms / 1000)
        self._note_changes()  # before the answer: whoever has it finds the change in run.json
        return {"nodes": [msgspec.to_builtins(self._node_run(self._supervisor.find(name)))]}

    def _mend(self) -> None:
        """Bring back what was killed or paused for a time that is over."""
        for name, operation in self._mending.due(time.monotonic()):
            with contextlib.suppress(Refused):  # it died, or somebody was faster
                (self._supervisor.restart if operation == "restart" else self._supervisor.resume)(name)

    def _stop(self) -> None:
        """Stop every process; `serve` returns after this."""
        self._supervisor.stop(self._supervisor.nodes.values())
        self._note_changes()
        remove_run(self._home)
        self._stopping = True

    def _note_changes(self) -> None:
        """Make what has changed known: to the log, to `run.json` and to those who watch."""
        if not self._supervisor.changes:
            return
        changes = tuple(self._supervisor.changes)
        self._supervisor.changes.clear()
        # A full disk stops validators, one by one; their launcher must outlive it to say so and to stop the rest.
        with contextlib.suppress(OSError):
            write_run(self._home, self._run_info())
        for node in changes:
            event = {"event": node.state, "expected": node.expected, "node": msgspec.to_builtins(self._node_run(node))}
            with contextlib.suppress(OSError):
                print(json.dumps({"at": round(time.time(), 3), **event}), flush=True)  # noqa: T201 - the launcher's log
            self._control.publish(event)

    def _run_info(self) -> RunInfo:
        """Content of `run.json` as things stand."""
        return msgspec.structs.replace(
            self._info,
            launcher_pid=os.getpid(),
            control=str(self._control.path),
            nodes=tuple(self._node_run(node) for node in self._supervisor.nodes.values()),
        )

    def _node_run(self, node: NodeProcess) -> NodeRun:
        """What others may know of a process."""
        numbers = [port.number for port in node.plan.ports]
        return NodeRun(
            name=node.plan.name,
            kind=node.plan.kind,
            shard=node.plan.shard,
            api=f"http://{LOOPBACK}:{numbers[0]}" if numbers else None,
            link_port=numbers[1] if len(numbers) > 1 else None,
            pid=node.pid,
            state=node.state,
            exit_code=node.exit_code,
            signal=node.signal,
            log=str(node.plan.log),
            behaviour=node.behaviour or None,
        )

    def _drain_wakeups(self) -> None:
        """Empty the wake-up socket and act on what woke us."""
        numbers = self._woken.recv(4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()

    def _release(self) -> None:
        """In a forked node: close everything of the launcher's."""
        self._lock.close_copy()
        self._control.close()
        self._selector.close()
        self._woken.close()
        self._waker.close()
        for descriptor in (self._watched, self._report_end):
            if descriptor is not None:
                os.close(descriptor)

    def _close(self) -> None:
        """Leave nothing behind: processes, socket, lock."""
        self._supervisor.stop(self._supervisor.nodes.values())
        remove_run(self._home)
        signal.set_wakeup_fd(-1)
        self._control.path.unlink(missing_ok=True)
        if self._control_folder is not None:
            self._control_folder.rmdir()
        self._lock.release()
        # Last: whoever asked us to stop waits for this, and may then start again at once.
        self._control.close()
