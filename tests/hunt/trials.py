"""One planted bug with one seed, in whatever process: plain data in, plain data out."""

import time
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from testnet.simulator.mutation import planted
from testnet.sweep.results import CodeHeader
from tests.hunt.suspects import Sighting, suspects

MAX_DETAIL = 200
"""Characters of what a checker said that are kept."""


@dataclass(frozen=True)
class Trial:
    """A seed of a suspect, or of its ground, without the bug."""

    suspect: str
    seed: int
    is_clean: bool


class TrialResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a trial: one line of the results file."""

    name: str
    """Of the suspect, or of the ground when nothing was planted."""
    is_clean: bool
    seed: Annotated[int, Meta(ge=0)]
    checker: str
    """Empty when nobody saw anything."""
    detail: str
    real_seconds: float

    @property
    def key(self) -> tuple[str, int]:
        """No suspect is called as a ground is."""
        return self.name, self.seed


class HuntHeader(CodeHeader, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of the file."""

    format: Literal["ostraka-hunt-1"] = "ostraka-hunt-1"


def run_trial(trial: Trial) -> TrialResult:
    """Run a seed with or without the bug."""
    suspect, began = suspects()[trial.suspect], time.monotonic()
    if trial.is_clean:
        seen = _look(trial)
    else:
        with planted(suspect):
            seen = _look(trial)
    return TrialResult(
        name=suspect.ground if trial.is_clean else suspect.name,
        is_clean=trial.is_clean,
        seed=trial.seed,
        checker="" if seen is None else seen.checker,
        detail="" if seen is None else seen.detail[:MAX_DETAIL],
        real_seconds=round(time.monotonic() - began, 2),
    )


def _look(trial: Trial) -> Sighting | None:
    try:
        return suspects()[trial.suspect].run(trial.seed)
    except Exception as error:  # noqa: BLE001 - a bug may break the run itself, and that is seen
        return Sighting("crash", f"{type(error).__name__}: {error}")
