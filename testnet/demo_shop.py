"""The demo's shop: contracts on three shards that call each other, one purchase that works and one that is undone."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from contracts.machine.local import LocalMachine
from contracts.values import Value
from primitives.errors import Refused
from shards.traces import Trace, TraceState
from testnet.client import AsyncNetwork, Sent
from testnet.contracts import Ask, At, Code
from testnet.network import Network
from testnet.replaying import replay_call

SETTLE_SECONDS: Final = 60.0
"""How long any call of the demo may take; the first one of all waits for the validators' machines to load."""

SHOP: Final = At("shop", 0)
STOCK: Final = At("stock", 1)
PRICES: Final = At("prices", 2)
WALLET: Final = At("wallet", 2)

PRICE: Final = 500
"""Base units: what both items cost."""

POCKET: Final = 120
"""What Alice keeps in the wallet: less than the price."""

NEEDED_SHARDS: Final = 3

Say = Callable[[str], None]


def play_shop(net: Network, say: Say) -> dict[str, Any]:
    """Deploy the shop, buy one thing, fail to buy another, and show both traces. Returns what was found.

    Raises:
        Refused: `demo_failed`: something went another way than it must.

    """
    if net.info.shards < NEEDED_SHARDS:
        say(f"\nthe shop's contracts live on shards 0, 1 and 2; this testnet has {net.info.shards}: no shop today")
        return {}
    say(f"\ncontracts from {shop_folder().name}/: {SHOP}, {STOCK}, {PRICES}, {WALLET}")
    net.run(_open_shop(net.asynchronous))
    bought = net.run(_traced(net.asynchronous, "bob", _buy("hoopoe")))
    say("\n$ ostraka call shop@0 buy hoopoe --from bob\n" + net.draw(bought))
    _expect(bought.state is TraceState.SETTLED, bought, "Bob's purchase settles")
    undone = net.run(_traced(net.asynchronous, "alice", _buy("owl")))
    say("\n$ ostraka call shop@0 buy owl --from alice\n" + net.draw(undone))
    _replay(net, undone, say)
    _expect(undone.state is TraceState.FAILED, undone, "Alice's purchase fails, because she has too little")
    origin = undone.roots[0].origin()
    _expect(origin.label == "wallet.charge", undone, "it fails at the wallet")
    free = net.run(net.asynchronous.contracts.view(Ask(STOCK, "free")))
    _expect(free.result == ["owl"], undone, "the owl is back on the shelf, and the hoopoe is sold")
    say("\n  ✓ the hoopoe is Bob's; Alice's failure was undone on every shard: the owl is for sale again")
    return {"contracts": 4, "bought_gas": bought.gas, "undone_at": origin.label, "undone_because": origin.error}


def _replay(net: Network, trace: Trace, say: Say) -> None:
    """Repeat the call here, from what a validator kept of it."""
    record = net.run(net.asynchronous.contracts.find_record(trace.trace_id))
    replayed = replay_call(record, LocalMachine())
    differences = [difference for each in replayed for difference in each.differences]
    _expect(not differences, trace, f"its replay does the same ({differences})")
    say(f"\n$ ostraka replay {trace.trace_id.hex()[:16]}…")
    say(f"  ✓ {len(replayed)} runs of {record.contract} on shard {record.shard} repeated here, each as on the chain")


def shop_folder() -> Path:
    """Where the shop's sources are: beside the packages in a checkout, inside this one when installed."""
    inside = Path(__file__).parent / "examples" / "shop"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "examples" / "shop"


async def _open_shop(network: AsyncNetwork) -> None:
    """Deploy everything and put things in place."""
    alice, folder = network.seed("alice"), shop_folder()
    owner, desk = network.key("alice"), network.contracts

    async def deploy(at: At) -> Sent:
        source = await asyncio.to_thread((folder / f"{at.name}.py").read_text, "utf-8")
        return await desk.deploy(alice, at, Code(source), owner=owner)

    await _settle(network, [deploy(at) for at in (SHOP, STOCK, PRICES, WALLET)])
    bob = network.seed("bob")
    items = ("owl", "hoopoe")
    steps = [desk.call(alice, Ask(STOCK, "fill", [item], gas=100_000)) for item in items]
    steps += [desk.call(alice, Ask(PRICES, "fix", [item, PRICE], gas=100_000)) for item in items]
    for seed, kept in ((alice, POCKET), (bob, PRICE)):
        steps.append(desk.call(seed, Ask(WALLET, "deposit", value=kept, gas=100_000)))
        steps.append(desk.call(seed, Ask(WALLET, "allow", [str(SHOP), PRICE], gas=100_000)))
    await _settle(network, steps)


async def _settle(network: AsyncNetwork, steps: list[Coroutine[Any, Any, Sent]]) -> None:
    for sent in await asyncio.gather(*steps):
        settlement = await network.wait(sent, SETTLE_SECONDS)
        if settlement.outcome != "settled":
            detail = f"transaction {sent.id.hex()} is {settlement.outcome}: {settlement.detail}"
            raise Refused("demo_failed", detail)


def _buy(item: Value) -> Ask:
    return Ask(SHOP, "buy", [item])


async def _traced(network: AsyncNetwork, buyer: str, ask: Ask) -> Trace:
    """Send a call, wait for its end, and read where it has been."""
    sent = await network.contracts.call(network.seed(buyer), ask)
    await network.wait(sent, SETTLE_SECONDS)
    return await network.trace(sent.id)


def _expect(holds: bool, trace: Trace, what: str) -> None:  # noqa: FBT001 - reads like assert
    if not holds:
        raise Refused("demo_failed", f"{what}; but transaction {trace.trace_id.hex()} is {trace.state.value}")
