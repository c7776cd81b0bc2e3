"""Starting a testnet: from a manifest and a folder to validators that are ready, and the reason when they are not."""

import http.client
import time
from collections.abc import Callable
from pathlib import Path

from contracts.runtime.identity import installed_identity
from primitives.addresses import format_address
from primitives.errors import Refused
from primitives.identifiers import Milliseconds
from primitives.signatures import public_key_of
from shards.genesis import ChainContext, check_machine
from testnet.control import ask
from testnet.development_keys import account_seed
from testnet.genesis_builder import build_genesis
from testnet.home import GENESIS, HomeLock, check_same_chain, create_home, is_home, open_genesis, save_manifest
from testnet.launcher import Launch, launch
from testnet.manifest import FAUCET, Manifest
from testnet.nodes import plan_nodes
from testnet.run_file import AccountRun, NodeRun, RunInfo
from testnet.version import ostraka_version

READY_SECONDS = 30.0
"""A testnet of the default size is ready in 3 s; one that replays a long journal on a busy machine may need this."""

POLL_SECONDS = 0.02
PROBE_SECONDS = 2.0
"""How long one readiness probe may take."""

LOG_LINES = 12
"""How much of a dead node's log is shown: enough for a traceback's end."""


def start(home: Path, manifest: Manifest, *, attached: bool) -> Launch:
    """Start the testnet of a home, making its chain first if there is none; returns when every process was started.

    Must be called while this process has no other threads and no event loop: it forks.

    Raises:
        Refused: `home_in_use`, `not_a_home`, `other_chain`, `other_machine`, `port_taken`, or a genesis that was
            altered.

    """
    lock = HomeLock(home)
    try:
        context = _open_or_create(home, manifest)
    except BaseException:
        lock.release()
        raise
    return launch(
        home, lock, lambda: plan_nodes(home, context, manifest), _run_info(home, context, manifest), attached=attached
    )


def _open_or_create(home: Path, manifest: Manifest) -> ChainContext:
    """Chain of the home."""
    if not is_home(home):
        return create_home(home, manifest, build_genesis(manifest, Milliseconds(time.time_ns() // 1_000_000)))
    check_same_chain(home, manifest)
    context = open_genesis(home)
    check_machine(context.genesis.machine, installed_identity())
    save_manifest(home, manifest)
    return context


def _run_info(home: Path, context: ChainContext, manifest: Manifest) -> RunInfo:
    """What is known before anything runs."""
    seeds = {name: account_seed(name) for name in (*manifest.accounts, FAUCET)}
    return RunInfo(
        ostraka=ostraka_version(),
        home=str(home),
        genesis=str(home / GENESIS),
        chain_id=context.chain_id.hex(),
        launcher_pid=0,
        control="",
        shards=manifest.shards,
        validators=manifest.validators,
        nodes=(),
        accounts={
            name: AccountRun(address=format_address(public_key_of(seed)), secret_seed=seed.hex())
            for name, seed in seeds.items()
        },
    )


def wait_ready(
    info: RunInfo, seconds: float = READY_SECONDS, on_progress: Callable[[int, int], None] | None = None
) -> None:
    """Return once every node that runs is ready (a validator: connected to a quorum).

    `on_progress` is told (ready, all).

    Raises:
        Refused: `node_failed` with the end of its log, when one stops meanwhile; `not_ready`, naming who is not.

    """
    deadline = time.monotonic() + seconds
    waiting = [node for node in info.nodes if node.api is not None and node.state == "running"]
    total = len(waiting)
    while waiting:
        waiting = [node for node in waiting if not is_ready(node)]
        if on_progress is not None:
            on_progress(total - len(waiting), total)
        if not waiting:
            return
        _refuse_dead(info)
        if time.monotonic() > deadline:
            names = ", ".join(node.name for node in waiting)
            raise Refused(
                "not_ready", f"not ready after {seconds:.0f} s: {names}; see `ostraka logs {waiting[0].name}`"
            )
        time.sleep(POLL_SECONDS)


def is_ready(node: NodeRun) -> bool:
    """Whether a node says that it is ready."""
    if node.api is None:
        return True
    host = node.api.removeprefix("http://")
    path = "/readyz" if node.kind == "validator" else "/healthz"
    connection = http.client.HTTPConnection(host, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _refuse_dead(info: RunInfo) -> None:
    """Say which node has stopped, and why, as far as its log tells."""
    for node in ask(Path(info.control), {"do": "status"})["nodes"]:
        if node["state"] in {"exited", "killed"}:
            how = f"killed by {node['signal']}" if node["signal"] else f"exit code {node['exit_code']}"
            raise Refused("node_failed", f"{node['name']} stopped ({how}):\n{log_end(Path(node['log']))}")


def log_end(log: Path, lines: int = LOG_LINES) -> str:
    """Last lines of a log file."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"({log}: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:]) or "(its log is empty)"
