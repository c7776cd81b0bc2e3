"""Repeats a run from what was kept of it, without a ledger: for `ostraka replay`, and for whoever doubts an outcome.

The record of a run is its invocation with the journal and the answers of its last stretch filled in. Repeating it
gives the same result, effects, failure and traceback. Its gas is that of the replay: where one run went through several
stretches, all but the last one are replayed here and cost less.
"""

from typing import Final

import msgspec

from contracts.outcomes import Invocation, Outcome, Suspended, code_hash_of
from contracts.port import Machine
from primitives.amounts import MAX_AMOUNT
from primitives.errors import Refused, invariant
from primitives.identifiers import Hash


class NoLedger:
    """The world of a replay: every answer is in the record, so what is asked here is not shown to the contract."""

    def __init__(self, source: str) -> None:
        self._source: Final = source

    def source(self, _code_hash: Hash) -> str:
        """See `World`."""
        return self._source

    def read(self, _contract: str, _key: bytes) -> None:
        """See `World`."""

    def keys(self, _contract: str, _prefix: bytes, _after: bytes, _limit: int) -> list[bytes]:
        """See `World`."""
        return []

    def balance(self, _contract: str) -> int:
        """See `World`: whether there was enough is in the answers."""
        return MAX_AMOUNT


def record_of(invocation: Invocation, outcome: Outcome) -> Invocation:
    """What repeats a run: the invocation that was run, completed by what came of it."""
    if isinstance(outcome, Suspended):
        last = outcome.journal[-1]
        journal, replies, answers = outcome.journal[:-1], last.replies, last.answers
    else:
        journal, replies, answers = outcome.journal, outcome.last.replies, outcome.last.answers
    return msgspec.structs.replace(invocation, journal=journal, replies=replies, recorded=answers)


def check_source(record: Invocation, source: str) -> None:
    """Refuse another source than the one that ran.

    Raises:
        Refused: `other_code`.

    """
    if code_hash_of(source) != record.code_hash:
        raise Refused("other_code", "this is not the source that ran; ask the ledger for the one with its hash")


def replay(record: Invocation, source: str, machine: Machine) -> Outcome:
    """Repeat a run on the machine.

    Raises:
        Refused: `other_code`, or `no_record` when the answers of the last stretch are not in the record.

    """
    check_source(record, source)
    if record.recorded is None:
        raise Refused("no_record", "the record has no answers to repeat; make it with record_of")
    outcomes: list[Outcome] = []
    machine.run([record], NoLedger(source), lambda _index, outcome: outcomes.append(outcome))
    invariant(len(outcomes) == 1, "a machine tells one outcome for one call")
    return outcomes[0]
