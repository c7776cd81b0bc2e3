"""What comes from peers: the cheapest check first, help for those who are behind, nothing unbounded.

Votes are taken from their signer's own link only, for views from `last finalized - retention` to `current + 1`;
certificates from anyone, for any view above the last finalized one: a verified certificate is the one thing that can
take us forward by more than one view.
"""

from consensus.block import block_id_of, decode_block
from consensus.catchup import CatchUp
from consensus.context import Context
from consensus.effects import ServeArchive
from consensus.messages import (
    MAX_CERTIFICATES,
    ArchiveAnswer,
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    Certificate,
    Certificates,
    Finalize,
    Message,
    Notarize,
    Proposal,
    Proposed,
    TipRequest,
    ViewsRequest,
    Vote,
    decode_message,
    justification_hash,
    signed_bytes,
)
from consensus.views import check_shape
from primitives.errors import Refused
from primitives.identifiers import ValidatorIndex, View
from primitives.marks import sometimes

HELP_INTERVAL_MS = 250
"""A peer that is behind gets unasked help at most so often: its own repetitions are slower."""

MAX_ANSWERS_PER_SECOND = 64
"""For one peer. A straggler with one request in flight for each thing does not get near; a flood costs no more."""


MAX_FORGERIES_PER_SECOND = 8
"""Of one peer. Each costs a quorum of signatures, 0.1 to 0.9 ms; an honest peer has verified what it passes on, so who
goes beyond is not listened to for the rest of the second."""

_FORGED = ("bad_certificate", "bad_signature")


class Intake:
    """Handles what peers send."""

    def __init__(self, context: Context, catchup: CatchUp) -> None:
        self._context = context
        self._catchup = catchup
        size = context.committee.size
        self.seen_views = [View(0)] * size
        """The highest view each peer has shown to be in."""
        self._helped_ms = [-HELP_INTERVAL_MS] * size
        self._answers = [0] * size
        self._forgeries = [0] * size
        self._second = 0

    def hear(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Take a peer's message.

        Raises:
            Refused: saying what is wrong with it; nothing was changed by what is wrong.

        """
        context = self._context
        if sender not in context.peers:
            raise Refused("unknown_sender", f"{sender} is no other validator of this committee")
        self._note_second()
        if self._forgeries[sender] >= MAX_FORGERIES_PER_SECOND:
            raise Refused("too_many_forgeries", f"validator {sender} sent too much that nobody signed in this second")
        try:
            self._take(sender, decode_message(raw), raw)
        except Refused as refused:
            self._forgeries[sender] += refused.code in _FORGED
            raise

    def _note_second(self) -> None:
        second = self._context.now.monotonic_ms // 1000
        if second != self._second:
            self._second = second
            self._answers = [0] * len(self._answers)
            self._forgeries = [0] * len(self._forgeries)

    def _take(self, sender: ValidatorIndex, message: Message, raw: bytes) -> None:
        context = self._context
        match message:
            case Vote():
                self._hear_vote(sender, message)
            case Certificate():
                context.hear_certificate(message)
            case Proposed():
                self._hear_proposed(sender, message)
            case Certificates():
                for certificate in message.certificates:
                    context.hear_certificate(certificate)
            case BlockAnswer():
                self._catchup.hear_block(sender, message)
            case ArchiveAnswer():
                self._catchup.hear_archive(sender, message)
            case TipRequest() | ViewsRequest() | BlockRequest() | ArchiveRequest():
                self._answer(sender, message, raw)

    def help(self, peer: ValidatorIndex, view: int, finalized: int) -> None:
        """Send a peer what takes it beyond `view` and the `finalized` view it knows, unless helped a moment ago."""
        context = self._context
        now_ms = context.now.monotonic_ms
        if now_ms - self._helped_ms[peer] < HELP_INTERVAL_MS:
            return
        certificates = self.further(view, finalized)
        if certificates:
            sometimes("a straggler helped")
            self._helped_ms[peer] = now_ms
            context.outbox.send(peer, Certificates(tuple(certificates)))

    def further(self, view: int, finalized: int) -> list[Certificate]:
        """The last finalization, if newer than `finalized`, and the newest certificates of `view` and later ones."""
        views = self._context.views
        found = [views.finality] if views.finality is not None and views.finalized > finalized else []
        later: list[Certificate] = []
        for state in views.unsettled():
            if state.view < view or len(later) >= MAX_CERTIFICATES // 4:
                break
            later += state.certificates()
        return found + later

    def _hear_vote(self, sender: ValidatorIndex, vote: Vote) -> None:
        context = self._context
        self._check_signer(sender, vote)
        statement = vote.statement
        view = statement.view
        in_view = View(view + 1) if isinstance(statement, Finalize) else view
        self.seen_views[sender] = max(self.seen_views[sender], in_view)
        if view > context.views.current + 1:
            sometimes("a vote from far ahead")
            self._ask_tip(sender)
            return
        is_new = view >= context.views.floor and context.count(vote, verified=False)
        # A repeated vote, or one of a view that was settled long ago, is from a peer that is stuck there.
        if not is_new or view + 1 < context.views.finalized:
            self.help(sender, view, context.views.finalized - 1)

    def _hear_proposed(self, sender: ValidatorIndex, message: Proposed) -> None:
        context = self._context
        vote = message.vote
        self._check_signer(sender, vote)
        if not isinstance(vote.statement, Notarize):
            raise Refused("bad_proposal", "its vote must be the leader's notarize vote")
        proposal = vote.statement.proposal
        if context.committee.leader(proposal.view) != sender:
            raise Refused("wrong_leader", f"validator {sender} does not lead view {proposal.view}")
        self.seen_views[sender] = max(self.seen_views[sender], proposal.view)
        state = context.views.get(proposal.view)
        is_known = state is not None and state.proposed is not None and state.proposed.vote.statement == vote.statement
        if proposal.view <= context.views.finalized or is_known:
            self.help(sender, proposal.view, context.views.finalized - 1)
            return
        check_shape(proposal, message.justification)
        if justification_hash(message.justification) != proposal.justification_hash:
            raise Refused("bad_proposal", "the justification is not the one that the vote names")
        key = context.committee.keys[sender]
        if context.scheme.verify_many([(key, signed_bytes(vote.statement, context.committee), vote.signature)]) != [
            True
        ]:
            raise Refused("bad_signature", f"the proposal of view {proposal.view} is not signed by its leader")
        self._take_justification(message)
        self._take_block(message, proposal)

    def _take_block(self, message: Proposed, proposal: Proposal) -> None:
        context = self._context
        current = context.views.current
        is_open = current <= proposal.view <= current + 1
        if proposal.view > current + 1:
            return
        state = context.views.at(proposal.view)
        context.count(message.vote, verified=True)
        is_wanted = context.fetcher.wants(BlockRequest(proposal.block_id))
        if not is_wanted and (not is_open or state.proposed is not None):
            return
        block = decode_block(message.block)
        if block_id_of(block.header) != proposal.block_id:
            raise Refused("bad_proposal", f"the block is not the one that the vote for view {proposal.view} names")
        context.chain.add(proposal.block_id, block, message.block)
        if is_open and state.proposed is None:
            state.proposed = message
            state.proposed_ms = context.now.monotonic_ms
            context.pacer.note_block(context.now.monotonic_ms, proposal.view)

    def _take_justification(self, message: Proposed) -> None:
        """Learn the certificates that we do not hold. A bad one refuses the proposal: its leader is faulty."""
        justification = message.justification
        parent = (justification.parent,) if justification.parent is not None else ()
        for certificate in (*parent, *justification.nullifications):
            self._context.hear_certificate(certificate)

    def _check_signer(self, sender: ValidatorIndex, vote: Vote) -> None:
        epoch = self._context.committee.epoch
        if vote.statement.epoch != epoch:
            raise Refused("wrong_epoch", f"a vote of epoch {vote.statement.epoch} in epoch {epoch}")
        if vote.signer != sender:
            raise Refused("impersonation", f"validator {sender} sends a vote of validator {vote.signer}")
        if vote.statement.view == 0:
            raise Refused("bad_vote", "view 0 is the genesis; nobody votes in it")

    def _answer(
        self,
        peer: ValidatorIndex,
        request: TipRequest | ViewsRequest | BlockRequest | ArchiveRequest,
        raw: bytes,
    ) -> None:
        context = self._context
        if self._answers[peer] >= MAX_ANSWERS_PER_SECOND:
            raise Refused("too_many_requests", f"more than {MAX_ANSWERS_PER_SECOND} a second")
        self._answers[peer] += 1
        match request:
            case TipRequest():
                self.seen_views[peer] = request.view
                self.help(peer, request.view, request.finalized)
            case ViewsRequest():
                certificates = self._closed(request)
                if certificates:
                    context.outbox.send(peer, Certificates(tuple(certificates)))
            case BlockRequest():
                held = context.chain.get(request.block_id)
                if held is not None:
                    context.outbox.send(peer, BlockAnswer(held.raw))
                else:
                    context.outbox.emit(ServeArchive(peer, raw))
            case ArchiveRequest():
                if request.first <= context.chain.tip.height:
                    context.outbox.emit(ServeArchive(peer, raw))

    def _closed(self, request: ViewsRequest) -> list[Certificate]:
        views = self._context.views
        found = [views.finality] if views.finality is not None and views.finalized >= request.first else []
        if request.last - request.first >= MAX_CERTIFICATES // 2:
            raise Refused("bad_request", f"views {request.first} to {request.last} are more than one answer holds")
        for view in range(max(request.first, views.finalized + 1), request.last + 1):
            state = views.get(View(view))
            found += state.certificates() if state is not None else []
        return found[:MAX_CERTIFICATES]

    def _ask_tip(self, peer: ValidatorIndex) -> None:
        """Ask a peer that is ahead of us, at most as often as we would help one."""
        context = self._context
        if context.now.monotonic_ms - self._helped_ms[peer] >= HELP_INTERVAL_MS:
            self._helped_ms[peer] = context.now.monotonic_ms
            context.outbox.send(peer, TipRequest(context.views.current, context.views.finalized))
