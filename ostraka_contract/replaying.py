"""Repeats a recorded run under ordinary CPython, so that a debugger can look on: `ostraka replay --pdb`.

The scheduler and the checks are the machine's; the answers come from the record. A replay that asks anything else than
the recorded run did ends with `Diverged`: the contract depends on something that ordinary Python does differently.
"""

import linecache
from types import CoroutineType, ModuleType
from typing import Any, cast

from contracts.limits import MAX_CALL_GAS
from contracts.operations import FILENAME
from contracts.outcomes import Invocation
from contracts.replaying import NoLedger, check_source
from contracts.session import Session, Stop
from contracts.values import Value, read
from ostraka_contract.api import run_as
from ostraka_contract.buffer import Buffer
from ostraka_contract.scheduler import Block, Execution, Message
from primitives.amounts import unpack_amount


class Diverged(Exception):
    """The replay did something else than the recorded run."""


class Waiting:
    """What `replay_here` returns for a run that suspended: there is no result yet."""


WAITING = Waiting()


class Unlimited:
    """The meter of a world without gas."""

    def left(self) -> int:
        """As much as a call can have."""
        return MAX_CALL_GAS

    def charge(self, amount: int) -> None:
        """Take nothing."""


def replay_here(record: Invocation, source: str, filename: str = FILENAME) -> Any:
    """Repeat a run in this process: returns what the method returned, raises what it raised.

    `filename` is what debuggers call the source; it need not exist.

    Raises:
        Diverged: the replay did something else than the run.
        Refused: `other_code`: this is not the source that ran.

    """
    check_source(record, source)
    lines = source.splitlines(keepends=True)
    # Without a modification time it is never checked against a file, which may be missing or another version.
    linecache.cache[filename] = (len(source), None, lines, filename)
    module = ModuleType("contract")
    start = record.journal[0] if record.journal else record
    message = Message(
        sender=record.sender,
        value=unpack_amount(record.value),
        shard=record.shard,
        contract=record.contract,
        trace=record.trace_id.hex(),
        call=record.call_id.hex(),
    )
    exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the code to debug
    method = getattr(module, record.method)
    read_only = hasattr(method, "__ostraka_view__")
    session = Session(record, NoLedger(source), Unlimited(), read_only=read_only)
    host = Buffer(session, read_only=read_only)
    execution = Execution(host, message, Block(start.height, start.time_ms))
    try:
        with run_as(execution):
            return _call(execution, method, record.arguments)
    except Stop as stop:
        raise Diverged(str(stop)) from None


def _call(execution: Execution, method: Any, arguments: bytes) -> Any:
    result = method(*cast("list[Value]", read(arguments)))
    if not isinstance(result, CoroutineType):
        return result
    main = execution.spawn(result)
    return main.result() if execution.drive(main) else WAITING
