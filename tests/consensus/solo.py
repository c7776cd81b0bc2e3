"""One replica driven by hand; the test plays everyone else, and holds all keys."""

from collections.abc import Iterable

from consensus.block import Block, block_id_of
from consensus.effects import Blame, Broadcast, BuildBlock, CheckBlock, Effect, Finalized, Note, Persist, Send
from consensus.events import BlockBuilt, BlockChecked, Event, MessageReceived, Started, TimerFired, Verdict, WorkChanged
from consensus.journal import recover
from consensus.messages import (
    MAX_GAP_NULLIFICATIONS,
    Certificate,
    Finalize,
    Justification,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Proposed,
    Statement,
    Vote,
    decode_message,
    justification_hash,
)
from consensus.pacing import Rules
from consensus.replica import TIMER, Replica
from primitives.codec import encode
from primitives.identifiers import BlockId, Milliseconds, ValidatorIndex, View
from primitives.instant import Instant
from tests.consensus.harness import RULES, Store
from tests.consensus.makers import (
    GENESIS,
    GENESIS_MS,
    CheapScheme,
    make_block,
    make_certificate,
    make_committee,
    make_proposed,
    make_vote,
    seed_of,
)


class Solo:
    """Validator `me` of n. `effects` holds what the last event brought; `said` all votes ever sent."""

    def __init__(self, n: int = 4, me: int = 0, *, store: Store | None = None, rules: Rules = RULES) -> None:
        self.scheme = CheapScheme()
        self.committee = make_committee(n, self.scheme)
        self.store = store if store is not None else Store()
        self.me = me
        self.rules = rules
        self.now_ms = 0
        self.wall_ms = GENESIS_MS + 1_000_000
        self.effects: tuple[Effect, ...] = ()
        self.said: list[Statement] = []
        self.auto_valid = True
        self.start()

    def start(self) -> None:
        me = ValidatorIndex(self.me)
        self.replica = Replica(
            self.committee,
            me,
            seed_of(self.me),
            self.scheme,
            self.rules,
            GENESIS,
            GENESIS_MS,
            recover(self.store),
        )
        self.handle(Started())

    def handle(self, event: Event) -> tuple[Effect, ...]:
        instant = Instant(self.now_ms, Milliseconds(self.wall_ms + self.now_ms))
        effects = self.replica.handle(event, instant)
        for effect in effects:
            if isinstance(effect, Persist):
                self.store.apply(effect.writes)
        for message in messages_in(effects):
            vote = message.vote if isinstance(message, Proposed) else message
            if isinstance(vote, Vote):
                self.said.append(vote.statement)
        self.effects = effects
        checks = [effect for effect in effects if isinstance(effect, CheckBlock)] if self.auto_valid else []
        for check in checks:
            self.effects += self.handle(BlockChecked(check.block_id, Verdict.VALID))
        return self.effects

    def hear(self, sender: int, message: Message | bytes) -> tuple[Effect, ...]:
        raw = message if isinstance(message, bytes) else encode(message)
        return self.handle(MessageReceived(ValidatorIndex(sender), raw))

    def wait(self, ms: int) -> tuple[Effect, ...]:
        self.now_ms += ms
        return self.handle(TimerFired(TIMER))

    def handle_work(self) -> tuple[Effect, ...]:
        return self.handle(WorkChanged(has_work=True))

    # Everyone else

    def leader(self, view: int) -> int:
        return self.committee.leader(View(view))

    def others(self) -> list[int]:
        return [index for index in range(self.committee.size) if index != self.me]

    def quorum(self) -> list[int]:
        """A quorum without us, as far as there is one."""
        return [*self.others(), self.me][: self.committee.quorum]

    def vote(self, statement: Statement, signer: int) -> Vote:
        return make_vote(self.committee, statement, signer)

    def certificate(self, statement: Statement, signers: Iterable[int] | None = None) -> Certificate:
        return make_certificate(self.committee, statement, sorted(signers if signers is not None else self.quorum()))

    def nullification(self, view: int) -> Certificate:
        return self.certificate(Nullify(self.committee.epoch, View(view)))

    def block(self, parent: "Made | None" = None, *, item: bytes = b"", time_ms: int | None = None) -> Block:
        """A block on another, or on the genesis."""
        over = parent.block.header if parent is not None else None
        parent_time = over.time_ms if over is not None else GENESIS_MS
        return make_block(
            self.committee,
            parent.block_id if parent is not None else GENESIS,
            (over.height if over is not None else 0) + 1,
            time_ms if time_ms is not None else parent_time + 1,
            (item,) if item else (),
        )

    def make(self, view: int, parent: "Made | None" = None, *, block: Block | None = None, item: bytes = b"") -> "Made":
        """A proposal of the leader of a view on a parent, all views between nullified."""
        return Made(self, view, parent, block if block is not None else self.block(parent, item=item))

    # Questions

    @property
    def refusals(self) -> list[str]:
        return [e.detail for e in self.effects if isinstance(e, Note) and e.name == "refused"]

    @property
    def blames(self) -> list[tuple[int, str]]:
        return [(effect.culprit, effect.kind) for effect in self.effects if isinstance(effect, Blame)]

    @property
    def finalized(self) -> list[BlockId]:
        return [effect.block_id for effect in self.effects if isinstance(effect, Finalized)]

    def sent(self, kind: type[Message]) -> list[Message]:
        return [message for message in messages_in(self.effects) if isinstance(message, kind)]

    def build(self, view: int, block: Block | None) -> tuple[Effect, ...]:
        return self.handle(BlockBuilt(View(view), block))

    def asked_to_build(self) -> list[BuildBlock]:
        return [effect for effect in self.effects if isinstance(effect, BuildBlock)]


class Made:
    """A proposal with everything that can be said about it."""

    def __init__(self, solo: Solo, view: int, parent: "Made | None", block: Block) -> None:
        self.solo = solo
        self.view = view
        self.block = block
        self.block_id = block_id_of(block.header)
        parent_view = parent.view if parent is not None else 0
        between = range(max(parent_view + 1, view - MAX_GAP_NULLIFICATIONS), view)
        gap = tuple(solo.nullification(skipped) for skipped in between)
        self.justification = Justification(parent.notarization if parent is not None else None, gap)
        committee = solo.committee
        self.proposal = Proposal(
            committee.epoch, View(view), View(parent_view), self.block_id, justification_hash(self.justification)
        )
        self.notarize = Notarize(self.proposal)
        self.finalize = Finalize(self.proposal)
        self.nullify = Nullify(committee.epoch, View(view))
        self.proposed = make_proposed(committee, view, block, self.block_id, parent_view, self.justification)
        self.notarization: Certificate = solo.certificate(self.notarize)
        self.finalization: Certificate = solo.certificate(self.finalize)

    def arrive(self) -> tuple[Effect, ...]:
        """The leader's proposal reaches us."""
        return self.solo.hear(self.solo.leader(self.view), self.proposed)


def messages_in(effects: tuple[Effect, ...]) -> list[Message]:
    return [decode_message(effect.raw) for effect in effects if isinstance(effect, Send | Broadcast)]
