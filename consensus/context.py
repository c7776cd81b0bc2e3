"""What the parts of a replica share: its state, and the few steps that all of them take.

`cast` signs, `count` tallies, `accept` takes a certificate, `enter` moves to a view. Every vote and certificate
passes through here, so the rules that must never be broken are checked here, whatever the caller believes.
"""

from consensus.chain import Chain
from consensus.committee import Committee
from consensus.effects import Blame
from consensus.fetcher import Fetcher, Wanted
from consensus.journal import (
    Recovered,
    Tip,
    certificate_write,
    pending_write,
    signing_write,
    view_deletes,
    vote_write,
)
from consensus.messages import (
    Certificate,
    Finalize,
    Notarize,
    Nullify,
    Statement,
    Vote,
    certified_proposal,
    signed_bytes,
    votes_of,
)
from consensus.outbox import Outbox
from consensus.pacing import Pacer, Rules
from consensus.quorum import check_quorum
from consensus.tally import Offence
from consensus.views import Views, ViewState
from primitives.codec import encode
from primitives.errors import Refused, invariant
from primitives.identifiers import BlockId, Milliseconds, SecretSeed, ValidatorIndex, View
from primitives.instant import Instant
from primitives.marks import sometimes
from primitives.signatures import SignatureScheme


class Context:
    """The state of one replica. Its parts (`Intake`, `Voter`, `CatchUp`) work on it in turn, never at once."""

    def __init__(
        self,
        committee: Committee,
        me: ValidatorIndex | None,
        seed: SecretSeed | None,
        scheme: SignatureScheme,
        rules: Rules,
        genesis: Tip,
        recovered: Recovered,
    ) -> None:
        self.committee = committee
        self.me = me
        self.scheme = scheme
        self.rules = rules
        self.now = Instant(0, Milliseconds(0))
        self.started_wall_ms = Milliseconds(0)
        self.signing_from = recovered.signing_from
        self.outbox = Outbox()
        self.pacer = Pacer(rules, 0)
        self.chain = Chain(recovered.tip or genesis)
        self.views = Views(committee, scheme, rules.retention_views, genesis.block_id)
        self.peers = tuple(ValidatorIndex(index) for index in range(committee.size) if index != me)
        self.fetcher = Fetcher(self.peers, rules.fetch_retry_ms)
        self.wants: dict[Wanted, ValidatorIndex] = {}
        self._seed = seed
        self._restore(recovered)

    @property
    def can_sign(self) -> bool:
        """Whether we may vote in the current view."""
        return self.may_sign(self.views.current)

    def may_sign(self, view: View) -> bool:
        """Whether we may vote in a view: we are a member whose journal is whole, or was lost long enough before."""
        return self._seed is not None and self.signing_from is not None and view >= self.signing_from

    @property
    def current(self) -> ViewState:
        """State of the current view."""
        return self.views.at(self.views.current)

    def is_behind(self) -> bool:
        """Whether a finalization is known whose block is not handed over yet."""
        finality = self.views.finality
        if finality is None:
            return False
        path = self.chain.path(certified_proposal(finality).block_id)
        return bool(path.blocks) or not path.is_complete

    def want(self, thing: Wanted, first_peer: ValidatorIndex) -> None:
        """Ask for this, as long as it is said after every event."""
        self.wants.setdefault(thing, first_peer)

    def cast(self, statement: Statement) -> Vote:
        """Sign a statement, journal it and count it. Sending is the caller's: it may travel with a block."""
        state = self.views.at(statement.view)
        own = state.own_votes
        invariant(self._seed is not None and self.me is not None, "only a validator votes")
        invariant(self.signing_from is not None and statement.view >= self.signing_from, "a lost journal signs nothing")
        invariant(statement.kind not in own, f"view {statement.view}: a second vote of kind {statement.kind}")
        match statement:
            case Notarize():
                invariant(Nullify.kind not in own, f"view {statement.view}: notarize after nullify")
            case Nullify():
                invariant(Finalize.kind not in own, f"view {statement.view}: nullify after finalize")
            case Finalize():
                notarized = own.get(Notarize.kind)
                invariant(Nullify.kind not in own, f"view {statement.view}: finalize after nullify")
                invariant(
                    notarized is None or notarized.statement == Notarize(statement.proposal),
                    f"view {statement.view}: finalize of another proposal than was notarized",
                )
        return self._sign(statement, state)

    def count(self, vote: Vote, *, verified: bool) -> bool:
        """Count a vote; a quorum makes a certificate. Returns whether the vote was new."""
        statement = vote.statement
        state = self.views.at(statement.view)
        if state.tally is None:
            return False
        added = state.tally.add(vote, verified=verified)
        self._blame(state, added.offences)
        if added.fresh and statement.view > self.views.finalized and state.certificate(statement.kind) is None:
            certificate = state.tally.certificate(statement)
            if certificate is not None:
                self.accept(certificate)
        return added.fresh

    def hear_certificate(self, certificate: Certificate) -> None:
        """Take a certificate from outside: cheap checks, then signatures, then `accept`.

        Raises:
            Refused: `wrong_epoch` or `bad_certificate`.

        """
        statement = certificate.statement
        if statement.epoch != self.committee.epoch:
            raise Refused("wrong_epoch", f"a certificate of epoch {statement.epoch} in epoch {self.committee.epoch}")
        state = self.views.get(statement.view)
        held = state.certificate(statement.kind) if state is not None else None
        is_rival = self._is_rival(statement, state)
        is_settled = statement.view <= self.views.finalized
        if (held is not None or is_settled) and not is_rival:
            return
        check_quorum(certificate.quorum, signed_bytes(statement, self.committee), self.committee, self.scheme)
        self._count_signers(certificate)
        if is_rival:
            # More than f validators are faulty; their votes, just counted, are the evidence.
            self.outbox.note("conflicting_certificates", f"view {statement.view}")
        if held is None and not is_settled:
            self.accept(certificate)

    def accept(self, certificate: Certificate) -> None:
        """Take a verified certificate of a view above the last finalized one: journal it, act on it."""
        view = certificate.statement.view
        state = self.views.store(certificate)
        if state.notarization is not None and state.nullification is not None:
            sometimes("a view both notarized and nullified")
        self.outbox.write(certificate_write(certificate))
        if not isinstance(certificate.statement, Nullify):
            self.pacer.note_block(self.now.monotonic_ms, view)
        if not isinstance(certificate.statement, Notarize) and view >= self.views.current:
            self.enter(View(view + 1))
        if isinstance(certificate.statement, Finalize):
            self.pacer.note_finalization(self._views_unfinalized())
            self._prune()

    def enter(self, view: View) -> None:
        """Move to a higher view."""
        if view > self.views.current + 1:
            sometimes("views skipped by a certificate")
        for state in self.views.enter(view):
            if state.notarization is None:
                for block_id in state.block_ids():
                    self.chain.drop(block_id)  # what we voted for is still in the journal, and served from there
            state.proposed = None
        self.pacer.enter_view(self.now.monotonic_ms, self._views_unfinalized())

    def forget_blocks(self) -> None:
        """Let go of blocks that no view above the finalized one speaks of, once that one's block is handed over.

        A faulty leader makes up blocks of any height on parents that do not exist: no finalization ever passes them.
        """
        if not self.is_behind():
            self.chain.keep_only([block_id for state in self.views.unsettled() for block_id in state.block_ids()])

    def save_block(self, block_id: BlockId) -> None:
        """Journal a held block, unless it is there already."""
        held = self.chain.get(block_id)
        if held is not None and not held.saved:
            held.saved = True
            self.outbox.write(pending_write(block_id, held.raw))

    def consider_signing(self, certificate: Certificate, block_time_ms: Milliseconds) -> None:
        """Let a validator whose journal was lost sign again, once that is safe.

        A certificate that we did not sign, for a block that is younger than this start by more than two clocks can
        differ, was voted for after we started. Whatever we signed before we lost the journal was in views that a
        quorum had entered by then, so it is in no view after that certificate's.
        """
        if self.signing_from is not None or self._seed is None or self.me in certificate.quorum.indices():
            return
        if block_time_ms > self.started_wall_ms + 2 * self.rules.allowed_drift_ms:
            sometimes("signing again after the journal was lost")
            self.signing_from = View(certificate.statement.view + 1)
            self.outbox.write(signing_write(self.signing_from))
            self.outbox.note("signing_again", f"the journal was lost; signing from view {self.signing_from}")

    def _sign(self, statement: Statement, state: ViewState) -> Vote:
        seed, me = self._seed, self.me
        if seed is None or me is None:
            raise Refused("not_a_validator", "a follower has no key to sign with")
        vote = Vote(statement, me, self.scheme.sign(seed, signed_bytes(statement, self.committee)))
        state.own_votes[statement.kind] = vote
        self.outbox.write(vote_write(vote))
        self.count(vote, verified=True)
        return vote

    def _count_signers(self, certificate: Certificate) -> None:
        """Look at the votes of a verified certificate as votes: they may contradict others that we hold."""
        state = self.views.at(certificate.statement.view)
        if state.tally is not None:
            for vote in votes_of(certificate):
                self._blame(state, state.tally.add(vote, verified=True).offences)

    def _blame(self, state: ViewState, offences: tuple[Offence, ...]) -> None:
        for offence in offences:
            if offence.kind == "conflicting_notarize" and offence.culprit == self.committee.leader(state.view):
                state.is_equivocated = True
            self.outbox.emit(Blame(offence.culprit, offence.kind, encode(offence.evidence)))

    @staticmethod
    def _is_rival(statement: Statement, state: ViewState | None) -> bool:
        """Whether a certificate contradicts one that we hold: no two such exist while at most f are faulty."""
        if state is None:
            return False
        if isinstance(statement, Nullify):
            return state.finalization is not None and state.nullification is None
        if isinstance(statement, Finalize) and state.finalization is None and state.nullification is not None:
            return True
        held = [certificate for certificate in (state.notarization, state.finalization) if certificate is not None]
        return any(certified_proposal(certificate) != statement.proposal for certificate in held)

    def _views_unfinalized(self) -> int:
        # In step, a view is entered while the finalization of the one before is still on its way.
        return max(0, self.views.current - self.views.finalized - 2)

    def _prune(self) -> None:
        for state in self.views.prune():
            kinds = (kind for kind in (1, 2, 3) if state.certificate(kind) is not None)
            has_justification = state.own_justification is not None
            self.outbox.write(*view_deletes(state.view, iter(state.own_votes), kinds, proposed=has_justification))

    def _restore(self, recovered: Recovered) -> None:
        """Take up where the journal ends: certificates first, then own votes with their flags and their weight."""
        for block_id, block, raw in recovered.pending:
            self.chain.add(block_id, block, raw, saved=True)
        certificates = [*recovered.certificates, *([recovered.finality] if recovered.finality is not None else [])]
        for certificate in certificates:
            view = certificate.statement.view
            if self.views.at(view).certificate(certificate.statement.kind) is None:
                self.views.store(certificate)
            if not isinstance(certificate.statement, Notarize) and view >= self.views.current:
                self.views.enter(View(view + 1))
        if recovered.votes:
            sometimes("a restart with votes in the journal")
        for vote in recovered.votes:
            state = self.views.at(vote.statement.view)
            state.own_votes[vote.statement.kind] = vote
            if state.tally is not None:
                state.tally.add(vote, verified=True)
        for view, justification in recovered.justifications:
            self.views.at(view).own_justification = justification
