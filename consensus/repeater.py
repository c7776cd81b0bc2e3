"""Saying things again: messages get lost, and votes for an idle chain's tip must not be lost for ever.

- Relay: `relay_delay` after a view was entered, the certificate that opens it goes to the peers not seen in it, so
  that honest validators are in step again soon whoever withheld what from whom.
- Standstill: while something of ours is open (a vote in the current view, a certified view that is not finalized) and
  nothing moves for a view timeout, we send the last finalization, later certificates and our *journaled* votes again,
  and ask for the tip; then after twice as long, up to the largest timeout. A settled, idle validator is silent.
"""

from consensus.context import Context
from consensus.intake import Intake
from consensus.messages import (
    Certificates,
    Finalize,
    Notarize,
    Nullify,
    Proposed,
    TipRequest,
)
from consensus.views import ViewState
from primitives.identifiers import View
from primitives.marks import sometimes

MAX_FINALIZE_VOTES = 8
"""Own finalize votes repeated at once: any one of them finalizes everything below, the newest are likeliest to."""


class Repeater:
    """Decides when this validator repeats itself."""

    def __init__(self, context: Context, intake: Intake) -> None:
        self._context = context
        self._intake = intake
        self._relay_view = View(0)
        self._relay_ms = 0
        self._standing = (View(0), View(0), 0)
        self._since_ms = 0
        self._repeats = 0
        self._is_starting = False

    def start(self) -> None:
        """Ask everyone for the tip, and say what we said before we stopped, once the journal has taken effect."""
        self._is_starting = True

    def run(self) -> None:
        """Repeat what is due."""
        context = self._context
        now_ms = context.now.monotonic_ms
        self._observe()
        relay_ms = self._relay_due_ms()
        if relay_ms is not None and relay_ms <= now_ms:
            self._relay()
        retry_ms = self._retry_due_ms()
        if self._is_starting:
            self._is_starting = False
            self._repeat()
        elif retry_ms is not None and retry_ms <= now_ms:
            self._since_ms = now_ms
            self._repeats += 1
            self._repeat()

    def due_ms(self) -> list[int]:
        """List the times at which something is to be repeated."""
        return [time for time in (self._relay_due_ms(), self._retry_due_ms()) if time is not None]

    def _observe(self) -> None:
        """Notice progress: it starts the clocks anew."""
        context = self._context
        now_ms = context.now.monotonic_ms
        if context.views.current != self._relay_view:
            self._relay_view = context.views.current
            self._relay_ms = now_ms + context.rules.relay_delay_ms
        standing = (context.views.current, context.views.finalized, len(context.current.own_votes))
        if standing != self._standing:
            self._standing = standing
            self._since_ms = now_ms
            self._repeats = 0

    def _relay_due_ms(self) -> int | None:
        views = self._context.views
        if views.current != self._relay_view or self._relay_ms < 0 or views.entry(views.current) is None:
            return None
        return self._relay_ms if any(self._is_lagging(peer) for peer in self._context.peers) else None

    def _relay(self) -> None:
        context = self._context
        entry = context.views.entry(context.views.current)
        self._relay_ms = -1  # once a view
        for peer in context.peers:
            if entry is not None and self._is_lagging(peer):
                context.outbox.send(peer, entry)

    def _is_lagging(self, peer: int) -> bool:
        return self._intake.seen_views[peer] < self._context.views.current

    def _retry_due_ms(self) -> int | None:
        context = self._context
        is_open = bool(context.current.own_votes) or context.views.highest_certified > context.views.finalized
        if not context.peers or not (is_open or not context.can_sign or context.is_behind()):
            return None
        interval_ms = context.pacer.timeout_ms() << min(self._repeats, 8)
        return self._since_ms + min(interval_ms, context.rules.max_timeout_ms)

    def _repeat(self) -> None:
        context = self._context
        views = context.views
        certificates = self._intake.further(views.finalized, -1)
        if certificates:
            context.outbox.broadcast(Certificates(tuple(certificates)))
        for kind, vote in sorted(context.current.own_votes.items()):
            if kind != Notarize.kind or not self._propose_again(context.current):
                context.outbox.broadcast(vote)
        votes = [state.own_votes[Finalize.kind] for state in views.unsettled() if Finalize.kind in state.own_votes]
        for vote in votes[:MAX_FINALIZE_VOTES]:
            context.outbox.broadcast(vote)
        context.outbox.broadcast(TipRequest(views.current, views.finalized))

    def _propose_again(self, state: ViewState) -> bool:
        """Send our proposal again to the peers that have not answered it; False when it is not ours or not needed."""
        context = self._context
        justification = state.own_justification
        if justification is None or state.tally is None or state.notarization is not None:
            return False
        vote = state.own_votes[Notarize.kind]
        held = None
        if isinstance(vote.statement, Notarize):
            held = context.chain.get(vote.statement.proposal.block_id)
        if held is None:
            return False
        for peer in context.peers:
            if not state.tally.has(Notarize.kind, peer) and not state.tally.has(Nullify.kind, peer):
                sometimes("a proposal sent again")
                context.outbox.send(peer, Proposed(vote, justification, held.raw))
        return False
