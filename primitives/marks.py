"""Marks at rare states: `sometimes("lane full")` says that a run came by here.

A passing simulation means something only if the rare paths were taken. A sweep records which marks its seeds reach and
names those that none has. Without a recorder, as in every real validator, a mark is a call and a comparison: about
0.1 µs. A mark decides nothing and nothing can be read from it, so the core stays a function of its events.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class _Recorder:
    """Where marks are counted while somebody records."""

    reached: dict[str, int] | None = None


_recorder = _Recorder()


def sometimes(name: str) -> None:
    """Note that the state of this name was reached; `name` is a literal, because sweeps look for it in the source."""
    reached = _recorder.reached
    if reached is not None:
        reached[name] = reached.get(name, 0) + 1


@contextmanager
def recording() -> Iterator[dict[str, int]]:
    """Count marks for the time of a `with`: name -> how often. Recordings do not nest: the inner one has the marks."""
    before, reached = _recorder.reached, dict[str, int]()
    _recorder.reached = reached
    try:
        yield reached
    finally:
        _recorder.reached = before
