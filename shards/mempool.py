"""The mempool: signed transactions that wait to be included, and the rules for waiting.

Admission takes two steps, because verifying a signature is an effect of the validator core:

1. `check` looks at everything else, cheapest first, and changes nothing: length, known id, form, chain, shard, time,
   fee, destinations; then what the sender's account and queue allow.
2. `insert`, once the signature is verified, asks account and queue again (both may have changed) and takes it in.
   Nothing that is not verified can thus push out, replace or hold up anything that is.

*Nonces.* A client's transaction must follow the account's nonce and the sender's waiting ones without a gap. Gossip
may arrive out of order and is parked; what is parked is not offered until the gap closes. A waiting transaction is
replaced by one with the same nonce and a fee limit higher by `REPLACEMENT_PERCENT`, unless a block already has it.

*Money.* A balance must cover amounts and fee limits of all that waits of its sender, so what is included pays.

*When full*, room is made by the last transaction of the sender with the longest queue (of those, of the one that pays
least per gas; of those, the latest), if the newcomer's sender has a shorter queue or pays more per gas, and if that one
is enough. What a pending block holds is never evicted. Whoever is refused has pushed out nobody.

*Order.* Senders take turns, one transaction each and round after round, beginning with whoever has waited longest for
a turn; a sender's own transactions go in order of nonces. A sender with nothing to offer (all of it in pending blocks,
parked, or stopped by a full stream) moves to a second line, of which every selection looks at a bounded piece, so that
a selection costs as much as what it selects. A new transaction brings its sender back to the first line.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from primitives.amounts import unpack_amount
from primitives.errors import Refused
from primitives.identifiers import Nonce, PublicKey, ShardId, TransactionId
from shards.genesis import ChainContext
from shards.inclusion import check_inclusion_terms
from shards.limits import MAX_TRANSACTION_BYTES, MAX_VALIDITY_MS
from shards.selection import Selection
from shards.sender_queues import Entry, SenderQueue, SenderQueues, entry_of
from shards.state import Account
from shards.transactions import Remote, SignedTransaction, parse_transaction, transaction_id
from shards.verified_cache import VerifiedCache

MAX_TRANSACTIONS = 20_000
"""Ten full blocks; with their parsed form about 30 MB."""

MAX_BYTES = 16 * 1024 * 1024
"""Four fifths of a kilobyte each when it is full of transactions; bounds it when they are large."""

MAX_SENDER_TRANSACTIONS = 1024
"""Half a block's worth for one account; the rest of the room is for others."""

MAX_SENDER_BYTES = 1024 * 1024
"""Ten of the largest deployments: what one block takes in."""

MAX_PARKED = 64
"""How far beyond the next expected nonce gossip may be: what one lost frame can hold."""

REPLACEMENT_PERCENT = 10
"""A replacement costs every validator another verification; a free one would be a way to keep them busy."""

MIN_REVISITED = 8
REVISITED_SHARE = 8
"""A selection of n transactions looks at MIN_REVISITED + n // REVISITED_SHARE senders of the second line."""

EXPIRY_SHIFT = 14
"""Expiry is kept in units of 2**14 ms, 16 s: at most 5,300 of them in 24 hours."""


class Mempool:
    """Waiting transactions of one shard. `account_of` reads the executed state; nothing else is ever read."""

    def __init__(self, context: ChainContext, shard: ShardId, account_of: Callable[[PublicKey], Account]) -> None:
        self._context = context
        self._shard = shard
        self._account_of = account_of
        self._queues = SenderQueues()
        self._verified = VerifiedCache()
        self._included = VerifiedCache()
        # By time of expiry, so that expiring costs as much as what expires.
        self._expiring: dict[int, dict[TransactionId, None]] = {}

    def __len__(self) -> int:
        return len(self._queues.by_id)

    @property
    def arrivals(self) -> int:
        """How many were ever taken in: whoever remembers it knows whether anything new has come."""
        return self._queues.arrivals

    @property
    def size_bytes(self) -> int:
        """Bytes of everything that waits."""
        return self._queues.size

    @staticmethod
    def id_of(raw: bytes) -> TransactionId:
        """Id for an answer about `raw`; of something too long only the beginning is hashed."""
        return transaction_id(raw[: MAX_TRANSACTION_BYTES + 1])

    def get(self, wanted: TransactionId) -> SignedTransaction | None:
        """A waiting transaction, or None."""
        entry = self._queues.by_id.get(wanted)
        return entry.transaction if entry is not None else None

    def parse(self, raw: bytes) -> SignedTransaction:
        """Parse a transaction, or find it parsed already."""
        wanted = transaction_id(raw)
        return self.get(wanted) or parse_transaction(raw, wanted)

    def verified(self, wanted: TransactionId) -> bool:
        """Whether this transaction's signature has been verified here lately."""
        return wanted in self._verified

    def remember_verified(self, transaction: SignedTransaction) -> None:
        """Note that the signature is good; verified in a block or for `insert`."""
        self._verified.add(transaction.id)

    def next_nonce(self, sender: PublicKey) -> Nonce:
        """Nonce that the sender's next transaction should have, after what waits here."""
        account = self._account_of(sender)
        queue = self._queues.queue(sender)
        return Nonce(max(account.nonce, queue.next_nonce) if queue is not None else account.nonce)

    def oldest(self, count: int, skip: int = 0) -> list[SignedTransaction]:
        """The transactions that came first, after `skip` others, for saying them again to peers."""
        return [entry.transaction for entry in islice(self._queues.by_id.values(), skip, skip + count)]

    # --- admission ----------------------------------------------------------------------------------------------------

    def check(self, raw: bytes, *, now_ms: int) -> SignedTransaction:
        """Check all but the signature, against the executed state and what waits; changes nothing.

        Raises:
            Refused: `known` when it waits here or was included lately; `too_large`, `malformed`, `not_canonical`,
                `bad_amount`, `not_alone`, `bad_name`; see `check_inclusion_terms`; `valid_too_long`,
                `deadline_past`, `deadline_too_far`; `nonce_used`, `nonce_gap`, `already_proposed`,
                `replacement_fee_too_low`, `sender_limit`, `overdraft`, `mempool_full`.

        """
        known_id = None
        if len(raw) <= MAX_TRANSACTION_BYTES:
            known_id = transaction_id(raw)
            self._refuse_known(known_id)
        transaction = parse_transaction(raw, known_id)
        self._check_terms(transaction, now_ms)
        # Gaps are judged at `insert`: what closes them may be in the same batch, its signature not verified yet.
        self._check_place(entry_of(transaction), max_gap=MAX_SENDER_TRANSACTIONS)
        return transaction

    def insert(self, transaction: SignedTransaction, *, now_ms: int, from_client: bool) -> None:
        """Take in a checked transaction whose signature has been verified.

        Raises:
            Refused: what `check` raises about time, account and queue; `nonce_gap` for any gap of a client's.

        """
        self.remember_verified(transaction)
        self._refuse_known(transaction.id)
        if transaction.body.valid_until_ms < now_ms:
            raise Refused("expired", "it expired while its signature was being verified; sign it again")
        new = entry_of(transaction)
        account, replaced, victim = self._check_place(new, max_gap=0 if from_client else MAX_PARKED)
        for each in (replaced, victim):
            if each is not None:
                self._remove(each)
        if len(self) * 4 < MAX_TRANSACTIONS * 3 and self._queues.size * 4 < MAX_BYTES * 3:
            self._queues.forget_victims()
        self._queues.add(new, account.nonce)
        self._expiring.setdefault(transaction.body.valid_until_ms >> EXPIRY_SHIFT, {})[transaction.id] = None

    def _refuse_known(self, wanted: TransactionId) -> None:
        if wanted in self._queues.by_id:
            raise Refused("known", "this very transaction is waiting here")
        if wanted in self._included:
            raise Refused("known", "this very transaction is in a block already")

    def _check_terms(self, transaction: SignedTransaction, now_ms: int) -> None:
        body = transaction.body
        check_inclusion_terms(body, self._context, self._shard, now_ms)
        latest = now_ms + MAX_VALIDITY_MS
        if body.valid_until_ms > latest:
            raise Refused(
                "valid_too_long",
                f"valid until {body.valid_until_ms} ms, at most {latest} ms (24 h from now) is allowed",
            )
        for operation in body.operations:
            if not isinstance(operation, Remote):
                continue
            if operation.deadline_ms <= now_ms:
                raise Refused("deadline_past", f"the deadline {operation.deadline_ms} ms is over, it is {now_ms} ms")
            if operation.deadline_ms > latest:
                raise Refused(
                    "deadline_too_far", f"the deadline {operation.deadline_ms} ms is later than {latest} ms (24 h)"
                )

    def _check_place(self, new: Entry, *, max_gap: int) -> tuple[Account, Entry | None, Entry | None]:
        """Check against account and queue; returns the account, what would be replaced and what would be evicted."""
        account = self._account_of(new.sender)
        queue = self._queues.queue(new.sender)
        expected = max(account.nonce, queue.next_nonce) if queue is not None else account.nonce
        if new.nonce < account.nonce:
            raise Refused("nonce_used", f"nonce {new.nonce} is used; the next of this account is {expected}")
        if new.nonce > expected + max_gap:
            raise Refused("nonce_gap", f"nonce {new.nonce} leaves a gap; the next of this account is {expected}")
        replaced = queue.entries.get(new.nonce) if queue is not None else None
        if replaced is not None:
            self._check_replacement(new, replaced)
        waiting, waiting_bytes, waiting_cost = 0, 0, 0
        if queue is not None:
            waiting, waiting_bytes, waiting_cost = len(queue.entries), queue.size, queue.cost
        if replaced is not None:
            waiting -= 1
            waiting_bytes -= replaced.size
            waiting_cost -= replaced.cost
        if waiting >= MAX_SENDER_TRANSACTIONS or waiting_bytes + new.size > MAX_SENDER_BYTES:
            raise Refused(
                "sender_limit",
                f"{waiting} transactions of this account wait, at most {MAX_SENDER_TRANSACTIONS} "
                f"({MAX_SENDER_BYTES} bytes) may; wait for some to be included",
            )
        balance = unpack_amount(account.balance)
        if waiting_cost + new.cost > balance:
            raise Refused(
                "overdraft",
                f"it takes up to {new.cost} base units, what waits already {waiting_cost}; the balance is {balance}",
            )
        return account, replaced, self._victim(new, waiting, replaced)

    def _check_replacement(self, new: Entry, replaced: Entry) -> None:
        if self._queues.is_pending(replaced):
            raise Refused("already_proposed", f"a block with another transaction of nonce {new.nonce} is being decided")
        needed = -(-replaced.fee_limit * (100 + REPLACEMENT_PERCENT) // 100)
        if new.fee_limit < needed:
            raise Refused(
                "replacement_fee_too_low",
                f"nonce {new.nonce} waits with a fee limit of {replaced.fee_limit}; "
                f"to replace it, offer at least {needed}",
            )

    # --- eviction -----------------------------------------------------------------------------------------------------

    def _victim(self, new: Entry, waiting: int, replaced: Entry | None) -> Entry | None:
        """What has to go for a newcomer whose sender has `waiting` others here; None while there is room.

        Raises:
            Refused: `mempool_full` when nothing here is worth less, or one that is does not make room enough.

        """
        lacking = self._queues.size + new.size - MAX_BYTES
        if replaced is not None:
            lacking -= replaced.size
        if lacking <= 0 and (replaced is not None or len(self) < MAX_TRANSACTIONS):
            return None
        victim = self._queues.victim()
        if victim is None or victim.sender == new.sender or victim.size < lacking:
            raise Refused("mempool_full", "the mempool is full; try again when some of what waits is included")
        queue = self._queues.queue(victim.sender)
        length = len(queue.entries) if queue is not None else 0
        # A sender with no more than the newcomer's own is pushed out only by a higher fee.
        if length <= waiting + 1 and victim.rate() >= new.rate():
            raise Refused("mempool_full", "the mempool is full; a higher fee limit would find a place")
        return victim

    def _remove(self, entry: Entry) -> None:
        self._queues.remove(entry)
        self._forget_expiry(entry.transaction)

    def _forget_expiry(self, transaction: SignedTransaction) -> None:
        bucket = transaction.body.valid_until_ms >> EXPIRY_SHIFT
        expiring = self._expiring[bucket]
        del expiring[transaction.id]
        if not expiring:
            del self._expiring[bucket]

    # --- what happens to those that wait ------------------------------------------------------------------------------

    def on_proposed(self, transactions: Iterable[SignedTransaction], *, time_ms: int) -> None:
        """Note that a block of this time that may become final has these: they are not replaced or evicted.

        Until a block of that time or a later one is executed: then that block is dead, or they are gone.
        """
        for transaction in transactions:
            entry = self._queues.by_id.get(transaction.id)
            if entry is not None:
                entry.proposed_ms = max(entry.proposed_ms, time_ms)

    def on_executed(self, transactions: Iterable[SignedTransaction], *, now_ms: int) -> None:
        """Forget what an executed block has made pointless; call when `account_of` already shows its result.

        `now_ms` is the block's time.
        """
        senders: dict[PublicKey, None] = {}
        for transaction in transactions:
            self._included.add(transaction.id)
            senders[transaction.body.sender] = None
        for sender in senders:
            account = self._account_of(sender)
            for entry in self._queues.advance(sender, account.nonce):
                self._forget_expiry(entry.transaction)
            # Another transaction than the one that waited here may have been included, and have cost more.
            queue = self._queues.queue(sender)
            while queue is not None and queue.entries and queue.cost > unpack_amount(account.balance):
                self._remove(queue.last())
        self._queues.note_executed(now_ms)
        self.drop_expired(now_ms)

    def drop_expired(self, now_ms: int) -> None:
        """Forget what no block from this time on may include."""
        for bucket in sorted(each for each in self._expiring if each <= now_ms >> EXPIRY_SHIFT):
            for each in list(self._expiring[bucket]):
                entry = self._queues.by_id[each]
                if entry.transaction.body.valid_until_ms < now_ms:
                    self._remove(entry)

    # --- selection ----------------------------------------------------------------------------------------------------

    def select(
        self,
        *,
        max_gas: int,
        max_bytes: int,
        max_items: int,
        time_ms: int,
        next_nonce: Callable[[PublicKey], Nonce],
        blocked: frozenset[ShardId],
    ) -> list[SignedTransaction]:
        """Choose transactions for a block with this room and time, on the chain that `next_nonce` speaks of.

        `blocked` are destinations whose stream is full: a sender's queue ends at the first transaction for one. What is
        chosen stays here until a block with it is executed.
        """
        selection = Selection(max_gas, max_bytes, max_items, time_ms, blocked)
        lines = self._queues
        revisited = list(islice(lines.waiting.items(), MIN_REVISITED + max_items // REVISITED_SHARE))
        turn: list[tuple[PublicKey, SenderQueue, int]] = []
        for line in (revisited, lines.ready.items()):
            for sender, queue in line:
                if selection.is_full():
                    break
                nonce = next_nonce(sender)
                turn.append((sender, queue, nonce + 1 if selection.take(queue.entries.get(nonce)) else -1))
        for sender, queue, following in turn:
            # To the back of its line: of the first with something to offer, of the second without.
            lines.ready.pop(sender, None)
            lines.waiting.pop(sender, None)
            (lines.waiting if following < 0 else lines.ready)[sender] = queue
        while turn and not selection.is_full():
            turn = [
                (sender, queue, nonce + 1)
                for sender, queue, nonce in turn
                if nonce >= 0 and selection.take(queue.entries.get(nonce))
            ]
        return selection.chosen

    def has_offer(
        self,
        *,
        time_ms: int,
        next_nonce: Callable[[PublicKey], Nonce],
        blocked: frozenset[ShardId],
        max_waiting: int,
    ) -> bool:
        """Whether `select` would choose anything; nobody loses a turn by the question.

        Looks at no more than `max_waiting` senders of the second line, at others each time.
        """
        lines = self._queues
        probe = Selection(MAX_BYTES, MAX_BYTES, 1, time_ms, blocked)
        for line, looked_at in ((lines.ready, None), (lines.waiting, max_waiting)):
            passed_over: list[PublicKey] = []
            for sender, queue in islice(line.items(), looked_at):
                if probe.take(queue.entries.get(next_nonce(sender))):
                    break
                passed_over.append(sender)
            for sender in passed_over:
                lines.waiting[sender] = line.pop(sender)
            if probe.chosen:
                return True
        return False
