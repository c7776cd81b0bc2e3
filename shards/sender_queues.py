"""The mempool's bookkeeping: waiting transactions by id and by sender, and who must go first when it is full.

No rules about what may wait live here (see `shards.mempool`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from primitives.amounts import unpack_amount
from primitives.errors import invariant
from primitives.identifiers import PublicKey, TransactionId
from shards.gas import gas_at_home
from shards.transactions import SignedTransaction, total_amount

RATE_SCALE = 1_000_000
"""Fee per gas is compared in millionths: exact enough, and integers sort alike everywhere."""

HEAP_SLACK = 1024
"""Outdated entries that the heap of victims may hold beside twice the number of senders before it is built anew."""


@dataclass(slots=True)
class Entry:
    """A waiting transaction with what is asked of it again and again."""

    transaction: SignedTransaction
    sender: PublicKey
    nonce: int
    size: int
    """Bytes on the wire."""
    gas: int
    cost: int
    """Base units that it takes at most: amounts and fee limit."""
    fee_limit: int
    arrival: int = 0
    """Counts admissions; 0 before its own."""
    proposed_ms: int = 0
    """Time of the latest block that was proposed with it; 0 when there was none."""

    def rate(self) -> int:
        """Fee limit per gas, in millionths."""
        return self.fee_limit * RATE_SCALE // self.gas


def entry_of(transaction: SignedTransaction) -> Entry:
    """Entry of a transaction that may come to wait."""
    body = transaction.body
    fee_limit = unpack_amount(body.fee_limit)
    return Entry(
        transaction,
        body.sender,
        body.nonce,
        len(transaction.raw),
        gas_at_home(body),
        total_amount(body) + fee_limit,
        fee_limit,
    )


@dataclass(slots=True)
class SenderQueue:
    """One sender's waiting transactions by nonce. Up to `next_nonce` they follow one another; later ones are parked."""

    next_nonce: int
    entries: dict[int, Entry] = field(default_factory=dict)
    cost: int = 0
    size: int = 0

    def last(self) -> Entry:
        """Transaction with the highest nonce."""
        return self.entries[max(self.entries)]


class SenderQueues:
    """All waiting transactions. `ready` and `waiting` part the senders, each in order of whose turn it is."""

    def __init__(self) -> None:
        self.by_id: dict[TransactionId, Entry] = {}
        self.ready: dict[PublicKey, SenderQueue] = {}
        self.waiting: dict[PublicKey, SenderQueue] = {}
        self.size = 0
        self.arrivals = 0
        self.executed_ms = 0
        """Time of the latest executed block."""
        self._victims: list[tuple[int, int, int, PublicKey]] | None = None

    def queue(self, sender: PublicKey) -> SenderQueue | None:
        """What waits of this sender, or None."""
        return self.ready.get(sender) or self.waiting.get(sender)

    def queues(self) -> Iterator[tuple[PublicKey, SenderQueue]]:
        """Every sender's queue."""
        yield from self.ready.items()
        yield from self.waiting.items()

    def add(self, entry: Entry, first_nonce: int) -> None:
        """Append a transaction whose nonce is free; `first_nonce` is that of the account."""
        sender = entry.sender
        self.arrivals += 1
        entry.arrival = self.arrivals
        queue = self.ready.get(sender)
        if queue is None:
            # Something new to offer: whoever was passed over is looked at again.
            queue = self.waiting.pop(sender) if sender in self.waiting else SenderQueue(first_nonce)
            self.ready[sender] = queue
        invariant(entry.nonce not in queue.entries, "a nonce is used once")
        queue.entries[entry.nonce] = entry
        queue.cost += entry.cost
        queue.size += entry.size
        self.size += entry.size
        self.by_id[entry.transaction.id] = entry
        while queue.next_nonce in queue.entries:
            queue.next_nonce += 1
        self._note_victim(sender, queue)

    def remove(self, entry: Entry) -> None:
        """Take a waiting transaction out; later ones of its sender become parked."""
        sender = entry.sender
        queue = self.queue(sender)
        invariant(queue is not None and self.by_id.pop(entry.transaction.id, None) is entry, "it was waiting here")
        if queue is None:
            return
        del queue.entries[entry.nonce]
        queue.next_nonce = min(queue.next_nonce, entry.nonce)
        queue.cost -= entry.cost
        queue.size -= entry.size
        self.size -= entry.size
        self._after_removal(sender, queue)

    def advance(self, sender: PublicKey, nonce: int) -> list[Entry]:
        """Remove and return what an account that has come to `nonce` has left behind."""
        queue = self.queue(sender)
        if queue is None:
            return []
        past = [entry for each, entry in queue.entries.items() if each < nonce]
        for entry in past:
            del queue.entries[entry.nonce], self.by_id[entry.transaction.id]
            queue.cost -= entry.cost
            queue.size -= entry.size
            self.size -= entry.size
        queue.next_nonce = max(nonce, queue.next_nonce)
        while queue.next_nonce in queue.entries:
            queue.next_nonce += 1
        self._after_removal(sender, queue)
        return past

    def victim(self) -> Entry | None:
        """Whose turn it is to be evicted: of the longest queues, the last transaction that pays least per gas.

        Of equal ones the one that came last. None when nothing may be evicted because everything is proposed.
        """
        if self._victims is None:
            self._victims = [
                (-len(queue.entries), queue.last().rate(), -queue.last().arrival, sender)
                for sender, queue in self.queues()
            ]
            heapify(self._victims)
        while self._victims:
            length, _, arrival, sender = self._victims[0]
            queue = self.queue(sender)
            if queue is not None and len(queue.entries) == -length:
                last = queue.last()
                if last.arrival == -arrival and not self.is_pending(last):
                    return last
            heappop(self._victims)
        return None

    def is_pending(self, entry: Entry) -> bool:
        """Whether a block that may still become final has it: block times only grow, so an older one is dead."""
        return entry.proposed_ms > self.executed_ms

    def note_executed(self, now_ms: int) -> None:
        """Note that a block of this time is executed: what only dead blocks held may be evicted again."""
        self.executed_ms = now_ms
        if not self._victims:
            self._victims = None

    def forget_victims(self) -> None:
        """Stop keeping the order of eviction: there is room again."""
        self._victims = None

    def _after_removal(self, sender: PublicKey, queue: SenderQueue) -> None:
        if queue.entries:
            self._note_victim(sender, queue)
        else:
            self.ready.pop(sender, None)
            self.waiting.pop(sender, None)

    def _note_victim(self, sender: PublicKey, queue: SenderQueue) -> None:
        if self._victims is None:
            return
        if len(self._victims) > 2 * (len(self.ready) + len(self.waiting)) + HEAP_SLACK:
            self._victims = None
            return
        last = queue.last()
        heappush(self._victims, (-len(queue.entries), last.rate(), -last.arrival, sender))
