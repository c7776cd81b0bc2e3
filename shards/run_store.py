"""Runs of contracts in the store: what a validator keeps of each, beside its receipt, for those who debug it.

| table | key | value |
|---|---|---|
| ledger.runs | height 8 ‖ call id 32 ‖ run 4 | MessagePack of `RunNote`: what repeats the run, and its log |

The height comes from the run's receipt, which is found by any id in it. A note holds the call's whole journal so far,
so that each can be repeated by itself; notes go when the receipts of their height do.
"""

from collections.abc import Iterator

import msgspec

from primitives.identifiers import CallId, Height
from primitives.storage import Reader, Write, integer_key
from shards.outcome import RunNote

RUNS = "ledger.runs"

_decode_note = msgspec.msgpack.Decoder(RunNote).decode


def note_writes(height: Height, notes: tuple[RunNote, ...]) -> Iterator[Write]:
    """Keep the notes of a block."""
    for note in notes:
        yield Write(RUNS, _key(height, note.record.call_id, note.run), msgspec.msgpack.encode(note))


def run_note(reader: Reader, height: Height, call_id: CallId, run: int) -> RunNote | None:
    """What is kept of one run; None where it is pruned."""
    raw = reader.get(RUNS, _key(height, call_id, run))
    return None if raw is None else _decode_note(raw)


def _key(height: Height, call_id: bytes, run: int) -> bytes:
    return integer_key(height) + call_id + run.to_bytes(4, "big")
