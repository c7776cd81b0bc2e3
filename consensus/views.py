"""What is known of each view: the leader's proposal, the votes, the certificates, and what we did ourselves.

Views at or below the last finalized one are settled; they are kept for `retention` views as evidence and against
replays, then dropped. Views above it keep their certificates until something above them is finalized, because a
straggler may need any of them; of those long past, votes and proposals are dropped first.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from consensus.committee import Committee
from consensus.messages import (
    MAX_GAP_NULLIFICATIONS,
    MAX_VIEWS_ASKED,
    Certificate,
    Finalize,
    Justification,
    Notarize,
    Nullify,
    Proposal,
    Proposed,
    ViewsRequest,
    Vote,
    certified_proposal,
)
from consensus.nullified import NullifiedViews
from consensus.tally import Tally
from primitives.errors import Refused
from primitives.identifiers import BlockId, View
from primitives.signatures import SignatureScheme

GENESIS_VIEW = View(0)
"""Finalized by definition: its block is the genesis."""


class ViewState:
    """One view, as one replica sees it."""

    def __init__(self, view: View, tally: Tally) -> None:
        self.view = view
        self.tally: Tally | None = tally
        """None once the view is so old that only its certificates matter."""
        self.proposed: Proposed | None = None
        self.proposed_ms: int | None = None
        self.own_votes: dict[int, Vote] = {}
        self.own_justification: Justification | None = None
        self.notarization: Certificate | None = None
        self.nullification: Certificate | None = None
        self.finalization: Certificate | None = None
        self.is_certified = False
        self.is_equivocated = False
        self.is_invalid = False
        """The proposal was judged invalid, by us or by the application."""
        self.is_asked = False
        """The application is judging the proposal, or has said that it cannot yet."""
        self._is_deferred = False
        self._has_advanced = False

    @property
    def proposal(self) -> Proposal | None:
        """What the leader proposed, as far as we saw it first."""
        if self.proposed is None or isinstance(self.proposed.vote.statement, Nullify):
            return None
        return self.proposed.vote.statement.proposal

    def block_ids(self) -> list[BlockId]:
        """Blocks that somebody may ask for because of this view: proposed, notarized, or voted for by us."""
        votes = [self.own_votes.get(Notarize.kind), self.proposed.vote if self.proposed is not None else None]
        statements = [vote.statement for vote in votes if vote is not None]
        if self.notarization is not None:
            statements.append(self.notarization.statement)
        return [statement.proposal.block_id for statement in statements if isinstance(statement, Notarize)]

    def certificate(self, kind: int) -> Certificate | None:
        """Return the certificate of this kind, when held."""
        return (None, self.notarization, self.nullification, self.finalization)[kind]

    def certificates(self) -> list[Certificate]:
        """All certificates held, the most useful first."""
        return [held for held in (self.finalization, self.nullification, self.notarization) if held is not None]

    def store(self, certificate: Certificate) -> None:
        """Hold a certificate; its kind's place must be free."""
        match certificate.statement:
            case Notarize():
                self.notarization = certificate
            case Nullify():
                self.nullification = certificate
            case Finalize():
                self.finalization = certificate

    def defer(self) -> None:
        """Note the verdict NOT_YET: the proposal is judged again once the application advances."""
        # It may have advanced after it judged and before we heard: then nothing else would wake us.
        self.is_asked = self._is_deferred = not self._has_advanced
        self._has_advanced = False

    def ask_again(self) -> None:
        """Note that the application advanced."""
        if self._is_deferred:
            self.is_asked = self._is_deferred = False
        else:
            self._has_advanced = self.is_asked


class Views:
    """All views that matter, the current one, and the last finalized one."""

    def __init__(self, committee: Committee, scheme: SignatureScheme, retention: int, genesis_id: BlockId) -> None:
        self._committee = committee
        self._scheme = scheme
        self._retention = retention
        self._genesis_id = genesis_id
        self._states: dict[View, ViewState] = {}
        self._order: list[View] = []
        """The keys of `_states`, ascending."""
        self._certified: list[View] = []
        """The certified views above the last finalized one, ascending."""
        self._nullified = NullifiedViews()
        """Has all nullified views above the last finalized one."""
        self._compacted = GENESIS_VIEW
        self.current = View(1)
        self.finalized = GENESIS_VIEW
        self.finality: Certificate | None = None
        self.uncertified: dict[View, ViewState] = {}
        """Notarized views above the last finalized one whose block or ancestry is not held yet."""
        self.highest_certified = GENESIS_VIEW

    def __len__(self) -> int:
        return len(self._states)

    @property
    def floor(self) -> View:
        """The lowest view that is remembered."""
        return View(max(1, self.finalized - self._retention))

    def at(self, view: View) -> ViewState:
        """State of a view, made when it is first needed."""
        state = self._states.get(view)
        if state is None:
            state = self._states[view] = ViewState(view, Tally(self._committee, self._scheme))
            insort(self._order, view)
        return state

    def get(self, view: View) -> ViewState | None:
        """State of a view, when there is one."""
        return self._states.get(view)

    def unsettled(self) -> Iterator[ViewState]:
        """States of the views above the last finalized one, newest first."""
        for view in reversed(self._order[bisect_right(self._order, self.finalized) :]):
            yield self._states[view]

    def store(self, certificate: Certificate) -> ViewState:
        """Hold a verified certificate of a view above the floor."""
        view = certificate.statement.view
        state = self.at(view)
        state.store(certificate)
        if isinstance(certificate.statement, Finalize) and view > self.finalized:
            self.finalized = view
            self.finality = certificate
            self.uncertified = {key: held for key, held in self.uncertified.items() if key > view}
            del self._certified[: bisect_right(self._certified, view)]
            self._nullified.forget(view)
            for key in self._between(GENESIS_VIEW, view):
                self._states[key].proposed = None  # its block is needed no more, and may be large
        elif isinstance(certificate.statement, Nullify):
            self._nullified.add(view)
        elif isinstance(certificate.statement, Notarize) and view > self.finalized:
            self.uncertified[view] = state
        return state

    def certify(self, state: ViewState) -> None:
        """Note that a notarized block and its whole ancestry are held."""
        state.is_certified = True
        insort(self._certified, state.view)
        self.highest_certified = max(self.highest_certified, state.view)
        del self.uncertified[state.view]

    def certified_block(self, view: View) -> BlockId | None:
        """Block that a child may stand on in this view, None when the view has none that we know of."""
        if view == self.finalized:
            return certified_proposal(self.finality).block_id if self.finality is not None else self._genesis_id
        state = self._states.get(view)
        if state is None or not state.is_certified or state.notarization is None:
            return None
        return certified_proposal(state.notarization).block_id

    def choose_parent(self, view: View) -> View | ViewsRequest:
        """Choose the highest certified view below with all views between nullified, or say which are not known."""
        below = bisect_left(self._certified, view)
        parent = self._certified[below - 1] if below else self.finalized
        missing = self._nullified.highest_missing(View(view - 1))
        return parent if missing <= parent else self._ask(View(self.finalized + 1), missing)

    def missing_evidence(self, proposal: Proposal) -> ViewsRequest | None:
        """Say which views must be asked for before this proposal's ancestry is justified, None when it is."""
        parent = proposal.parent_view
        missing = self._nullified.highest_missing(View(proposal.view - 1))
        if missing > parent:
            return self._ask(parent, missing)
        if parent == self.finalized:
            return None
        state = self._states.get(parent)
        return None if state is not None and state.notarization is not None else self._ask(parent, parent)

    def justify(self, view: View, parent: View) -> Justification:
        """Collect the certificates that let `view` stand on `parent`; `choose_parent` has found them all to be held."""
        gap = range(max(parent + 1, view - MAX_GAP_NULLIFICATIONS), view)
        held = [self._states[View(between)].nullification for between in gap]
        nullifications = tuple(certificate for certificate in held if certificate is not None)
        if parent == self.finalized:
            return Justification(self.finality, nullifications)
        return Justification(self._states[parent].notarization, nullifications)

    def entry(self, view: View) -> Certificate | None:
        """Return the best certificate that lets a peer enter this view: finalization, nullification, notarization."""
        state = self._states.get(View(view - 1))
        return next(iter(state.certificates()), None) if state is not None else None

    def enter(self, view: View) -> list[ViewState]:
        """Make a higher view the current one; returns the views whose votes were let go, and whose proposals may go."""
        self.current = view
        bound = View(view - self._retention)
        if bound <= self._compacted:
            return []
        old = [self._states[key] for key in self._between(self._compacted, bound)]
        self._compacted = bound
        for state in old:
            state.tally = None
        return old

    def prune(self) -> list[ViewState]:
        """Forget the views below the floor."""
        gone = [state for view, state in self._states.items() if view < self.floor]
        for state in gone:
            del self._states[state.view]
        self._order = [view for view in self._order if view in self._states]
        return gone

    def _between(self, after: View, last: View) -> list[View]:
        """Views that have a state, from the one after `after` to `last`, ascending."""
        return self._order[bisect_right(self._order, after) : bisect_right(self._order, last)]

    @staticmethod
    def _ask(first: View, last: View) -> ViewsRequest:
        return ViewsRequest(View(max(1, first, last - MAX_VIEWS_ASKED + 1)), last)


def check_shape(proposal: Proposal, justification: Justification) -> None:
    """Check what can be said of a justification without signatures: the right certificates for the right views.

    Raises:
        Refused: `bad_proposal`.

    """
    if proposal.parent_view >= proposal.view:
        raise Refused("bad_proposal", f"view {proposal.view} cannot have parent view {proposal.parent_view}")
    if (justification.parent is None) != (proposal.parent_view == GENESIS_VIEW):
        raise Refused("bad_proposal", "a parent certificate must be there, unless the parent is the genesis")
    if justification.parent is not None:
        parent = certified_proposal(justification.parent)
        if parent.view != proposal.parent_view:
            raise Refused("bad_proposal", f"certificate of view {parent.view} for parent view {proposal.parent_view}")
    gap = range(max(proposal.parent_view + 1, proposal.view - MAX_GAP_NULLIFICATIONS), proposal.view)
    statements = [certificate.statement for certificate in justification.nullifications]
    if [s.view for s in statements if isinstance(s, Nullify)] != list(gap) or len(statements) != len(gap):
        raise Refused("bad_proposal", f"view {proposal.view} must bring the nullifications of views {gap}")
