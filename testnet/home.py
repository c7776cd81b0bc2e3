"""The folder of a testnet, `.ostraka/`: what lies where, and who may use it.

    genesis.json            the chain; everything else can be made again, so it is written last when a home is made
    manifest.json           what the home was made from, defaults and command line included
    lock                    held (flock) by the one launcher of this home while it lives
    run.json                0600, while the testnet runs: pids, ports, keys and the control socket, for scripts
    control.sock            0600, the launcher's control socket (in a temporary folder when the path is too long)
    launcher.log
    nodes/s0-v1/            one folder per validator: its store, its TLS key, its log, admin.sock (0600) for faults
    nodes/r0/               and per relay

The folder is 0700. Files are replaced whole (written aside, fsynced, renamed): a reader sees the old or the new one.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from primitives.errors import Refused
from primitives.identifiers import ShardId
from shards.genesis import ChainContext, Genesis
from shards.node.folder import mark_new
from shards.node.injection.admin import SOCKET_NAME
from testnet.genesis_file import genesis_text, parse_genesis
from testnet.manifest import Manifest, parse_manifest

GENESIS: Final = "genesis.json"
MANIFEST: Final = "manifest.json"
LOCK: Final = "lock"
LAUNCHER_LOG: Final = "launcher.log"
NODES: Final = "nodes"

GENESIS_SETTINGS: Final = ("name", "shards", "validators", "faucet", "accounts")
"""What the chain itself was made of; it can only be changed by making another chain."""


def write_atomic(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file whole, durably."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def node_folder(home: Path, node: str) -> Path:
    """Folder of a node that is called like s0/v1 or r0."""
    return home / NODES / node.replace("/", "-")


def validator_data(home: Path, shard: int, index: int) -> Path:
    """Data folder of a validator."""
    return node_folder(home, f"s{shard}/v{index}") / "data"


def admin_socket(home: Path, node: str) -> Path:
    """Socket of a node that faults come through."""
    return node_folder(home, node) / SOCKET_NAME


def node_log(home: Path, node: str) -> Path:
    """Log file of a node."""
    return node_folder(home, node) / "log"


def is_home(folder: Path) -> bool:
    """Whether a chain lives here."""
    return (folder / GENESIS).is_file()


class HomeLock:
    """The right to run the testnet of one home, held until `release` or the process's death.

    A fork shares the lock: every process that is not to hold it must call `close_copy`.
    """

    def __init__(self, home: Path) -> None:
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(
                "bad_home", f"{home} cannot be the folder of a testnet: {error.strerror}; choose another with --home"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise Refused(
                "home_in_use",
                f"another launcher is running the testnet in {home}; see `ostraka status --home {home}`, stop it with"
                f" `ostraka down --home {home}`, or choose another home",
            ) from None

    def release(self) -> None:
        """Let others have the home."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def close_copy(self) -> None:
        """Close this process's copy after a fork; the lock stays with the other process."""
        os.close(self._descriptor)


def create_home(home: Path, manifest: Manifest, genesis: Genesis) -> ChainContext:
    """Make a new chain in `home`, which the caller has locked; whatever an unfinished attempt left is replaced.

    Raises:
        Refused: `not_a_home` when the folder holds something that is not ours.

    """
    strangers = sorted(entry.name for entry in home.iterdir() if not _is_ours(entry.name))
    if strangers:
        raise Refused("not_a_home", f"{home} holds other files ({', '.join(strangers[:3])}); choose an empty folder")
    home.chmod(0o700)
    context = ChainContext(genesis)
    (home / NODES).mkdir(mode=0o700, exist_ok=True)
    for shard in range(context.shard_count):
        for index in range(context.committee(ShardId(shard)).size):
            mark_new(validator_data(home, shard, index))
    save_manifest(home, manifest)
    write_atomic(home / GENESIS, genesis_text(context))
    return context


def save_manifest(home: Path, manifest: Manifest) -> None:
    """Keep what the testnet runs with, for the next start."""
    write_atomic(home / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n")


def open_genesis(home: Path) -> ChainContext:
    """Read the chain of a home.

    Raises:
        Refused: `no_home`, or what `parse_genesis` raises.

    """
    try:
        return parse_genesis((home / GENESIS).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise Refused("no_home", f"there is no testnet in {home}; make one with `ostraka up`") from None
    except Refused as error:
        raise Refused(error.code, f"{home / GENESIS}: {error.detail}") from None


def open_manifest(home: Path) -> Manifest:
    """Read what the home was made from.

    Raises:
        Refused: `no_home` or `bad_manifest`.

    """
    path = home / MANIFEST
    try:
        table = msgspec.json.decode(path.read_bytes(), type=dict)
    except (OSError, msgspec.DecodeError):
        raise Refused(
            "no_home", f"{path} is missing or damaged; `ostraka reset` and `ostraka up` start afresh"
        ) from None
    return parse_manifest(table, str(path))


def check_same_chain(home: Path, wanted: Manifest) -> None:
    """Refuse to run an existing chain as if it were made from another manifest.

    Raises:
        Refused: `other_chain`, naming what differs.

    """
    made_from = open_manifest(home)
    for setting in GENESIS_SETTINGS:
        here, asked = getattr(made_from, setting), getattr(wanted, setting)
        if here != asked:
            shown = "" if isinstance(here, dict) else f" (it has {here}, asked for {asked})"
            raise Refused(
                "other_chain",
                f"the chain in {home} was made with other {setting}{shown}. Run it as it is (leave the option out),"
                f" start a new chain after `ostraka reset --home {home}`, or choose another --home",
            )


def erase_home(home: Path) -> None:
    """Delete a testnet's files, the chain first; the caller has locked the home. Strange files are left alone."""
    (home / GENESIS).unlink(missing_ok=True)
    for entry in home.iterdir():
        if not _is_ours(entry.name) or entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_ours(name: str) -> bool:
    """Whether a file in a home was made by us (an unfinished `.genesis.json.123` too)."""
    ours = {GENESIS, MANIFEST, LOCK, LAUNCHER_LOG, NODES, "run.json", "control.sock"}
    return name in ours or (name.startswith(".") and name[1:].rpartition(".")[0] in ours)
