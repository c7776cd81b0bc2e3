"""A purchase over three shards on the simulator, with what is to happen to each of its calls.

Which call fails is chosen by the item that is bought, which one waits or expires by halting its shard while the call
is under way. So one market serves all combinations, each from the same snapshot.
"""

from pathlib import Path
from typing import NamedTuple

from testnet.virtual import Account, Contract, Net, Tx

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "shop"
VERBATIM = HERE / "verbatim_shop.py"
PRICE = 5_000_000
FUNDS = 2 * PRICE
ALLOWED = PRICE + 7
RELEASE = "def release(item: str) -> None:\n"
STUCK = """    if item.endswith("stuck"):
        raise NotAllowed("this one cannot be put back")
"""
"""Makes `release` fail for some items; the example's never does."""

SHORT = "10s"
"""A call that finds its shard down for so long is only late."""

LONG = "65s"
"""A call that finds its shard down for so long has expired."""

HOPS = {"prices.quote": 2, "stock.reserve": 1, "wallet.charge": 2, "stock.release": 1}
"""The calls of `buy`, in the order of `Case`, and the shards they go to."""

OUTCOMES = ("ok", "failed", "expired", "halted")


class Case(NamedTuple):
    """Outcome of each call: ok, failed, expired, or halted: ok, once its shard is back; "-": it is not called."""

    quote: str
    reserve: str
    charge: str = "-"
    release: str = "-"

    @property
    def item(self) -> str:
        """What to buy so that these calls fail."""
        kind = "-".join(name for name in ("quote", "reserve", "charge") if getattr(self, name) == "failed")
        return f"{kind or 'good'}{'-stuck' if self.release == 'failed' else ''}"


def combinations() -> list[Case]:
    """All that can happen.

    A release behind a reservation that waits cannot expire where the reservation does not: one lane keeps its order.
    """
    cases = []
    for quote in OUTCOMES:
        for reserve in OUTCOMES:
            if {quote, reserve} <= {"ok", "halted"}:
                cases += [Case(quote, reserve, charge) for charge in ("ok", "halted")]
                cases += [Case(quote, reserve, charge, last) for charge in ("failed", "expired") for last in OUTCOMES]
            else:
                behind = (quote, reserve) == ("failed", "halted")
                cases += [Case(quote, reserve, "-", last) for last in OUTCOMES if not (behind and last == "expired")]
    return cases


class Market:
    """The four contracts, with an item for every case."""

    def __init__(self, shop: Path) -> None:
        self.net = net = Net(folders=[EXAMPLE])
        self.alice: Account = net.account("alice")
        self.shop: Contract = net.deploy(shop, name="shop")
        source = (EXAMPLE / "stock.py").read_text()
        assert RELEASE in source
        self.stock = net.deploy(source.replace(RELEASE, RELEASE + STUCK), name="stock", shard=1)
        self.prices, self.wallet = net.deploy("prices.py", shard=2), net.deploy("wallet.py", shard=2)
        for item in sorted({case.item for case in combinations()}):
            if "reserve" not in item:
                self.alice.send(self.stock.fill(item))
            if "quote" not in item:
                self.alice.send(self.prices.fix(item, ALLOWED + 1 if "charge" in item else PRICE))
        self.alice.send(self.wallet.deposit(), value=FUNDS)
        self.alice.send(self.wallet.allow(self.shop, ALLOWED))
        net.settle()
        self.ready = net.snapshot()

    def buy(self, case: Case) -> Tx:
        """Buy from the beginning, let happen what is to happen, and wait until all is settled."""
        net = self.net
        net.restore(self.ready)
        tx = self.alice.send(self.shop.buy(case.item))
        wanted = dict(zip(HOPS, case, strict=True))
        while not tx.settled:
            net.run_until(lambda: tx.settled or wanted.keys() & outcomes(tx).keys(), limit="5m")
            for hop in sorted(wanted.keys() & outcomes(tx).keys()):
                self._hold(HOPS[hop], wanted.pop(hop))
                if hop == "stock.reserve" and (case.quote, case.reserve) == ("failed", "expired"):
                    self._hold(HOPS["prices.quote"], "halted")  # so that the release is sent later and has time
        return tx

    def _hold(self, shard: int, outcome: str) -> None:
        lasts = {"halted": SHORT, "expired": LONG}.get(outcome)
        if lasts is not None:
            self.net.fault.halt(shard, lasts=lasts)


def outcomes(tx: Tx) -> dict[str, str]:
    """What became of each call made so far."""
    return {call.name: call.outcome for call in tx.story() if call.name in HOPS}
