"""What a fuzz target is, and how one input is judged.

A target reads bytes of any origin. It may refuse them, with an error of those in `REFUSALS`; whatever else it raises
is a crash, and so is taking longer than `slow_s`, or breaking one of the properties that it checks itself with `must`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from contracts.requests import Declined
from contracts.values import BadValue
from primitives.errors import NotYet, Refused
from shards.node.faults import StorageFault

REFUSALS: Final = (Refused, NotYet, BadValue, Declined, StorageFault)
"""How this project's readers say that input is bad; nothing else may come out of them."""

SLOW_S: Final = 2.0
"""Processor seconds for one input. The largest honest ones take milliseconds; a stranger must not buy seconds."""

Form = Literal["msgpack", "json", "text", "bytes"]


class Broken(Exception):
    """An input was taken that should have been refused, or was read as something else than it says."""


class TooSlow(Exception):
    """One input took longer than its target may."""


class Verdict(Enum):
    """What became of an input that broke nothing."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True)
class Target:
    """One reader of bytes from strangers."""

    name: str
    read: Callable[[bytes], None]
    """Raises one of `REFUSALS` for what is no good."""
    samples: Callable[[], list[bytes]]
    """Inputs that it takes: what mutations begin from."""
    form: Form = "msgpack"
    """How inputs are written, so that they can be changed without breaking their form."""
    prefix: int = 0
    """Bytes in front that are not of that form: a signature, a kind."""
    slow_s: float = SLOW_S
    weight: int = 100
    """Percent of a campaign's inputs that it gets; less where one input costs many milliseconds."""


def must(condition: bool, why: str) -> None:  # noqa: FBT001 - reads like assert
    """Check a property of a target.

    Raises:
        Broken: it does not hold.

    """
    if not condition:
        raise Broken(why)


def judge(target: Target, raw: bytes) -> Verdict:
    """Run one input.

    Raises:
        Exception: whatever the target raises that is no refusal; `TooSlow`.

    """
    began = time.thread_time()
    try:
        target.read(raw)
        verdict = Verdict.TAKEN
    except REFUSALS:
        verdict = Verdict.REFUSED
    spent = time.thread_time() - began
    if spent > target.slow_s:
        raise TooSlow(f"{target.name}: {len(raw)} bytes took {spent:.1f} s of processor time")
    return verdict
