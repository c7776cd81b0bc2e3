"""Customers: those who deploy the contracts of `testnet.simulator.programs`, call them, upgrade them and feed them.

The first wish of some of them is to deploy one contract each; what others call before it is there fails, as it should.
What they call covers every way in which a call can go, in all its bad company: see `errand.py` first.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from contracts.values import Data, encode
from primitives.addresses import format_address
from primitives.amounts import Amount, pack_amount
from primitives.identifiers import CallId, Height, Milliseconds, PublicKey, ShardId
from primitives.signatures import SignatureScheme
from shards.genesis import ChainContext
from shards.messages import call_id_of
from shards.transactions import ContractCall, Deploy, Operation, RemoteCall, TopUp, Upgrade
from testnet.simulator.clients import VALID_MS, Clients, UnderWay, Wish
from testnet.simulator.draws import Draws
from testnet.simulator.faults import Name, customers_name
from testnet.simulator.heap import Heap
from testnet.simulator.network import Network
from testnet.simulator.population import Person
from testnet.simulator.settings import GENESIS_TIME_MS, SimulationSettings

PROGRAMS = ("token", "shop", "market", "counter", "errand")
TOKENS = 1_000
"""Minted for each customer."""
GAS = 400_000
"""What most calls are given; the unused rest comes back."""
DEPLOY_GAS = 400_000
REMOTE_DEADLINE_MS = 120_000
ITEMS = 12
"""That each shop sells."""

_DEADLINES = (1, 2, 5, 60, 60)
"""Seconds; in bad times the short ones pass."""
_METHODS = (
    *("buy",) * 5, *("send",) * 5, *("climb",) * 2, "long climb", *("guarded",) * 2, "ping", "deep ping",
    *("spend",) * 3, "hurry", "hurry", *("wait",) * 3, "forget", "fan", "fan", "wrong", "wrong", *("burn",) * 3,
    "bump", "bump", "stumble", "audit", "shuffle", "shuffle", "gamble", "gamble",
    "splurge", "nonsense", "upgrade", "deploy again",
)  # fmt: skip


class Plan(NamedTuple):
    """A call that a customer wants to be made."""

    contract: str
    method: str
    arguments: list[Data]
    gas: int = GAS
    value: int = 0


@cache
def source_of(program: str, version: int = 1) -> str:
    """Source of a program; another version of it is the same program with another number in it."""
    source = Path(__file__).with_name("programs").joinpath(f"{program}.py").read_text(encoding="utf-8")
    return source.replace("VERSION = 1", f"VERSION = {version}")


class Customers(Clients):
    """All customers of one shard."""

    fee_limit = Amount(10_000_000)

    def __init__(
        self,
        settings: SimulationSettings,
        shard: int,
        everyone: tuple[tuple[Person, ...], ...],
        context: ChainContext,
        scheme: SignatureScheme,
        outside: tuple[Heap, Network],
    ) -> None:
        super().__init__(settings, shard, everyone, context, scheme, outside, customers_name(shard))
        self._deployers = dict(zip((person.key for person in self._people), PROGRAMS, strict=False))
        """Who has still to deploy what."""
        self._owner = self._people[PROGRAMS.index("counter")]
        """Of the counter: who may upgrade it."""
        self._generous = Draws(settings.seed, "customers").chance(0, 700)
        """In most runs customers feed who goes hungry; in the others whole families starve, which takes ten minutes."""
        self._hungry: list[CallId] = []
        """Calls that may have run out of gas."""
        self._burning: set[PublicKey] = set()
        self._versions = 1

    def _interval_ms(self) -> int:
        # Deployments come first, and fast.
        return 60_000 // self._settings.calls_per_minute if not self._deployers else 300

    def _wish(self, person: Person, draws: Draws) -> Wish:
        self._burning.discard(person.key)
        program = self._deployers.get(person.key)
        if program is not None:
            return Wish((self._deployment(person, program),), VALID_MS, hopeless=False)
        method = draws.choice(2, _METHODS)
        if method == "upgrade" or (person is self._owner and draws.chance(10, 300)):
            return Wish((self._upgrade(draws),), VALID_MS, hopeless=False)
        if method == "deploy again":
            return Wish((self._deployment(person, draws.choice(13, PROGRAMS)),), VALID_MS, hopeless=False)
        if self._hungry and draws.chance(11, 500 if self._generous else 100):
            gas = draws.choice(3, (1_000_000, 1_000_000, 20_000, 100) if self._generous else (100, 20_000, 100_000))
            return Wish((TopUp(call_id=self._hungry.pop(0), gas=gas),), VALID_MS, hopeless=False)
        if method == "burn" and self._generous and self._heap.now_ms > self._settings.workload_ms // 2:
            method = "bump"
        elif method == "burn" and draws.chance(12, 0 if self._generous else 400):
            method = "feed too little"
        plan = self._call(method, draws.under("call"))
        if method == "burn":
            self._burning.add(person.key)
        others = [ShardId(shard) for shard in range(self._settings.shards) if shard != self.shard]
        if others and draws.chance(6, 250):
            return Wish((self._remote(draws, others, plan),), VALID_MS, hopeless=False)
        operation = ContractCall(
            contract=plan.contract,
            method=plan.method,
            arguments=encode(plan.arguments),
            amount=pack_amount(Amount(plan.value)),
            gas=plan.gas,
        )
        return Wish((operation,), VALID_MS, hopeless=False)

    def _remote(self, draws: Draws, others: list[ShardId], plan: Plan) -> Operation:
        patience_ms = draws.number(7, 200, 3_000) if draws.chance(8, 200) else REMOTE_DEADLINE_MS
        return RemoteCall(
            destination=draws.choice(9, others),
            contract=plan.contract,
            method=plan.method,
            arguments=encode(plan.arguments),
            amount=pack_amount(Amount(plan.value)),
            gas=plan.gas,
            deadline_ms=Milliseconds(GENESIS_TIME_MS + self._heap.now_ms + patience_ms),
        )

    def _deployment(self, person: Person, program: str) -> Operation:
        holders: list[Data] = [format_address(each.key) for each in self._people]
        arguments: dict[str, list[Data]] = {
            "token": [TOKENS, holders],
            "shop": [self._settings.shards],
            "errand": [self._settings.shards],
        }
        return Deploy(
            name=program,
            source=source_of(program),
            owner=person.key,
            arguments=encode(arguments.get(program, [])),
            amount=pack_amount(Amount(5_000)),
            gas=DEPLOY_GAS,
        )

    def _upgrade(self, draws: Draws) -> Operation:
        """Upgrade the counter; whoever does not own it is refused."""
        self._versions += 1
        source = source_of("counter", self._versions)
        if draws.chance(3, 200):
            source += "\ndef broken(:\n"
        return Upgrade(name="counter", source=source, arguments=encode([]), gas=DEPLOY_GAS)

    def _call(self, method: str, draws: Draws) -> Plan:
        """Choose what exactly to call; errands have methods of their own."""
        shard = draws.number(0, 0, self._settings.shards - 1)
        deadline = draws.choice(1, _DEADLINES)
        match method:
            case "buy":
                return Plan("shop", "buy", [str(draws.number(2, 0, ITEMS - 1)), deadline])
            case "send":
                to = draws.choice(3, ("nobody", self._address(draws, shard), self._address(draws, shard)))
                amount = draws.number(4, 1, 90) if draws.chance(24, 800) else TOKENS
                return Plan("token", "send", [shard, to, amount, deadline])
            case "audit" | "shuffle":
                return Plan("token", method, [])
            case "stumble":
                return Plan("counter", "stumble", [], value=draws.number(25, 0, 500))
            case "climb" | "long climb":
                steps = 2 if method == "climb" else draws.number(5, 6, 14)
                return Plan("counter", "climb", [shard, steps], 2 * GAS)
            case "guarded":
                return Plan("counter", "guarded", [shard, f"door {draws.number(6, 0, 1)}", draws.choice(7, (1, 3, 30))])
            case "bump":
                gas = draws.choice(20, (0, 3_000, GAS, GAS))
                return Plan("counter", "bump", [], gas, draws.number(21, 0, 10))
            case "nonsense":
                names = (("nobody", "bump"), ("counter", "init"), ("counter", "_x"), ("counter", "no"))
                name, wrong = draws.choice(22, names)
                return Plan(name, wrong, [1, 2, 3], value=draws.number(23, 0, 10))
            case _:
                return self._errand(method, shard, draws)

    def _errand(self, method: str, shard: int, draws: Draws) -> Plan:
        match method:
            case "gamble":
                return Plan("errand", "gamble", [shard], value=draws.number(27, 1, 500))
            case "ping" | "deep ping":
                return Plan("errand", "ping", [draws.number(8, 1, 4) if method == "ping" else 17], 3 * GAS)
            case "spend":
                here, there = self._address(draws, self.shard), self._address(draws, shard)
                arguments: list[Data] = [shard, here, there, draws.number(9, 0, 3)]
                return Plan("errand", "spend", arguments, value=draws.number(10, 0, 9_999))
            case "splurge":
                return Plan("errand", "splurge", [self._address(draws, self.shard)], value=draws.number(26, 1, 500))
            case "hurry":
                return Plan("errand", "hurry", [shard, draws.number(11, 0, 2)])
            case "wait":
                return Plan("errand", "wait", [shard, draws.number(12, 1, 4), draws.number(13, 1, 5)], 2 * GAS)
            case "forget":
                return Plan("errand", "forget", [shard], value=draws.number(14, 0, 500))
            case "fan":
                return Plan("errand", "fan", [draws.chance(15, 500)])
            case "wrong":
                return Plan("errand", "wrong", [draws.number(16, 0, 3)], value=draws.number(17, 0, 500))
            case "burn":
                loops = draws.choice(18, (10_000, 100_000))
                return Plan("errand", "burn", [shard, loops], draws.choice(19, (22_000, 40_000)))
            case _:
                return Plan("errand", "feed_too_little", [shard])

    def _address(self, draws: Draws, shard: int) -> str:
        return format_address(draws.choice(30, self._everyone[shard]).key)

    def _final(self, wanted: UnderWay, height: Height, by: Name) -> None:
        person = wanted.person.key
        if self.under_way.get(person) is wanted:
            self._deployers.pop(person, None)
            if person in self._burning:
                self._hungry.append(call_id_of(self._context.chain_id, self.shard, wanted.id, 0))
        super()._final(wanted, height, by)
