"""The main job, for real: shards as processes, transfers and contract calls between them, a proof, crashes, recovery.

Everything happens in a fresh temporary folder and is stopped and removed at the end, whatever happens.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from primitives.amounts import BASE_UNITS_PER_OBOL, Amount, format_obol
from primitives.errors import Refused
from primitives.signatures import ED25519
from shards.commitments import certificate_decoder
from shards.light_client import ConservationReport, LightClient, Verdict
from shards.messages import Call
from shards.proofs import verify_message_proof
from testnet.client import Sent, Settlement
from testnet.control import ask, stop_launcher
from testnet.demo_shop import play_shop
from testnet.genesis_file import parse_genesis
from testnet.manifest import Manifest, parse_manifest
from testnet.network import Network, connect
from testnet.reports import node_reports
from testnet.run_file import RunInfo
from testnet.start import start, wait_ready

SETTLE_SECONDS = 30.0
"""How long any transfer of the demo may take; a view with a crashed leader costs about a second of it."""

CATCH_UP_SECONDS = 20.0
"""How long a restarted validator may take to be where its shard is (reliability.md)."""

CONSERVED_SECONDS = 15.0
"""How long the shards may take to certify the last acknowledgements of streams that have gone quiet."""

POLL_SECONDS = 0.1

AMOUNT = 25 * BASE_UNITS_PER_OBOL
"""What each transfer moves."""

Say = Callable[[str], None]


@dataclass
class _Stage:
    """The running testnet of a demo, and what has been found out."""

    info: RunInfo
    net: Network
    say: Say
    results: dict[str, Any]

    def pairs(self) -> list[tuple[int, int]]:
        """Every ordered pair of different shards; with one shard, that shard with itself."""
        return list(itertools.permutations(range(self.info.shards), 2)) or [(0, 0)]

    def send_all(self, sender: str, receiver: str, rounds: int = 1) -> list[Sent]:
        """One transfer over every pair, `rounds` times, all at once."""
        network = self.net.asynchronous

        async def everything() -> list[Sent]:
            seed, key = network.seed(sender), network.key(receiver)
            orders = [pair for _ in range(rounds) for pair in self.pairs()]
            return list(await asyncio.gather(*(network.send(seed, a, key, b, AMOUNT) for a, b in orders)))

        return self.net.run(everything())

    def settle_all(self, sent: list[Sent]) -> list[Settlement]:
        """Wait for all of them at once.

        Raises:
            Refused: `demo_failed`, naming the first that did not settle.

        """
        network = self.net.asynchronous

        async def everything() -> list[Settlement]:
            return list(await asyncio.gather(*(network.wait(each, SETTLE_SECONDS) for each in sent)))

        settlements = self.net.run(everything())
        for settlement in settlements:
            if settlement.outcome != "settled":
                detail = f"transaction {settlement.id.hex()} is {settlement.outcome}: {settlement.detail}"
                raise Refused("demo_failed", detail)
        return settlements


def run_demo(say: Say, *, keep: bool = False, manifest: Manifest | None = None) -> dict[str, Any]:
    """Run the demo; `say` gets each line for people. Returns what was found, with `passed`.

    Raises:
        Refused: when the testnet cannot be started, or something that must hold does not.

    """
    begin = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="ostraka-demo-"))
    chosen = manifest or parse_manifest({}, "demo")
    try:
        launched = start(folder / "home", chosen, attached=True)
        try:
            wait_ready(launched.info)
            say(f"ostraka demo · {chosen.shards} shards × {chosen.validators} validators, {chosen.relays} relay(s)")
            say(f"  every one a process of this machine · up in {time.monotonic() - begin:.1f} s")
            with connect(launched.info) as net:
                results = _play(_Stage(launched.info, net, say, {}), folder)
        finally:
            stop_launcher(Path(launched.info.control))
            os.waitpid(launched.pid, 0)
    finally:
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder)
    seconds = round(time.monotonic() - begin, 1)
    say(f"\n✓ everything held, everything stopped, in {seconds} s")
    return {"passed": True, "seconds": seconds, **results}


def _play(stage: _Stage, folder: Path) -> dict[str, Any]:
    """The acts, in order."""
    _show_accounts(stage)
    first = _transfers(stage)
    _show_trace(stage, first)
    if first.message_id is not None:
        _prove(stage, first.message_id, folder)
    stage.results |= play_shop(stage.net, stage.say)
    _crash(stage)
    _conserve(stage)
    return stage.results


def _show_accounts(stage: _Stage) -> None:
    """Who there is."""
    stage.say("\naccounts (funded on every shard; PUBLIC development keys)")
    for name, account in list(stage.info.accounts.items())[:3]:
        stage.say(f"  {name:<6} {account.address}")


def _transfers(stage: _Stage) -> Settlement:
    """Transfers in both directions between all pairs of shards."""
    pairs = stage.pairs()
    stage.say(f"\ntransfers alice → bob of {format_obol(Amount(AMOUNT))} obol over every pair of shards, all at once")
    begin = time.monotonic()
    settlements = stage.settle_all(stage.send_all("alice", "bob"))
    for (source, destination), settlement in zip(pairs, settlements, strict=True):
        stage.say(
            f"  ✓ shard {source} → {destination}  settled in {settlement.blocks} blocks, {settlement.seconds:.2f} s"
        )
    stage.results["transfers"] = len(settlements)
    stage.results["transfer_seconds"] = round(time.monotonic() - begin, 2)
    return settlements[0]


def _show_trace(stage: _Stage, settlement: Settlement) -> None:
    """Where one of them has been."""
    stage.say(f"\n$ ostraka trace {settlement.id.hex()[:16]}…")
    stage.say(stage.net.draw(stage.net.trace(settlement.id)))


def _prove(stage: _Stage, message_id: bytes, folder: Path) -> None:
    """Export the proof of one message and verify it from the two files alone."""
    file = folder / "message.proof"
    file.write_bytes(stage.net.message_proof(message_id))
    context = parse_genesis(Path(stage.info.genesis).read_text(encoding="utf-8"))
    proof = file.read_bytes()
    message = verify_message_proof(proof, context, ED25519)
    kind = "transfer" if isinstance(message.message, Call) else "reply"
    stage.say(f"\nproof of message {message_id.hex()[:16]}… exported ({len(proof):,} B) and verified offline:")
    stage.say(
        f"  ✓ shard {message.source} sent this {kind} to shard {message.destination}; {message.signers} of"
        f" {message.committee_size} validators signed height {message.height}; only the genesis was needed"
    )
    stage.results["proof_bytes"] = len(proof)


def _crash(stage: _Stage) -> None:
    """Kill one validator of each shard among transfers, see them settle, bring the dead back."""
    control = Path(stage.info.control)
    victims = [f"s{shard}/v{shard % stage.info.validators}" for shard in range(stage.info.shards)]
    stage.say(f"\nSIGKILL of {', '.join(victims)} in the middle of more transfers")
    under_way = stage.send_all("bob", "carol", rounds=2)
    for victim in victims:
        ask(control, {"do": "kill", "node": victim})
    after = stage.send_all("alice", "carol", rounds=2)
    settlements = stage.settle_all([*under_way, *after])
    slowest = max(settlement.seconds for settlement in settlements)
    stage.say(f"  ✓ {len(settlements)} transfers settled without them, the slowest in {slowest:.2f} s")
    for victim in victims:
        ask(control, {"do": "restart", "node": victim})
    seconds = _await_catch_up(stage, victims)
    stage.say(f"  ✓ restarted; each is where its shard is again, {seconds:.1f} s later")
    stage.results |= {
        "killed": victims,
        "settled_without_them": len(settlements),
        "catch_up_seconds": round(seconds, 2),
    }


def _await_catch_up(stage: _Stage, names: list[str]) -> float:
    """Seconds until these validators have executed what their shards had certified before."""
    begin = time.monotonic()
    goals = {shard: stage.net.status(shard).certified_height for shard in range(stage.info.shards)}
    while True:
        behind = [
            report.node.name
            for report in node_reports(stage.info)
            if report.node.name in names and not (report.ready and report.executed >= goals[report.node.shard or 0])
        ]
        seconds = time.monotonic() - begin
        if not behind:
            return seconds
        if seconds > CATCH_UP_SECONDS:
            raise Refused("demo_failed", f"{', '.join(behind)} did not catch up in {CATCH_UP_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def _conserve(stage: _Stage) -> None:
    """Check from one certificate per shard that no money was made or lost."""
    deadline = time.monotonic() + CONSERVED_SECONDS
    report = _supply(stage)
    while report.verdict is not Verdict.CONSERVED or report.in_flight:
        if time.monotonic() > deadline:
            raise Refused(
                "demo_failed", f"supply {report.verdict.value}, in flight {report.in_flight}: {report.problems}"
            )
        time.sleep(POLL_SECONDS)
        report = _supply(stage)
    total = format_obol(Amount(report.genesis))
    stage.say("\nsupply, from one certificate of each shard, checked as a light client:")
    stage.say(f"  ✓ held {format_obol(Amount(report.held))} + in flight 0 + burnt {format_obol(Amount(report.burnt))}")
    stage.say(f"    = genesis {total} obol")
    stage.results["supply"] = total


def _supply(stage: _Stage) -> ConservationReport:
    """What the newest certificates say of all money; a fresh light client each time."""
    context = parse_genesis(Path(stage.info.genesis).read_text(encoding="utf-8"))
    certificates = [
        certificate_decoder.decode(bytes.fromhex(stage.net.streams(shard).certificate))
        for shard in range(stage.info.shards)
    ]
    return LightClient(context, ED25519).supply_identity(certificates)
