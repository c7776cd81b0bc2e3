"""The console script's first moments."""

import signal
import subprocess
import sys
from pathlib import Path

CTRL_C_WHILE_IMPORTING = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(CTRL_C_WHILE_IMPORTING)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from testnet.cli.entry import main; main()"
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
