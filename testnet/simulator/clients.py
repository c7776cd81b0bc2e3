"""Clients with accounts: a seeded workload, resubmission when nobody answers, and a record of what was acknowledged.

Each account has one transaction under way at a time. A client sends it to some validator of its shard; while it is
not final it asks others, and submits it again there. It is done when a validator calls it final (*acknowledged*: from
then on losing it is a violation), when the chain's time has passed its validity without it, or when the first
validator asked refuses it.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from primitives.amounts import Amount, pack_amount
from primitives.identifiers import Height, Milliseconds, Nonce, PublicKey, ShardId, TransactionId
from primitives.signatures import SignatureScheme
from shards import chain_store
from shards.genesis import ChainContext
from shards.node.faults import StorageFault
from shards.transactions import Operation, RemoteTransfer, Transaction, Transfer, sign_transaction, transaction_id
from shards.validator.effects import Submission
from testnet.simulator.draws import Draws
from testnet.simulator.faults import Name, client_name, validator_name
from testnet.simulator.heap import Heap
from testnet.simulator.network import Network
from testnet.simulator.population import OPENING_BALANCE, Person
from testnet.simulator.settings import GENESIS_TIME_MS, SimulationSettings
from testnet.simulator.validators import SimulatedValidator

ASK_EVERY_MS = 700
"""How often a client asks after a transaction that is not final."""

RESUBMIT_AFTER_ASKING = 3
"""It submits again every so many times that it has asked in vain."""

VALID_MS = 20_000
"""How long a transaction is usually valid."""

PATIENT_DEADLINE_MS = 120_000
"""Deadline of most remote transfers: past the end of a run."""

FEE_LIMIT = Amount(100_000)
"""More than any transaction of the workload costs."""

_LOCAL, _REMOTE, _SEVERAL, _OVERDRAFT, _HASTY = range(5)
_MIX = (_LOCAL,) * 9 + (_REMOTE,) * 12 + (_SEVERAL,) * 3 + (_OVERDRAFT,) * 1 + (_HASTY,) * 2


@dataclass(slots=True)
class UnderWay:
    """A transaction that a client wants to see final."""

    person: Person
    raw: bytes
    id: TransactionId
    nonce: Nonce
    valid_until_ms: int
    submitted_ms: int
    hopeless: bool
    """Made to be refused or to expire."""
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A transaction that a validator called final."""

    id: TransactionId
    shard: ShardId
    height: Height
    by: Name
    submitted_ms: int


class Wish(NamedTuple):
    """What one transaction is to do."""

    operations: tuple[Operation, ...]
    valid_ms: int
    hopeless: bool


class Clients:
    """All clients of one shard."""

    fee_limit = FEE_LIMIT

    def __init__(
        self,
        settings: SimulationSettings,
        shard: int,
        people: tuple[tuple[Person, ...], ...],
        context: ChainContext,
        scheme: SignatureScheme,
        outside: tuple[Heap, Network],
        name: Name = "",
    ) -> None:
        self.name: Name = name or client_name(shard)
        self.shard = ShardId(shard)
        self._settings = settings
        self._everyone = people
        self._people = people[shard]
        self._context = context
        self._scheme = scheme
        self._heap, self._network = outside
        self._draws = Draws(settings.seed, f"clients/{shard}" if not name else f"customers/{shard}")
        self.validators: dict[Name, SimulatedValidator] = {}
        self.under_way: dict[PublicKey, UnderWay] = {}
        self.acknowledged: list[Acknowledged] = []
        self.expired: list[UnderWay] = []
        """Transactions that a validator called expired: the chain's time has passed them by."""
        self.counts = {"submitted": 0, "resubmitted": 0, "acknowledged": 0, "refused": 0, "expired": 0}
        self._nonces: dict[PublicKey, Nonce] = {person.key: Nonce(0) for person in self._people}
        self._begun = 0
        self._choices = 0

    def start(self) -> None:
        """Begin the workload."""
        self._begin()

    def _begin(self) -> None:
        """Begin one transaction, if the chosen account has none under way, and plan the next."""
        if self._heap.now_ms >= self._settings.workload_ms:
            return
        self._begun += 1
        draws = self._draws.under(str(self._begun))
        interval_ms = self._interval_ms()
        self._heap.after(1000 * draws.number(0, interval_ms // 2, interval_ms * 3 // 2), self._begin)
        person = draws.choice(1, self._people)
        if person.key in self.under_way:
            return
        wish = self._wish(person, draws)
        body = self._make(person, wish, draws)
        raw = sign_transaction(body, person.seed, self._scheme)
        wanted = UnderWay(
            person,
            raw,
            transaction_id(raw),
            Nonce(body.nonce),
            body.valid_until_ms,
            self._heap.now_ms,
            hopeless=wish.hopeless,
        )
        self.under_way[person.key] = wanted
        self.counts["submitted"] += 1
        self._submit(wanted)
        self._heap.after(ASK_EVERY_MS * 1000, partial(self._ask, wanted))

    def _interval_ms(self) -> int:
        """How long after one transaction the next begins, on average."""
        return 1000 // self._settings.transactions_per_second

    def _wish(self, person: Person, draws: Draws) -> Wish:
        """What an account does next."""
        kind = draws.choice(2, _MIX)
        count = draws.number(3, 2, 4) if kind == _SEVERAL else 1
        remote = kind in {_REMOTE, _HASTY}
        operations: tuple[Operation, ...] = tuple(
            self._operation(
                draws.under(f"operation {ordinal}"), remote=remote or (kind == _SEVERAL and ordinal % 2 == 0)
            )
            for ordinal in range(count)
        )
        if kind == _OVERDRAFT:
            operations = (Transfer(to=person.key, amount=pack_amount(Amount(OPENING_BALANCE * 1000))),)
        valid_ms = draws.number(4, 30, 400) if kind == _HASTY else VALID_MS
        return Wish(operations, valid_ms, hopeless=kind in {_OVERDRAFT, _HASTY})

    def _make(self, person: Person, wish: Wish, draws: Draws) -> Transaction:
        return Transaction(
            version=1,
            chain_id=self._context.chain_id,
            shard=self.shard,
            sender=person.key,
            nonce=self._nonces[person.key],
            valid_until_ms=Milliseconds(GENESIS_TIME_MS + self._heap.now_ms + wish.valid_ms),
            fee_limit=pack_amount(self.fee_limit),
            operations=wish.operations,
            memo=draws.number(5, 0, 2**32).to_bytes(8, "big"),
        )

    def _operation(self, draws: Draws, *, remote: bool) -> Operation:
        amount = pack_amount(Amount(draws.number(0, 1, OPENING_BALANCE // 40)))
        others = [ShardId(shard) for shard in range(self._settings.shards) if shard != self.shard]
        if not remote or not others:
            return Transfer(to=draws.choice(1, self._people).key, amount=amount)
        destination = draws.choice(2, others)
        patience = draws.number(3, 150, 2_500) if draws.chance(4, 150) else PATIENT_DEADLINE_MS
        return RemoteTransfer(
            destination=destination,
            to=draws.choice(1, self._everyone[destination]).key,
            amount=amount,
            deadline_ms=Milliseconds(GENESIS_TIME_MS + self._heap.now_ms + patience),
        )

    def _choose(self) -> SimulatedValidator:
        self._choices += 1
        index = self._draws.under("choice").number(self._choices, 0, self._settings.validators - 1)
        return self.validators[validator_name(self.shard, index)]

    def _submit(self, wanted: UnderWay) -> None:
        validator = self._choose()
        first = wanted.asked == 0

        def answered(results: tuple[Submission, ...]) -> None:
            if results[0].status == "refused" and first:
                self._network.send(validator.name, self.name, partial(self._refused, wanted))

        def arrive() -> None:
            validator.submit((wanted.raw,), answered)

        self._network.send(self.name, validator.name, arrive)

    def _refused(self, wanted: UnderWay) -> None:
        """Give up what nobody else has heard of; later refusals may only mean that it is included already."""
        if self.under_way.get(wanted.person.key) is wanted and wanted.asked == 0:
            del self.under_way[wanted.person.key]
            self.counts["refused"] += 1

    def _ask(self, wanted: UnderWay) -> None:
        """Ask some validator what became of it, and submit it again from time to time."""
        if self.under_way.get(wanted.person.key) is not wanted:
            return
        wanted.asked += 1
        validator = self._choose()

        def arrive() -> None:
            core = validator.core
            if core is None or validator.paused:
                return
            try:
                place = chain_store.transaction_place(validator.disk, wanted.id)
            except StorageFault:
                validator.storage_fails()
                return
            height, time_ms = core.ledger.height, core.ledger.time_ms
            executed = place is None or place.height <= height
            if place is not None and executed:
                back = partial(self._final, wanted, place.height, validator.name)
            elif place is None and time_ms > wanted.valid_until_ms:
                back = partial(self._expired, wanted)
            else:
                return
            self._network.send(validator.name, self.name, back)

        self._network.send(self.name, validator.name, arrive)
        if wanted.asked % RESUBMIT_AFTER_ASKING == 0:
            self.counts["resubmitted"] += 1
            self._submit(wanted)
        self._heap.after(ASK_EVERY_MS * 1000, partial(self._ask, wanted))

    def _final(self, wanted: UnderWay, height: Height, by: Name) -> None:
        if self.under_way.get(wanted.person.key) is not wanted:
            return
        del self.under_way[wanted.person.key]
        self._nonces[wanted.person.key] = Nonce(wanted.nonce + 1)
        self.counts["acknowledged"] += 1
        self.acknowledged.append(Acknowledged(wanted.id, self.shard, height, by, wanted.submitted_ms))

    def _expired(self, wanted: UnderWay) -> None:
        if self.under_way.get(wanted.person.key) is wanted:
            del self.under_way[wanted.person.key]
            self.counts["expired"] += 1
            self.expired.append(wanted)
