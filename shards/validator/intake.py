"""What comes in from outside: transactions and bundles, from clients, relays and peers.

Cheapest check first: length, known already, form, terms; signatures and proofs last and only for what would be of
use. What is new goes to the mempool or the inbox and, as the bytes it came in, to the other validators; what a peer
passes on is passed on no further.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from hashlib import sha256

from consensus.effects import Broadcast
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId, ValidatorIndex
from primitives.signatures import SignatureScheme
from shards.bundles import Bundle, bundle_gas, decode_bundle, verify_bundle
from shards.genesis import ChainContext
from shards.limits import BLOCK_GAS, LOCAL_GAS, MAX_BUNDLE_BYTES
from shards.mempool import Mempool
from shards.transactions import SignedTransaction
from shards.validator import wire
from shards.validator.desk import Origin, SignatureDesk, WhenVerified
from shards.validator.effects import Answer, Effect, Submission
from shards.validator.inbox import Inbox, Position, WaitingBundle, advances

MAX_OUTSTANDING_SIGNATURES = 8192
"""Of clients' transactions: about 0.35 s of one core's verifying; beyond it they are told to come back."""

MAX_OUTSTANDING_GOSSIP = 4 * wire.MAX_BATCH_TRANSACTIONS
"""Signatures of one peer's gossip; what is beyond is dropped, and repeated later. No peer takes the clients' share."""

MAX_OUTSTANDING_BYTES = 16 * 1024 * 1024
"""Of clients' transactions with those signatures: as much as the mempool holds."""

MAX_OUTSTANDING_GOSSIP_BYTES = 8 * wire.MAX_BATCH_BYTES
"""Of one peer's, 2 MiB: large transactions are few."""

MAX_VERIFIED_BUNDLES = 256
"""Verified bundles remembered by hash, so that one seen by gossip is not verified again in a block."""

MAX_REPEATED_BUNDLES = 4
"""Repeated at once: at most 1 MiB."""


class Intake:
    """The receiving half of a validator."""

    def __init__(
        self,
        context: ChainContext,
        shard: ShardId,
        scheme: SignatureScheme,
        mempool: Mempool,
        inbox: Inbox,
        desk: SignatureDesk,
        emit: Callable[[Effect], None],
    ) -> None:
        self._context = context
        self._shard = shard
        self._scheme = scheme
        self._mempool = mempool
        self._inbox = inbox
        self._desk = desk
        self._emit = emit
        self._outstanding_bytes: Counter[Origin] = Counter()
        self._verified_bundles: OrderedDict[bytes, None] = OrderedDict()
        self._repeated_transactions = 0
        self._repeated_bundles = 0

    def submit_transactions(self, request: int, raws: tuple[bytes, ...], now_ms: Milliseconds) -> None:
        """Admit a client's transactions and answer once their signatures are checked."""
        results: list[Submission | None] = []
        parsed: list[SignedTransaction] = []
        size = 0
        for raw in raws:
            try:
                if self._desk.outstanding(None) + len(parsed) >= MAX_OUTSTANDING_SIGNATURES or (
                    self._outstanding_bytes[None] + size + len(raw) > MAX_OUTSTANDING_BYTES
                ):
                    raise Refused("busy", "too many signatures wait to be verified; submit again in a second")
                parsed.append(self._mempool.check(raw, now_ms=now_ms))
                size += len(raw)
                results.append(None)
            except Refused as error:
                results.append(_submission(raw, error))

        def done(verdicts: tuple[bool, ...]) -> None:
            admitted = iter(self._admit(parsed, verdicts, now_ms, from_client=True))
            self._emit(Answer(request, tuple(result or next(admitted) for result in results)))

        self._verify(parsed, done, None)

    def receive_transactions(self, raws: tuple[bytes, ...], now_ms: Milliseconds, peer: ValidatorIndex) -> None:
        """Take in a peer's gossip. What is refused is dropped: its sender has been told by that peer."""
        size = self._outstanding_bytes[peer] + sum(map(len, raws))
        if self._desk.outstanding(peer) + len(raws) > MAX_OUTSTANDING_GOSSIP or size > MAX_OUTSTANDING_GOSSIP_BYTES:
            return
        parsed: list[SignedTransaction] = []
        for raw in raws:
            try:
                parsed.append(self._mempool.check(raw, now_ms=now_ms))
            except Refused:
                continue
        if parsed:
            self._verify(parsed, lambda verdicts: self._gossiped(parsed, verdicts, now_ms), peer)

    def _verify(self, parsed: list[SignedTransaction], done: WhenVerified, origin: Origin) -> None:
        """Have signatures verified, and count how much is held for it."""
        size = sum(len(transaction.raw) for transaction in parsed)
        self._outstanding_bytes[origin] += size

        def verified(verdicts: tuple[bool, ...]) -> None:
            self._outstanding_bytes[origin] -= size
            done(verdicts)

        self._desk.ask([transaction.signature_item() for transaction in parsed], verified, origin)

    def submit_bundle(self, request: int, raw: bytes, position_of: Callable[[ShardId], Position]) -> None:
        """Take in a relay's bundle and answer at once."""
        name = sha256(raw[: MAX_BUNDLE_BYTES + 1]).digest()
        try:
            if self._take_bundle(raw, position_of):
                status = Submission("accepted", name)
                self._emit(Broadcast(wire.pack(wire.PeerKind.BUNDLE, raw)))
            else:
                status = Submission("known", name)
        except Refused as error:
            status = Submission("refused", name, error.code, error.detail)
        self._emit(Answer(request, (status,)))

    def receive_bundle(self, raw: bytes, position_of: Callable[[ShardId], Position]) -> None:
        """Take in a bundle that a peer passes on.

        Raises:
            Refused: it proves nothing, which an honest peer would have seen, or is of no use here.

        """
        self._take_bundle(raw, position_of)

    def verify_bundle(self, raw: bytes, bundle: Bundle) -> None:
        """Verify a bundle's proof unless these very bytes have been verified before.

        Raises:
            Refused: what `shards.bundles.verify_bundle` raises.

        """
        name = sha256(raw).digest()
        if name in self._verified_bundles:
            return
        verify_bundle(bundle, self._context, self._shard, self._scheme)
        self._verified_bundles[name] = None
        if len(self._verified_bundles) > MAX_VERIFIED_BUNDLES:
            self._verified_bundles.popitem(last=False)

    def _take_bundle(self, raw: bytes, position_of: Callable[[ShardId], Position]) -> bool:
        """Verify and keep a bundle; False when it brings nothing that is not executed or waiting already."""
        bundle = decode_bundle(raw)
        source = ShardId(bundle.head.source)
        if source >= self._context.shard_count or source == self._shard:
            raise Refused("wrong_lane", f"there is no stream from shard {source} to shard {self._shard}")
        position = position_of(source)
        if position.frozen:
            raise Refused(
                "lane_frozen", f"the streams with shard {source} are frozen: its validators contradicted them"
            )
        if not advances(bundle, position):
            return False
        waiting = WaitingBundle(raw, bundle, bundle_gas(bundle))
        if waiting.gas > BLOCK_GAS - LOCAL_GAS:
            raise Refused(
                "too_much_gas",
                f"the bundle needs {waiting.gas} gas, a block has {BLOCK_GAS - LOCAL_GAS}; bring fewer messages",
            )
        self.verify_bundle(raw, bundle)
        return self._inbox.add(waiting, position)

    def _admit(
        self, parsed: list[SignedTransaction], verdicts: tuple[bool, ...], now_ms: Milliseconds, *, from_client: bool
    ) -> list[Submission]:
        results: list[Submission] = []
        fresh: list[bytes] = []
        for transaction, good in zip(parsed, verdicts, strict=True):
            try:
                if not good:
                    raise Refused(
                        "bad_signature", "the signature is not the sender's over this transaction; sign it again"
                    )
                self._mempool.insert(transaction, now_ms=now_ms, from_client=from_client)
                fresh.append(transaction.raw)
                results.append(Submission("accepted", transaction.id))
            except Refused as error:
                results.append(_submission(transaction.raw, error))
        if from_client:
            self._gossip(fresh)
        return results

    def _gossiped(self, parsed: list[SignedTransaction], verdicts: tuple[bool, ...], now_ms: Milliseconds) -> None:
        self._admit(parsed, verdicts, now_ms, from_client=False)

    def _gossip(self, raws: list[bytes]) -> None:
        while raws:
            count = wire.first_batch(raws)
            self._emit(Broadcast(wire.pack_transactions(tuple(raws[:count]))))
            raws = raws[count:]

    def repeat(self, position_of: Callable[[ShardId], Position]) -> None:
        """Say again some of what waits here, in turn and bounded: a peer may have missed it."""
        if self._repeated_transactions >= len(self._mempool):
            self._repeated_transactions = 0
        oldest = self._mempool.oldest(wire.MAX_BATCH_TRANSACTIONS, self._repeated_transactions)
        waiting = [transaction.raw for transaction in oldest]
        waiting = waiting[: wire.first_batch(waiting)]
        self._repeated_transactions += len(waiting)
        self._gossip(waiting)
        bundles = self._inbox.fitting(position_of)
        if self._repeated_bundles >= len(bundles):
            self._repeated_bundles = 0
        chosen = bundles[self._repeated_bundles :][:MAX_REPEATED_BUNDLES]
        self._repeated_bundles += len(chosen)
        for each in chosen:
            self._emit(Broadcast(wire.pack(wire.PeerKind.BUNDLE, each.raw)))


def _submission(raw: bytes, error: Refused) -> Submission:
    if error.code == "known":
        return Submission("known", Mempool.id_of(raw), detail=error.detail)
    return Submission("refused", Mempool.id_of(raw), error.code, error.detail)
