"""One target under Atheris: libFuzzer measures which code each input reaches and goes on from those that reach more.

Atheris has wheels for Linux only and nothing else here needs it, so it is imported by name, where it is installed.
"""

import importlib
import sys
from pathlib import Path
from typing import Final

from fuzz.campaign import Crash, attempt, keep, minimised
from fuzz.target import Broken, Target

ENGINE: Final = "atheris"

MISSING: Final = f"{ENGINE} is not installed; `pip install {ENGINE}` has it for Linux, or leave --guided out"


class Guided:
    """Feeds a target from libFuzzer."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __call__(self, raw: bytes) -> None:
        """Judge one input; a crash is kept, then told to libFuzzer, which stops."""
        found = attempt(self._target, raw)
        if not isinstance(found, Crash):
            return
        path = keep(minimised(self._target, found))
        raise Broken(f"{found.error}\nkept as {path}")


def run_guided(target: Target, seed: int, seconds: int, corpus: Path) -> None:
    """Fuzz one target for so long; never returns: libFuzzer ends the process.

    Raises:
        ModuleNotFoundError: there is no Atheris.

    """
    engine = importlib.import_module(ENGINE)
    folder = corpus / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(target.samples()):
        (folder / f"sample-{number}").write_bytes(raw)
    engine.instrument_all()
    arguments = [sys.argv[0], str(folder), f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=65536"]
    engine.Setup(arguments, Guided(target))
    engine.Fuzz()
