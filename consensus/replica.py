"""Simplex consensus as a deterministic state machine: `handle(event, at) -> effects`. This text is the protocol.

Source: Chan and Pass, "Simplex Consensus" (TCC 2023), in the form that Commonware and TON run. n validators, at most
f = (n - 1) // 3 faulty, quorum q = n - f. Views are numbered from 1; view 0 is the genesis, finalized by definition.
The leader of view v is validator (epoch + v) mod n. Each view tries one proposal P = (epoch, view, parent view,
block id, justification hash) and ends in a notarization, a nullification, or both.

**On entering view v** (`Context.enter`): as leader, once a block is expected of us (`pacing`), choose the highest
certified view p < v such that every view between p and v is nullified, ask the application for a block on p's block,
notarize it and send vote, justification (p's certificate and the nullifications between) and block.

**On the first proposal P of the leader of v**, while v is current: when p's block is certified, p is not below the
last finalized view, every view between is nullified, and the application says VALID, send notarize(P). Never after
our own nullify(v), never when a second proposal of that leader was seen. An INVALID proposal: nullify at once.

**On a timeout in v, or f + 1 nullify votes for v**: send nullify(v), whether or not we notarized. Never after
finalize in v.

**On q notarize(P)** (a notarization; from votes or whole): when P's block and all its ancestors are held, P is
*certified*: enter v + 1, and send finalize(P) unless we nullified v, notarized another proposal in v, or saw its
leader equivocate.

**On q nullify(v)**: enter v + 1.

**On q finalize(P)**: P's block and all its ancestors are final; enter v + 1.

A certificate takes us forward from any view to the one after its own. Votes count only up to view current + 1.

**Deviations from the paper and from Commonware**
1. The justification travels beside the block, not in it, and its hash is in every vote: the block id does not depend
   on the view. At most 64 nullifications travel; older ones are fetched.
2. Timeouts grow with the number of views since the last finalization and shrink back step by step (TON).
3. Timers run from the time a proposal is expected, not from the entry: a leader with nothing to do may wait.
4. A certified block that is not finalized for one and a half view timeouts is a reason to propose upon it.
5. f + 1 nullify votes are as good as a timeout of our own: validators that have no work join those that have.
6. Certificates are relayed to the peers that have not been seen past their view, a little later, not to all at once.
7. Certifying asks for availability only: f + 1 honest validators have found a notarized block valid. It happens
   even after our own nullify; refusing would leave us unable to follow a chain that was extended upon it.

**Safety.** Two quorums share an honest validator. It notarizes one proposal a view, so a view has one notarization;
it never both finalizes and nullifies, so a finalized view has no nullification, and a later proposal cannot
skip it: every block notarized later descends from the finalized one. What a validator signed is durable before it
leaves (`Persist` comes first among the effects), is never signed anew, and binds it after a restart. A validator
without its journal signs nothing until it cannot contradict itself (`Context.consider_signing`).

**Liveness.** Once messages arrive within a third of the timeout: honest validators enter a view within a relay of
each other; an honest leader's proposal carries everything that is needed to vote for it, is notarized before any
honest timeout, and finalized. Under a faulty leader either a notarization reaches someone, who relays it and serves
the block, or q honest validators nullify. Certificates above the last finalization are served until it moves.

Nothing that a peer sends is unbounded: one proposal slot a view, three votes a validator and view, views from
last finalized - retention to current + 1, certificates only when verified. Missing data is wanted, not invalid.
"""

from consensus.block import Block
from consensus.catchup import CatchUp
from consensus.committee import Committee
from consensus.context import Context
from consensus.effects import CancelTimer, Effect, Note, SetTimer
from consensus.events import (
    ApplicationAdvanced,
    BlockBuilt,
    BlockChecked,
    Event,
    MessageReceived,
    Started,
    TimerFired,
    WorkChanged,
)
from consensus.intake import Intake
from consensus.journal import Recovered, Tip
from consensus.pacing import Rules
from consensus.repeater import Repeater
from consensus.voter import Voter
from primitives.errors import Refused, invariant
from primitives.identifiers import BlockId, Height, Milliseconds, SecretSeed, ValidatorIndex, View
from primitives.instant import Instant
from primitives.signatures import SignatureScheme

TIMER = "consensus"
"""The only timer there is: it rings at the earliest time at which any rule may have something to do."""


class Replica:
    """One validator's consensus (`me` and `seed` given), or a follower's, which votes for nothing (both None)."""

    def __init__(
        self,
        committee: Committee,
        me: ValidatorIndex | None,
        seed: SecretSeed | None,
        scheme: SignatureScheme,
        rules: Rules,
        genesis_id: BlockId,
        genesis_time_ms: Milliseconds,
        recovered: Recovered,
    ) -> None:
        if (me is None) != (seed is None):
            raise Refused("bad_configuration", "a validator needs its index and its seed, a follower neither")
        if me is not None and seed is not None and scheme.public_key(seed) != committee.keys[me]:
            raise Refused("bad_configuration", f"the seed is not that of validator {me} of this committee")
        genesis = Tip(Height(0), genesis_id, genesis_time_ms)
        self._context = Context(committee, me, seed, scheme, rules, genesis, recovered)
        self._catchup = CatchUp(self._context)
        self._voter = Voter(self._context)
        self._intake = Intake(self._context, self._catchup)
        self._repeater = Repeater(self._context, self._intake)
        self._timer_ms: int | None = None
        self._has_started = False

    @property
    def view(self) -> View:
        """The current view."""
        return self._context.views.current

    @property
    def leader(self) -> ValidatorIndex:
        """The leader of the current view."""
        return self._context.committee.leader(self.view)

    @property
    def tip(self) -> Tip:
        """The last finalized block that was handed over: height, id, time."""
        return self._context.chain.tip

    @property
    def finalized_view(self) -> View:
        """The last view that is known to be finalized, whether or not its block is here."""
        return self._context.views.finalized

    @property
    def blocks_behind(self) -> int:
        """How many blocks known to be final are not handed over yet; at least 1 while any is missing."""
        known = self._catchup.known_height - self.tip.height
        return max(known, 1) if self._context.is_behind() else 0

    @property
    def pending_chain(self) -> tuple[Block, ...]:
        """Certified blocks after the tip that the next proposal builds upon, oldest first; empty while unknown."""
        return self._voter.pending_chain()

    @property
    def held_blocks(self) -> int:
        """How many blocks that are not final are in memory."""
        return len(self._context.chain)

    @property
    def held_views(self) -> int:
        """Of how many views proposals, votes or certificates are in memory."""
        return len(self._context.views)

    @property
    def is_caught_up(self) -> bool:
        """Whether everything known to be final has been handed over."""
        return not self._context.is_behind()

    @property
    def may_sign(self) -> bool:
        """Whether this validator votes: False for a follower, and while a lost journal forbids it."""
        return self._context.can_sign

    def handle(self, event: Event, at: Instant) -> tuple[Effect, ...]:
        """Take one event at this time; returns what to do, in order."""
        context = self._context
        invariant(self._has_started or isinstance(event, Started), "the first event must be Started")
        context.now = at
        try:
            self._dispatch(event)
        except Refused as refusal:
            sender = event.sender if isinstance(event, MessageReceived) else "application"
            context.outbox.emit(Note("refused", f"from {sender}: {refusal}"))
        self._settle()
        return context.outbox.flush()

    def _dispatch(self, event: Event) -> None:
        context = self._context
        match event:
            case Started():
                self._start()
            case MessageReceived():
                self._intake.hear(event.sender, event.raw)
            case TimerFired():
                self._timer_ms = None
            case BlockBuilt():
                self._voter.hear_block(event.view, event.block)
            case BlockChecked():
                self._voter.hear_verdict(event.block_id, event.verdict, event.reason)
            case ApplicationAdvanced():
                self._voter.hear_application()
            case WorkChanged():
                context.pacer.change_work(context.now.monotonic_ms, has_work=event.has_work)

    def _start(self) -> None:
        context = self._context
        invariant(not self._has_started, "Started comes once")
        self._has_started = True
        context.started_wall_ms = context.now.wall_ms
        context.pacer.start(context.now.monotonic_ms)
        if context.signing_from is None and context.me is not None:
            context.outbox.note("journal_lost", "this validator signs nothing until the chain has moved on without it")
        self._repeater.start()

    def _settle(self) -> None:
        """Apply all rules until none changes anything, then say what is missing and when to wake up."""
        context = self._context
        voter, catchup = self._voter, self._catchup
        changed = True
        while changed:
            context.wants = {}
            changed = voter.certify() or catchup.deliver() or voter.judge() or voter.propose() or voter.give_up()
        for peer, request in context.fetcher.renew(context.wants, context.now.monotonic_ms):
            context.outbox.send(peer, request)
        self._repeater.run()
        self._set_timer()

    def _set_timer(self) -> None:
        now_ms = self._context.now.monotonic_ms
        fetch_ms = self._context.fetcher.due_ms()
        times = [*self._voter.due_ms(), *self._repeater.due_ms(), *([fetch_ms] if fetch_ms is not None else [])]
        # A time that has passed with all rules applied waits for an event, not for the clock.
        wake_ms = min((time for time in times if time > now_ms), default=None)
        if wake_ms == self._timer_ms:
            return
        self._timer_ms = wake_ms
        self._context.outbox.emit(SetTimer(TIMER, wake_ms) if wake_ms is not None else CancelTimer(TIMER))
