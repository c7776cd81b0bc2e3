"""A running testnet for asyncio programs: send, wait, read, trace. `testnet.network` has the synchronous face."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import aiohttp
import msgspec

from primitives.addresses import parse_address
from primitives.amounts import Amount
from primitives.errors import Refused
from primitives.identifiers import ChainId, Milliseconds, Nonce, PublicKey, SecretSeed, ShardId, TransactionId
from primitives.signatures import public_key_of
from shards.node import api_types as api
from shards.trace_parts import TracePart
from shards.traces import Trace, assemble_trace
from shards.transactions import Operation, transaction_id
from testnet.contracts import AsyncContracts
from testnet.gateway import ShardGateway
from testnet.run_file import RunInfo
from testnet.transfers import Payment, payment_operation, sign_operation

POLL_SECONDS = 0.02
"""Pause between two looks at a transfer; a fraction of the time between two blocks."""

RESUBMIT_SECONDS = 2.0
"""A transaction that is not final after this is handed to the next validator too: the first may have died with it."""

SUBMIT_ATTEMPTS = 8
"""Somebody else may use the same account at the same time; each attempt takes the next nonce."""

MOVED_NONCE = frozenset({"nonce_gap", "nonce_used", "replacement_fee_too_low", "already_proposed"})
"""Refusals that say: another transaction took this nonce."""

LEVELS = ("accepted", "finalized", "executed", "certified", "settled")
"""How far a transaction may have come, in order."""

Outcome = Literal["settled", "failed", "expired", "refused", "pending"]

BAD_OUTCOMES: tuple[Outcome, ...] = ("failed", "refused", "expired")
"""Of a call, the worst first: a transaction with several is told by its worst."""


@dataclass(frozen=True)
class Sent:
    """A transaction that a validator has accepted; `raw` is None when this program did not send it."""

    id: TransactionId
    source: int
    raw: bytes | None
    begun: float | None
    """Reading of the monotonic clock, when this program sent it."""


@dataclass(frozen=True)
class Settlement:
    """How a transaction stands. `blocks` are its source shard's from the transaction to the reply, both counted."""

    id: TransactionId
    outcome: Outcome
    detail: str
    blocks: int
    seconds: float
    """Since it was sent by this program, otherwise between the two blocks."""
    message_id: bytes | None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": self.id.hex(),
            "outcome": self.outcome,
            "blocks": self.blocks,
            "seconds": round(self.seconds, 3),
            "message_id": None if self.message_id is None else self.message_id.hex(),
            "detail": self.detail,
        }


class SubmissionRefused(Refused):
    """The ledger would not take a transaction: the sender cannot pay, or the transaction is not what it should be."""


_part_decoder = msgspec.msgpack.Decoder(TracePart)


class AsyncNetwork:
    """All shards of a running testnet; use it in `async with`."""

    def __init__(self, info: RunInfo) -> None:
        self.info = info
        self._chain_id = ChainId(bytes.fromhex(info.chain_id))
        self._gateways: tuple[ShardGateway, ...] = ()
        self._session: aiohttp.ClientSession | None = None
        self._turns: dict[tuple[int, PublicKey], asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        """Open a session; connections are made when they are needed."""
        self._session = aiohttp.ClientSession()
        self._gateways = tuple(
            ShardGateway(shard, self.info.validators_of(shard), self._session) for shard in range(self.info.shards)
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    @property
    def contracts(self) -> AsyncContracts:
        """The contracts of this testnet."""
        return AsyncContracts(self)

    def gateway(self, shard: int) -> ShardGateway:
        """The validators of a shard, for questions of one's own."""
        return self._gateways[shard]

    def key(self, name: str) -> PublicKey:
        """Address of a development account."""
        return parse_address(self.info.accounts[name].address)

    def seed(self, name: str) -> SecretSeed:
        """Secret seed of a development account."""
        return SecretSeed(bytes.fromhex(self.info.accounts[name].secret_seed))

    async def status(self, shard: int) -> api.StatusAnswer:
        """Status of the validator of a shard that is furthest."""
        answers = await self._gateways[shard].ask_quorum(lambda node: node.status())
        return max(answers, key=lambda answer: (answer.certified_height, answer.executed_height))

    async def account(self, shard: int, key: PublicKey) -> api.AccountAnswer:
        """An account as the validator that is furthest has it."""
        answers = await self._gateways[shard].ask_quorum(lambda node: node.account(key))
        return max(answers, key=lambda answer: answer.height)

    async def blocks(self, shard: int, first: int, limit: int) -> list[api.BlockSummary]:
        """Finalized blocks of a shard."""
        return (await self._gateways[shard].ask(lambda node: node.blocks(first, limit))).blocks

    async def streams(self, shard: int) -> api.StreamsAnswer:
        """Newest certificate of a shard with all its stream heads.

        Raises:
            Refused: `unreachable`; `not_ready` while nothing is certified.

        """
        answers = await self._gateways[shard].ask_quorum(lambda node: node.streams())
        found = [answer for answer in answers if answer is not None]
        if not found:
            raise Refused("not_ready", f"shard {shard} has certified nothing yet")
        return max(found, key=lambda answer: answer.height)

    async def message_proof(self, message_id: bytes) -> bytes:
        """Exported proof that a message was sent, from the shard that sent it.

        Raises:
            Refused: `unknown_message`, or why it cannot be proved yet.

        """
        why = "no shard knows it"
        for gateway in self._gateways:
            try:
                return await gateway.ask(lambda node: node.message_proof(message_id))
            except Refused as refused:
                if refused.code != "not_found":
                    why = refused.detail
        raise Refused("unknown_message", f"message {message_id.hex()[:16]}… cannot be proved: {why}")

    async def send(
        self, seed: SecretSeed, source: int, to: PublicKey, destination: int, amount: int, memo: bytes = b""
    ) -> Sent:
        """Sign a transfer of `amount` base units and hand it to a validator of `source`.

        Raises:
            SubmissionRefused: what the ledger refused (`overdraft`, `bad_amount`, …).
            Refused: `unreachable`.

        """
        payment = Payment(ShardId(source), ShardId(destination), to, Amount(amount), memo)
        return await self.operate(seed, source, lambda now_ms: payment_operation(payment, now_ms), memo)

    async def operate(
        self, seed: SecretSeed, source: int, make: Callable[[Milliseconds], Operation], memo: bytes = b""
    ) -> Sent:
        """Sign one operation, made for the present time, with the next nonce, and hand it to a validator of `source`.

        Raises:
            SubmissionRefused: what the ledger refused.
            Refused: `unreachable`.

        """
        key = public_key_of(seed)
        async with self._turns.setdefault((source, key), asyncio.Lock()):
            for _ in range(SUBMIT_ATTEMPTS):
                account = await self._gateways[source].ask(lambda node: node.account(key))
                now_ms = Milliseconds(time.time_ns() // 1_000_000)
                raw = sign_operation(
                    make(now_ms), ShardId(source), self._chain_id, seed, Nonce(account.next_nonce), now_ms, memo=memo
                )
                result = await self._submit(source, raw)
                if result.status != "refused":
                    return Sent(transaction_id(raw), source, raw, time.monotonic())
                if result.code not in MOVED_NONCE:
                    break
                await asyncio.sleep(POLL_SECONDS)
        raise SubmissionRefused(result.code, result.detail)

    async def _submit(self, shard: int, raw: bytes) -> api.SubmitResult:
        """Hand one transaction to a validator."""
        (result,) = await self._gateways[shard].ask(lambda node: node.submit([raw]))
        return result

    async def find(self, wanted: TransactionId) -> Sent:
        """The shard of a transaction that somebody sent.

        Raises:
            Refused: `unknown_transaction`; `unreachable` when only shards that do not answer may know it.

        """
        silent: Refused | None = None
        for shard in range(self.info.shards):
            try:
                if await self._look_up(shard, wanted) is not None:
                    return Sent(wanted, shard, None, None)
            except Refused as refused:
                if refused.code != "unreachable":
                    raise
                silent = refused
        if silent is not None:
            raise silent
        raise Refused(
            "unknown_transaction", f"no shard knows transaction {wanted.hex()}; was it sent to another testnet?"
        )

    async def _look_up(self, shard: int, wanted: TransactionId) -> api.TransactionAnswer | None:
        """What a shard knows of a transaction."""
        try:
            answers = await self._gateways[shard].ask_quorum(lambda node: node.transaction(wanted))
        except Refused as refused:
            if refused.code == "not_found":
                return None
            raise
        return max(answers, key=lambda answer: LEVELS.index(answer.level))

    async def wait(self, sent: Sent, seconds: float = 60.0) -> Settlement:
        """Wait until a transaction has settled, at most `seconds`; what is not final soon is sent again.

        A shard that does not answer is waited for like everything else: the transaction is on its way regardless.
        """
        begin = again = time.monotonic()
        while True:
            now = time.monotonic()
            is_late = now - again > RESUBMIT_SECONDS
            again = now if is_late else again
            try:
                settlement = await self._progress(sent, submit_again=is_late)
            except Refused as refused:
                if refused.code != "unreachable":
                    raise
                settlement = _settlement(sent, "pending", refused.detail, 0, None)
            if settlement.outcome != "pending" or time.monotonic() - begin > seconds:
                return settlement
            await asyncio.sleep(POLL_SECONDS)

    async def _progress(self, sent: Sent, *, submit_again: bool) -> Settlement:
        """How a transaction stands now; what is not final is handed to the next validator if `submit_again`."""
        answer = await self._look_up(sent.source, sent.id)
        is_final = answer is not None and answer.level != "accepted"
        if submit_again and sent.raw is not None and not is_final:
            self._gateways[sent.source].demote_first()
            result = await self._submit(sent.source, sent.raw)
            if result.status == "refused" and await self._look_up(sent.source, sent.id) is None:
                return _settlement(sent, "refused", f"{result.code}: {result.detail}", 0, None)
        return judge(sent, answer)

    async def trace(self, wanted: TransactionId) -> Trace:
        """The call tree of a transaction, put together from all shards that answer.

        Its root is None when none knows of it. Steps on a shard that does not answer read as still in flight.

        Raises:
            Refused: `unreachable`, when only shards that do not answer may know of it.

        """
        answers = await asyncio.gather(
            *(_trace_parts(gateway, wanted) for gateway in self._gateways), return_exceptions=True
        )
        trace = assemble_trace([part for found in answers if not isinstance(found, BaseException) for part in found])
        for problem in answers:
            is_silence = isinstance(problem, Refused) and problem.code == "unreachable"
            if isinstance(problem, BaseException) and (trace.root is None or not is_silence):
                raise problem
        return trace


async def _trace_parts(gateway: ShardGateway, wanted: TransactionId) -> list[TracePart]:
    """What the validators of one shard know of a trace."""
    try:
        answers = await gateway.ask_quorum(lambda node: node.trace(wanted))
    except Refused as refused:
        if refused.code == "not_found":
            return []
        raise
    return [_part_decoder.decode(bytes.fromhex(answer.encoded_part)) for answer in answers]


def judge(sent: Sent, answer: api.TransactionAnswer | None) -> Settlement:
    """How a transaction stands, from what its source shard says of it."""
    if answer is None or answer.height is None or answer.receipt is None:
        return _settlement(sent, "pending", "" if answer is None else answer.level, 0, None)
    messages = answer.sent
    message_id = bytes.fromhex(messages[0].message.message_id) if messages else None
    last = max([answer.height, *(each.answered_height or 0 for each in messages)])
    blocks = last - answer.height + 1
    if answer.level != "settled":
        return _settlement(sent, "pending", answer.level, blocks, message_id)
    if answer.receipt.outcome != "ok":
        return _settlement(sent, "failed", f"{answer.receipt.outcome}: {answer.receipt.detail}", blocks, message_id)
    for outcome in BAD_OUTCOMES:
        for each in messages:
            if each.outcome == outcome:
                return _settlement(sent, outcome, each.detail, blocks, message_id)
    if answer.call is not None:
        blocks = max(blocks, answer.call.last_height - answer.height + 1)
        if answer.call.failure:
            return _settlement(sent, "failed", answer.call.failure, blocks, message_id)
    return _settlement(sent, "settled", "", blocks, message_id)


def _settlement(sent: Sent, outcome: Outcome, detail: str, blocks: int, message_id: bytes | None) -> Settlement:
    seconds = 0.0 if sent.begun is None else time.monotonic() - sent.begun
    return Settlement(sent.id, outcome, detail, blocks, seconds, message_id)
