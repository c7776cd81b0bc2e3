"""A testnet for the tests, in a process that ends with them: `python -m tests.real.host HOME MANIFEST-AS-JSON`.

Like `ostraka up`, but every validator looks into `trouble.json` of its folder when it starts, once: what it finds
there it does to itself. Whatever is patched is patched in that one forked process. The testnet stops when standard
input is closed, also by the death of the tests.
"""

import dataclasses
import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from primitives.errors import Refused
from primitives.storage import Write
from shards.genesis import ChainContext
from shards.node.storage import LmdbStore
from testnet import start as starting
from testnet.manifest import Manifest, parse_manifest
from testnet.nodes import plan_nodes
from testnet.processes import NodePlan

TROUBLE = "trouble.json"


def main() -> None:
    setattr(starting, "plan_nodes", _plan_troubled_nodes)  # noqa: B010 - mypy: the module does not export it
    home, manifest = Path(sys.argv[1]), parse_manifest(json.loads(sys.argv[2]), "test")
    try:
        starting.start(home, manifest, attached=True)
    except Refused as refused:
        sys.exit(f"{refused.code}: {refused.detail}")
    sys.stdout.write("started\n")
    sys.stdout.flush()
    sys.stdin.read()


def _plan_troubled_nodes(home: Path, context: ChainContext, manifest: Manifest) -> list[NodePlan]:
    return [dataclasses.replace(node, main=_troubled(node)) for node in plan_nodes(home, context, manifest)]


def _troubled(node: NodePlan) -> Callable[[tuple[socket.socket, ...]], int]:
    def run(sockets: tuple[socket.socket, ...]) -> int:
        path = node.folder / TROUBLE
        if path.exists():
            trouble = json.loads(path.read_text())
            path.unlink()
            if "die_at_commit" in trouble:
                _die_at_commit(trouble["die_at_commit"], after=trouble["after"])
            if "file_limit" in trouble:
                _limit_files(trouble["file_limit"])
            if "full_store" in trouble:
                _fill(trouble["full_store"])
        return node.main(sockets)

    return run


def _die_at_commit(number: int, *, after: bool) -> None:
    """SIGKILL ourselves right before or right after the n-th durable commit, of whichever store and thread."""
    commit = LmdbStore.commit
    done = 0

    def counting(store: LmdbStore, writes: Iterable[Write]) -> None:
        nonlocal done
        done += 1
        last = done >= number
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(store, writes)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(LmdbStore, "commit", counting)  # noqa: B010 - of this forked process only


def _limit_files(size: int) -> None:
    """No file may grow beyond `size` bytes: writes fail with EFBIG, as they do with ENOSPC on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _fill(folder: str) -> None:
    """There is no room for the store in this folder; there is for everything else."""
    write = LmdbStore._write

    def full(store: LmdbStore, sealed: Any) -> None:
        if store.path.name == folder:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(store, sealed)

    setattr(LmdbStore, "_write", full)  # noqa: B010 - of this forked process only


if __name__ == "__main__":
    main()
