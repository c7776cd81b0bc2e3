"""How much memory processes hold while a scenario runs (Linux): what a long run must not let grow."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

WARM_UP_SECONDS = 120.0
"""Of a process's life, before its memory is taken for what it needs: pools are filled and code is compiled by then."""


LONG_ENOUGH_SECONDS = 600.0
"""Between two readings, before growth is judged: in less time an allocator's steps look like growth."""


class MemoryReport(msgspec.Struct, frozen=True):
    """Memory of one process that is its own, from the end of its warm-up to its end or that of the run.

    The files of its stores, which are mapped, are not in it: they grow with the chain, and the system may drop them.
    """

    node: str
    pid: int
    seconds: float
    """Between the two readings."""
    first_kb: int
    last_kb: int

    @property
    def growth_percent(self) -> float:
        """How much more it held at the end."""
        return 100 * (self.last_kb - self.first_kb) / self.first_kb


class MemoryWatch:
    """Reads the memory of processes again and again; `now` is the caller's clock, in seconds."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._born: dict[int, float] = {}
        self._seen: dict[int, tuple[str, float, int, float, int]] = {}

    def look(self, processes: Iterable[tuple[str, int]], now: float) -> None:
        """Read every process (name, pid) once; those that are gone are passed over."""
        for name, pid in processes:
            own = self._own_kb(pid)
            if own is None:
                continue
            if now - self._born.setdefault(pid, now) >= WARM_UP_SECONDS:
                first_at, first_kb = self._seen[pid][1:3] if pid in self._seen else (now, own)
                self._seen[pid] = (name, first_at, first_kb, now, own)

    def _own_kb(self, pid: int) -> int | None:
        try:
            text = (self._proc / str(pid) / "status").read_text()
        except OSError:
            return None
        for line in text.splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        return None

    def reports(self) -> tuple[MemoryReport, ...]:
        """What was seen of every process that lived long enough, in order of nodes."""
        return tuple(
            sorted(
                (
                    MemoryReport(name, pid, round(last_at - first_at, 1), first_kb, last_kb)
                    for pid, (name, first_at, first_kb, last_at, last_kb) in self._seen.items()
                    if last_at > first_at
                ),
                key=lambda report: (report.node, report.pid),
            )
        )


def overgrown(reports: Iterable[MemoryReport], limit_permille: int | None) -> list[MemoryReport]:
    """Processes that were watched for long enough and grew by more than the limit; None is no limit."""
    if limit_permille is None:
        return []
    watched = [report for report in reports if report.seconds >= LONG_ENOUGH_SECONDS]
    return [report for report in watched if 10 * report.growth_percent > limit_permille]
