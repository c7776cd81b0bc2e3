"""A real testnet under test: its home, and the command line that drives it."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-P", "-m", "testnet.cli.main"]
SECONDS = 120
"""No command takes this long; a hung one must not hang the tests."""


@dataclass(frozen=True)
class Shell:
    """Runs `ostraka` in a folder of its own; the home is that folder's .ostraka."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / ".ostraka"

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command and check its exit code (None: any)."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSTRAKA")}
        environment["COLUMNS"] = "200"
        done = subprocess.run(
            [*COMMAND, *arguments],
            check=False,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        if code is not None:
            assert done.returncode == code, f"ostraka {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """Run a command with --json; its one object."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def obol(self, who: str) -> float:
        """Balance of an account on one shard."""
        (balance,) = self.json("balance", who)["balances"]
        return float(balance["obol"])

    def pids(self) -> list[int]:
        """Launcher and nodes."""
        run = json.loads((self.home / "run.json").read_text())
        return [run["launcher_pid"], *(node["pid"] for node in run["nodes"])]

    def kill_everything(self) -> None:
        """SIGKILL of every process, as a power cut would have it."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)


def take_behind_a_free_one(taken: socket.socket) -> int:
    """Listen on a port, whose number is returned, such that the one before it is free."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            number = int(free.getsockname()[1]) + 1
        try:
            taken.bind(("127.0.0.1", number))
        except (OSError, OverflowError):
            continue
        taken.listen()
        return number
