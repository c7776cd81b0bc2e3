"""Contracts of a running testnet for asyncio programs: deploy, upgrade, call, view, estimate, and what calls tell."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from contracts.limits import MAX_CALL_GAS
from contracts.outcomes import is_contract_name
from contracts.port import Machine
from contracts.values import BadValue, Value, encode
from primitives.addresses import format_address
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import CallId, Milliseconds, PublicKey, SecretSeed, ShardId
from primitives.signatures import ED25519, public_key_of
from shards.call_tree import CallNode, all_calls
from shards.node import api_contracts as api
from shards.node.client import NodeClient
from shards.node.proved_views import Question, VerifiedView, verify_view
from shards.traces import Trace
from shards.transactions import ContractCall, Deploy, RemoteCall, TopUp, Upgrade
from testnet.gateway import P
from testnet.genesis_file import parse_genesis
from testnet.transfers import DEADLINE_MS

if TYPE_CHECKING:
    from testnet.client import AsyncNetwork, Sent

Told = TypeVar("Told", api.CallAnswer, api.RecordAnswer)

DEPLOY_GAS: Final = 1_000_000
"""For compiling a contract and its `init`: what a long module takes. What is left comes back."""

REMOTE_CALL_GAS: Final = 400_000
"""For a call to a contract of another shard, which cannot be tried from here with the caller's own balance."""

RUN_SECONDS: Final = 20.0
"""For a view or an estimate: the first one starts the validator's second worker, which takes a moment."""

PAGE: Final = 100

MAX_LOGS: Final = 64
"""Calls of a trace whose logs are fetched, a request each."""


class At(NamedTuple):
    """A contract by name and shard, written `shop@0`."""

    name: str
    shard: int

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.name}@{self.shard}"


@dataclass(frozen=True)
class Code:
    """What is deployed or becomes the new code; `arguments` are those of `init` or `migrate`."""

    source: str
    arguments: Sequence[Value] = ()
    gas: int = DEPLOY_GAS


@dataclass(frozen=True)
class Ask:
    """A method with its arguments; `value` in base units; `gas` None: as much as a trial says."""

    at: At
    method: str
    arguments: Sequence[Value] = ()
    value: int = 0
    gas: int | None = None


class AsyncContracts:
    """The contracts of a testnet; made by `AsyncNetwork.contracts`."""

    def __init__(self, network: "AsyncNetwork") -> None:
        self._network = network

    async def deploy(self, seed: SecretSeed, at: At, code: Code, *, owner: PublicKey | None, value: int = 0) -> "Sent":
        """Deploy a contract; `owner` may upgrade it, nobody if None.

        Raises:
            SubmissionRefused: what the ledger refused.
            Refused: `bad_name`, `bad_value`, `unreachable`.

        """
        if not is_contract_name(at.name):
            raise Refused(
                "bad_name",
                f"{at.name[:40]!r} is no name for a contract: a small letter, then up to 25 of a-z, 0-9, _ and -",
            )
        _check_gas(code.gas)
        operation = Deploy(
            name=at.name,
            source=code.source,
            owner=owner or b"",
            arguments=encoded(code.arguments),
            amount=pack_amount(Amount(value)),
            gas=code.gas,
        )
        return await self._network.operate(seed, at.shard, lambda _now_ms: operation)

    async def upgrade(self, seed: SecretSeed, at: At, code: Code) -> "Sent":
        """Replace a contract's code; only its owner may."""
        _check_gas(code.gas)
        operation = Upgrade(name=at.name, source=code.source, arguments=encoded(code.arguments), gas=code.gas)
        return await self._network.operate(seed, at.shard, lambda _now_ms: operation)

    async def call(self, seed: SecretSeed, ask: Ask, source: int | None = None) -> "Sent":
        """Call a method, from an account of the contract's shard, or of another one as `source`."""
        arguments, amount = encoded(ask.arguments), pack_amount(Amount(ask.value))
        at = ask.at
        _check_gas(ask.gas)
        if source is not None and source != at.shard:
            gas = REMOTE_CALL_GAS if ask.gas is None else ask.gas

            def remote(now_ms: Milliseconds) -> RemoteCall:
                deadline = Milliseconds(now_ms + DEADLINE_MS)
                return RemoteCall(ShardId(at.shard), at.name, ask.method, arguments, amount, gas, deadline)

            return await self._network.operate(seed, source, remote)
        gas = await self._suggested(seed, ask) if ask.gas is None else ask.gas
        operation = ContractCall(at.name, ask.method, arguments, amount, gas)
        return await self._network.operate(seed, at.shard, lambda _now_ms: operation)

    async def _suggested(self, seed: SecretSeed, ask: Ask) -> int:
        """Gas that a trial suggests; what it fails with is told by the call itself, on the record."""
        sender = format_address(public_key_of(seed))
        return (await self.estimate(ask, sender)).suggested_gas

    async def top_up(self, seed: SecretSeed, shard: int, call_id: bytes, gas: int) -> "Sent":
        """Give gas to a call that ran out of it while it resumed."""
        _check_gas(gas)
        operation = TopUp(CallId(call_id), gas)
        return await self._network.operate(seed, shard, lambda _now_ms: operation)

    async def view(self, ask: Ask, sender: str = "", *, proof: bool = False) -> api.ViewAnswer:
        """Run a view on one validator."""
        raw, at = encoded(ask.arguments), ask.at
        return await self._of(at, lambda node: node.view(at.name, ask.method, raw, sender=sender, proof=proof))

    async def proved_view(self, ask: Ask, machine: Machine, sender: str = "") -> tuple[api.ViewAnswer, VerifiedView]:
        """Run a view on one validator, and again here, on what it has proved that it read: only the genesis is trusted.

        Raises:
            Refused: `not_provable`: the view lists keys; `bad_proof` and the like: the validator lies.

        """
        answer = await self.view(ask, sender, proof=True)
        question = Question(ask.at.name, ShardId(ask.at.shard), ask.method, encoded(ask.arguments), sender)

        def verify() -> VerifiedView:
            context = parse_genesis(Path(self._network.info.genesis).read_text(encoding="utf-8"))
            return verify_view(answer, question, context, ED25519, machine)

        return answer, await asyncio.to_thread(verify)

    async def estimate(self, ask: Ask, sender: str = "") -> api.EstimateAnswer:
        """Try a call on one validator."""
        raw, at = encoded(ask.arguments), ask.at
        return await self._of(at, lambda node: node.estimate(at.name, ask.method, raw, sender=sender, value=ask.value))

    async def contract(self, at: At, *, source: bool = False) -> api.ContractView:
        """A contract as it is now."""
        return await self._of(at, lambda node: node.contract(at.name, source=source))

    async def _of(self, at: At, question: Callable[[NodeClient], Awaitable[P]]) -> P:
        """Ask about one contract as it is now; where there is none, say where there is."""
        try:
            return await self._network.gateway(at.shard).ask_newest(question, RUN_SECONDS)
        except Refused as refused:
            if refused.code != "not_found":
                raise
        shards = range(self._network.info.shards)
        asked = (self._network.gateway(shard).ask(lambda node: node.contract(at.name)) for shard in shards)
        found = await asyncio.gather(*asked, return_exceptions=True)
        places = [f"{at.name}@{each.shard}" for each in found if isinstance(each, api.ContractView)]
        hint = f"did you mean {' or '.join(places)}?" if places else "`ostraka contracts` lists those there are"
        raise Refused("not_found", f"there is no contract {at}; {hint}")

    async def all_of(self, shard: int) -> list[api.ContractView]:
        """Every contract of a shard."""
        found: list[api.ContractView] = []
        after = ""
        while True:
            page = await self._network.gateway(shard).ask_newest(_page_after(after))
            found += page.contracts
            if page.next is None:
                return found
            after = page.next

    async def all_stored(self, at: At, prefix: str = "") -> list[api.EntryView]:
        """Everything a contract stores under keys that begin so; pages may be of different heights."""
        found: list[api.EntryView] = []
        after = ""
        while True:
            page = await self._of(at, _stored_after(at.name, prefix, after))
            found += page.entries
            if page.next is None:
                return found
            after = page.next

    async def runs(self, shard: int, first: int = 1) -> api.RunsAnswer:
        """Runs of contracts in blocks of a shard from a height on."""
        return await self._network.gateway(shard).ask_newest(lambda node: node.runs(first))

    async def find_call(self, wanted: bytes) -> api.CallAnswer:
        """A call, by its id or by that of its transaction, from whichever shard it ran on.

        Raises:
            Refused: `unknown_call`; `unreachable`.

        """
        return await self._from_any(lambda node: node.call(wanted), wanted)

    async def logs(self, trace: Trace) -> dict[CallId, list[str]]:
        """What the calls of a trace printed, where validators still have it; the first `MAX_LOGS` calls that ran."""
        ran = [node for node in all_calls(trace.roots) if node.runs][:MAX_LOGS]
        return {node.call_id: log for node in ran if (log := await self._log(node))}

    async def _log(self, node: CallNode) -> list[str]:
        try:
            answers = await self._network.gateway(node.asked.shard).ask_quorum(lambda asked: asked.call(node.call_id))
        except Refused:
            return []  # it is pruned, or nobody answers: a trace is worth showing without
        known = max(answers, key=lambda answer: len(answer.runs))
        return [line for run in known.runs for line in run.log]

    async def find_record(self, wanted: bytes) -> api.RecordAnswer:
        """What repeats a call.

        Raises:
            Refused: `unknown_call`, `pruned`, `unreachable`.

        """
        return await self._from_any(lambda node: node.call_record(wanted), wanted)

    async def _from_any(self, question: Callable[[NodeClient], Awaitable[Told]], wanted: bytes) -> Told:
        """The longest answer: who has seen more of its runs knows better how the call stands."""
        shards = range(self._network.info.shards)
        asked = (self._network.gateway(shard).ask_quorum(question) for shard in shards)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        problem: BaseException | None = None
        for answer in answers:
            if not isinstance(answer, BaseException):
                return max(answer, key=lambda each: len(each.runs))
            if not (isinstance(answer, Refused) and answer.code == "not_found"):
                problem = answer
        if problem is not None:
            raise problem
        raise Refused("unknown_call", f"on no shard a contract ran for {wanted.hex()}; is it a call or a transaction?")


def _check_gas(gas: int | None) -> None:
    if gas is not None and not 0 <= gas <= MAX_CALL_GAS:
        raise Refused("bad_gas", f"{gas:,} gas are more than a call can have; the most is {MAX_CALL_GAS:,}")


def _page_after(name: str) -> Callable[[NodeClient], Awaitable[api.ContractsAnswer]]:
    return lambda node: node.contracts(name, PAGE)


def _stored_after(name: str, prefix: str, after: str) -> Callable[[NodeClient], Awaitable[api.StorageAnswer]]:
    return lambda node: node.storage(name, prefix, after, PAGE)


def encoded(arguments: Sequence[Value]) -> bytes:
    """Arguments as they travel.

    Raises:
        Refused: `bad_value`.

    """
    try:
        return encode(list(arguments))
    except BadValue as error:
        raise Refused("bad_value", f"the arguments: {error}") from None
