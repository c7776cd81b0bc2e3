"""Why messages between two shards are not carried: no relay runs, or none serves the pair."""

from pathlib import Path

from primitives.errors import Refused
from shards.trace_parts import Hop
from shards.traces import Trace
from testnet.home import open_manifest
from testnet.run_file import RunInfo


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
