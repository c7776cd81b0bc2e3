"""A whole testnet in virtual time that a program drives step by step: what tests and consoles hold as `net`.

The validators, relays and checkers are those of the simulator, signatures are real, and contracts run in the real
machine. Nothing happens by itself: virtual time passes while something is waited for, as fast as it can be computed.
One seed decides everything, so a test that failed fails again.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from contracts.limits import MAX_CALL_GAS, MAX_SOURCE_BYTES
from contracts.values import encode
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.identifiers import Nonce, PublicKey, ShardId
from primitives.storage import Reader
from shards.chain_store import commitment_at, executed_height
from shards.genesis import ChainContext
from shards.ledger import Ledger
from shards.state import account_key, decode_account
from shards.transactions import Deploy, Operation, SignedTransaction, Upgrade
from shards.validator.effects import Submission
from testnet.simulator.faults import validator_name
from testnet.simulator.heap import MICROSECONDS_PER_MS
from testnet.simulator.settings import GENESIS_TIME_MS
from testnet.simulator.validators import SimulatedValidator
from testnet.simulator.world import World
from testnet.virtual import ground
from testnet.virtual.accounts import Account
from testnet.virtual.contracts import Contract, checked, find_source, name_for
from testnet.virtual.durations import Duration, milliseconds
from testnet.virtual.errors import InvariantBroken, Misuse, NotSettled, NotTaken
from testnet.virtual.faults import Faults
from testnet.virtual.history import History
from testnet.virtual.snapshots import Anchor, Snapshot, new_world
from testnet.virtual.transactions import SETTLE_LIMIT, Tx

DEPLOY_GAS = MAX_CALL_GAS
"""For compiling a contract and its `init`: all that there may be. What is not used comes back."""

STEP_MS = 5
"""Virtual time between two looks at whether what is waited for has happened."""

ANSWER_MS = 1_000
"""Virtual time that a validator may take to say whether it takes a transaction."""

ASK_EVERY_MS = 700
"""A transaction that is not final is handed in again so often, elsewhere where there is an elsewhere."""


class Net:
    """See the module's docstring. `folders` is where contract files are looked for, `replay` how to see a run again."""

    def __init__(
        self, *, shards: int = 3, validators: int = 1, seed: int = 7, folders: Sequence[Path] = (), replay: str = ""
    ) -> None:
        self.context: ChainContext = ground.chain(shards, validators)
        self.shards = shards
        self.validators = validators
        self.seed = seed
        self.replay = replay
        self._folders = tuple(folders) or (Path.cwd(),)
        self._settings = ground.settings(shards, validators, seed)
        self.era = 0
        """Counts snapshots and restores; `eras` are those whose transactions have happened."""
        self.eras: frozenset[int] = frozenset({0})
        self._unsettled: list[Tx] = []
        """Sent, and not seen to be settled."""
        self._waiting: list[Tx] = []
        """Sent, and not seen to be final."""
        self._restored: tuple[Snapshot | None, int] = (None, 0)
        """The snapshot last restored, and what had happened then: as long as that is all, it needs no other."""
        self._accounts: dict[str, Account] = {}
        self.fault = Faults(self)
        self.world: World
        self.history: History
        self._enter(new_world(self._settings, self.context, None))
        self.fault.attach([])

    # Time

    @property
    def now(self) -> int:
        """Virtual time as Unix milliseconds: what `block.time_ms` is measured in."""
        return GENESIS_TIME_MS + self.world.heap.now_ms

    def run_for(self, duration: Duration) -> None:
        """Let virtual time pass."""
        __tracebackhide__ = True
        self._run_until_ms(self.world.heap.now_ms + milliseconds(duration))

    def run_until(self, predicate: Callable[[], object], limit: Duration = "60s") -> None:
        """Let virtual time pass until `predicate()` is true; it is asked every few virtual milliseconds.

        Raises:
            NotSettled: it was not within `limit`.

        """
        __tracebackhide__ = True
        if not self.advance(limit, lambda: bool(predicate())):
            raise NotSettled(self.explain(f"not so within {limit} of virtual time", self._unsettled[-1:]))

    def settle(self, limit: Duration = SETTLE_LIMIT) -> None:
        """Let virtual time pass until all that was sent is settled."""
        __tracebackhide__ = True
        while self._unsettled:
            self._unsettled[0].settle(limit)
            del self._unsettled[0]

    def advance(self, limit: Duration, done: Callable[[], bool]) -> bool:
        """Let virtual time pass until `done()`; False when it was not within `limit`."""
        __tracebackhide__ = True
        heap = self.world.heap
        end_ms = heap.now_ms + milliseconds(limit)
        while not done():
            if heap.now_ms >= end_ms:
                return False
            # What is idle until its next timer is passed in one step.
            step_ms = max(heap.now_ms + STEP_MS, heap.next_ms or end_ms)
            self._run_until_ms(min(step_ms, end_ms))
        return True

    def _run_until_ms(self, end_ms: int) -> None:
        __tracebackhide__ = True
        findings = self.world.findings
        self.world.heap.run_until(end_ms, stop=lambda: bool(findings))
        self._raise_findings()

    # Who and what there is

    def account(self, name: str) -> Account:
        """An account by name; those beside `ground.NAMES` begin without money."""
        return self._accounts.setdefault(name, Account(self, name))

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Those that the genesis funds."""
        return tuple(map(self.account, ground.NAMES))

    def contract(self, name: str, shard: int) -> Contract:
        """A contract that is deployed already."""
        return Contract(self, name, self.known_shard(shard))

    def deploy(
        self,
        source: str | Path | ModuleType,
        *args: object,
        shard: int = 0,
        name: str | None = None,
        by: Account | None = None,
        owner: Account | str | None = "by",
        value: int = 0,
        gas: int = DEPLOY_GAS,
    ) -> Contract:
        """Deploy a contract and let its `init(*args)` run.

        `source` is a file, relative to the test's folder, a folder `contracts` beside it, or pytest's root; or a
        module, or the source text. The name is the file's when left out. It is deployed `by` alice, who may upgrade
        it; `owner=None`: nobody may.

        Raises:
            TransactionFailed: it does not compile, its `init` raised, the name is taken.

        """
        __tracebackhide__ = True
        text, stem = self._source(source)
        deployer = by or self.account(ground.NAMES[0])
        may_upgrade = deployer if owner == "by" else owner
        if isinstance(may_upgrade, str):
            raise Misuse(f"{owner!r} is no owner; pass an account, or None for a contract that nobody upgrades")
        contract = self.contract(name or name_for(stem), shard)
        operation = Deploy(
            name=contract.name,
            source=text,
            owner=may_upgrade.key if may_upgrade is not None else b"",
            arguments=encode(checked(args)),
            amount=pack_amount(Amount(value)),
            gas=gas,
        )
        deployer.sign_and_send(shard, operation).result()
        return contract

    def upgrade(
        self,
        contract: Contract,
        source: str | Path | ModuleType,
        *args: object,
        by: Account | None = None,
        gas: int = DEPLOY_GAS,
    ) -> Tx:
        """Replace a contract's code, and let its `migrate(*args)` run; calls under way finish on the old one."""
        __tracebackhide__ = True
        text, _ = self._source(source)
        operation: Operation = Upgrade(contract.name, text, encode(checked(args)), gas)
        return (by or self.account(ground.NAMES[0])).sign_and_send(contract.shard, operation)

    def _source(self, source: str | Path | ModuleType) -> tuple[str, str]:
        text, stem = find_source(source, self._folders)
        if len(text.encode()) > MAX_SOURCE_BYTES:
            raise Misuse(
                f"{stem or 'the contract'} has {len(text.encode())} bytes; at most {MAX_SOURCE_BYTES} are taken"
            )
        return text, stem

    def known_shard(self, shard: int) -> int:
        """The shard, if there is one of this number."""
        if type(shard) is not int or not 0 <= shard < self.shards:
            raise Misuse(f"there is no shard {shard!r}; this net has 0 to {self.shards - 1}")
        return shard

    def names(self) -> dict[bytes, str]:
        """Names of accounts by key, for drawing."""
        return {account.key: account.name for account in (*self.accounts, *self._accounts.values())}

    # What validators know

    def ledger(self, shard: int) -> Ledger:
        """State of a shard, as its most advanced validator has it.

        Raises:
            Misuse: all of them are down.

        """
        cores = [validator.core for validator in self._members(shard)]
        ledgers = [core.ledger for core in cores if core is not None]
        if not ledgers:
            raise Misuse(f"shard {shard} is down: {self._faults_text()}; nobody can be asked about its state")
        return max(ledgers, key=lambda ledger: ledger.height)

    def stored(self, shard: int, key: bytes) -> bytes | None:
        """Value of a raw state key; of a shard that is down, what its disks hold."""
        members = self._members(self.known_shard(shard))
        if any(validator.alive for validator in members):
            return self.ledger(shard).get(key)
        return max(members, key=lambda validator: executed_height(validator.disk)).stored(key)

    def height(self, shard: int) -> int:
        """Blocks that a shard has executed."""
        return executed_height(self._reader(ShardId(self.known_shard(shard))))

    def block_time_ms(self, shard: int) -> int:
        """Time of a shard's last block; of one that is down, of the last that it stored."""
        reader = self._reader(ShardId(shard))
        commitment = commitment_at(reader, executed_height(reader))
        return GENESIS_TIME_MS if commitment is None else commitment.time_ms

    def balance(self, key: PublicKey, shard: int) -> int:
        """Base units of an account on a shard."""
        return unpack_amount(self.ledger(self.known_shard(shard)).account(key).balance)

    def next_nonce(self, key: PublicKey, shard: int) -> Nonce:
        """Nonce of an account's next transaction on a shard: after all that were sent and may still be included."""
        bodies = [tx.signed.body for tx in self._still_waiting() if tx.signed.body.sender == key and tx.shard == shard]
        raw = self.stored(shard, account_key(key))
        executed = 0 if raw is None else decode_account(raw).nonce
        booked = self.world.judge.books.shards[shard].nonces.get(key, 0)  # more than the disks of a shard that is down
        return Nonce(max([executed, booked, *(body.nonce + 1 for body in bodies)]))

    def readers(self) -> Iterator[Reader]:
        """The best store of each shard."""
        return map(self._reader, map(ShardId, range(self.shards)))

    def _reader(self, shard: ShardId) -> Reader:
        return max((validator.disk for validator in self._members(shard)), key=executed_height)

    def _members(self, shard: int) -> list[SimulatedValidator]:
        return [self.world.validators[validator_name(shard, index)] for index in range(self.validators)]

    # Sending

    def submit(self, signed: SignedTransaction) -> Tx:
        """Hand in a transaction and hear whether it is taken; with nobody there it is handed in again later.

        Raises:
            NotTaken: it is refused.

        """
        __tracebackhide__ = True
        tx = Tx(self, signed)
        answers: list[Submission] = []
        if self._hand_in(tx, 0, answers.append):
            self.advance(f"{ANSWER_MS}ms", lambda: bool(answers))
        # A validator that was down knows less than there is: it is told what comes before, and this one again.
        right = signed.body.nonce <= self.next_nonce(signed.body.sender, tx.shard)
        if answers and answers[0].status == "refused" and not (right and answers[0].code == "nonce_gap"):
            tx.given_up = True
            raise NotTaken(answers[0].code, answers[0].detail)
        self._unsettled.append(tx)
        self._waiting.append(tx)
        return tx

    def _hand_in(self, tx: Tx, attempt: int, tell: Callable[[Submission], None]) -> bool:
        """Give it to a validator, one after the other; False when none of the shard runs."""
        self.world.heap.after(ASK_EVERY_MS * MICROSECONDS_PER_MS, partial(self._again, tx, attempt + 1))
        there = [validator for validator in self._members(tx.shard) if validator.alive and not validator.paused]
        if there:
            there[attempt % len(there)].submit((tx.signed.raw,), lambda results: tell(results[0]))
        return bool(there)

    def _again(self, tx: Tx, attempt: int) -> None:
        if not (tx.given_up or tx.final or tx.lapsed):
            self._hand_in(tx, attempt, lambda _submission: None)

    def _still_waiting(self) -> list[Tx]:
        """Sent, and neither executed nor lapsed."""
        self._waiting = [tx for tx in self._waiting if tx.under_way]
        return self._waiting

    # Snapshots

    def snapshot(self) -> Snapshot:
        """Keep the whole network as it is, to return to it with `restore` as often as you like.

        It is what backups of all disks hold, and restoring is a restart of everything from them: what is final is
        there, messages between shards are delivered again. So it waits until all that was sent is final.

        Raises:
            NotSettled: something cannot become final, because its shard is down.

        """
        __tracebackhide__ = True
        if not self.advance("30s", lambda: not self._still_waiting()):
            raise NotSettled(self.explain("a snapshot waits until all that was sent is final", self._waiting[-1:]))
        restored = self._untouched()
        if restored is not None:
            return restored
        snapshot = Snapshot.of(self.world, self.fault.active, self._unsettled, self.eras)
        self._begin_era(snapshot)
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        """Go back: to the state, the time and the faults of the snapshot. What was sent after it has never been."""
        if self._untouched() is snapshot:
            return
        self._begin_era(snapshot)
        self._unsettled, self._waiting = list(snapshot.unsettled), []
        self._enter(new_world(self._settings, self.context, snapshot))
        self.fault.attach(snapshot.faults)
        self._restored = (snapshot, self.world.heap.happened)

    def _untouched(self) -> Snapshot | None:
        """The snapshot that was restored, if nothing has happened since."""
        snapshot, happened = self._restored
        same = happened == self.world.heap.happened and snapshot is not None and snapshot.faults == self.fault.active
        return snapshot if same else None

    def _begin_era(self, snapshot: Snapshot) -> None:
        self.era += 1
        self.eras = snapshot.eras | {self.era}

    def anchor(self) -> Anchor:
        """Context manager: what happens inside it is undone at its end. `@given` tests get one around each example."""
        return Anchor(self)

    def _enter(self, world: World) -> None:
        self.world = world
        self.history = History(self.shards, self._reader)

    # Verdicts

    def check(self) -> None:
        """Compare everything that can be compared at any time; every test ends with this.

        Raises:
            InvariantBroken: a checker saw something.

        """
        __tracebackhide__ = True
        judge, findings = self.world.judge, self.world.findings
        for validator in self.world.validators.values():
            if validator.core is None or validator.name in judge.guilty:
                continue
            if validator.core.ledger.height == judge.books.shards[validator.shard].height:
                judge.books.compare_state(validator.name, validator.core.ledger.entries())
        for relay in self.world.relays:
            findings.check(not relay.failure, "H1", relay.name, 0, relay.failure)
        self._raise_findings()

    def _raise_findings(self) -> None:
        __tracebackhide__ = True
        found = self.world.findings.all()
        if found:
            raise InvariantBroken(self.explain("\n".join(f"VIOLATED {violation}" for violation in found), []))

    def explain(self, problem: str, shown: Sequence[Tx]) -> str:
        """A problem with the call trees that belong to it, what is broken on purpose, and how to see it again."""
        parts = [problem]
        for tx in shown:
            parts += ["", tx.tree()]
        again = f" · again: {self.replay}" if self.replay else ""
        return "\n".join([*parts, "", self.where() + again])

    def where(self) -> str:
        """Seed, virtual time, and what is broken on purpose."""
        broken = f" · broken on purpose: {self._faults_text()}" if self.fault.active else ""
        return f"seed {self.seed}, at {self.world.heap.now_ms} ms of virtual time{broken}"

    def _faults_text(self) -> str:
        return ", ".join(fault.text for fault in self.fault.active) or "nothing"
