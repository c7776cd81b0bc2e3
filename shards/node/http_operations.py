"""What an operation of the API is: its route, what it takes and gives, and the function that serves it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from aiohttp import web

from primitives.errors import Refused
from primitives.identifiers import MAX_INTEGER
from shards.node.api_types import Answer
from shards.node.node import Node

T = TypeVar("T")

MAX_PAGE = 100
"""Blocks in one answer."""

DEFAULT_PAGE = 20

MAX_WAIT_MS = 30_000
"""A long poll ends after this with "nothing yet"; proxies and clients give up not much later."""

Served = Answer | web.StreamResponse
Handler = Callable[[Node, web.Request], Awaitable[Served]]


@dataclass(frozen=True)
class Parameter:
    """One thing in the path or the query; an integer unless it is said to be text."""

    name: str
    place: Literal["path", "query"]
    about: str
    kind: Literal["integer", "string"] = "integer"


@dataclass(frozen=True)
class Operation:
    """One route. `answer` is the JSON type, or the media type of what is not JSON."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    """The operation's id: what the client calls it."""
    summary: str
    serve: Handler
    answer: type[Answer] | str
    parameters: tuple[Parameter, ...] = ()
    body: tuple[tuple[str, type | None], ...] = ()
    """(media type, JSON type or None for bytes) of each form of body that is taken."""
    may_be_empty: bool = False
    """Whether 204 means that there is none yet."""


def not_found(what: str) -> Refused:
    """What does not exist, or not here."""
    return Refused("not_found", what)


def integer_parameter(request: web.Request, name: str, default: int, *, low: int = 0, high: int = MAX_INTEGER) -> int:
    """Integer in the query, within bounds.

    Raises:
        Refused: `bad_parameter`.

    """
    text = request.query.get(name)
    if text is None:
        return default
    # ASCII digits only: int() would take other scripts' digits, signs, spaces and underscores.
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise Refused("bad_parameter", f"{name} must be an integer from {low} to {high}, got {text[:40]!r}")
    return int(text)


def path_number(request: web.Request, name: str) -> int | None:
    """Integer in the path, or None when it is something else."""
    text = request.match_info[name]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_INTEGER else None


def path_id(request: web.Request, name: str = "id") -> bytes:
    """Thirty-two bytes in hexadecimal in the path.

    Raises:
        Refused: `bad_id`.

    """
    found = parse_id(request.match_info[name])
    if found is None:
        raise Refused("bad_id", f"an id is 64 hexadecimal digits, got {request.match_info[name][:80]!r}")
    return found


def parse_id(text: str) -> bytes | None:
    """Read 64 hexadecimal digits."""
    if len(text) != 64 or not all(letter in "0123456789abcdefABCDEF" for letter in text):
        return None
    return bytes.fromhex(text)


def octets(raw: bytes) -> web.Response:
    """Answer with bytes."""
    return web.Response(body=raw, content_type="application/octet-stream")
