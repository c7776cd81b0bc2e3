"""What a client concludes from a validator's word, and what it does when validators die."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, cast

import aiohttp
import msgspec
import pytest

from primitives.errors import Refused
from primitives.identifiers import Height, Milliseconds, PublicKey, ShardId, TransactionId
from shards.node import api_types as api
from shards.node.client import NodeClient, NodeUnavailable
from shards.trace_parts import Hop, HopKind, TracePart
from testnet import client, gateway
from testnet.client import AsyncNetwork, Outcome, Sent, judge
from testnet.development_keys import account_seed
from testnet.gateway import ShardGateway
from testnet.run_file import NodeRun, RunInfo

SENT = Sent(TransactionId(bytes(32)), 0, b"raw", None)


def answer(
    level: api.Level,
    failure: str = "ok",
    replies: tuple[str | None, ...] = (),
    height: int | None = 5,
    call: api.BegunCall | None = None,
) -> api.TransactionAnswer:
    """A validator's answer about a transaction whose messages have these outcomes."""
    receipt = api.ReceiptView(kind="transaction", outcome=failure, detail="why")
    sent = [
        api.SentStatusView(
            message=api.SentView(destination=1, sequence=0, message_id="ab" * 32, call_id="cd" * 32),
            state="pending" if outcome is None else "answered",
            outcome=outcome,
            detail="" if outcome is None else f"it {outcome}",
            returned=None,
            answered_height=None if outcome is None else 8,
        )
        for outcome in replies
    ]
    executed = level not in {"accepted", "finalized"}
    return api.TransactionAnswer("00" * 32, level, height, 0, 1, receipt if executed else None, sent, call)


def begun(failure: str = "") -> api.BegunCall:
    """A contract's call that ended two blocks after that of the transaction."""
    return api.BegunCall("ef" * 32, "failed" if failure else "completed", 7, failure)


@pytest.mark.parametrize(
    ("given", "outcome", "blocks"),
    [
        (None, "pending", 0),
        (answer("accepted", height=None), "pending", 0),
        (answer("finalized"), "pending", 0),
        (answer("executed"), "pending", 1),
        (answer("certified", replies=(None,)), "pending", 1),
        (answer("settled"), "settled", 1),
        (answer("settled", replies=("ok",)), "settled", 4),
        (answer("settled", failure="overdraft"), "failed", 1),
        (answer("settled", replies=("ok", "expired")), "expired", 4),
        (answer("settled", replies=("refused",)), "refused", 4),
        (answer("settled", replies=("expired", "failed")), "failed", 4),
        (answer("executed", failure="overdraft"), "pending", 1),
        (answer("settled", call=begun()), "settled", 3),
        (answer("settled", call=begun("SoldOut: owl")), "failed", 3),
        (answer("certified", call=begun()), "pending", 1),
    ],
)
def test_nothing_is_settled_before_every_message_is_answered_well(
    given: api.TransactionAnswer | None, outcome: Outcome, blocks: int
) -> None:
    judged = judge(SENT, given)
    assert (judged.outcome, judged.blocks) == (outcome, blocks)


def test_a_contract_that_failed_later_tells_what_with() -> None:
    assert judge(SENT, answer("settled", call=begun("SoldOut: owl"))).detail == "SoldOut: owl"


class Validators:
    """Stands in for `NodeClient`: validators that answer, refuse, are gone, or say nothing."""

    def __init__(self, **behaviours: Literal["ok", "gone", "silent", "refuses"]) -> None:
        self.behaviours = behaviours
        self.asked: list[str] = []

    def gateway(self) -> ShardGateway:
        nodes = tuple(
            NodeRun(name=name, kind="validator", shard=0, api=name, link_port=1, pid=1, state="running", log="")
            for name in self.behaviours
        )
        return ShardGateway(0, nodes, cast(aiohttp.ClientSession, None))

    async def __call__(self, node: NodeClient) -> str:
        self.asked.append(node.base_url)
        match self.behaviours[node.base_url]:
            case "gone":
                raise NodeUnavailable("connection refused")
            case "refuses":
                raise Refused("not_found", "no such thing")
            case "silent":
                await asyncio.Event().wait()
            case "ok":
                pass
        return node.base_url


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed at once, polls do not pause."""
    monkeypatch.setattr(gateway, "ANSWER_SECONDS", 0.02)
    monkeypatch.setattr(gateway, "CATCH_UP_SECONDS", 0.0)
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(client, "RESUBMIT_SECONDS", 0.0)


async def test_dead_and_silent_validators_are_passed_over_and_asked_last_from_then_on() -> None:
    validators = Validators(a="gone", b="silent", c="ok", d="ok")
    shard = validators.gateway()
    assert await shard.ask(validators) == "c"
    assert await shard.ask(validators) == "c"
    assert validators.asked == ["a", "b", "c", "c"]


async def test_a_refusal_is_an_answer_and_not_asked_elsewhere() -> None:
    validators = Validators(a="refuses", b="ok")
    with pytest.raises(Refused, match="not_found"):
        await validators.gateway().ask(validators)
    assert validators.asked == ["a"]


async def test_a_shard_without_validators_is_unreachable() -> None:
    validators = Validators(a="gone", b="silent")
    for ask in (validators.gateway().ask, validators.gateway().ask_quorum):
        with pytest.raises(Refused, match="unreachable: no validator of shard 0 answers"):
            await ask(validators)


async def test_a_quorum_is_asked_and_no_more_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ANSWER_SECONDS", 60)
    validators = Validators(a="ok", b="ok", c="ok", d="silent")
    async with asyncio.timeout(5):
        assert sorted(await validators.gateway().ask_quorum(validators)) == ["a", "b", "c"]


async def test_less_than_a_quorum_is_better_than_nothing() -> None:
    validators = Validators(a="ok", b="gone", c="refuses", d="silent")
    assert await validators.gateway().ask_quorum(validators) == ["a"]
    with pytest.raises(Refused, match="not_found"):
        await Validators(a="refuses", b="gone").gateway().ask_quorum(Validators(a="refuses", b="gone"))


@dataclass
class Heights:
    """Validators that have executed up to these heights, and know of a contract from height 5 on."""

    executed: dict[str, int]
    asked: list[str] = field(default_factory=list)

    def gateway(self) -> ShardGateway:
        found = Validators(a="ok", b="ok", c="ok", d="ok").gateway()
        found._clients = cast(Any, {name: Told(name, self) for name in self.executed})
        return found


@dataclass
class Told:
    """One of them."""

    name: str
    all_of_them: Heights

    async def status(self) -> Any:
        return SimpleNamespace(executed_height=self.all_of_them.executed[self.name])

    async def contract(self) -> Any:
        height = self.all_of_them.executed[self.name]
        self.all_of_them.asked.append(self.name)
        if height < 5:
            raise Refused("not_found", "no such contract")
        return SimpleNamespace(height=height)


async def ask_contract(node: Any) -> Any:
    return await node.contract()


async def test_what_a_quorum_has_executed_is_in_the_newest_answer() -> None:
    validators = Heights({"a": 4, "b": 6, "c": 7, "d": 7})
    answer = await validators.gateway().ask_newest(ask_contract)
    assert (answer.height, validators.asked) == (7, ["a", "b", "c"])


async def test_validators_that_stay_behind_are_better_than_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    validators = Heights({"a": 4, "b": 6, "c": 5, "d": 4})

    async def far_ahead(_question: object) -> Any:
        return [SimpleNamespace(executed_height=9)]

    gateway = validators.gateway()
    monkeypatch.setattr(gateway, "ask_quorum", far_ahead)
    assert (await gateway.ask_newest(ask_contract)).height == 6
    assert validators.asked == ["a", "b", "c", "d"]


async def test_what_nobody_has_is_refused_as_the_validators_do() -> None:
    validators = Heights({"a": 3, "b": 3, "c": 3, "d": 3})
    with pytest.raises(Refused, match="not_found"):
        await validators.gateway().ask_newest(ask_contract)


class OneShard:
    """Stands in for `ShardGateway`: forgets the first submissions, refuses some nonces, then settles."""

    def __init__(self, forgets: int = 0, refusals: tuple[str, ...] = ()) -> None:
        self.forgets = forgets
        self.refusals = list(refusals)
        self.submitted: list[bytes] = []

    async def ask(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        return await question(self)

    async def ask_quorum(self, question: Callable[[Any], Awaitable[Any]]) -> list[Any]:
        return [await question(self)]

    def demote_first(self) -> None:
        """Nobody else to ask."""

    async def account(self, key: PublicKey) -> Any:
        return api.AccountAnswer("osk1", key.hex(), 0, 1, "0", 0, len(self.submitted), 0)

    async def submit(self, raws: list[bytes]) -> list[api.SubmitResult]:
        self.submitted += raws
        if self.refusals:
            return [api.SubmitResult("refused", "", self.refusals.pop(0), "said the ledger")]
        return [api.SubmitResult("accepted", "", "", "")]

    async def transaction(self, wanted: bytes) -> api.TransactionAnswer:
        if len(self.submitted) <= self.forgets:
            raise Refused("not_found", "never heard of it")
        return answer("settled")


def network_of(shard: OneShard) -> AsyncNetwork:
    info = RunInfo(
        ostraka="0", home="", genesis="", chain_id="00" * 32, launcher_pid=0, control="", shards=1, validators=1,
        nodes=(), accounts={},
    )  # fmt: skip
    network = AsyncNetwork(info)
    network._gateways = (cast(ShardGateway, shard),)
    return network


async def test_a_transaction_that_died_with_its_validator_is_handed_in_again() -> None:
    shard = OneShard(forgets=2)
    network = network_of(shard)
    sent = await network.send(account_seed("alice"), 0, PublicKey(bytes(32)), 0, 5)
    assert (await network.wait(sent, 5.0)).outcome == "settled"
    assert len(shard.submitted) == 3
    assert len(set(shard.submitted)) == 1, "the very same bytes: it can happen only once"


async def test_what_another_took_the_nonce_of_is_signed_again_and_anything_else_is_refused() -> None:
    shard = OneShard(refusals=("nonce_used", "already_proposed"))
    sent = await network_of(shard).send(account_seed("alice"), 0, PublicKey(bytes(32)), 0, 5)
    assert sent.raw == shard.submitted[-1]
    assert len(set(shard.submitted)) == 3
    with pytest.raises(client.SubmissionRefused, match="overdraft: said the ledger"):
        await network_of(OneShard(refusals=("overdraft",))).send(account_seed("alice"), 0, PublicKey(bytes(32)), 0, 5)


async def test_a_transfer_that_does_not_settle_in_time_is_pending() -> None:
    network = network_of(OneShard(forgets=10**9))
    sent = await network.send(account_seed("alice"), 0, PublicKey(bytes(32)), 0, 5)
    assert (await network.wait(sent, 0.01)).outcome == "pending"


class GoneShard(OneShard):
    """A shard of which no validator answers."""

    async def ask(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        raise Refused("unreachable", "no validator answers")

    async def ask_quorum(self, question: Callable[[Any], Awaitable[Any]]) -> list[Any]:
        raise Refused("unreachable", "no validator answers")


async def test_a_transfer_whose_shard_went_away_is_pending_and_not_lost_sight_of() -> None:
    settlement = await network_of(GoneShard()).wait(SENT, 0.01)
    assert (settlement.id, settlement.outcome, settlement.detail) == (SENT.id, "pending", "no validator answers")


async def test_a_transaction_is_found_on_the_shards_that_answer() -> None:
    network = network_of(GoneShard())
    with pytest.raises(Refused, match="unreachable"):
        await network.find(SENT.id)
    network.info = msgspec.structs.replace(network.info, shards=2)
    network._gateways = (*network._gateways, cast(ShardGateway, OneShard(forgets=-1)))
    assert (await network.find(SENT.id)).source == 1


async def test_a_trace_is_drawn_from_the_shards_that_answer() -> None:
    class Here(OneShard):
        async def trace(self, wanted: bytes) -> Any:
            hop = Hop(
                shard=ShardId(1), height=Height(3), index=0, time_ms=Milliseconds(7), kind=HopKind.TRANSACTION,
                outcome="ok", detail="", gas=1, sent=(), block_times_ms=(Milliseconds(7),),
            )  # fmt: skip
            part = TracePart(trace_id=TransactionId(wanted), hops=(hop,))
            return SimpleNamespace(encoded_part=msgspec.msgpack.encode(part).hex())

    network = network_of(GoneShard())
    with pytest.raises(Refused, match="unreachable"):
        await network.trace(SENT.id)
    network._gateways = (*network._gateways, cast(ShardGateway, Here()))
    assert (await network.trace(SENT.id)).blocks == 1
