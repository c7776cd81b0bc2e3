"""What a validator does in its view: certify, judge the proposal, propose, give up, finalize.

Every rule looks at the state, not at the event that led to it, so the order in which things arrive does not matter:
after each event the replica applies all rules until none changes anything.
"""

from consensus.block import MAX_BLOCK_BYTES, Block, block_id_of
from consensus.chain import HeldBlock
from consensus.context import Context
from consensus.effects import BuildBlock, CheckBlock
from consensus.events import Verdict
from consensus.journal import justification_write
from consensus.messages import (
    BlockRequest,
    Finalize,
    Notarize,
    Nullify,
    Proposal,
    Proposed,
    ViewsRequest,
    certified_proposal,
    justification_hash,
)
from consensus.views import ViewState
from primitives.codec import encode
from primitives.errors import invariant
from primitives.identifiers import BlockId, Milliseconds, View
from primitives.marks import sometimes


class Voter:
    """The voting rules of one validator. A follower runs them too and casts nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._building: View | None = None
        """The view we asked the application to build a block for, until it answers."""
        self._build_parent = View(0)
        self._build_after_ms = 0
        self._clock_due_ms: int | None = None
        """When a proposal whose time is ahead of our clock may be looked at again."""

    # Certify -----------------------------------------------------------------------------------------------------

    def certify(self) -> bool:
        """Certify every notarized view whose block is held down to the tip; vote to finalize it where we may.

        Certifying asks nobody's opinion: q - f >= f + 1 honest validators found the block valid, which is all that
        our own check could tell, and refusing it (because we nullified the view, or our application is behind)
        would leave us unable to follow those who build on it. Only the bytes, which must match, can be missing.
        """
        context = self._context
        changed = False
        for view, state in sorted(context.views.uncertified.items()):
            if state.notarization is None:
                continue
            block_id = certified_proposal(state.notarization).block_id
            path = context.chain.path(block_id)
            if path.conflicts:
                context.outbox.note("conflicting_certificates", f"view {view} is notarized beside a finalized block")
                del context.views.uncertified[view]
            elif path.missing is not None:
                sometimes("a notarized block that is not here")
                if context.chain.is_far(path.blocks) and context.is_behind():
                    continue  # history is on its way in chunks
                context.want(BlockRequest(path.missing), context.committee.leader(view))
            else:
                self._certify(state, path.blocks)
                changed = True
        return changed

    def _certify(self, state: ViewState, path: tuple[HeldBlock, ...]) -> None:
        context = self._context
        if state.view < context.views.current:
            sometimes("a view certified after it was left")
        context.views.certify(state)
        if state.notarization is None:
            return
        proposal = certified_proposal(state.notarization)
        for held in path:
            if not held.saved:
                context.save_block(held.block_id)
        place = context.chain.place(proposal.block_id)
        if place is not None:
            context.consider_signing(state.notarization, place[1])
        if state.view >= context.views.current:
            context.enter(View(state.view + 1))
        if self._may_finalize(state, proposal):
            context.outbox.broadcast(context.cast(Finalize(proposal)))

    def _may_finalize(self, state: ViewState, proposal: Proposal) -> bool:
        context = self._context
        own = state.own_votes
        if not context.may_sign(state.view):
            return False
        notarized = own.get(Notarize.kind)
        if notarized is not None and notarized.statement != Notarize(proposal):
            return False
        return not (Finalize.kind in own or Nullify.kind in own or state.is_equivocated)

    # Judge the proposal ------------------------------------------------------------------------------------------

    def judge(self) -> bool:
        """Take the current view's proposal as far as it goes: to the application, to a vote, or to its refusal."""
        context = self._context
        state = context.current
        proposal = state.proposal
        self._clock_due_ms = None
        undecided = not (state.own_votes or state.is_asked or state.is_invalid or state.is_equivocated)
        if proposal is None or not undecided or not context.can_sign:
            return False
        if proposal.parent_view < context.views.finalized:
            sometimes("a proposal on a parent below the last finalized view")
            return self._reject(state, f"its parent view {proposal.parent_view} is below the last finalized one")
        missing = context.views.missing_evidence(proposal)
        if missing is not None:
            sometimes("a proposal whose ancestry is not known")
            context.want(missing, context.committee.leader(state.view))
            return False
        parent_id = context.views.certified_block(proposal.parent_view)
        parent = context.chain.place(parent_id) if parent_id is not None else None
        held = context.chain.get(proposal.block_id)
        if parent_id is None or parent is None or held is None:
            return False  # what is missing is wanted by the rules for notarized and finalized blocks
        path = context.chain.path(parent_id)
        if path.missing is not None:
            return False
        flaw = self._flaw(held.block, parent_id, parent[0] + 1, parent[1])
        if flaw is not None:
            return self._reject(state, flaw)
        ahead_ms = held.block.header.time_ms - context.now.wall_ms - context.rules.allowed_drift_ms
        if ahead_ms > 0:
            sometimes("a proposal from a clock that is ahead")
            self._clock_due_ms = context.now.monotonic_ms + ahead_ms
            return False
        state.is_asked = True
        context.outbox.emit(CheckBlock(proposal.block_id, held.block, held.raw, parent[1], path.contents))
        return False

    def hear_verdict(self, block_id: BlockId, verdict: Verdict, reason: str) -> None:
        """Vote as the application judges; NOT_YET is asked again when the application has advanced."""
        context = self._context
        state = context.current
        proposal = state.proposal
        if proposal is None or proposal.block_id != block_id or not state.is_asked or state.own_votes:
            return
        if verdict is Verdict.INVALID:
            self._reject(state, reason)
        elif verdict is Verdict.NOT_YET:
            sometimes("a proposal that cannot be judged yet")
            state.defer()
        elif not state.is_equivocated and context.can_sign:
            context.save_block(block_id)
            context.outbox.broadcast(context.cast(Notarize(proposal)))

    def hear_application(self) -> None:
        """Ask again what the application could not judge or build so far."""
        self._context.current.ask_again()
        self._build_after_ms = 0

    def _flaw(self, block: Block, parent_id: BlockId, height: int, parent_time_ms: Milliseconds) -> str | None:
        committee, header = self._context.committee, block.header
        if (header.chain_id, header.shard, header.epoch) != (committee.chain_id, committee.shard, committee.epoch):
            return "it is a block of another chain, shard or epoch"
        if header.parent != parent_id or header.height != height:
            return f"it does not stand at height {height} on the block of its parent view"
        if header.time_ms <= parent_time_ms:
            return f"its time {header.time_ms} is not later than its parent's, {parent_time_ms}"
        return None

    def _reject(self, state: ViewState, why: str) -> bool:
        sometimes("an invalid proposal")
        state.is_invalid = True
        self._context.outbox.note("invalid_proposal", f"view {state.view}: {why}")
        return True

    # Propose -----------------------------------------------------------------------------------------------------

    def propose(self) -> bool:
        """As leader, ask the application for a block once one is expected of us and its ancestry is justified."""
        context = self._context
        view = context.views.current
        due_ms = self.propose_due_ms()
        if due_ms is None or due_ms > context.now.monotonic_ms:
            return False
        parent = context.views.choose_parent(view)
        if isinstance(parent, ViewsRequest):
            context.want(parent, context.committee.leader(view))
            return False
        parent_id = context.views.certified_block(parent)
        place = context.chain.place(parent_id) if parent_id is not None else None
        if parent_id is None or place is None:
            return False
        path = context.chain.path(parent_id)
        if not path.is_complete:
            return False
        self._building, self._build_parent = view, parent
        context.outbox.emit(BuildBlock(view, parent_id, place[0], place[1], path.contents))
        return False

    def pending_chain(self) -> tuple[Block, ...]:
        """Blocks after the last finalized one that a proposal in the current view builds upon, oldest first."""
        context = self._context
        parent = context.views.choose_parent(context.views.current)
        parent_id = None if isinstance(parent, ViewsRequest) else context.views.certified_block(parent)
        path = context.chain.path(parent_id) if parent_id is not None else None
        return path.contents if path is not None and path.is_complete else ()

    def propose_due_ms(self) -> int | None:
        """When we, as the current leader, shall ask for a block; None when it is not for us to do."""
        context = self._context
        view = context.views.current
        is_ours = context.can_sign and context.committee.leader(view) == context.me
        if not is_ours or self._building == view or context.current.own_votes:
            return None
        return max(self._expected_ms(), self._build_after_ms)

    def hear_block(self, view: View, block: Block | None) -> None:
        """Propose what the application built; without a block, ask again a little later."""
        context = self._context
        if view != self._building or view != context.views.current:
            sometimes("a block built too late for its view")
            return
        self._building = None
        state = context.current
        if block is None:
            sometimes("a leader that cannot build yet")
            self._build_after_ms = context.now.monotonic_ms + context.rules.min_block_interval_ms
            return
        if state.own_votes or self._build_parent < context.views.finalized or not context.can_sign:
            return
        parent_id = context.views.certified_block(self._build_parent)
        place = context.chain.place(parent_id) if parent_id is not None else None
        raw = encode(block)
        if parent_id is None or place is None:
            return
        flaw = self._flaw(block, parent_id, place[0] + 1, place[1])
        invariant(flaw is None, f"our own block for view {view} is invalid: {flaw}")
        invariant(len(raw) <= MAX_BLOCK_BYTES, f"our own block for view {view} has {len(raw)} bytes")
        self._propose(state, block, raw)

    def _propose(self, state: ViewState, block: Block, raw: bytes) -> None:
        context = self._context
        justification = context.views.justify(state.view, self._build_parent)
        block_id = block_id_of(block.header)
        proposal = Proposal(
            epoch=context.committee.epoch,
            view=state.view,
            parent_view=self._build_parent,
            block_id=block_id,
            justification_hash=justification_hash(justification),
        )
        context.chain.add(block_id, block, raw)
        context.save_block(block_id)
        state.own_justification = justification
        context.outbox.write(justification_write(state.view, justification))
        context.pacer.note_block(context.now.monotonic_ms, state.view)
        state.proposed_ms = context.now.monotonic_ms
        vote = context.cast(Notarize(proposal))
        context.outbox.broadcast(Proposed(vote, justification, raw))

    # Give up -----------------------------------------------------------------------------------------------------

    def give_up(self) -> bool:
        """Nullify the current view when it has taken too long, cannot succeed, or an honest validator gave it up."""
        context = self._context
        deadline_ms = self.deadline_ms()
        if deadline_ms is None or deadline_ms > context.now.monotonic_ms:
            return False
        sometimes("a view given up")
        context.outbox.broadcast(context.cast(Nullify(context.committee.epoch, context.views.current)))
        return True

    def deadline_ms(self) -> int | None:
        """When we give the current view up; None when we have, or may not sign."""
        context = self._context
        state = context.current
        if not context.can_sign or Nullify.kind in state.own_votes or Finalize.kind in state.own_votes:
            return None
        cannot_vote = state.is_invalid or (state.is_equivocated and not state.own_votes)
        given_up_by = state.tally.support(Nullify(context.committee.epoch, state.view)) if state.tally else 0
        # Of f + 1 validators one is honest, and has waited long enough for all of us.
        if cannot_vote or given_up_by > context.committee.max_faulty:
            sometimes("a view given up before its time")
            return context.now.monotonic_ms
        expected_ms = self._expected_ms()
        if state.proposed_ms is not None:
            return context.pacer.certification_deadline_ms(expected_ms, state.proposed_ms)
        return context.pacer.silence_deadline_ms(expected_ms)

    def due_ms(self) -> list[int]:
        """List the times at which a rule of this part may have something to do."""
        times = (self.propose_due_ms(), self.deadline_ms(), self._clock_due_ms)
        return [time for time in times if time is not None]

    def _expected_ms(self) -> int:
        views = self._context.views
        return self._context.pacer.expected_ms(awaits_finality=views.highest_certified > views.finalized)
