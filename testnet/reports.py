"""How every node of a testnet is: its process from the launcher, its heights from itself."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from primitives.errors import Refused
from shards.node.client import NodeClient, NodeUnavailable
from testnet.control import ask
from testnet.run_file import NodeRun, RunInfo
from testnet.start import is_ready

REPORT_SECONDS = 2.0
"""How long one node may take to say how it is; a paused one takes all of it."""


@dataclass(frozen=True)
class NodeReport:
    """One node as `ostraka status` shows it; heights are zero when it does not answer."""

    node: NodeRun
    answers: bool = False
    ready: bool = False
    finalized: int = 0
    executed: int = 0
    certified: int = 0
    contracts: int = 0
    detail: str = ""


def node_reports(info: RunInfo) -> list[NodeReport]:
    """Ask the launcher, then every node that runs, all at once.

    Raises:
        Refused: `not_running`, when the launcher is gone.

    """
    processes = ask(Path(info.control), {"do": "status"})["nodes"]
    nodes = [msgspec.convert(process, NodeRun) for process in processes]
    return asyncio.run(_all_reports(nodes))


async def _all_reports(nodes: list[NodeRun]) -> list[NodeReport]:
    async with aiohttp.ClientSession() as session:
        return list(await asyncio.gather(*(_report(node, session) for node in nodes)))


async def _report(node: NodeRun, session: aiohttp.ClientSession) -> NodeReport:
    """One node, as it says itself."""
    if node.state == "killed":
        return NodeReport(node, detail=f"killed by {node.signal}")
    if node.state == "exited":
        return NodeReport(node, detail=f"stopped with exit code {node.exit_code}; see `ostraka logs {node.name}`")
    if node.kind == "relay" or node.api is None:
        ready = await asyncio.to_thread(is_ready, node)
        return NodeReport(node, ready=ready, detail="carries messages" if ready else "does not answer")
    try:
        async with asyncio.timeout(REPORT_SECONDS):
            status = await NodeClient(node.api, session).status()
    except (TimeoutError, NodeUnavailable, Refused):
        return NodeReport(node, detail="does not answer")
    return NodeReport(
        node,
        answers=True,
        ready=status.ready,
        finalized=status.finalized_height,
        executed=status.executed_height,
        certified=status.certified_height,
        contracts=status.contracts,
        detail=status.not_ready,
    )
