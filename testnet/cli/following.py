"""Waiting for a transaction, as every command does it: a spinner for people, Ctrl-C stops only the waiting."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from testnet.cli.common import INTERRUPTED, complain, output, people, say

if TYPE_CHECKING:
    from shards.traces import Trace
    from testnet.client import Sent, Settlement
    from testnet.network import Network


def await_settlement(net: "Network", sent: "Sent", timeout: float) -> "tuple[Settlement, Trace]":
    """How a transaction ended, or stands after `timeout` seconds, with its trace (empty while it is in no block).

    Raises:
        Exit: Ctrl-C was pressed; what goes on by itself has been said.

    """
    from shards.traces import assemble_trace
    from testnet.routes import why_starved, why_waiting
    from testnet.run_file import read_run

    console = people(stderr=True)
    waiting = console.status(f"{sent.id.hex()[:16]}… waiting") if console.is_terminal and not output.as_json else None
    try:
        with waiting or contextlib.nullcontext():
            settlement = net.wait(sent, timeout)
    except KeyboardInterrupt:
        identity = sent.id.hex()
        where = f"it goes on by itself. Its id is {identity}; follow it with: ostraka wait {identity}"
        complain("interrupted", f"interrupted; {where}", INTERRUPTED, fault="not_yet")
        raise typer.Exit(INTERRUPTED) from None
    found = net.trace(sent.id) if settlement.blocks else assemble_trace([])
    if settlement.outcome == "pending":
        reasons = (settlement.detail, why_starved(found), why_waiting(read_run(Path(net.info.home)) or net.info, found))
        settlement = replace(settlement, detail="; ".join(reason for reason in reasons if reason))
    if sent.begun is None:
        settlement = replace(settlement, seconds=found.elapsed_ms / 1000)
    return settlement, found


def say_pending(settlement: "Settlement", timeout: float) -> None:
    """What to do about a transaction that has not settled; nothing is said of one that has."""
    if settlement.outcome == "pending":
        say(f"  not settled after {timeout:g} s ({settlement.detail})")
        say(f"  it goes on; follow it: ostraka wait {settlement.id.hex()}")
