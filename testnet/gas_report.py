"""What the methods of contracts have cost on this chain, and how that compares with a report saved earlier.

A call's gas is that of all its runs; calls that have not ended are left out. Gas is deterministic, so a method whose
median grew does more than it did, or was called with more.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from primitives.errors import Refused
from shards.node.api_contracts import PlacedRun

if TYPE_CHECKING:
    from testnet.client import AsyncNetwork

MAX_REPORT_BYTES = 4 * 2**20
"""A report of 20,000 methods."""


class MethodGas(msgspec.Struct, frozen=True):
    """One method over all its calls that have ended."""

    calls: int
    failed: int
    least: int
    median: int
    most: int


class GasReport(msgspec.Struct, frozen=True, kw_only=True):
    """All methods, by `contract@shard.method`."""

    format: Literal["ostraka-gas"] = "ostraka-gas"
    version: Literal[1] = 1
    methods: dict[str, MethodGas]


class Change(NamedTuple):
    """A method in two reports; None where it is in one only."""

    method: str
    before: MethodGas | None
    now: MethodGas | None

    def is_regression(self, tolerance_percent: int) -> bool:
        """Whether the median grew by more than the tolerance."""
        if self.before is None or self.now is None:
            return False
        return self.now.median * 100 > self.before.median * (100 + tolerance_percent)


async def gas_report(network: "AsyncNetwork", first: int = 1) -> GasReport:
    """Read the runs of every shard from a height on."""
    methods: dict[str, MethodGas] = {}
    for shard in range(network.info.shards):
        runs: list[PlacedRun] = []
        begin: int | None = first
        while begin is not None:
            page = await network.contracts.runs(shard, begin)
            runs += page.runs
            begin = page.next
        methods |= summarize(shard, runs)
    return GasReport(methods=dict(sorted(methods.items())))


def summarize(shard: int, runs: Iterable[PlacedRun]) -> dict[str, MethodGas]:
    """The methods of one shard; runs in the order of the chain."""
    calls: dict[str, list[PlacedRun]] = defaultdict(list)
    for run in runs:
        calls[run.call_id].append(run)
    costs: dict[str, list[int]] = defaultdict(list)
    failed: dict[str, int] = defaultdict(int)
    for parts in calls.values():
        last = parts[-1]
        if parts[0].run != 0 or last.state not in ("completed", "failed"):
            continue
        name = f"{last.contract}@{shard}.{last.method}"
        costs[name].append(sum(part.gas_used for part in parts))
        failed[name] += last.state == "failed"
    return {
        name: MethodGas(
            calls=len(found),
            failed=failed[name],
            least=min(found),
            median=sorted(found)[(len(found) - 1) // 2],
            most=max(found),
        )
        for name, found in costs.items()
    }


def compare(before: GasReport, now: GasReport) -> list[Change]:
    """Methods of either report, in order of their names."""
    names = sorted(before.methods.keys() | now.methods.keys())
    return [Change(name, before.methods.get(name), now.methods.get(name)) for name in names]


def save_report(report: GasReport, file: Path) -> None:
    """Write a report.

    Raises:
        Refused: `cannot_write`.

    """
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise Refused("cannot_write", f"cannot write {file}: {error.strerror}") from None


def load_report(file: Path) -> GasReport:
    """Read a report.

    Raises:
        Refused: `cannot_read`, `bad_report`.

    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_REPORT_BYTES + 1)
    except OSError as error:
        raise Refused("cannot_read", f"cannot read {file}: {error.strerror}") from None
    if len(raw) > MAX_REPORT_BYTES:
        raise Refused("bad_report", f"{file} is longer than any gas report")
    try:
        return msgspec.json.decode(raw, type=GasReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("bad_report", f"{file} is no report that `ostraka gas --save` wrote: {error}") from None
