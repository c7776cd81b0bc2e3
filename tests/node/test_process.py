"""Validator processes: start, stop, crash, come back, and refuse to start on what is not right."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import lmdb
import msgspec
import pytest

from consensus.pacing import Rules
from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import ZERO_HASH, ValidatorIndex
from primitives.keyfiles import ScryptCost, seal_key
from shards.genesis import ChainContext
from shards.node.api_types import StatusAnswer
from shards.node.client import NodeClient, NodeUnavailable
from shards.node.config import NodeConfig, read_key_file
from shards.node.faults import BadConfiguration, ExitCode
from shards.node.folder import NEW, FolderLock, mark_new
from shards.node.process import run_validator
from shards.node.state_store import StateStore
from shards.node.storage import LmdbStore
from shards.transactions import Transfer, transaction_id
from shards.validator.core import ValidatorCore
from shards.validator.effects import Halt
from tests.node.support import (
    close_sockets,
    key_of,
    make_configs,
    make_context,
    running,
    seed_of,
    transfer,
    until,
    validator_seed,
)

MAIN = """
import json, sys
from pathlib import Path
from consensus.pacing import Rules
from primitives.identifiers import ShardId, ValidatorIndex
from shards.genesis import ChainContext, genesis_decoder
from shards.node.config import NodeConfig
from shards.node.process import main_validator
from tests.node.support import validator_seed

home, genesis, index, ports = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
config = NodeConfig(
    home=home, context=ChainContext(genesis_decoder.decode(genesis.read_bytes())), shard=ShardId(0),
    index=ValidatorIndex(index), seed=validator_seed(0, index), p2p_socket=("127.0.0.1", ports[index]),
    http_socket=("127.0.0.1", 0), peers=[("127.0.0.1", port) for port in ports],
    rules=Rules(min_block_interval_ms=10, idle_interval_ms=100),
)
sys.exit(main_validator(config, lambda ready: print(json.dumps(ready.http), flush=True)))
"""


class Process:
    """A validator in a process of its own."""

    def __init__(self, folder: Path, context: ChainContext, index: int, ports: list[int]) -> None:
        genesis = folder / "genesis"
        genesis.write_bytes(encode(context.genesis))
        self.home = folder / f"v{index}"
        mark_new(self.home)
        self._command = [sys.executable, "-c", MAIN, str(self.home), str(genesis), str(index), json.dumps(ports)]
        self.start()

    def start(self) -> None:
        self.popen = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def url(self) -> str:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, self.popen.stderr and self.popen.stderr.read()
        host, port = json.loads(line)
        return f"http://{host}:{port}"

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.popen.send_signal(number)
        _, errors = self.popen.communicate(timeout=20)
        return self.popen.returncode, errors.decode()


@contextmanager
def processes(folder: Path, context: ChainContext, count: int) -> Iterator[list[Process]]:
    reserved = [socket.socket() for _ in range(count)]
    for each in reserved:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in reserved]
    for each in reserved:
        each.close()
    made = [Process(folder, context, index, ports) for index in range(count)]
    try:
        yield made
    finally:
        for process in made:
            if process.popen.returncode is None:
                process.popen.kill()
                process.popen.communicate()


async def at_height(client: NodeClient, height: int) -> StatusAnswer:
    async def ask() -> StatusAnswer | None:
        try:
            status = await client.status()
        except NodeUnavailable:
            return None
        return status if status.executed_height >= height else None

    return await until(ask)


async def flushed(session: aiohttp.ClientSession, url: str, height: int) -> bool | None:
    """Whether the state of this height is on the disk."""
    try:
        async with session.get(f"{url}/metrics") as response:
            lines = (await response.text()).splitlines()
    except aiohttp.ClientError:
        return None
    (line,) = (line for line in lines if line.startswith("ostraka_flushed_height "))
    return float(line.split()[1]) >= height or None


@pytest.mark.real
async def test_a_validator_killed_again_and_again_loses_nothing_and_votes_again(tmp_path: Path) -> None:
    context = make_context(validators=4)
    with processes(tmp_path, context, 4) as made:
        async with aiohttp.ClientSession() as session:
            clients = [NodeClient(process.url(), session) for process in made]
            acknowledged: list[bytes] = []
            for kills in range(3):
                raw = transfer(context, "alice", kills, Transfer(to=key_of("bob"), amount=pack_amount(Amount(1))))
                await clients[1].submit([raw])
                wanted = transaction_id(raw)

                async def is_final(wanted: bytes = wanted) -> bool:
                    try:
                        return (await clients[0].transaction(wanted)).height is not None
                    except Refused:
                        return False

                await until(is_final)
                acknowledged.append(wanted)
                code, _ = made[0].end(signal.SIGKILL)
                assert code == -signal.SIGKILL
                made[0].start()
                began = time.monotonic()
                clients[0] = NodeClient(made[0].url(), session)
                ahead = (await clients[1].status()).executed_height
                status = await at_height(clients[0], ahead + 1)
                assert time.monotonic() - began < 20
                for known in acknowledged:
                    assert (await clients[0].transaction(known)).height is not None
                assert status.blamed == []
            # A quorum of three that needs the killed one: it really votes.
            assert made[3].end(signal.SIGTERM)[0] == 0
            await at_height(clients[0], (await clients[0].status()).executed_height + 3)
            for index in range(3):
                assert (await clients[index].status()).blamed == []
                assert made[index].end(signal.SIGTERM) == (0, "")


@pytest.mark.real
async def test_a_whole_shard_killed_at_once_goes_on_where_it_was(tmp_path: Path) -> None:
    context = make_context(validators=4)
    with processes(tmp_path, context, 4) as made:
        async with aiohttp.ClientSession() as session:
            url = made[0].url()
            await until(lambda: flushed(session, url, 20))  # in batches, the rest is executed again
            before = await NodeClient(url, session).status()
            for process in made:
                process.end(signal.SIGKILL)
                process.start()
            after = await at_height(NodeClient(made[0].url(), session), before.executed_height + 2)
            assert after.chain_id == before.chain_id
            log = [json.loads(line) for line in (made[0].home / "log.jsonl").read_text().splitlines()]
            recovered = [line for line in log if line["event"] == "recovered"]
            assert recovered[1]["executed"] >= 20
            assert recovered[1]["finalized"] >= before.finalized_height


async def test_a_clean_restart_has_nothing_to_execute_again(tmp_path: Path) -> None:
    context = make_context(validators=1)
    [config] = make_configs(tmp_path, context, rules=Rules(min_block_interval_ms=10, idle_interval_ms=20))
    async with running([config]) as net:
        await at_height(net.clients[0], 5)
    [again] = make_configs(tmp_path, context, rules=Rules(min_block_interval_ms=10, idle_interval_ms=20))
    async with running([again]) as net:
        await at_height(net.clients[0], 8)
    lines = [json.loads(line) for line in (config.home / "log.jsonl").read_text().splitlines()]
    first, second = [line for line in lines if line["event"] == "recovered"]
    assert (first["finalized"], first["executed"]) == (0, 0)
    assert second["finalized"] == second["executed"] >= 5


async def ended(config: NodeConfig) -> int:
    """Exit code of a validator that is expected to end by itself."""
    try:
        async with asyncio.timeout(20):
            return await run_validator(config)
    finally:
        close_sockets([config])


async def grown(tmp_path: Path, context: ChainContext, height: int = 3) -> NodeConfig:
    """A stopped validator with some blocks, and a configuration to start it again."""
    rules = Rules(min_block_interval_ms=10, idle_interval_ms=20)
    async with running(make_configs(tmp_path, context, rules=rules)) as net:
        await at_height(net.clients[0], height)
    return make_configs(tmp_path, context, rules=rules)[0]


@pytest.mark.parametrize("file", ["chain", "state"])
async def test_damaged_files_stop_the_start_with_the_storage_code(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await grown(tmp_path, make_context(validators=1))
    data = config.home / file / "data.mdb"
    chain_id = config.context.chain_id  # in the identity that both stores hold
    damaged = data.read_bytes().replace(chain_id, bytes([chain_id[0] ^ 1]) + chain_id[1:])
    data.write_bytes(damaged)
    assert await ended(config) == ExitCode.STORAGE
    assert "exit code 4" in capsys.readouterr().err


async def test_a_state_whose_root_is_not_the_recorded_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await grown(tmp_path, make_context(validators=1))
    state = StateStore(config.home / "state")
    loaded = state.load()
    assert loaded is not None
    state.flush(msgspec.structs.replace(loaded[0], state_root=ZERO_HASH), {})
    state.close()
    assert await ended(config) == ExitCode.STORAGE
    assert "its root is not the one recorded" in capsys.readouterr().err


async def test_a_state_or_a_chain_put_back_from_an_older_copy_is_refused(tmp_path: Path) -> None:
    context = make_context(validators=1)
    config = await grown(tmp_path, context)
    shutil.copytree(config.home / "chain", tmp_path / "old chain")
    close_sockets([config])
    config = await grown(tmp_path, context, 9)
    shutil.rmtree(config.home / "chain")
    (tmp_path / "old chain").rename(config.home / "chain")
    assert await ended(config) == ExitCode.STORAGE


async def test_a_validator_whose_folder_was_emptied_signs_only_when_it_cannot_contradict_itself(tmp_path: Path) -> None:
    context, rules = make_context(), Rules(min_block_interval_ms=10, idle_interval_ms=50, allowed_drift_ms=300)
    configs = make_configs(tmp_path, context, rules=rules)
    assert (configs[3].home / NEW).exists()
    async with running(configs) as net:
        await at_height(net.clients[3], 3)
        assert not (configs[3].home / NEW).exists(), "the mark is for the first start only"
    shutil.rmtree(configs[3].home)
    again = make_configs(tmp_path, context, rules=rules)
    shutil.rmtree(again[3].home, ignore_errors=True)  # not marked: nobody but the chain's maker does that
    async with running(again) as net:
        height = (await at_height(net.clients[0], 4)).executed_height
        await at_height(net.clients[3], height + 30)
    notes = [line["name"] for line in map(json.loads, (again[3].home / "log.jsonl").read_text().splitlines())
             if line["event"] == "note" and line["level"] == "error"]  # fmt: skip
    assert notes == ["journal_lost", "signing_again"]


async def test_a_lost_chain_is_refused_and_a_lost_state_is_made_again(tmp_path: Path) -> None:
    context = make_context(validators=1)
    config = await grown(tmp_path, context, 5)
    shutil.rmtree(config.home / "state")
    async with running([config]) as net:
        await at_height(net.clients[0], 6)
    [config] = make_configs(tmp_path, context)
    shutil.rmtree(config.home / "chain")
    assert await ended(config) == ExitCode.STORAGE


async def test_a_folder_of_another_chain_or_validator_or_one_in_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await grown(tmp_path, make_context(validators=1))
    close_sockets([config])
    [other_chain] = make_configs(tmp_path, make_context(validators=1, name="other"))
    assert await ended(other_chain) == ExitCode.BAD_CONFIGURATION
    assert "another genesis" in capsys.readouterr().err
    two = make_context(validators=2)
    first, second = make_configs(tmp_path / "two", two)
    async with running([first]):
        taken = replace(second, home=first.home)
        assert await ended(taken) == ExitCode.BAD_CONFIGURATION
        assert f"in use by pid {os.getpid()}" in capsys.readouterr().err
    [_, second] = pair = make_configs(tmp_path / "two", two)
    assert await ended(replace(second, home=first.home)) == ExitCode.BAD_CONFIGURATION
    assert "belongs to validator 0 of shard 0" in capsys.readouterr().err
    close_sockets(pair)


async def test_a_halted_core_ends_the_process_with_the_unsafe_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ValidatorCore, "handle", lambda *_: (Halt("our result is not the certified one"),))
    [config] = make_configs(tmp_path, make_context(validators=1))
    assert await ended(config) == ExitCode.UNSAFE
    assert "our result is not the certified one" in capsys.readouterr().err
    last = json.loads((config.home / "log.jsonl").read_text().splitlines()[-1])
    assert (last["level"], last["kind"]) == ("critical", "Halted")


async def test_a_failing_disk_ends_the_process_with_the_storage_code_and_keeps_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_context(validators=1)
    [config] = make_configs(tmp_path, context, rules=Rules(min_block_interval_ms=10, idle_interval_ms=20))

    def fail(*_: object) -> None:
        raise lmdb.DiskError("mdb_txn_commit: Input/output error")

    async with running([config]) as net:
        seen = (await at_height(net.clients[0], 3)).finalized_height
        monkeypatch.setattr(LmdbStore, "_write", fail)
        async with asyncio.timeout(20):
            assert await net.tasks[0] == ExitCode.STORAGE
    assert "Input/output error" in capsys.readouterr().err
    monkeypatch.undo()
    [again] = make_configs(tmp_path, context)
    async with running([again]) as net:
        assert (await at_height(net.clients[0], seen)).finalized_height >= seen


async def test_a_wrong_key_a_taken_port_and_a_wrong_number_of_peers_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [config] = make_configs(tmp_path, make_context(validators=1))
    assert await ended(replace(config, seed=validator_seed(0, 1))) == ExitCode.BAD_CONFIGURATION
    assert "the key is not that of validator 0" in capsys.readouterr().err
    assert await ended(replace(config, index=ValidatorIndex(7))) == ExitCode.BAD_CONFIGURATION
    assert await ended(replace(config, peers=[])) == ExitCode.BAD_CONFIGURATION
    capsys.readouterr()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()
        assert (
            await ended(replace(config, http_socket=taken, p2p_socket=("127.0.0.1", 0))) == ExitCode.BAD_CONFIGURATION
        )
        assert f"cannot listen on 127.0.0.1:{taken[1]} for HTTP" in capsys.readouterr().err
    assert await ended(replace(config, log_level="loud")) == ExitCode.BAD_CONFIGURATION


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    [config] = make_configs(tmp_path, make_context(validators=1))
    assert repr(config.seed) not in repr(config)
    assert config.seed.hex() not in repr(config)
    close_sockets([config])


def test_a_key_file_is_read_only_if_nobody_else_may(tmp_path: Path) -> None:
    seed, path = seed_of("alice"), tmp_path / "key.json"
    path.write_text(seal_key(seed, "open sesame", salt=bytes(16), nonce=bytes(12), cost=ScryptCost(2, 8, 1)))
    path.chmod(0o644)
    with pytest.raises(BadConfiguration, match="chmod 600"):
        read_key_file(path, "open sesame")
    path.chmod(0o600)
    assert read_key_file(path, "open sesame") == seed
    with pytest.raises(BadConfiguration, match="passphrase is wrong"):
        read_key_file(path, "sesame")
    with pytest.raises(BadConfiguration, match="cannot read"):
        read_key_file(tmp_path / "none", "x")


def test_a_lock_is_released_with_its_holder(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(BadConfiguration, match="in use"), FolderLock(tmp_path):
        pass
    with FolderLock(tmp_path):
        pass
