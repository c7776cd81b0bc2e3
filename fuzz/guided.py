"""One target under Atheris: libFuzzer measures which code each input reaches and goes on from those that reach more.

Atheris has wheels for Linux only and nothing else here needs it, so it is imported by name, where it is installed.
"""

import importlib
import sys
from pathlib import Path
from types import FunctionType
from typing import Final

from fuzz.campaign import Crash, attempt, keep, minimised
from fuzz.target import Broken, Target

ENGINE: Final = "atheris"

MISSING: Final = f"{ENGINE} is not installed; `pip install {ENGINE}` has it for Linux, or leave --guided out"


PACKAGES: Final = frozenset({"primitives", "consensus", "contracts", "shards", "relay", "testnet"})
"""Whose code is measured."""


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


def project_functions() -> list[FunctionType]:
    """Every function and method of this project that is loaded; the standard library's would take minutes."""
    found: dict[int, FunctionType] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in PACKAGES:
            continue
        owners = [module, *(each for each in vars(module).values() if isinstance(each, type))]
        for value in [each for owner in owners for each in vars(owner).values()]:
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(function, FunctionType) and function.__module__.partition(".")[0] in PACKAGES:
                found[id(function)] = function
    return list(found.values())


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
    for function in project_functions():
        engine.instrument_func(function)
    arguments = [sys.argv[0], str(folder), f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=65536"]
    engine.Setup(arguments, Guided(target))
    engine.Fuzz()
