"""A scenario on a running testnet: steps at their times, load throughout, an observer beside it, then the verdict.

The chaos phase ends with everything healed. Then all validators must be ready, everything must settle, and what was
called settled must still be so.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from primitives.errors import Refused
from testnet.client import AsyncNetwork
from testnet.faults.control import Degree, FaultControl, shape_of
from testnet.observer.checker import JUDGED
from testnet.observer.watch import Observer
from testnet.run_file import RunInfo
from testnet.scenarios.load import TransferLoad
from testnet.scenarios.memory import MemoryWatch, overgrown
from testnet.scenarios.reports import ScenarioReport, StepReport, findings_of
from testnet.scenarios.scenario import Scenario, Step
from testnet.start import is_ready

LOOK_SECONDS = 1.0
"""Between two looks of the observer: a second of blocks is one page."""

READY_POLL_SECONDS = 0.2


Say = Callable[[float, str], None]
"""Hears what happens, and when (seconds since the begin)."""


@dataclass(frozen=True)
class Told:
    """Whom a run tells what happens: each step, and how it stands every second."""

    step: Say
    state: Say


class RealRun:
    """One run of a scenario on one testnet."""

    def __init__(self, scenario: Scenario, info: RunInfo, told: Told) -> None:
        """`info` is that of the running testnet.

        Raises:
            Refused: `other_testnet`, when it is not the one that the scenario is written for.

        """
        here, wanted = shape_of(info), scenario.shape
        if here != wanted:
            raise Refused(
                "other_testnet",
                f"the scenario is for {wanted.shards} shards × {wanted.validators} validators, relays: {wanted.relays};"
                f" {info.home} has {here.shards} × {here.validators}, relays: {here.relays}. Add --fresh to run it on a"
                " testnet of its own",
            )
        self._scenario = scenario
        self._info = info
        self._told = told
        self._control = FaultControl(info)
        self._steps: list[StepReport] = []
        self._memory = MemoryWatch()
        self._began = 0.0
        self._broken = True

    async def run(self, source: str) -> ScenarioReport:
        """Run it; `source` names the file. Whatever happens, everything is healed at the end."""
        scenario = self._scenario
        self._began = time.monotonic()
        async with aiohttp.ClientSession() as session, AsyncNetwork(self._info) as network:
            observer = Observer(self._info, session)
            observer.checker.guilty.update(
                str(each) for step in scenario.steps if step.action == "byzantine" for each in step.validators
            )
            load = TransferLoad(network, scenario.transfers_per_second, scenario.seed)
            watching = asyncio.create_task(self._watch(observer, load))
            try:
                load.start()
                await self._chaos()
            finally:
                await asyncio.to_thread(self._control.heal)
                await load.stop()
                self._told.step(self._now(), "everything is healed; it must settle now")
            deadline = time.monotonic() + scenario.settle_ms / 1000
            await self._await_ready(observer, deadline)
            self._broken = False
            left = await load.drain(max(1.0, deadline - time.monotonic()))
            observer.findings.check(not left, "L1", "load", 0, f"{left} transfers have not settled in the end")
            watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended  # a judge that fell asleep has judged nothing
            await observer.settle(max(1.0, deadline - time.monotonic()), LOOK_SECONDS / 4)
            for name in observer.silent:
                observer.findings.add("L1", name, 0, "does not answer after everything was healed")
            observer.checker.verdict(must_be_settled=True)
            for problem in await load.lost():
                observer.findings.add("D1", "load", 0, problem)
        return self._report(observer, load, source)

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _chaos(self) -> None:
        for step in self._scenario.steps:
            await asyncio.sleep(max(0.0, step.at_ms / 1000 - self._now()))
            self._told.step(self._now(), step.text)
            try:
                missed = await asyncio.to_thread(carry_out, self._control, step)
            except Refused as refused:
                self._note(step, "failed", refused.detail)
                self._told.step(self._now(), f"  failed: {refused.detail}")
            else:
                self._note(step, "done", f"not told: {', '.join(missed)}" if missed else "")
        await asyncio.sleep(max(0.0, self._scenario.chaos_ms / 1000 - self._now()))

    def _note(self, step: Step, status: str, detail: str) -> None:
        self._steps.append(
            StepReport(step.at_ms, step.lasts_ms, step.text, "done" if status == "done" else "failed", detail)
        )

    async def _watch(self, observer: Observer, load: TransferLoad) -> None:
        """Look again and again; progress is not demanded while something is broken."""
        while True:
            await observer.look(broken=self._broken)
            nodes = await asyncio.to_thread(self._control.nodes)
            self._memory.look(((node.name, node.pid) for node in nodes if node.state == "running"), self._now())
            heights = "  ".join(f"s{shard} h{height}" for shard, height in observer.heights.items())
            counts = f"{load.counts['settled']} of {load.counts['sent']} settled"
            silent = f"  silent: {' '.join(observer.silent[:6])}" if observer.silent else ""
            bad = f"  VIOLATED: {len(observer.findings.all())}" if observer.findings else ""
            self._told.state(self._now(), f"{heights}  {counts}{silent}{bad}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _await_ready(self, observer: Observer, deadline: float) -> None:
        waiting = list(await asyncio.to_thread(self._control.nodes))
        while waiting:
            waiting = [node for node in waiting if not await asyncio.to_thread(is_ready, node)]
            if waiting and time.monotonic() > deadline:
                for node in waiting:
                    observer.findings.add("L1", node.name, 0, "is not ready again after everything was healed")
                return
            await asyncio.sleep(READY_POLL_SECONDS if waiting else 0)

    def _report(self, observer: Observer, load: TransferLoad, source: str) -> ScenarioReport:
        memory = self._memory.reports()
        limit = self._scenario.memory_growth_permille
        for each in overgrown(memory, limit):
            grown = f"{each.growth_percent:+.1f} % of {each.first_kb} kB in {each.seconds:.0f} s"
            observer.findings.add("R1", each.node, 0, f"its memory grew by {grown}")
        findings = findings_of(observer.findings.all())
        return ScenarioReport(
            name=self._scenario.name,
            world="real",
            seed=self._scenario.seed,
            passed=not findings and all(step.status == "done" for step in self._steps),
            seconds=round(self._now(), 3),
            steps=tuple(self._steps),
            judged=JUDGED if limit is None else (*JUDGED, "R1"),
            findings=findings,
            heights=tuple(observer.heights.values()),
            counts={
                **{f"transfers {name}": count for name, count in sorted(load.counts.items())},
                **dict(sorted(observer.checker.counts.items())),
            },
            memory=memory,
            again=f"ostraka scenario run {source} --home {Path(self._info.home)}",
        )


def carry_out(control: FaultControl, step: Step) -> list[str]:
    """Do what a step says; returns the nodes that could not be told because they are down.

    Raises:
        Refused: when it could not be done at all.

    """
    match step.action:
        case "cut" | "partition" | "delay" | "drop" | "duplicate" | "corrupt":
            effect = "cut" if step.action == "partition" else step.action
            degree = Degree(step.permille, step.amount_ms, step.jitter_ms)
            applied = [control.links(effect, target, step.text, degree, step.lasts_ms) for target in step.targets]
            return [node for each in applied for node in each.missed]
        case "skew":
            return list(control.skew(step.validators, step.amount_ms, step.text, step.lasts_ms).missed)
        case "disk":
            applied_disk = control.disk(step.effect, step.validators, step.text, step.amount_ms, step.lasts_ms)
            return list(applied_disk.missed)
        case "kill" | "halt" | "pause":
            _processes(control, step)
        case "restart":
            _restart(control, step)
        case "byzantine":
            for validator in step.validators:
                control.process("byzantine", str(validator), step.lasts_ms, step.behaviour)
        case "heal":
            control.heal()
    return []


def _processes(control: FaultControl, step: Step) -> None:
    """Kill or pause nodes for a time; one that is down already stays so."""
    running = {node.name for node in control.nodes() if node.state == "running"}
    for node in map(str, step.nodes):
        if node in running:
            control.process("pause" if step.action == "pause" else "kill", node, step.lasts_ms)


def _restart(control: FaultControl, step: Step) -> None:
    """SIGKILL all of these, then start them again: what was not on disk is gone."""
    states = {node.name: node.state for node in control.nodes()}
    names = [str(node) for node in step.nodes]
    for name in names:
        if states[name] in {"running", "paused"}:
            control.process("kill", name)
    for name in names:
        control.process("restart", name)
