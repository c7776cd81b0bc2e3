"""Cases by the batch, in whatever process: plain data in, plain data out."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from primitives.marks import recording
from tests.consensus.twins.cluster import run_case
from tests.consensus.twins.scenarios import Shape

BATCH = 64
"""Cases handed to a process at once: a second or two."""


@dataclass(frozen=True)
class Batch:
    """Some cases of one shape."""

    shape: Shape
    indices: Sequence[int]


@dataclass(frozen=True)
class Failure:
    """A case that broke something, and what."""

    index: int
    error: str


@dataclass
class Found:
    """What some cases came to."""

    cases: int = 0
    blamed: int = 0
    """Cases in which a twin was convicted."""
    grown: int = 0
    """Cases in which a block became final in spite of the splits."""
    failures: list[Failure] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    """Rare state -> how often it was reached."""
    done: list[Sequence[int]] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Count what others found."""
        self.cases += other.cases
        self.blamed += other.blamed
        self.grown += other.grown
        self.failures += other.failures
        self.marks += other.marks
        self.done += other.done


def run_batch(batch: Batch) -> Found:
    """Run its cases; one that fails does not keep the others from running."""
    found = Found(done=[batch.indices])
    with recording() as marks:
        for index in batch.indices:
            found.cases += 1
            try:
                outcome = run_case(batch.shape, index)
            except Exception as error:  # noqa: BLE001 - whatever a case brings to light is what it is for
                found.failures.append(Failure(index, f"{type(error).__name__}: {error}"))
            else:
                found.blamed += outcome.blames > 0
                found.grown += outcome.height > 0
    found.marks.update(marks)
    return found


def batches(shape: Shape, indices: Sequence[int]) -> Iterator[Batch]:
    """Cut work into pieces."""
    for first in range(0, len(indices), BATCH):
        yield Batch(shape, indices[first : first + BATCH])


def sample(shape: Shape, cases: int, seed: int) -> list[int]:
    """Draw the numbers of so many cases, each once, all alike."""
    return random.Random(f"twins {seed}").sample(range(shape.count), min(cases, shape.count))
