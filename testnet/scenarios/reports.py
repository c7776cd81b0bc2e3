"""What a run of a scenario leaves: a JSON report for programs and a JUnit one for continuous integration."""

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import msgspec

from testnet.scenarios.memory import MemoryReport
from testnet.simulator.findings import INVARIANTS, Violation


class StepReport(msgspec.Struct, frozen=True):
    """What became of one step; `at_ms` is when it was to happen."""

    at_ms: int
    lasts_ms: int
    text: str
    status: Literal["done", "failed"]
    detail: str = ""


class FindingReport(msgspec.Struct, frozen=True):
    """A broken invariant."""

    invariant: str
    node: str
    height: int
    detail: str


class ScenarioReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run."""

    format: Literal["ostraka-scenario-report"] = "ostraka-scenario-report"
    version: Literal[1] = 1
    name: str
    world: Literal["real", "simulated"]
    seed: int
    passed: bool
    seconds: float
    """Of real time, or of virtual."""
    steps: tuple[StepReport, ...]
    judged: tuple[str, ...]
    """Invariants that were checked."""
    findings: tuple[FindingReport, ...]
    heights: tuple[int, ...]
    """Finalized blocks, by shard."""
    counts: dict[str, int]
    """Of messages, blocks and transactions."""
    memory: tuple[MemoryReport, ...] = ()
    """Of processes that lived long enough to tell."""
    again: str
    """What to type to run it again."""


def findings_of(violations: tuple[Violation, ...]) -> tuple[FindingReport, ...]:
    """Violations as a report has them."""
    return tuple(FindingReport(each.invariant, each.node, each.height, each.detail) for each in violations)


def json_report(report: ScenarioReport) -> str:
    """The report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def junit_report(report: ScenarioReport) -> str:
    """The report as JUnit XML: a test case for each step, one for each invariant."""
    suite = Element("testsuite", name=report.name, time=f"{report.seconds:.3f}")
    for step in report.steps:
        case = SubElement(
            suite, "testcase", classname="steps", name=f"{step.at_ms / 1000:g} s: {_printable(step.text)}"
        )
        if step.status == "failed":
            SubElement(case, "failure", message=_printable(step.detail))
    for invariant in report.judged:
        name = f"{invariant}: {INVARIANTS[invariant]}"
        case = SubElement(suite, "testcase", classname="invariants", name=name)
        for found in report.findings:
            if found.invariant == invariant:
                text = f"{found.node}, height {found.height}: {found.detail}"
                SubElement(case, "failure", message=_printable(text))
    failures = sum(case.find("failure") is not None for case in suite)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    indent(suite)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(suite, encoding="unicode")}\n'


def _printable(text: str) -> str:
    """Without the characters that no XML may hold."""
    return "".join(each if each.isprintable() else "�" for each in text)
