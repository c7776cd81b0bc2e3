"""Repeats a call of the chain on this machine, run by run, and says whether it does what the chain says it did."""

import ast
import pdb  # noqa: T100 - `ostraka replay --pdb` is a debugger
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from contracts.outcomes import Completed, Failed, Invocation, Outcome, OutOfGas, Suspended
from contracts.port import Machine
from contracts.replaying import check_source, replay
from ostraka_contract.replaying import WAITING, Diverged, replay_here
from primitives.codec import Decoder
from primitives.errors import Refused
from shards.node.api_contracts import RecordAnswer, RecordedRun
from shards.receipts import MAX_RECEIPT_BYTES, Receipt, RunReceipt, RunState, receipt_decoder

MAX_RECORD_BYTES = 4 * MAX_RECEIPT_BYTES
"""A run with the longest journal and the answers of its last stretch."""

_record_decoder: Decoder[Invocation] = Decoder(Invocation, max_bytes=MAX_RECORD_BYTES, name="record of a run")


@dataclass(frozen=True)
class Replayed:
    """A run of the chain with what came of repeating it here."""

    number: int
    height: int
    log: list[str]
    receipt: RunReceipt
    outcome: Outcome
    differences: tuple[str, ...]
    """What is not as the chain says, in words; none when all is."""


def replay_call(record: RecordAnswer, machine: Machine) -> list[Replayed]:
    """Repeat every run that is kept of a call.

    Raises:
        Refused: the record cannot be read, or is of other code.

    """
    replayed = []
    for run in record.runs:
        invocation, receipt = _read(run)
        outcome = replay(invocation, record.source, machine)
        differences = tuple(_differences(receipt, outcome))
        replayed.append(Replayed(run.run, run.height, run.log, receipt, outcome, differences))
    return replayed


def _read(run: RecordedRun) -> tuple[Invocation, RunReceipt]:
    receipt: Receipt = receipt_decoder.decode(bytes.fromhex(run.receipt))
    if not isinstance(receipt, RunReceipt):
        raise Refused("bad_record", "the validator's receipt is not of a run; ask another validator")
    return _record_decoder.decode(bytes.fromhex(run.record)), receipt


STATE_OF = {
    Completed: RunState.COMPLETED,
    Suspended: RunState.SUSPENDED,
    Failed: RunState.FAILED,
}


def _differences(receipt: RunReceipt, outcome: Outcome) -> "list[str]":
    """What a receipt says otherwise than the run that was repeated."""
    if isinstance(outcome, OutOfGas) or receipt.state == RunState.STARVED or receipt.kind == "out_of_gas":
        # A replay takes other gas than the run, so where gas ran out is not comparable.
        return []
    found = []
    state = STATE_OF[type(outcome)]
    if state != receipt.state:
        found.append(f"the chain says {RunState(receipt.state).name.lower()}, here it is {state.name.lower()}")
    if isinstance(outcome, Completed) and outcome.result != receipt.result:
        found.append("the result is another one")
    if isinstance(outcome, Failed):
        here = (outcome.kind, outcome.error, outcome.message)
        there = (receipt.kind, receipt.error_type, receipt.error_text)
        if here != there:
            found.append(f"the chain says {': '.join(filter(None, there))}, here it is {': '.join(filter(None, here))}")
    if outcome.effects.events != receipt.events:
        found.append("the events are others")
    calls = [(call.number, call.shard, call.contract, call.method) for call in outcome.effects.calls]
    if calls != [(made.number, made.shard, made.target, made.method) for made in receipt.calls]:
        found.append("the calls it makes are others")
    return found


def debug_call(record: RecordAnswer, say: Callable[[str], None], number: int | None = None) -> None:
    """Repeat one run (the last one, or that of this number) under the debugger, stopped at the method's first line.

    Raises:
        Refused: there is no such run.

    """
    runs = [run for run in record.runs if number is None or run.run == number]
    if not runs:
        raise Refused("bad_run", f"the call has the runs 0 to {len(record.runs) - 1}")
    invocation, _ = _read(runs[-1])
    check_source(invocation, record.source)
    with tempfile.TemporaryDirectory(prefix="ostraka-replay-") as folder:
        file = Path(folder) / f"{record.contract}.py"
        file.write_text(record.source, encoding="utf-8")
        debugger = pdb.Pdb(nosigint=True)
        # It stops in our own code first, then where the method begins.
        debugger.rcLines += [f"tbreak {file}:{_first_line(record.source, invocation.method)}", "continue"]
        told = ["left; the run is not finished"]

        def repeat() -> None:
            told[0] = _told(replay_here(invocation, record.source, str(file)))

        try:
            debugger.runcall(repeat)
        except Diverged as diverged:
            say(f"✗ ordinary Python does something else here than the machine did: {diverged}")
        except Exception as error:  # noqa: BLE001 - a contract may raise anything, and this is to be looked at
            frames = _contract_frames(error.__traceback__, str(file))
            say("".join(traceback.format_exception(type(error), error, frames)).rstrip())
            after = pdb.Pdb(nosigint=True)
            after.reset()
            after.interaction(None, frames)
        else:
            say(told[0])


def _contract_frames(frames: TracebackType | None, file: str) -> TracebackType | None:
    """The contract's own frames: from the first one on, without what it called of ours."""
    while frames is not None and frames.tb_frame.f_code.co_filename != file:
        frames = frames.tb_next
    last = step = frames
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            last = step
        step = step.tb_next
    if last is not None:
        last.tb_next = None
    return frames


def _told(result: Any) -> str:
    return "the run ends here: it awaits replies" if result is WAITING else f"it returned {result!r}"


def _first_line(source: str, method: str) -> int:
    """Line of the first statement of a method, behind its docstring."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == method:
            body = node.body
            return body[1 if len(body) > 1 and ast.get_docstring(node) is not None else 0].lineno
    return 1
