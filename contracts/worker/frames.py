"""What validator and worker say to each other over two pipes: a length of four bytes, then one record.

The validator sends `Compile`, `Run` or `Warm`. While a batch runs, the worker asks the ledger (`Question`, answered by
`Answer`) and reports each outcome (`Settled`) before it begins the next call, so everything it asks afterwards is
answered from a state that has it. `Finished` ends a batch. Both ends are this project's own code in one installation;
what is checked is length and form, so that a worker gone wrong cannot take the validator with it.
"""

from typing import BinaryIO

import msgspec

from contracts.outcomes import Compiled, Completed, Failed, Invocation, Outcome, OutOfGas, Rejected, Suspended
from primitives.codec import Record, encode
from primitives.identifiers import HashField

MAX_FRAME_BYTES = 64 << 20
"""A full block's calls, each with the longest journal that such a block has room for."""

LENGTH_BYTES = 4


class Compile(Record, tag=1):
    """Compile a source."""

    source: str
    gas_limit: int


class Run(Record, tag=2):
    """Run these calls in order. `fresh`: whatever was read before may have changed otherwise than by runs."""

    batch: tuple[Invocation, ...]
    fresh: bool


class Answer(Record, tag=3):
    """To a question: the values found; a balance is 16 bytes, no value is no item."""

    items: tuple[bytes, ...]


class Ready(Record, tag=10):
    """The image is loaded."""


class Progress(Record, tag=11):
    """Loading has come to this stage."""

    stage: str


class SourceWanted(Record, tag=12):
    """The source with this hash."""

    code_hash: HashField


class ValueWanted(Record, tag=13):
    """A stored value."""

    contract: str
    key: bytes


class KeysWanted(Record, tag=14):
    """A page of keys."""

    contract: str
    prefix: bytes
    after: bytes
    limit: int


class BalanceWanted(Record, tag=15):
    """What a contract holds."""

    contract: str


class Settled(Record, tag=16):
    """The outcome of the call at `index` of the batch."""

    index: int
    outcome: bytes


class Finished(Record, tag=17):
    """The batch is done."""


class CompiledSource(Record, tag=18):
    """The answer to Compile."""

    compilation: bytes


ToWorker = Compile | Run | Answer
Question = SourceWanted | ValueWanted | KeysWanted | BalanceWanted
FromWorker = Ready | Progress | Question | Settled | Finished | CompiledSource

# A record within a record of another union would need the tag twice: outcomes travel as bytes of their own.
to_worker: "msgspec.msgpack.Decoder[ToWorker]" = msgspec.msgpack.Decoder(ToWorker)
from_worker: "msgspec.msgpack.Decoder[FromWorker]" = msgspec.msgpack.Decoder(FromWorker)
outcomes: "msgspec.msgpack.Decoder[Outcome]" = msgspec.msgpack.Decoder(Completed | Suspended | Failed | OutOfGas)
compilations: "msgspec.msgpack.Decoder[Compiled | Rejected]" = msgspec.msgpack.Decoder(Compiled | Rejected)


def pack(record: Record) -> bytes:
    """A record with its length in front."""
    raw = encode(record)
    return len(raw).to_bytes(LENGTH_BYTES, "big") + raw


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame's record from an unbuffered stream; None at its end.

    Raises:
        ValueError: a length beyond the limit.

    """
    length = int.from_bytes(_read(stream, LENGTH_BYTES), "big")
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes, limit {MAX_FRAME_BYTES}")
    return _read(stream, length) or None


def _read(stream: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes, or none at the end of the stream."""
    parts = bytearray()
    while len(parts) < size:
        part = stream.read(size - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)
