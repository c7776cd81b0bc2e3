"""What code inside the machine may ask of the host: one byte for the question, bytes for its subject and the answer.

The same file runs on both sides. A request and an answer are encoded values (`contracts.values`); the first byte of
an answer says whether the host did it (`DONE`) or would not (`DECLINED`, followed by [error, text]).
"""

from enum import IntEnum
from typing import Final


class Operation(IntEnum):
    """One question to the host; in brackets the value asked with, after the arrow the value answered with."""

    GET = 1
    """key in UTF-8, not encoded -> the stored value's bytes, or nothing when there is none."""
    PUT = 2
    """Two bytes of the key's length, the key, the value's bytes; no value at all deletes -> nothing."""
    KEYS = 3
    """[prefix, after, limit] -> list of str, in byte order."""
    CALL = 4
    """[shard, contract, method, arguments, value, gas, deadline_ms, patience_ms] -> the call's number, from 0."""
    TRANSFER = 5
    """[to, amount] -> nothing."""
    EMIT = 6
    """[name, data] -> nothing."""
    BALANCE = 7
    """None -> int."""
    LOG = 8
    """str -> nothing."""
    COMMIT = 9
    """[continues, [[numbers, early], ...]] -> JSON of [height, time_ms, replies], or nothing: the call is suspended."""
    HAND_OVER = 10
    """PUTs and EMITs that were held back, each as its byte, four bytes of its request's length, its request -> nothing.
    """


BYTES: Final = "latin-1"
"""How bytes cross the boundary, see machine.wit. Anything else in a guest's string becomes a question mark."""

COMPLETED: Final = b"\0"
"""Begins what `run` returns when the method did: then four bytes of the result's length, the result, what is handed
over. Zero begins no other output, as those are encoded lists."""

DONE: Final = 0
DECLINED: Final = 1

HIDDEN: Final = "\0"
"""Keys that begin with it belong to the API (locks); `keys` does not list them."""

VIEW_REFUSAL: Final = "a view cannot {}; remove @view from the method"

FILENAME: Final = "contract.py"
"""What tracebacks call the contract's source."""

REPLY_OK: Final = "ok"
REPLY_UNKNOWN: Final = "unknown"
"""Kinds of a reply beside the failures that `CallFailed.kind` names."""
