"""What a relay asks of validators over HTTP. It trusts none of them: everything has a timeout and a size.

No redirects, cookies, proxies or compression, and no more is read than the largest honest answer has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

import aiohttp
import msgspec
from msgspec import Meta

from primitives.codec import Decoder
from primitives.errors import OstrakaError, Refused
from primitives.identifiers import MAX_SHARDS, Height, Sequence, ShardId
from shards.commitments import CommitmentCertificate, certificate_decoder
from shards.limits import MAX_BUNDLE_BYTES
from shards.streams import StreamHead

CONNECT_SECONDS: Final = 1.0
"""Validators are near; one that does not accept a connection in this time is down or drowned."""

REQUEST_SECONDS: Final = 2.5
"""For a bundle there or back; less than what the courier waits, so that it hears the reason."""

NEWS_WAIT_MS: Final = 12_000
"""Longer than an idle shard takes to certify something, so that an idle watch costs one request per certificate."""

BUNDLE_WAIT_MS: Final = 500
"""How long a validator may wait for the certificate that another one has already shown."""

MAX_STREAMS_BYTES: Final = 1024 * 1024
"""A certificate and the heads of the largest chain, readable and encoded."""

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Results and errors."""

HeadsTuple = Annotated[tuple[StreamHead, ...], Meta(max_length=MAX_SHARDS)]
heads_decoder: Decoder[tuple[StreamHead, ...]] = Decoder(
    HeadsTuple,
    max_bytes=MAX_STREAMS_BYTES,
    name="stream heads",
)

T = TypeVar("T")


class Unusable(OstrakaError):
    """A validator gave no answer, or one that is of no use; says why, for people."""


class _Streams(msgspec.Struct, frozen=True):
    """What is used of GET /v1/streams."""

    certificate: str
    encoded_heads: str


class DeliveryResult(msgspec.Struct, frozen=True):
    """What is used of POST /v1/bundles."""

    status: Literal["accepted", "known", "refused"]
    code: str
    detail: str


class _ErrorBody(msgspec.Struct, frozen=True):
    code: str
    detail: str
    fault: Literal["yours", "ours", "not_yet"]


class _Error(msgspec.Struct, frozen=True):
    """Body of every answer that is not a success."""

    error: _ErrorBody


@dataclass(frozen=True, slots=True)
class StreamNews:
    """A newest certificate and its heads, decoded and unchecked."""

    certificate: CommitmentCertificate
    heads: tuple[StreamHead, ...]

    @property
    def height(self) -> Height:
        """Height that the certificate claims."""
        return Height(self.certificate.commitment.height)


class ValidatorClient:
    """Requests to any validator by its base URL (`http://127.0.0.1:7001`); every method raises only `Unusable`."""

    def __init__(self, *, request_seconds: float = REQUEST_SECONDS) -> None:
        self._request_seconds = request_seconds
        # What is open at a time is bounded by the courier (its watches and its hands), not by the pool.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def streams(self, url: str, after: Height, wait_ms: int) -> StreamNews | None:
        """Newest certificate above height `after` and its heads; None when there is none within `wait_ms`."""
        query = f"{url}/v1/streams?after={after}&wait_ms={wait_ms}"
        status, body = await self._ask("GET", query, MAX_STREAMS_BYTES, wait_ms)
        if status == 204 or (status != 200 and _error(status, body).fault == "not_yet"):
            return None
        if status != 200:
            raise Unusable(_words(_error(status, body)))
        answer = _decoded(lambda: msgspec.json.decode(body, type=_Streams))
        certificate = _decoded(lambda: certificate_decoder.decode(bytes.fromhex(answer.certificate)))
        return StreamNews(certificate, _decoded(lambda: heads_decoder.decode(bytes.fromhex(answer.encoded_heads))))

    async def bundle(self, url: str, destination: ShardId, first: Sequence) -> bytes | None:
        """Bundle to `destination` from message `first` on; None when the validator has none."""
        query = f"{url}/v1/bundles/{destination}?first={first}&wait_ms={BUNDLE_WAIT_MS}"
        status, body = await self._ask("GET", query, MAX_BUNDLE_BYTES, BUNDLE_WAIT_MS)
        if status == 200:
            return body
        if status == 204:
            return None
        error = _error(status, body)
        if error.fault == "ours":
            raise Unusable(_words(error))
        return None

    async def deliver(self, url: str, raw: bytes) -> DeliveryResult:
        """Hand in a bundle."""
        status, body = await self._ask("POST", f"{url}/v1/bundles", MAX_ANSWER_BYTES, 0, raw)
        if status == 200:
            return _decoded(lambda: msgspec.json.decode(body, type=DeliveryResult))
        error = _error(status, body)
        if error.fault == "yours" and status != 429:
            return DeliveryResult("refused", error.code, error.detail)
        raise Unusable(_words(error))

    async def _ask(
        self, method: str, url: str, limit: int, wait_ms: int, body: bytes | None = None
    ) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(
            total=self._request_seconds + wait_ms / 1000, connect=min(CONNECT_SECONDS, self._request_seconds)
        )
        headers = {"Content-Type": "application/octet-stream"} if body is not None else None
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, await _read(response, limit)
        except TimeoutError:
            raise Unusable("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unusable(str(error)[:200] or type(error).__name__) from None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Body of an answer, as long as it is within `limit` bytes (of an error, within what errors need)."""
    if response.status != 200:
        limit = min(limit, MAX_ANSWER_BYTES)
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            raise Unusable(f"its answer has more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _error(status: int, body: bytes) -> _ErrorBody:
    """What an answer that is not a success says; whatever cannot be read is the validator's fault."""
    try:
        return msgspec.json.decode(body, type=_Error).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _ErrorBody(f"http_{status}", "no explanation", "ours")


def _words(error: _ErrorBody) -> str:
    return f"{error.code}: {error.detail}"


def _decoded(decode: Callable[[], T]) -> T:
    try:
        return decode()
    except (msgspec.MsgspecError, ValueError, RecursionError, Refused) as error:
        raise Unusable(f"its answer cannot be read: {error}") from None
