"""The validator core: consensus, execution, commitments, mempool and streams as one pure state machine.

`handle(event, at) -> effects` is all there is. The real process and the simulator drive this same object. One
transfer passes through it like this (docs/one-transfer.md has the whole story):

    TransactionsSubmitted  -> intake: checked, verified, into the mempool, gossiped
    BuildBlock/CheckBlock  -> the leader's block is built here, everybody's vote is decided here
    Finalized              -> pipeline: executed in its turn, committed to, signed
    PeerSent (signatures)  -> certifier: a quorum makes the commitment certificate
    BundleSubmitted        -> intake: verified without any state, into the inbox, proposed next time

Deviation from "all computation is an effect": a certificate's few signatures (0.1 to 1 ms) are verified in place.
"""

from collections import Counter, deque
from dataclasses import dataclass

from consensus import effects as asked
from consensus import events as told
from consensus.block import Block
from consensus.journal import Recovered as RecoveredConsensus
from consensus.journal import genesis_writes
from consensus.journal import recover as recover_consensus
from consensus.pacing import Rules
from consensus.replica import Replica
from primitives.codec import encode
from primitives.errors import NotYet, Refused
from primitives.identifiers import BlockId, Height, Milliseconds, SecretSeed, ShardId, ValidatorIndex
from primitives.instant import Instant
from primitives.marks import sometimes
from primitives.signatures import SignatureScheme
from primitives.storage import Reader, Write
from shards import chain_store
from shards.commitments import CommitmentCertificate
from shards.genesis import ChainContext
from shards.ledger import Ledger
from shards.mempool import Mempool
from shards.validator import builder, wire
from shards.validator.alarm import DUE_TIMER, Alarm
from shards.validator.desk import SignatureDesk
from shards.validator.effects import Effect, Halt, ServeArchive
from shards.validator.events import (
    BlockExecuted,
    BlockLoaded,
    BundleSubmitted,
    Event,
    PeerSent,
    SignaturesChecked,
    Started,
    TimerFired,
    TransactionsSubmitted,
)
from shards.validator.inbox import Inbox, Position
from shards.validator.intake import Intake
from shards.validator.pending import ParsedBlock, PendingChain
from shards.validator.pipeline import Pipeline
from shards.validator.status import CoreStatus, Held
from shards.validator.voting import Voting

CONSENSUS_TIMER = "consensus/"
REPEAT_TIMER = "repeat"
REPEAT_MS = 1000
"""How often unfinished business is said again. Links lose frames only when they break, so this is for repair."""

HELP_MS = 500
"""A peer that shows that it lacks a certificate is sent the newest one at most so often."""

MAX_PROOFS_PER_SECOND = 256
"""Certificates and bundles looked at from one peer: each may cost a quorum of signatures, a few per cent of a core."""

LOOKED_AT = 64
LOOKED_AT_RARELY = 2048
"""Senders passed over before (their stream was full, their nonce too high) who are asked again at every change,
0.2 ms, and at every repetition: so that no number of them hides the one who has something to offer."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a store gives back at start-up."""

    consensus: RecoveredConsensus
    certificate: CommitmentCertificate | None
    offences: tuple[tuple[ValidatorIndex, str], ...] = ()


def recover(reader: Reader) -> Recovered:
    """Read back what `Persist` effects wrote."""
    return Recovered(recover_consensus(reader), chain_store.latest_certificate(reader), chain_store.offences(reader))


def initial_writes() -> tuple[Write, ...]:
    """What a data folder must hold before its validator's first start, and only then (protocol.md section 2)."""
    return genesis_writes()


class ValidatorCore:
    """One validator of one shard. `me` and `seed` are None for a follower, which checks and serves but never signs."""

    def __init__(
        self,
        context: ChainContext,
        shard: ShardId,
        me: ValidatorIndex | None,
        seed: SecretSeed | None,
        scheme: SignatureScheme,
        rules: Rules,
        ledger: Ledger,
        recovered: Recovered,
    ) -> None:
        self.context = context
        self.shard = shard
        self.me = me
        self.ledger = ledger
        self.inbox = Inbox()
        self.mempool = Mempool(context, shard, ledger.account)
        self._committee = context.committee(shard)
        self.replica = Replica(
            self._committee,
            me,
            seed,
            scheme,
            rules,
            context.genesis_block_id(shard),
            Milliseconds(context.genesis.time_ms),
            recovered.consensus,
        )
        signer = None if me is None or seed is None else (me, seed)
        self._pipeline = Pipeline(
            self._committee, signer, scheme, ledger, self.replica.tip.height, self._emit, self._blame
        )
        if recovered.certificate is not None:
            self._pipeline.restore_certificate(recovered.certificate)
        self._desk = SignatureDesk(self._emit)
        self._intake = Intake(context, shard, scheme, self.mempool, self.inbox, self._desk, self._emit)
        self._voting = Voting(
            *(context, shard, scheme, ledger, self._pipeline, self.mempool, self.inbox, self._desk),
            self._intake.verify_bundle,
        )
        self._out: list[Effect] = []
        self._at = Instant(0, Milliseconds(0))
        self._halted = ""
        self._had_work = False
        self._work = False
        self._work_chain: tuple[object, ...] = ()
        self._work_offers: tuple[int, int, int] = (0, 0, 0)
        self._repetitions = 0
        self._repeating = False
        self._alarm = Alarm(ledger, self._emit)
        self._proofs_second = 0
        self._proofs: Counter[ValidatorIndex] = Counter()
        self._helped_ms: dict[ValidatorIndex, int] = {}
        self._offences = dict.fromkeys(recovered.offences)
        """Culprits and what they did, for which the store holds evidence; a dict for its order."""

    @property
    def certified(self) -> CommitmentCertificate | None:
        """The newest certificate of this shard that is known here."""
        return self._pipeline.certifier.newest

    def status(self) -> CoreStatus:
        """Where this validator stands."""
        certified = self.certified
        return CoreStatus(
            shard=self.shard,
            me=self.me,
            view=self.replica.view,
            leader=self.replica.leader,
            finalized_height=self._pipeline.finalized,
            executed_height=self.ledger.height,
            certified_height=Height(0 if certified is None else certified.commitment.height),
            time_ms=self.ledger.time_ms,
            mempool_transactions=len(self.mempool),
            inbox_bundles=len(self.inbox),
            blamed=tuple(dict.fromkeys(culprit for culprit, _ in self._offences)),
            halted=self._halted,
        )

    def held(self) -> Held:
        """How much it keeps in memory for others."""
        return Held(
            views=self.replica.held_views,
            blocks=self.replica.held_blocks,
            heights=len(self._pipeline.certifier),
            bundles=len(self.inbox),
            transactions=len(self.mempool),
            transaction_bytes=self.mempool.size_bytes,
        )

    def handle(self, event: Event, at: Instant) -> tuple[Effect, ...]:
        """Take in one event; the effects are to be performed in order. A halted core does nothing any more."""
        if self._halted:
            return ()
        self._at = at
        match event:
            case Started():
                self._tell(told.Started())
                self._pipeline.start()
            case PeerSent():
                self._on_peer(event)
            case TransactionsSubmitted():
                self._intake.submit_transactions(event.request, event.raws, at.wall_ms)
            case BundleSubmitted():
                self._intake.submit_bundle(event.request, event.raw, self._executed_position)
            case TimerFired():
                self._on_timer(event.name)
            case SignaturesChecked():
                self._desk.answer(event.batch, event.verdicts)
            case BlockLoaded():
                self._pipeline.on_loaded(event, self._voting.parse)
            case BlockExecuted():
                self._on_executed(event)
        self._note_work()
        effects, self._out = tuple(self._out), []
        return effects

    def _emit(self, effect: Effect) -> None:
        if self._halted:
            return
        self._out.append(effect)
        if isinstance(effect, Halt):
            self._halted = effect.reason

    def _on_peer(self, event: PeerSent) -> None:
        try:
            kind, content = wire.unpack(event.raw)
            match kind:
                case wire.PeerKind.CONSENSUS:
                    self._tell(told.MessageReceived(event.peer, content))
                case wire.PeerKind.TRANSACTIONS:
                    self._intake.receive_transactions(wire.unpack_transactions(content), self._at.wall_ms, event.peer)
                case wire.PeerKind.COMMITMENT_SIGNATURE:
                    self._on_commitment_signature(content, event.peer)
                case wire.PeerKind.CERTIFICATE:
                    self._count_proof(event.peer)
                    self._pipeline.on_certificate(wire.unpack_certificate(content))
                case wire.PeerKind.BUNDLE:
                    self._count_proof(event.peer)
                    self._intake.receive_bundle(content, self._executed_position)
        except Refused as error:
            self._emit(asked.Note("refused_from_peer", f"validator {event.peer}: {error}"))

    def _count_proof(self, peer: ValidatorIndex) -> None:
        second = self._at.monotonic_ms // 1000
        if second != self._proofs_second:
            self._proofs_second = second
            self._proofs.clear()
        if self._proofs[peer] >= MAX_PROOFS_PER_SECOND:
            raise Refused("too_many_proofs", f"more than {MAX_PROOFS_PER_SECOND} certificates and bundles in a second")
        self._proofs[peer] += 1

    def _on_commitment_signature(self, content: bytes, peer: ValidatorIndex) -> None:
        lacks_certificate = self._pipeline.on_signature(wire.unpack_signature(content), peer)
        now_ms = self._at.monotonic_ms
        if lacks_certificate and self.certified is not None and now_ms >= self._helped_ms.get(peer, now_ms):
            sometimes("a peer given the certificate that it lacked")
            self._helped_ms[peer] = now_ms + HELP_MS
            self._emit(asked.Send(peer, wire.pack(wire.PeerKind.CERTIFICATE, encode(self.certified))))

    def _on_timer(self, name: str) -> None:
        if name.startswith(CONSENSUS_TIMER):
            self._tell(told.TimerFired(name.removeprefix(CONSENSUS_TIMER)))
        elif name == REPEAT_TIMER:
            self._repeating = False
            self._repetitions += 1
            self.mempool.drop_expired(self._at.wall_ms)
            self._intake.repeat(self._executed_position)
            self._pipeline.repeat_signature()
        elif name == DUE_TIMER:
            self._alarm.ring(self._at)

    def _on_executed(self, event: BlockExecuted) -> None:
        block = self._pipeline.on_executed(event.execution)
        if block is None:
            return
        self.mempool.on_executed(block.transactions, now_ms=block.time_ms)
        for source in self.inbox.sources():
            self.inbox.settle(source, self._executed_position(source))
        self._tell(told.ApplicationAdvanced())

    def _tell(self, event: told.Event) -> None:
        """Let consensus hear an event, and answer on the spot what it asks of the ledger."""
        waiting: deque[told.Event] = deque([event])
        while waiting and not self._halted:
            for effect in self.replica.handle(waiting.popleft(), self._at):
                match effect:
                    case asked.BuildBlock():
                        waiting.append(told.BlockBuilt(effect.view, self._voting.build(effect, self._at.wall_ms)))
                    case asked.CheckBlock():
                        waiting.extend(self._voting.check(effect, self._tell))
                    case asked.Finalized():
                        self._pipeline.on_finalized(self._parse_final(effect.block_id, effect.block))
                    case asked.Blame():
                        self._blame(effect)
                    case asked.ServeArchive():
                        self._emit(ServeArchive(effect.peer, effect.request))
                    case _:
                        self._pass_on(effect)

    def _pass_on(
        self, effect: asked.Persist | asked.Send | asked.Broadcast | asked.SetTimer | asked.CancelTimer | asked.Note
    ) -> None:
        """What consensus asks of the world, under its own kind of message and its own names of timers."""
        match effect:
            case asked.Send():
                effect = asked.Send(effect.to, wire.pack(wire.PeerKind.CONSENSUS, effect.raw))
            case asked.Broadcast():
                effect = asked.Broadcast(wire.pack(wire.PeerKind.CONSENSUS, effect.raw))
            case asked.SetTimer():
                effect = asked.SetTimer(CONSENSUS_TIMER + effect.name, effect.at_ms)
            case asked.CancelTimer():
                effect = asked.CancelTimer(CONSENSUS_TIMER + effect.name)
            case asked.Persist() | asked.Note():
                pass
        self._emit(effect)

    def _parse_final(self, block_id: BlockId, block: Block) -> ParsedBlock:
        try:
            return self._voting.parse(block_id, block)
        except Refused as error:
            self._emit(Halt(f"more than f validators finalized the malformed block {block.header.height}: {error}"))
            return ParsedBlock(block_id, Height(block.header.height), self.ledger.time_ms, block, (), (), 0)

    def _executed_position(self, source: ShardId) -> Position:
        return PendingChain(self.ledger, ()).position(source)

    def _blame(self, effect: asked.Blame) -> None:
        if (effect.culprit, effect.kind) in self._offences:
            return  # one is enough, and a faulty validator may do it again in every view
        self._offences[effect.culprit, effect.kind] = None
        self._emit(asked.Persist(chain_store.evidence_writes(effect.culprit, effect.kind, effect.evidence)))
        self._emit(asked.Note("blame", f"validator {effect.culprit}: {effect.kind}: {effect.evidence.hex()}"))

    def _note_work(self) -> None:
        """Tell consensus when there begins or ceases to be something to put into a block, and keep repeating alive."""
        if self._halted:
            return
        self._alarm.follow(self._at)
        has_work = self._has_work()
        if has_work != self._had_work:
            self._had_work = has_work
            self._tell(told.WorkChanged(has_work))
        if self._repeating:
            return
        if len(self.mempool) or self._pipeline.is_uncertified or self.inbox.fitting(self._executed_position):
            self._repeating = True
            self._emit(asked.SetTimer(REPEAT_TIMER, self._at.monotonic_ms + REPEAT_MS))

    def _has_work(self) -> bool:
        """Whether a block on the pending chain would do anything. Looked at again only when something changed."""
        pending = self.replica.pending_chain
        tip = pending[-1].header.items_root if pending else None
        certified = 0 if self.certified is None else self.certified.commitment.height
        chain = (
            self.ledger.height,
            self._pipeline.finalized,
            certified,
            len(pending),
            tip,
            self._alarm.is_due(self._at),
        )
        offers = (self.mempool.arrivals, self.inbox.changes, self._repetitions)
        if chain == self._work_chain and (self._work or offers == self._work_offers):
            return self._work  # what is more to offer does not end work
        is_repetition = self._repetitions != self._work_offers[-1]
        self._work_chain, self._work_offers = chain, offers
        self._work = self._find_work(pending, LOOKED_AT_RARELY if is_repetition else LOOKED_AT)
        return self._work

    def _find_work(self, pending: tuple[Block, ...], max_waiting: int) -> bool:
        tip = pending[-1].header if pending else self.replica.tip
        if not builder.may_have_items(tip.height + 1, self.certified):
            return False  # until what is final is certified
        try:
            chain = self._voting.chain(pending)
        except NotYet:
            return bool(len(self.mempool) or len(self.inbox))
        time_ms = max(tip.time_ms + 1, self._at.wall_ms)
        if not chain.blocks and self.ledger.has_local_work(time_ms):
            return True  # blocks that are not executed yet take it up, and execution shows what is left
        return bool(self.inbox.fitting(chain.position)) or self.mempool.has_offer(
            time_ms=time_ms,
            next_nonce=chain.next_nonce,
            blocked=builder.full_streams(chain, self.context, self.shard),
            max_waiting=max_waiting,
        )
