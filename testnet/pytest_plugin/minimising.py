"""Which faults a test needs to fail, of many that were on at once.

The test runs again, fixtures and all, in fresh nets with fewer and fewer of the faults that `net.fault.chaos` or
`play` planned. A seed decides everything in a net, so that a fault is needed or is not. What is left is printed, and
written to a file that `--ostraka-faults` plays again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final
from unittest import TestCase

import pytest

from testnet.pytest_plugin.stash import GIVEN, TEARDOWN_ERROR
from testnet.simulator.ddmin import fewest
from testnet.simulator.faults import Fault
from testnet.virtual import InvariantBroken, Net
from testnet.virtual.schedules import Schedule, plans_text

MAX_RUNS: Final = 50
"""Halving twenty-five faults down to two takes some thirty runs."""

MAX_SECONDS: Final = 20.0
"""Of real time. Longer than anybody waits for a report of one test."""

MAX_SESSION_SECONDS: Final = 120.0
"""For all tests of one session, so that a bug that shows in five hundred seeds does not take hours to report."""

MAX_LINES: Final = 40
"""Faults that are printed; the file has all."""

FOLDER: Final = ".ostraka-failures"
"""Below pytest's root; it keeps itself out of version control."""

SPENT = pytest.StashKey[float]()
"""Seconds that a session has spent on this."""

Numbered = tuple[int, Fault]
"""A fault and the number of the plan that it belongs to."""


def explain(item: pytest.Item, net: Net, error: BaseException) -> str:
    """Say which of its faults a failed test needs, and how to see that again."""
    plans = tuple(net.fault.plans.played)
    total = sum(map(len, plans))
    reason = _obstacle(item)
    if reason or not isinstance(item, pytest.Function):
        verdict, kept = f"{total} faults were planned; not minimised: {reason}", plans
    else:
        began = monotonic()
        verdict, kept = _Trials(item, error).minimise(plans)
        item.config.stash[SPENT] = item.config.stash.get(SPENT, 0.0) + monotonic() - began
    file = _write(item, net, kept, verdict)
    lines = [f"plan {number + 1}: {fault}" if len(plans) > 1 else str(fault) for number, fault in _numbered(kept)]
    more = [f"… and {len(lines) - MAX_LINES} more in the file"] if len(lines) > MAX_LINES else []
    return "\n".join([verdict, *lines[:MAX_LINES], *more, f"again: {net.replay} --ostraka-faults {file}"])


def _obstacle(item: pytest.Item) -> str:
    """Why a test must not run again; empty when it may."""
    if item.config.getoption("--ostraka-no-minimise"):
        return "--ostraka-no-minimise"
    if item.config.stash.get(SPENT, 0.0) >= MAX_SESSION_SECONDS:
        return f"{MAX_SESSION_SECONDS:.0f} s were spent on others; run it alone"
    if item.config.getoption("usepdb", False):
        return "--pdb shows the test as it failed"
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return "Hypothesis runs the test, and shrinks what it draws: let it draw the faults, with fault_schedules"
    if not isinstance(item, pytest.Function) or (item.cls is not None and issubclass(item.cls, TestCase)):
        return "it is no plain test function"
    lasting = next(_lasting(item), None)
    return f"the fixture {lasting!r} outlives the test, which would change it again with every run" if lasting else ""


def _lasting(item: pytest.Function) -> Iterator[str]:
    """Fixtures that the test is handed, directly or through others, and that are not made anew for each run."""
    info = item._fixtureinfo  # noqa: SLF001 - there is no other way to learn what a test is handed
    wanted, seen = list(info.argnames), set[str]()
    while wanted:
        name = wanted.pop()
        for definition in () if name in seen else info.name2fixturedefs.get(name, ()):
            wanted += definition.argnames
            if definition.scope != "function" and not definition.func.__module__.startswith(("_pytest.", "pytest_")):
                yield name
        seen.add(name)


class _Trials:
    """Runs of one test that has failed with `error`."""

    def __init__(self, item: pytest.Function, error: BaseException) -> None:
        self._item = item
        self._wanted = _kind(error)
        self._runs = 0
        self._began = monotonic()
        self._stuck = False

    def minimise(self, plans: tuple[Schedule, ...]) -> tuple[str, tuple[Schedule, ...]]:
        """What there is to say, and the plans that the failure needs."""
        total, count = sum(map(len, plans)), len(plans)
        sections = self._item._report_sections  # noqa: SLF001 - what is printed meanwhile is not the report's
        kept = sections.copy()
        try:
            again = self._fails(plans)
            if self._stuck:
                return f"{total} faults were planned; not minimised: its fixtures do not end and begin again", plans
            if not again:
                return f"with the same {total} faults it did not fail like this again; not minimised", plans
            if self._fails(((),) * count):
                return f"none of the {total} faults is needed: it fails without them", ((),) * count
            left = fewest(
                _numbered(plans), lambda some: self._fails(_plans(some, count)), lambda: not self._stuck and self._time
            )
        finally:
            sections[:] = kept
        seconds = monotonic() - self._began
        enough = "suffices" if len(left) == 1 else "suffice"
        unfinished = "" if self._time and not self._stuck else "; there was no time to try for fewer"
        return f"of {total} faults {len(left)} {enough} ({self._runs} runs, {seconds:.1f} s{unfinished}):", _plans(
            left, count
        )

    @property
    def _time(self) -> bool:
        return self._runs < MAX_RUNS and monotonic() - self._began < MAX_SECONDS

    def _fails(self, plans: tuple[Schedule, ...]) -> bool:
        """Whether the test fails in the same way when these are played."""
        self._runs += 1
        item = self._item
        ended = _error_of(lambda: item.ihook.pytest_runtest_teardown(item=item, nextitem=item.parent))
        if ended is not None:
            if self._runs == 1:
                item.stash[TEARDOWN_ERROR] = ended
            self._stuck = True
        item.stash[GIVEN] = plans
        folders = item.config.pluginmanager.getplugin("tmpdir")
        if folders is not None:
            # Made with each report, and taken away by `tmp_path` when it ends; there are no reports of these runs.
            item.stash.setdefault(folders.tmppath_result_key, {"call": False})
        item._initrequest()  # noqa: SLF001 - as pytest's runner does before each run of an item
        error = _error_of(lambda: item.ihook.pytest_runtest_setup(item=item))
        if error is None:
            error = _error_of(lambda: item.ihook.pytest_runtest_call(item=item))
        else:
            self._stuck = True
        return error is not None and _kind(error) == self._wanted


def _error_of(step: Callable[[], Any]) -> BaseException | None:
    stops = (KeyboardInterrupt, pytest.exit.Exception)
    info = pytest.CallInfo.from_call(step, when="call", reraise=stops)
    return None if info.excinfo is None else info.excinfo.value


def _kind(error: BaseException) -> tuple[type[BaseException], str]:
    """What two failures must have in common to be the same."""
    broken = str(error).partition(" at ")[0] if isinstance(error, InvariantBroken) else ""
    return type(error), broken


def _numbered(plans: Sequence[Schedule]) -> list[Numbered]:
    return [(number, fault) for number, plan in enumerate(plans) for fault in plan]


def _plans(faults: Sequence[Numbered], count: int) -> tuple[Schedule, ...]:
    return tuple(tuple(fault for number, fault in faults if number == each) for each in range(count))


def _write(item: pytest.Item, net: Net, plans: Sequence[Schedule], verdict: str) -> str:
    """Keep the plans; the name of the file from pytest's root on."""
    folder = item.config.rootpath / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    name = re.sub(r"[^\w.]+", "-", item.nodeid).strip("-")[-120:] + ".toml"
    size = {"seed": net.seed, "shards": net.shards, "validators": net.validators}
    text = plans_text(plans, size, (item.nodeid, verdict.rstrip(":")))
    (folder / name).write_text(text, encoding="utf-8")
    return str(Path(FOLDER) / name)
