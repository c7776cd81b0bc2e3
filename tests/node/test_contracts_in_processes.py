"""Validators with contracts, as processes: what they refuse to start with, and whether their workers outlive them."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from consensus.pacing import Rules
from contracts import values
from contracts.limits import MAX_SOURCE_BYTES
from contracts.worker.client import MachineFault, WorkerMachine
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Hash
from shards.genesis import ChainContext
from shards.node.client import NodeClient
from shards.node.faults import ExitCode
from shards.transactions import Deploy, transaction_id
from tests.node.support import make_configs, make_context, running, transfer, until
from tests.node.test_process import at_height, ended, processes

SOURCE = "def hello():\n    return 1\n"
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
QUICK = Rules(min_block_interval_ms=10, idle_interval_ms=50)


def deployment(context: ChainContext, nonce: int = 0, source: str = SOURCE, gas: int = 50_000) -> bytes:
    operation = Deploy(
        name=f"hello{nonce}",
        source=source,
        owner=b"",
        arguments=values.encode([]),
        amount=pack_amount(Amount(0)),
        gas=gas,
    )
    return transfer(context, "alice", nonce, operation)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"wasmtime": "1.2.3"}, "pip install wasmtime==1.2.3"),
        ({"image_sha256": Hash(bytes(32))}, "contract runtime is"),
        ({"flags": "fuel"}, r"needs \[fuel\]"),
        ({"target": "pdp11-unknown-linux-gnu"}, "runs on pdp11-unknown-linux-gnu only"),
    ],
)
async def test_a_validator_does_not_start_on_a_chain_whose_contracts_it_would_run_differently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], says: str
) -> None:
    genesis = make_context(validators=1).genesis
    other = ChainContext(msgspec.structs.replace(genesis, machine=msgspec.structs.replace(genesis.machine, **change)))
    [config] = make_configs(tmp_path, make_context(validators=1))
    assert await ended(replace(config, context=other)) == ExitCode.BAD_CONFIGURATION
    errors = capsys.readouterr().err
    assert "contracts would not run here as on the chain" in errors
    assert says.replace("\\", "") in errors
    assert not (config.home / "chain").exists(), "the folder is as it was"


async def test_a_computer_that_cannot_run_contracts_stops_the_validator_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MachineFault("5 workers failed at the same call")

    monkeypatch.setattr(WorkerMachine, "compile", fail)
    context = make_context(validators=1)
    async with running(make_configs(tmp_path, context, rules=QUICK)) as net:
        await net.clients[0].submit([deployment(context)])
        assert await net.tasks[0] == ExitCode.UNSAFE
    assert "5 workers failed at the same call" in capsys.readouterr().err
    last = logged(net.configs[0].home)[-1]
    assert (last["level"], last["kind"]) == ("critical", "MachineFault")
    assert "exception" not in last, "no traceback of ours: it is the computer"


async def test_a_source_of_64_kib_goes_over_http_and_links_into_the_state_of_every_validator(tmp_path: Path) -> None:
    context = make_context(validators=4)
    source = SOURCE + "#" * (MAX_SOURCE_BYTES - len(SOURCE))
    raw = deployment(context, 0, source, gas=600_000)
    async with running(make_configs(tmp_path, context, rules=QUICK)) as net:
        assert [result.status for result in await net.clients[2].submit([raw])] == ["accepted"]
        for client in net.clients:

            async def executed(client: NodeClient = client) -> bool:
                try:
                    receipt = (await client.transaction(transaction_id(raw))).receipt
                except Refused:
                    return False  # the gossip is not here yet
                assert receipt is None or receipt.outcome == "ok", receipt
                return receipt is not None

            await until(executed)


def logged(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "log.jsonl").read_text().splitlines()]


def workers_of(parent: int) -> list[int]:
    """Contract machine workers of a process, by pid."""
    pids = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return [pid for pid in pids if b"contracts.worker" in command_of(pid) and parent_of(pid) == parent]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def gone(pid: int) -> bool:
    return b"contracts.worker" not in command_of(pid)


@needs_proc
async def test_a_validator_that_ended_has_seen_its_workers_end(tmp_path: Path) -> None:
    context = make_context(validators=1)
    async with running(make_configs(tmp_path, context, rules=QUICK)) as net:
        await net.clients[0].submit([deployment(context)])

        async def worker() -> int | None:
            return next(iter(workers_of(os.getpid())), None)

        pid = await until(worker)
        await at_height(net.clients[0], (await net.clients[0].status()).executed_height + 2)  # it has nothing to do
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.real
@needs_proc
async def test_a_worker_starts_with_the_first_contract_and_never_outlives_its_validator(tmp_path: Path) -> None:
    context = make_context(validators=1)
    with processes(tmp_path, context, 1) as [process]:
        async with aiohttp.ClientSession() as session:
            client = NodeClient(process.url(), session)
            await at_height(client, 2)
            assert workers_of(process.popen.pid) == [], "there is no contract"
            await client.submit([deployment(context)])

            async def worker() -> int | None:
                return next(iter(workers_of(process.popen.pid)), None)

            first = await until(worker)
            height = (await client.status()).executed_height
            await at_height(client, height + 2)
            assert process.end(signal.SIGTERM) == (0, "")
            assert await gone(first), "ended with it"

            process.start()
            client = NodeClient(process.url(), session)
            second = await until(worker)  # nobody has called a contract: it is warmed, because there is one
            await at_height(client, height + 4)
            process.end(signal.SIGKILL)
            await until(lambda: gone(second))  # nobody told it: its pipe was closed

            process.start()
            process.url()
            third = await until(worker)
            assert process.end(signal.SIGTERM) == (0, ""), "perhaps in the middle of the loading"
            await until(lambda: gone(third))
