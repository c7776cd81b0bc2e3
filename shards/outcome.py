"""What executing one block led to: everything that is signed, stored or shown follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.outcomes import Invocation
from primitives.identifiers import CallId, MessageId, Sequence, ShardId, TransactionId
from primitives.mmr import Node
from shards.commitments import Commitment
from shards.streams import StreamHead


@dataclass(frozen=True, slots=True)
class SentBody:
    """A message appended to the stream towards `destination`, with its encoded body and the MMR nodes it made.

    A message of the shard to itself has its place in the queue as sequence number and no nodes.
    """

    destination: ShardId
    sequence: Sequence
    message_id: MessageId
    call_id: CallId
    trace_id: TransactionId
    body: bytes
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class RunNote:
    """What this validator keeps of a contract's run beside its receipt, for those who debug it; hashed nowhere."""

    run: int
    record: Invocation
    """Repeats the run without a ledger; see `contracts.replaying`."""
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of one block. `changes` maps raw state keys to new values, None where deleted."""

    commitment: Commitment
    changes: Mapping[bytes, bytes | None]
    receipts: tuple[bytes, ...]
    heads: tuple[StreamHead, ...]
    """One per shard of the chain, in order of shard ids; the own shard's is the constant unused head."""
    sent: tuple[SentBody, ...]
    history_nodes: tuple[Node, ...]
    """Nodes of the history MMR made by appending the previous commitment."""
    notes: tuple[RunNote, ...]
    """One for each run of a contract, in order."""
