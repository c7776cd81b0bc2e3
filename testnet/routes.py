"""Why a trace does not go on: no relay runs, or none serves the pair of shards, or a contract's call is out of gas."""

from pathlib import Path

from contracts.gas import DEFAULT_CALL_GAS
from primitives.errors import Refused
from shards.call_tree import STARVED, all_calls
from shards.trace_parts import Hop
from shards.traces import Trace
from testnet.home import open_manifest
from testnet.run_file import RunInfo

ENOUGH_GAS = 5 * DEFAULT_CALL_GAS
"""To suggest for a call that ran out of it; what it does not use comes back."""


def why_unserved(info: RunInfo, source: int, destination: int) -> str:
    """Why nobody carries messages between two shards, as `info` has it; empty when a relay should."""
    relays = [node for node in info.nodes if node.kind == "relay"]
    if not relays:
        return "this testnet has no relay; `ostraka down`, then `ostraka up --relays 1`"
    if all(node.state != "running" for node in relays):
        states = ", ".join(f"{node.name} is {node.state}" for node in relays)
        mend = "resume" if relays[0].state == "paused" else "restart"
        return f"no relay runs ({states}); `ostraka fault {mend} {relays[0].name}`"
    try:
        links = open_manifest(Path(info.home)).links_of()
    except Refused:
        return ""
    if (min(source, destination), max(source, destination)) in links:
        return ""
    return f"no relay serves shards {source} and {destination}; add the pair to `links` in the manifest and start again"


def why_waiting(info: RunInfo, trace: Trace) -> str:
    """Why the messages of a trace that is not finished do not move; empty when nothing keeps them."""
    steps = [step for step in trace.tree.nodes if isinstance(step, Hop)]
    for step in steps:
        for sent in step.sent:
            if all(other.message_id != sent.message_id for other in steps):
                reason = why_unserved(info, step.shard, sent.destination)
                if reason:
                    return reason
    return ""


def why_starved(trace: Trace) -> str:
    """Which call of a trace needs gas before it goes on; empty when none does."""
    for node in all_calls(trace.roots):
        if node.outcome == STARVED:
            return f"{node.label} is out of gas; give it some: ostraka topup {node.call_id.hex()} {ENOUGH_GAS}"
    return ""
