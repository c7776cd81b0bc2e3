"""Every scenario of a shape, addressable by number and once only up to symmetry.

A scenario says for each of the first views who leads it and into which parts the processes are split while they are in
it. The first validators are twins: their key is held by two processes. Validators that are all honest can be renamed,
and so can twins, and the two processes of one twin: of the scenarios that differ in names only one is kept. They are
counted by Burnside's lemma (orbits = mean number of fixed points), so the number of any shape is known at once; the
n-th is found view by view, each time in the subgroup of the renamings that leave the views before it as they are.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import permutations, product
from typing import NamedTuple

Renaming = tuple[int, ...]
"""Process -> process; it takes the two processes of a twin to two of one twin."""

MAX_VALIDATORS = 7
"""There are 960 renamings for seven validators, two of them twins; for ten there are a quarter of a million."""


class Round(NamedTuple):
    """One view: the validator that leads it, and the part that each process is in."""

    leader: int
    parts: tuple[int, ...]

    def text(self, validators: int) -> str:
        """As people read it: `1: 0 2 3 | 1 0'`, leader first; the second process of a twin has a stroke."""
        names = [str(process) for process in range(validators)]
        names += [f"{process - validators}'" for process in range(validators, len(self.parts))]
        sides = [
            " ".join(name for name, part in zip(names, self.parts, strict=True) if part == side)
            for side in range(max(self.parts) + 1)
        ]
        return f"{self.leader}: {' | '.join(sides)}"


@dataclass(frozen=True)
class Shape:
    """What all scenarios of an enumeration have in common."""

    validators: int
    rounds: int
    twins: int | None = None
    """How many validators are twins; f when left out."""
    parts: int = 2
    """Into how many parts a view splits the processes at most."""

    def __post_init__(self) -> None:
        if not (1 <= self.validators <= MAX_VALIDATORS and self.rounds >= 1 and self.parts >= 1):
            raise ValueError(f"1 to {MAX_VALIDATORS} validators, at least one round and part: not {self}")
        if not 0 <= self.guilty <= self.validators:
            raise ValueError(f"{self.guilty} of {self.validators} validators cannot be twins")
        if self.count > sys.maxsize:
            raise ValueError(f"{self.count} scenarios are more than can be numbered; take fewer views or parts")

    def __str__(self) -> str:
        return f"{self.guilty} of {self.validators}, {self.rounds} views"

    @property
    def guilty(self) -> int:
        """How many validators are twins."""
        return (self.validators - 1) // 3 if self.twins is None else self.twins

    @property
    def processes(self) -> int:
        """Validators, and the second processes of the twins after them."""
        return self.validators + self.guilty

    @cached_property
    def choices(self) -> tuple[Round, ...]:
        """All that one view can be."""
        splits = tuple(_splits(self.processes, self.parts))
        return tuple(Round(leader, split) for leader in range(self.validators) for split in splits)

    @cached_property
    def renamings(self) -> tuple[Renaming, ...]:
        """The whole group, in order."""
        n, twins = self.validators, self.guilty
        found = []
        for of_twins in permutations(range(twins)):
            for swaps in product((False, True), repeat=twins):
                firsts = [n + to if swap else to for to, swap in zip(of_twins, swaps, strict=True)]
                seconds = [to if swap else n + to for to, swap in zip(of_twins, swaps, strict=True)]
                found += [(*firsts, *honest, *seconds) for honest in permutations(range(twins, n))]
        return tuple(found)

    @cached_property
    def all_names(self) -> int:
        """How many scenarios there are when those that differ in names only are counted one by one."""
        scenarios: int = len(self.choices) ** self.rounds
        return scenarios

    @cached_property
    def count(self) -> int:
        """How many scenarios there are."""
        return _orbits(self, self.renamings, self.rounds)

    def scenario(self, index: int) -> tuple[Round, ...]:
        """Find the scenario with this number, of `count`."""
        if not 0 <= index < self.count:
            raise IndexError(f"there are {self.count} scenarios, so none has the number {index}")
        group, rounds = self.renamings, []
        for left in range(self.rounds - 1, -1, -1):
            if len(group) == 1:  # nothing can be renamed any more: plain digits
                place, index = divmod(index, len(self.choices) ** left)
                rounds.append(self.choices[place])
                continue
            for choice, stabiliser, size in _branches(self, group, left):
                if index < size:
                    rounds.append(choice)
                    group = stabiliser
                    break
                index -= size
        return tuple(rounds)

    def renamed(self, choice: Round, renaming: Renaming) -> Round:
        """One view with other names."""
        leader = renaming[choice.leader]
        return Round(leader if leader < self.validators else leader - self.validators, _image(choice.parts, renaming))


class Branch(NamedTuple):
    """One view of an orbit, the renamings that leave it as it is, and how many scenarios go on from it."""

    choice: Round
    stabiliser: tuple[Renaming, ...]
    size: int


@cache
def _branches(shape: Shape, group: tuple[Renaming, ...], left: int) -> tuple[Branch, ...]:
    seen: set[Round] = set()
    found = []
    for choice in shape.choices:
        if choice not in seen:
            images = [shape.renamed(choice, renaming) for renaming in group]
            seen.update(images)
            stabiliser = tuple(renaming for renaming, image in zip(group, images, strict=True) if image == choice)
            found.append(Branch(choice, stabiliser, _orbits(shape, stabiliser, left)))
    return tuple(found)


def _orbits(shape: Shape, group: tuple[Renaming, ...], rounds: int) -> int:
    """How many scenarios of so many views a group tells apart."""
    fixed: int = sum(_fixed(shape, renaming) ** rounds for renaming in group)
    return fixed // len(group)


@cache
def _fixed(shape: Shape, renaming: Renaming) -> int:
    """How many views this renaming leaves as they are."""
    n = shape.validators
    leaders = sum(renaming[key] in {key, key + n} for key in range(shape.guilty))
    leaders += sum(renaming[key] == key for key in range(shape.guilty, n))
    return leaders * _fixed_splits(_cycles(renaming), shape.parts)


def _splits(processes: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All splits into at most so many parts; parts are numbered in the order of their first process."""
    for rest in product(range(parts), repeat=processes - 1):
        split = (0, *rest)
        if split == _in_order(split):
            yield split


def _in_order(parts: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    names: dict[int, int] = {}
    return tuple(names.setdefault(part, len(names)) for part in parts)


@cache
def _image(split: tuple[int, ...], renaming: Renaming) -> tuple[int, ...]:
    image = [0] * len(split)
    for process, part in enumerate(split):
        image[renaming[process]] = part
    return _in_order(image)


def _cycles(renaming: Renaming) -> tuple[int, ...]:
    """Lengths of its cycles: renamings with equal ones leave equally many splits as they are."""
    left, lengths = set(range(len(renaming))), []
    while left:
        place, length = min(left), 0
        while place in left:
            left.remove(place)
            place, length = renaming[place], length + 1
        lengths.append(length)
    return tuple(sorted(lengths))


@cache
def _fixed_splits(cycles: tuple[int, ...], parts: int) -> int:
    size = sum(cycles)
    renaming: list[int] = []
    for length in cycles:
        first = len(renaming)
        renaming += [*range(first + 1, first + length), first]
    return sum(_image(split, tuple(renaming)) == split for split in _splits(size, parts))
