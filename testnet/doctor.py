"""What may keep a testnet from running on this machine, each with what to do about it."""

import importlib.util
import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from contracts.runtime.identity import installed_identity
from contracts.runtime.image import is_compiled
from primitives.errors import Refused
from shards.genesis import check_machine
from testnet.control import ask
from testnet.home import is_home, open_genesis
from testnet.ports import LOOPBACK, bind_port
from testnet.run_file import read_run

LIBRARIES = ("aiohttp", "cryptography", "lmdb", "msgspec", "nacl", "networkx", "rich", "structlog", "typer", "wasmtime")
"""Import names of what a node and this command need."""

MIN_FILES = 256
"""Descriptors of one process: links, connections, stores, with room to spare."""

MIN_DISK_BYTES = 1 << 30
"""A testnet of 3 × 4 writes some 100 MB in an hour of traffic; 1 GiB is where trouble is near."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def examine(home: Path) -> list[Finding]:
    """Look at everything; nothing is changed."""
    checks: tuple[Callable[[Path], Finding], ...] = (
        _python,
        _libraries,
        _forks,
        _files,
        _loopback,
        _disk,
        _machine,
        _home,
        _testnet,
    )
    return [check(home) for check in checks]


def _python(_home: Path) -> Finding:
    shown = sys.version.split()[0]
    return Finding("python", sys.version_info >= (3, 11), shown, "install Python 3.11 or newer")


def _libraries(_home: Path) -> Finding:
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    detail = f"missing: {', '.join(missing)}" if missing else f"{len(LIBRARIES)} found"
    return Finding("libraries", not missing, detail, "install Ostraka again: pipx install --force ostraka")


def _forks(_home: Path) -> Finding:
    able = hasattr(os, "fork")
    detail = "processes can be forked" if able else "this system cannot fork"
    return Finding("system", able, detail, "run it on Linux, macOS or in WSL; `ostraka sim` works everywhere")


def _files(_home: Path) -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding("open files", soft >= MIN_FILES, f"limit {soft}", f"raise it: ulimit -n {4 * MIN_FILES}")


def _loopback(_home: Path) -> Finding:
    try:
        with bind_port(0, "test") as server, socket.socket() as client:
            server.listen()
            client.settimeout(2)
            client.connect(server.getsockname())
    except (OSError, Refused) as error:
        advice = "a firewall or sandbox forbids local connections; allow them"
        return Finding("loopback", ok=False, detail=f"{LOOPBACK}: {error}", advice=advice)
    return Finding("loopback", ok=True, detail=f"{LOOPBACK} accepts connections")


def _disk(home: Path) -> Finding:
    folder = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    advice = "free some space, or put the home elsewhere with --home"
    return Finding("disk", free >= MIN_DISK_BYTES, f"{free // 2**20:,} MiB free for {home}", advice)


def _machine(home: Path) -> Finding:
    """Whether contracts run here, and as this home's chain demands."""
    try:
        installed = installed_identity()
    except PackageNotFoundError:
        return Finding("contracts", ok=False, detail="wasmtime is not installed", advice="install Ostraka again")
    detail = f"wasmtime {installed.wasmtime}, runtime {installed.image_sha256.hex()[:16]}…, {installed.target}"
    if not is_compiled():
        detail += "; the first contract waits some 20 s while it is compiled"
    try:
        if is_home(home):
            check_machine(open_genesis(home).genesis.machine, installed)
    except Refused as refused:
        if refused.code == "other_machine":
            advice = "install what the chain needs, or begin a new one: `ostraka reset`, then `ostraka up`"
            return Finding("contracts", ok=False, detail=refused.detail, advice=advice)
    return Finding("contracts", ok=True, detail=detail)


def _home(home: Path) -> Finding:
    if not is_home(home):
        return Finding("home", ok=True, detail="there is no testnet here yet; `ostraka up` makes one")
    try:
        context = open_genesis(home)
    except Refused as refused:
        return Finding("home", ok=False, detail=refused.detail, advice="`ostraka reset`, then `ostraka up`")
    return Finding("home", ok=True, detail=f"chain {context.chain_id.hex()[:16]}…, {context.shard_count} shards")


def _testnet(home: Path) -> Finding:
    info = read_run(home)
    if info is None:
        return Finding("testnet", ok=True, detail="not running; `ostraka up --detach` starts it")
    try:
        nodes = ask(Path(info.control), {"do": "status"})["nodes"]
    except Refused:
        return Finding(
            "testnet", ok=False, detail="its launcher was killed", advice="`ostraka up --detach` cleans up and goes on"
        )
    down = [node["name"] for node in nodes if node["state"] != "running"]
    if down:
        return Finding(
            "testnet", ok=False, detail=f"down: {', '.join(down)}", advice=f"ostraka fault restart {down[0]}"
        )
    return Finding("testnet", ok=True, detail=f"{len(nodes)} processes run")
