"""What must be true of a validator after requests that no program of good will sends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.harness import Load, Testnet, view

GROWTH_BYTES = 96 * 2**20
"""What a validator may keep after all this: buffers, caches, the allocator's reserve; far below what was sent."""


@contextmanager
def unharmed(net: Testnet) -> Iterator[None]:
    """Before and after: the same process s0/v0, hardly larger, and at work; none of it was a mistake of ours."""
    node = net.info.node("s0/v0")
    before = resident_bytes(node.pid)
    yield
    assert net.node("s0/v0")["pid"] == node.pid
    assert net.node("s0/v0")["state"] == "running"
    assert resident_bytes(node.pid) - before < GROWTH_BYTES

    async def works() -> None:
        load = Load(net)
        async with view(net) as seen:
            await load.settle(seen.network, await load.one(seen.network, "alice", 0, 0))

    asyncio.run(works())
    log = (net.folder("s0/v0") / "data" / "log.jsonl").read_text()
    assert "request_failed" not in log, "none of it was a mistake of ours"


def resident_bytes(pid: int) -> int:
    """Memory of a process, as the system counts it."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def port_of(net: Testnet) -> int:
    """Where the first validator serves HTTP."""
    return int((net.info.node("s0/v0").api or "").rpartition(":")[2])
