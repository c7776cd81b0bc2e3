"""The contract of the design over three shards, through every combination of what can happen to each of its calls.

`buy` on shard 0 asks for a price on shard 2 and a reservation on shard 1 at once, then charges the buyer on shard 2; if
any of it fails it releases the item and takes its claim back. Whatever happens, in the end either the item is sold,
reserved and paid for, or nothing of that is so; where a shard stays halted, the call waits and blocks nobody else.
"""

from collections.abc import Iterator
from itertools import product

import pytest

from primitives.addresses import format_address
from primitives.identifiers import ShardId
from shards.limits import MAX_VALIDITY_MS
from shards.messages import Call, message_decoder
from shards.receipts import RunState
from tests.calls.network import Network, program, result_of

PRICE = 300
ALLOWED = 1_000
OUTCOMES = ("ok", "failed", "expired", "refused", "halted")

FAILING = """
class Broken(Exception):
    pass

def {method}(*arguments: object) -> None:
    raise Broken("{method}")
"""


class Market(Network):
    """The four contracts, with what is to happen to each call of `buy`."""

    def __init__(self, outcomes: dict[str, str], *, restart: bool) -> None:
        super().__init__(shards=3, restart=restart)
        self.outcomes = outcomes
        self.buyer = format_address(self.alice.key)
        self.deploy(0, "shop")
        self._install("stock", 1, {method: outcomes[method] for method in ("reserve", "release")})
        self._install("prices", 2, {"quote": outcomes["quote"]})
        self._install("wallet", 2, {"charge": outcomes["charge"]})
        if outcomes["reserve"] != "refused":
            self.call(1, "stock", "fill", "owl")
        if outcomes["charge"] != "refused":
            self.call(2, "wallet", "allow", "shop@0", ALLOWED)

    def _install(self, name: str, shard: int, methods: dict[str, str]) -> None:
        """Deploy a contract whose methods fail, or that does not know them, as is wanted."""
        source = program(name)
        for method, outcome in methods.items():
            if outcome == "failed":
                source = source.replace(f"def {method}(", f"def was_{method}(") + FAILING.format(method=method)
            elif outcome == "refused":
                source = source.replace(f"def {method}(", f"def was_{method}(")
        self.deploy(shard, name, source)

    def play(self) -> bytes:
        """Buy; each call has its outcome happen to it."""
        told = self.call(0, "shop", "buy", "owl", gas=800_000)
        for _ in range(5):
            pending = {self.pending(shard): shard for shard in (1, 2)}
            late = [shard for method, shard in pending.items() if self.outcomes.get(method) == "expired"]
            self.halted |= {shard for method, shard in pending.items() if self.outcomes.get(method) == "halted"}
            for shard in {1, 2} - self.halted - set(late):
                self.run(shard, bundles=self.bundles_for(shard))
            if late:
                self.wait(MAX_VALIDITY_MS + 1_000)
            for shard in late:
                self.run(shard, bundles=self.bundles_for(shard))
            self.run(0, bundles=self.bundles_for(0))
        return told.call_id

    def pending(self, shard: int) -> str:
        """Method of the first call that a shard has not consumed."""
        first = self.shards[shard].ledger.lane(ShardId(0)).recv_next
        bodies = self.shards[0].bodies.get(shard, [])[first:]
        messages = [message for body in bodies if isinstance(message := message_decoder.decode(body), Call)]
        return messages[0].method if messages else f"nothing for {shard}"

    def sold_to(self) -> object:
        return self.stored(0, "shop", "sold:owl")

    def reserved(self) -> object:
        return self.stored(1, "stock", "reserved/owl")

    def free(self) -> object:
        return self.stored(1, "stock", "free/owl")

    def allowed(self) -> object:
        return self.stored(2, "wallet", f"allowance/{self.buyer}/shop@0")


def combinations() -> Iterator[dict[str, str]]:
    for quote, reserve in product(OUTCOMES, OUTCOMES):
        if (quote, reserve) == ("ok", "ok"):
            for charge in OUTCOMES:
                for release in ("ok",) if charge in ("ok", "halted") else OUTCOMES:
                    yield {"quote": quote, "reserve": reserve, "charge": charge, "release": release}
        else:
            for release in OUTCOMES:
                yield {"quote": quote, "reserve": reserve, "charge": "ok", "release": release}


@pytest.mark.parametrize("outcomes", list(combinations()), ids=lambda case: "-".join(case.values()))
def test_a_purchase_ends_whole_or_undone_whatever_happens_to_its_calls(outcomes: dict[str, str]) -> None:
    restart = outcomes["release"] in ("ok", "halted")
    market = Market(outcomes, restart=restart)
    call_id = market.play()
    ended = [run for run in market.runs(0, "shop") if run.call_id == call_id and run.state != RunState.SUSPENDED]
    if waits(outcomes):
        assert not ended
        assert market.suspended(0, call_id) is not None
        assert result_of(market.call(0, "shop", "owner_of", "owl").run) == market.sold_to(), "it blocks nobody else"
        market.halted = set()
        market.quiesce()
        ended = [run for run in market.runs(0, "shop") if run.call_id == call_id and run.state != RunState.SUSPENDED]
    (end,) = ended
    assert market.suspended(0, call_id) is None
    expected = what_must_be(outcomes)
    if expected == "sold":
        assert end.state == RunState.COMPLETED
        assert market.sold_to() == market.buyer
        assert (market.reserved(), market.free()) == ("shop@0", None)
        assert market.allowed() == ALLOWED - PRICE
        return
    assert end.error_type == "CallFailed"
    assert market.sold_to() is None, "the claim is taken back before anything else"
    assert market.allowed() == (None if outcomes["charge"] == "refused" else ALLOWED)
    if expected == "undone":
        assert (market.reserved(), market.free()) == (None, None if outcomes["reserve"] == "refused" else True)
    else:
        assert (market.reserved(), market.free()) == ("shop@0", None), "the release itself was lost"
        assert outcomes["release"] in end.error_text, "and the trace says so"


def waits(outcomes: dict[str, str]) -> bool:
    """Whether the purchase waits for a shard that is halted."""
    quote, reserve, charge, release = (outcomes[name] for name in ("quote", "reserve", "charge", "release"))
    if {quote, reserve} & {"failed", "expired", "refused"}:
        return "halted" in (reserve, release)
    if "halted" in (quote, reserve):
        return True
    return charge == "halted" or (charge != "ok" and release == "halted")


def what_must_be(outcomes: dict[str, str]) -> str:
    """What it comes to once all shards go on: sold, undone, or reserved for ever because the release failed too."""
    quote, reserve, charge, release = (outcomes[name] for name in ("quote", "reserve", "charge", "release"))
    if {quote, reserve, charge} <= {"ok", "halted"}:
        return "sold"
    # While it was halted, its deadline passed if that of the quote did; and a release behind it had no time to expire.
    reserved = reserve == "ok" or (reserve == "halted" and quote != "expired")
    released = release in ("ok", "halted") or (release == "expired" and reserve == "halted")
    return "reserved" if reserved and not released else "undone"


def test_an_item_is_sold_once_however_many_want_it() -> None:
    market = Market(dict.fromkeys(("quote", "reserve", "charge", "release"), "ok"), restart=True)
    first = market.call(0, "shop", "buy", "owl")
    second = market.call(0, "shop", "buy", "owl", who=market.bob)
    assert (second.failure, second.receipt.detail) == ("raised", "SoldOut: owl")
    market.quiesce()
    assert market.end_of(first.call_id).state == RunState.COMPLETED
