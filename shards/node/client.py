"""The typed client of a validator's HTTP API, for relays, the testnet and scripts.

Every method is one operation of the OpenAPI document. What the validator refuses is raised as `Refused` with its code
and detail; a validator that cannot be reached, or is not ready to answer, is `NodeUnavailable`: ask another one.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from primitives.addresses import format_address
from primitives.errors import OstrakaError, Refused
from primitives.identifiers import PublicKey
from shards.node import api_contracts
from shards.node import api_types as api

T = TypeVar("T")

TIMEOUT_S = 15.0
"""For a request that does not wait on purpose."""

MAX_ANSWER_BYTES = 64 * 2**20
"""A page of full blocks in JSON is the largest answer there is."""

SILENCE_S = 45.0
"""An event stream says something every 15 s; after three times that its other end is gone."""

MAX_EVENT_BYTES = 4 * 2**20
"""One event: the ids of a full block."""

_event_decoder: msgspec.json.Decoder[api.ChainEvent] = msgspec.json.Decoder(api.ChainEvent)
_error_decoder = msgspec.json.Decoder(api.ErrorAnswer)
_msgpack = msgspec.msgpack.Encoder()


class NodeUnavailable(OstrakaError):
    """This validator cannot be reached or does not answer now. Not its word on the question: ask again, or another."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event with the cursor to come back with."""

    cursor: str
    event: api.ChainEvent


class NodeClient:
    """Talks to one validator. The session is the caller's and may serve many clients."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = session

    # Handing in

    async def submit(self, raws: Sequence[bytes]) -> list[api.SubmitResult]:
        """Hand in signed transactions; one result for each, in order."""
        body = _msgpack.encode(list(raws))
        if len(body) > api.MAX_BODY_BYTES:
            raise Refused("too_large", f"these are {len(body)} bytes, a request has at most {api.MAX_BODY_BYTES}")
        answer = await self._json(
            api.SubmitAnswer, "POST", "/v1/transactions", data=body, headers={"Content-Type": "application/msgpack"}
        )
        return answer.results

    async def submit_bundle(self, raw: bytes) -> api.SubmitResult:
        """Hand in a bundle for the validator's shard."""
        return await self._json(
            api.SubmitResult, "POST", "/v1/bundles", data=raw, headers={"Content-Type": "application/octet-stream"}
        )

    # Asking

    async def status(self) -> api.StatusAnswer:
        """Where the validator stands."""
        return await self._json(api.StatusAnswer, "GET", "/v1/status")

    async def account(self, address: PublicKey | str, *, proof: bool = False) -> api.AccountAnswer:
        """An account, by key or by address."""
        name = address if isinstance(address, str) else format_address(address)
        return await self._json(api.AccountAnswer, "GET", f"/v1/accounts/{name}", params={"proof": int(proof)})

    async def blocks(self, first: int = 1, limit: int = 20) -> api.BlocksAnswer:
        """Finalized blocks from a height on."""
        return await self._json(api.BlocksAnswer, "GET", "/v1/blocks", params={"from": first, "limit": limit})

    async def block(self, name: int | bytes) -> api.BlockAnswer:
        """One block, by height or id."""
        return await self._json(api.BlockAnswer, "GET", f"/v1/blocks/{_text(name)}")

    async def commitment(self, height: int | None = None) -> api.CommitmentAnswer:
        """Commitment of a height, or the newest certified one."""
        name = "latest" if height is None else str(height)
        return await self._json(api.CommitmentAnswer, "GET", f"/v1/commitments/{name}")

    async def transaction(self, wanted: bytes) -> api.TransactionAnswer:
        """How far a transaction has come."""
        return await self._json(api.TransactionAnswer, "GET", f"/v1/transactions/{wanted.hex()}")

    async def message(self, wanted: bytes) -> api.MessageAnswer:
        """What the shard knows of a message."""
        return await self._json(api.MessageAnswer, "GET", f"/v1/messages/{wanted.hex()}")

    async def trace(self, wanted: bytes) -> api.TraceAnswer:
        """The shard's part of a trace."""
        return await self._json(api.TraceAnswer, "GET", f"/v1/traces/{wanted.hex()}")

    async def message_proof(self, wanted: bytes) -> bytes:
        """Proof that the shard sent a message (`shards.proofs.verify_message_proof`)."""
        return (await self._bytes("GET", f"/v1/proofs/messages/{wanted.hex()}")) or b""

    # Contracts; arguments and values are encoded (`contracts.values`)

    async def contracts(self, after: str = "", limit: int = 20) -> api_contracts.ContractsAnswer:
        """Contracts of the shard, in order of their names."""
        return await self._json(
            api_contracts.ContractsAnswer, "GET", "/v1/contracts", params={"after": after, "limit": limit}
        )

    async def contract(self, name: str, *, source: bool = False) -> api_contracts.ContractView:
        """One contract."""
        return await self._json(api_contracts.ContractView, "GET", _contract(name), params={"source": int(source)})

    async def storage(
        self, name: str, prefix: str = "", after: str = "", limit: int = 20
    ) -> api_contracts.StorageAnswer:
        """What a contract stores, in order of keys."""
        params = {"prefix": prefix, "after": after, "limit": limit}
        return await self._json(api_contracts.StorageAnswer, "GET", f"{_contract(name)}/storage", params=params)

    async def stored(self, name: str, key: str, *, proof: bool = False) -> api_contracts.StoredAnswer:
        """One key of a contract's storage."""
        path = f"{_contract(name)}/storage/{quote(key, safe='')}"
        return await self._json(api_contracts.StoredAnswer, "GET", path, params={"proof": int(proof)})

    async def view(
        self, name: str, method: str, arguments: bytes, *, sender: str = "", proof: bool = False
    ) -> api_contracts.ViewAnswer:
        """Run a view."""
        asked = api_contracts.AskRequest(method=method, encoded=arguments.hex(), sender=sender, proof=proof)
        return await self._ask(api_contracts.ViewAnswer, f"{_contract(name)}/view", asked)

    async def estimate(
        self, name: str, method: str, arguments: bytes, *, sender: str = "", value: int = 0
    ) -> api_contracts.EstimateAnswer:
        """Try a call; nothing of it is kept."""
        asked = api_contracts.AskRequest(method=method, encoded=arguments.hex(), sender=sender, value=str(value))
        return await self._ask(api_contracts.EstimateAnswer, f"{_contract(name)}/estimate", asked)

    async def call(self, wanted: bytes) -> api_contracts.CallAnswer:
        """A contract's call, by its id or by that of its transaction."""
        return await self._json(api_contracts.CallAnswer, "GET", f"/v1/calls/{wanted.hex()}")

    async def runs(self, first: int = 1, limit: int = 1_000) -> api_contracts.RunsAnswer:
        """Runs of contracts in blocks from a height on."""
        return await self._json(api_contracts.RunsAnswer, "GET", "/v1/runs", params={"from": first, "limit": limit})

    async def call_record(self, wanted: bytes) -> api_contracts.RecordAnswer:
        """What repeats a call elsewhere."""
        return await self._json(api_contracts.RecordAnswer, "GET", f"/v1/calls/{wanted.hex()}/record")

    async def streams(self, after: int = 0, wait_ms: int = 0) -> api.StreamsAnswer | None:
        """Newest certificate with all stream heads, if it is of a greater height than `after`."""
        raw = await self._bytes("GET", "/v1/streams", params={"after": after, "wait_ms": wait_ms}, wait_ms=wait_ms)
        return None if raw is None else _decode(api.StreamsAnswer, raw)

    async def bundle(self, destination: int, first: int, wait_ms: int = 0) -> bytes | None:
        """Bundle for a shard from message `first` on; with `wait_ms` only one that holds messages."""
        params = {"first": first, "wait_ms": wait_ms}
        return await self._bytes("GET", f"/v1/bundles/{destination}", params=params, wait_ms=wait_ms)

    async def ready(self) -> bool:
        """Whether the validator is connected to a quorum and caught up."""
        try:
            await self._bytes("GET", "/readyz")
        except NodeUnavailable:
            return False
        return True

    async def healthy(self) -> bool:
        """Whether the process is alive and its core has not halted."""
        try:
            await self._bytes("GET", "/healthz")
        except NodeUnavailable:
            return False
        return True

    async def metrics(self) -> str:
        """Prometheus metrics."""
        return ((await self._bytes("GET", "/metrics")) or b"").decode()

    async def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return _decode(dict, (await self._bytes("GET", "/openapi.json")) or b"")

    # Listening

    async def events(self, after: str = "") -> AsyncIterator[ReceivedEvent]:
        """Events after a cursor (new ones only without), until the stream breaks: `NodeUnavailable`.

        Come back with the last event's cursor, to this or any validator of the shard; none is missed or told twice.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=SILENCE_S)
        params = {"after": after} if after else {}
        options = {"timeout": timeout, "params": params, "read_bufsize": MAX_EVENT_BYTES}
        async with self._request("GET", "/v1/events", **options) as response:
            cursor, data = "", b""
            while line := await _line(response):
                name, _, value = line.rstrip(b"\r\n").partition(b": ")
                if name == b"id":
                    cursor = value.decode()
                elif name == b"data":
                    data = value
                elif not name and data:
                    yield ReceivedEvent(cursor, _decode_with(_event_decoder, data))
                    data = b""
        raise NodeUnavailable(f"{self.base_url} ended the event stream; come back with the last cursor")

    # Beneath

    async def _ask(self, kind: type[T], path: str, asked: api_contracts.AskRequest) -> T:
        body = msgspec.json.encode(asked)
        return await self._json(kind, "POST", path, data=body, headers={"Content-Type": "application/json"})

    async def _json(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        return _decode(kind, (await self._bytes(method, path, **options)) or b"")

    async def _bytes(self, method: str, path: str, *, wait_ms: int = 0, **options: Any) -> bytes | None:
        """Body of the answer; None when there is nothing yet (204)."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S + wait_ms / 1000)
        async with self._request(method, path, timeout=timeout, **options) as response:
            if response.status == 204:
                return None
            return await _body(response)

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method, self.base_url + path, allow_redirects=False, **options
            ) as response:
                if response.status >= 300:
                    raise _error(response.status, await _body(response), self.base_url)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NodeUnavailable(f"{self.base_url}: {str(error) or type(error).__name__}") from error


async def _line(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readline()
    except ValueError:
        raise NodeUnavailable(f"{response.url} sent an event of more than {MAX_EVENT_BYTES} bytes") from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise NodeUnavailable(f"{response.url} answers with more than {MAX_ANSWER_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _error(status: int, body: bytes, base_url: str) -> OstrakaError:
    try:
        error = _error_decoder.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NodeUnavailable(f"{base_url} answered with status {status} and no explanation")
    if error.fault == "yours":
        return Refused(error.code, error.detail)
    return NodeUnavailable(f"{base_url}: {error.code}: {error.detail}")


def _decode(kind: type[T], raw: bytes) -> T:
    return _decode_with(msgspec.json.Decoder(kind), raw)


def _decode_with(decoder: "msgspec.json.Decoder[T]", raw: bytes) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeUnavailable(
            f"the answer cannot be read; is this a validator of the same release? ({error})"
        ) from None


def _contract(name: str) -> str:
    return f"/v1/contracts/{quote(name, safe='')}"


def _text(name: int | bytes) -> str:
    return str(name) if isinstance(name, int) else name.hex()
