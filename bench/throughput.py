"""Committed transfers per second of a real testnet on this machine: `python bench/throughput.py --shards 4`.

Starts a testnet through `testnet.start` (the processes of `ostraka up`), signs transfers between funded accounts
beforehand and hands them in from this process, in batches of MessagePack over HTTP. What is measured, over a steady
window after a warm-up:

- committed: transactions in finalized *and executed* blocks, from the validators' own counters;
- latency: from the moment before a batch is posted until a validator's event stream says that it is final;
- for a sample of those that cross shards: until a validator of the destination has executed the message, and until
  the source has settled its reply; in milliseconds and in blocks of the source;
- CPU seconds of every process from /proc, messages and bytes from /metrics.

Without `--rate`, `--window` transactions a shard are kept unfinished: the most the shards take. With `--rate`,
so many a second are handed in over all shards, whether or not anything comes back. The load generator runs on the
same cores and does all its work in this one process; its own CPU time is shown.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from load_generator import Lane, Load, Measured, Signed, deployment, gift, sign_all, token_calls, transfers

from primitives.identifiers import ChainId, Milliseconds, Nonce, SecretSeed, ShardId, TransactionId
from shards.node.client import NodeClient
from testnet.control import stop_launcher
from testnet.development_keys import account_seed
from testnet.manifest import parse_manifest
from testnet.run_file import RunInfo
from testnet.start import start, wait_ready
from testnet.transfers import sign_operation

SIGNED_PER_SECOND = 12_000
"""Transfers signed for each second of an unlimited run, over all shards: more than this machine commits."""

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """Counters of every process at one moment."""

    cpu_s: dict[str, float]
    executed: dict[str, float]
    bytes_sent: float
    frames_sent: float
    fsyncs: float
    signatures: float
    views: float
    load_s: float
    private_mb: dict[str, float]


async def read_counters(load: Load, info: RunInfo) -> Reading:
    """Read /proc and /metrics of every process."""
    texts = await asyncio.gather(*(client.metrics() for client in load.clients.values()))
    names = tuple(load.clients)
    return Reading(
        cpu_s={node.name: cpu_seconds(node.pid) for node in info.nodes},
        executed={
            name: _sum(text, "ostraka_executed_transactions_total") for name, text in zip(names, texts, strict=True)
        },
        bytes_sent=sum(_sum(text, "ostraka_link_sent_bytes_total") for text in texts),
        frames_sent=sum(_sum(text, "ostraka_link_sent_frames_total") for text in texts),
        fsyncs=sum(_sum(text, "ostraka_commit_seconds_count") for text in texts),
        signatures=sum(_sum(text, "ostraka_verified_signatures_total") for text in texts),
        views=sum(_sum(text, "ostraka_view") for text in texts),
        load_s=time.process_time(),
        private_mb={node.name: private_megabytes(node.pid) for node in info.nodes},
    )


def _sum(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE))


def family(pid: int) -> list[int]:
    """A process and its children: a validator and the worker that runs its contracts."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for each in children for child in each.read_text().split())]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads and its children."""
    stats = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in family(pid)]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / CLOCK_TICKS


def private_megabytes(pid: int) -> float:
    """Memory that a process and its children share with nobody."""
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in family(pid)]
    return (
        sum(int(kilobytes) for text in rollups for kilobytes in re.findall(r"^Private_\w+: +(\d+)", text, re.MULTILINE))
        / 1024
    )


async def measure(info: RunInfo, signed: dict[tuple[int, int], list[Signed]], options: argparse.Namespace) -> Any:
    """Warm up, measure, report."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(info, options, session)
        lanes = [
            Lane(shard, load.clients[f"s{shard}/v{index}"], deque(transfers))
            for (shard, index), transfers in signed.items()
        ]
        listening = [asyncio.ensure_future(load.listen(shard)) for shard in range(info.shards)]
        sending = (
            [asyncio.ensure_future(load.pace(_alternating(lanes, info.validators)))]
            if options.rate
            else [asyncio.ensure_future(load.saturate(lane)) for lane in lanes]
        )
        try:
            await _watch(listening + sending, options.warmup)
            before = await read_counters(load, info)
            load.open, load.measured.begin = True, time.monotonic()
            await _watch(listening + sending, options.seconds)
            load.open, load.measured.end = False, time.monotonic()
            after = await read_counters(load, info)
            for task in sending:
                task.cancel()
            await load.finish()
            load.measured.runs = await _states_of_runs(load) if options.contract else {}
        finally:
            for task in (*listening, *sending):
                task.cancel()
            await asyncio.gather(*listening, *sending, return_exceptions=True)
    return report(info, options, load.measured, before, after)


def _alternating(lanes: list[Lane], validators: int) -> list[Lane]:
    """Lanes so ordered that consecutive batches go to different shards."""
    return [lane for index in range(validators) for lane in lanes[index::validators]]


async def _states_of_runs(load: Load) -> dict[str, int]:
    """How the last runs of contracts ended, on one validator of each shard: a run that fails costs something else."""
    states: Counter[str] = Counter()
    for name, client in load.clients.items():
        if name.endswith("v0"):
            newest = (await client.runs(limit=1)).height
            states.update(run.state for run in (await client.runs(max(newest - 20, 1))).runs)
    return dict(states)


async def _watch(tasks: Sequence[asyncio.Future[None]], seconds: float) -> None:
    """Wait, unless one of the tasks fails."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def report(info: RunInfo, options: argparse.Namespace, seen: Measured, before: Reading, after: Reading) -> Any:
    """Everything that was measured, as one JSON object."""
    seconds = seen.end - seen.begin
    committed_by_shard = [
        max(after.executed[node.name] - before.executed[node.name] for node in info.validators_of(shard))
        for shard in range(info.shards)
    ]
    committed = sum(committed_by_shard)
    cpu = {name: after.cpu_s[name] - before.cpu_s[name] for name in after.cpu_s}
    per_transfer = [
        cpu[node.name] / committed_by_shard[shard] * 1e6
        for shard in range(info.shards)
        for node in info.validators_of(shard)
        if committed_by_shard[shard]
    ]
    blocks = sum(seen.blocks.values())
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "shards": info.shards,
        "validators": info.validators,
        "cross_percent": options.cross,
        "rate": options.rate,
        "batch": options.batch,
        "window": options.window,
        "seconds": round(seconds, 2),
        "committed": int(committed),
        "committed_per_s": round(committed / seconds, 1),
        "blocks": blocks,
        "transfers_per_block": round(committed / blocks, 1) if blocks else None,
        "block_interval_ms": round(1000 * seconds * info.shards / blocks, 1) if blocks else None,
        "finality_ms": summary([1000 * each for each in seen.finality]),
        "delivered_ms": summary([1000 * each for each in seen.delivered]),
        "settled_ms": summary([1000 * each for each in seen.settled]),
        "settled_blocks": summary([float(each) for each in seen.settled_blocks]),
        "validator_us_per_transfer": summary(per_transfer),
        "validator_cpu_s": {name: round(cpu[name], 2) for name in cpu if name.startswith("s")},
        "validator_private_mb": summary([mb for name, mb in after.private_mb.items() if name.startswith("s")]),
        "relay_cpu_s": round(sum(cpu[name] for name in cpu if name.startswith("r")), 2),
        "load_cpu_s": round(after.load_s - before.load_s, 2),
        "link_bytes_per_transfer": _per(after.bytes_sent - before.bytes_sent, committed),
        "link_frames_per_block": _per(after.frames_sent - before.frames_sent, blocks),
        "commits_per_block_per_validator": _per(after.fsyncs - before.fsyncs, blocks * info.validators),
        "signatures_per_transfer_per_validator": _per(
            after.signatures - before.signatures, committed * info.validators, digits=3
        ),
        "views_per_block": _per(after.views - before.views, blocks * info.validators, digits=2),
        "refused": dict(seen.refused),
        "runs_by_state": seen.runs,
        "ran_out_of_signed_transfers": seen.exhausted,
    }


def _per(amount: float, count: float, digits: int = 1) -> float | None:
    return round(amount / count, digits) if count else None


def summary(values: list[float]) -> dict[str, float] | None:
    """Count, median, 99th percentile and largest; None when there is nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
        "max": round(ordered[-1], 1),
    }


def show(result: dict[str, Any]) -> Iterator[str]:
    """The report, for people."""
    yield f"{result['shards']} shards × {result['validators']} validators on {result['machine']}"
    yield f"{result['committed_per_s']:>10,.0f}  committed transfers/s ({result['cross_percent']} % across shards)"
    for name, value in result.items():
        if name not in {"machine", "shards", "validators", "committed_per_s", "cross_percent"}:
            yield f"{name:>34}  {value}"


async def prepare_token(info: RunInfo, seeds: list[SecretSeed]) -> None:
    """Deploy the token on every shard and give every account units of it, by the first account."""
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(_prepare_shard(info, seeds, shard, session) for shard in range(info.shards)))


async def _prepare_shard(info: RunInfo, seeds: list[SecretSeed], shard: int, session: aiohttp.ClientSession) -> None:
    client = NodeClient(next(node.api for node in info.validators_of(shard) if node.api), session)
    chain_id, now_ms = ChainId(bytes.fromhex(info.chain_id)), Milliseconds(time.time_ns() // 1_000_000)
    operations = [*deployment(seeds, info.shards), *(gift(shard, seed) for seed in seeds[1:])]
    last = b""
    for nonce, operation in enumerate(operations):
        raw = sign_operation(operation, ShardId(shard), chain_id, seeds[0], Nonce(nonce), now_ms)
        while (result := (await client.submit([raw]))[0]).status == "refused":
            if result.code not in {"sender_full", "mempool_full", "too_many_pending"}:
                raise SystemExit(f"{result.code}: {result.detail}")
            await asyncio.sleep(0.1)
        last = bytes.fromhex(result.id)
    while True:
        answer = await client.transaction(TransactionId(last))
        if answer.level not in {"accepted", "finalized"}:
            return
        await asyncio.sleep(0.1)


def run(options: argparse.Namespace, home: Path) -> Any:
    """One testnet from its start to its end."""
    names = [f"bench{number}" for number in range(options.accounts)]
    manifest = parse_manifest(
        {"shards": options.shards, "validators": options.validators, "accounts": dict.fromkeys(names, 1_000_000)},
        "bench",
    )
    launched = start(home, manifest, attached=True)
    try:
        wait_ready(launched.info)
        print(f"signing, then {options.warmup} + {options.seconds} s …", file=sys.stderr)
        seeds = [account_seed(name) for name in names]
        if options.contract:
            asyncio.run(prepare_token(launched.info, seeds))
        make = (token_calls if options.contract else transfers)(launched.info, options)
        signed = sign_all(launched.info, seeds[1:] if options.contract else seeds, options, make, Nonce(0))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure(launched.info, signed, options))
    finally:
        stop_launcher(Path(launched.info.control))
        os.waitpid(launched.pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=15, help="length of the window")
    parser.add_argument("--warmup", type=int, default=4, help="seconds before it")
    parser.add_argument("--cross", type=int, default=0, metavar="PERCENT", help="transfers that go to another shard")
    parser.add_argument("--batch", type=int, default=100, help="transfers in one request")
    parser.add_argument("--window", type=int, default=4000, help="transfers of a shard that may be unfinished")
    parser.add_argument("--rate", type=int, help="hand in so many a second instead, over all shards")
    parser.add_argument("--contract", action="store_true", help="calls of examples/token instead of transfers")
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--signed", type=int, default=SIGNED_PER_SECOND, help="signed beforehand a second of the run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the testnet's folder, with its logs")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="ostraka-bench-"))
    try:
        result = run(options, home)
    finally:
        if options.keep:
            print(home, file=sys.stderr)
        else:
            shutil.rmtree(home)
    print(json.dumps(result) if options.json else "\n".join(show(result)))


if __name__ == "__main__":
    main()
