"""Processes that outlived their launcher: told apart from strangers by a lock, never by a number that was reused.

Every node process holds a lock (flock) on its `pid` file as long as it lives. A pid in a file whose lock is free says
nothing; a pid in a locked file is that of the process that holds it.
"""

import fcntl
import os
import signal
import time
from pathlib import Path

from primitives.errors import Refused
from testnet.home import NODES

PID: str = "pid"

GRACE_SECONDS = 2.0
"""Orphans stop by themselves once their launcher is gone; only paused or stuck ones are there after this."""

END_SECONDS = 10.0
"""How long the system may take to end what was killed."""


def hold_pid_file(folder: Path) -> int:
    """Lock the node's pid file and write our pid; the lock lasts until the returned descriptor or the process is gone.

    Raises:
        Refused: `already_running` when another process of this node lives.

    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / PID, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Refused("already_running", f"another process works in {folder}") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def end_orphans(home: Path) -> int:
    """Wait for what an earlier launcher left running to end, kill what does not; returns how many had to be killed.

    Raises:
        Refused: `orphans`, when something cannot be ended.

    """
    killed: set[int] = set()
    begin = time.monotonic()
    while living := [pid for folder in _folders(home) if (pid := _holder(folder)) is not None]:
        waited = time.monotonic() - begin
        if waited > END_SECONDS:
            raise Refused("orphans", f"processes {living} of an earlier run do not end; stop them, then try again")
        if waited > GRACE_SECONDS:
            for pid in living:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.02)
    return len(killed)


def _folders(home: Path) -> list[Path]:
    """Folders of the nodes of a home."""
    return sorted((home / NODES).iterdir()) if (home / NODES).is_dir() else []


def _holder(folder: Path) -> int | None:
    """Pid of the process that works in a node's folder, or None."""
    try:
        descriptor = os.open(folder / PID, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        written = os.read(descriptor, 20)
        return int(written) if written.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)
