"""Runs targets on inputs, and keeps what breaks them: `cases/<target>/<hash>`, cut down to what matters."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fuzz.mutator import Mutator
from fuzz.target import Target, Verdict, judge
from testnet.simulator.ddmin import fewest

CASES: Final = Path(__file__).parent / "cases"

MAX_CUTS: Final = 2_000
"""Attempts to make a crasher shorter."""


@dataclass(frozen=True)
class Crash:
    """An input that broke a target."""

    target: str
    raw: bytes
    error: str


@dataclass
class Tally:
    """What became of the inputs of one target."""

    inputs: int = 0
    taken: int = 0
    crash: Crash | None = None


def attempt(target: Target, raw: bytes) -> Crash | Verdict:
    """Judge one input; whatever it breaks comes back as a `Crash`."""
    try:
        return judge(target, raw)
    except Exception as error:  # noqa: BLE001 - finding what nobody expected is the purpose
        return Crash(target.name, raw, f"{type(error).__name__}: {error}")


def campaign(
    target: Target, seed: int, inputs: int, *, seconds: float | None = None, tell: Callable[[Tally], None] | None = None
) -> Tally:
    """Run a target on so many inputs, or for so long; the first crash ends it."""
    mutator, tally = Mutator(target, seed), Tally()
    until = None if seconds is None else time.monotonic() + seconds
    while tally.inputs < inputs and (until is None or time.monotonic() < until):
        found = attempt(target, mutator.input(tally.inputs))
        tally.inputs += 1
        if isinstance(found, Crash):
            tally.crash = found
            break
        tally.taken += found is Verdict.TAKEN
        if tell is not None:
            tell(tally)
    return tally


def share_of(target: Target, inputs: int) -> int:
    """Inputs that a target gets of a campaign of so many for each."""
    return max(1, inputs * target.weight // 100)


def minimised(target: Target, crash: Crash) -> Crash:
    """The same kind of crash from fewer bytes: cut out ever smaller slices for as long as it still breaks."""
    kind = crash.error.partition(":")[0]
    best, cuts = crash, 0

    def fails(raw: tuple[int, ...]) -> bool:
        nonlocal best, cuts
        cuts += 1
        found = attempt(target, bytes(raw))
        if not isinstance(found, Crash) or found.error.partition(":")[0] != kind:
            return False
        best = found
        return True

    fewest(crash.raw, fails, lambda: cuts < MAX_CUTS)
    return best


def keep(crash: Crash, folder: Path = CASES) -> Path:
    """Write a crasher where every later test run tries it."""
    path = folder / crash.target / sha256(crash.raw).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(crash.raw)
    return path


def cases(folder: Path = CASES) -> Iterator[tuple[str, Path]]:
    """(target, file) of everything that was kept, in order."""
    for path in sorted(folder.glob("*/*")):
        yield path.parent.name, path
