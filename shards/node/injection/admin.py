"""The socket of a node that faults come through: one JSON object per line each way, for its user alone (0600).

{"do": "put", "order": {…}}       -> {"ok": true}
{"do": "heal", "name": "cut-3f9a"} -> {"ok": true, "healed": [names]}; without a name all that is on ends
{"do": "list"}                     -> {"ok": true, "faults": [{…}]}
anything refused                   -> {"ok": false, "code": "...", "detail": "..."}

There is no such socket on a chain that is not a development chain.
"""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from primitives.errors import Refused
from shards.node.faults import BadConfiguration
from shards.node.injection.board import FaultBoard
from shards.node.injection.faults import parse_order
from shards.node.logs import Log

SOCKET_NAME = "admin.sock"

MAX_LINE_BYTES = 64 * 1024
"""A fault with every peer of the largest relay has 12 kB."""

MAX_CONNECTIONS = 16
"""One for each program that breaks this node at the same time, generously."""

IDLE_SECONDS = 60.0
"""A connection that says nothing for so long is closed."""

ANSWER_SECONDS = 3.0
"""A node answers in a millisecond; one that takes this long is paused or stuck."""

MAX_SOCKET_PATH = 100
"""Bytes of a Unix socket's path; systems allow 104 (BSD) to 108 (Linux) with a NUL."""

Json = dict[str, Any]


@contextmanager
def reachable_path(path: Path) -> Iterator[str]:
    """A name of a Unix socket that the system takes; a long path is reached through its folder's descriptor (Linux).

    Raises:
        Refused: `path_too_long`, elsewhere.

    """
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    if sys.platform != "linux":
        raise Refused(
            "path_too_long", f"{path} has more than {MAX_SOCKET_PATH} bytes, which no socket may here; move the home"
        )
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


class AdminServer:
    """Listens at `path` and does what it is asked to the board."""

    def __init__(self, path: Path, board: FaultBoard, log: Log) -> None:
        self._path = path
        self._board = board
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket that an earlier process left is replaced.

        Raises:
            BadConfiguration: the system refuses.

        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            with reachable_path(self._path) as name:
                listener.bind(name)
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_LINE_BYTES)
        except (OSError, Refused) as error:
            listener.close()
            raise BadConfiguration(f"cannot listen at {self._path} for faults: {error}") from None

    async def close(self) -> None:
        """Stop listening, end every connection, remove the socket."""
        if self._server is None:
            return
        self._server.close()
        running = tuple(self._connections)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends, says nothing, or says too much at once."""
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.LimitOverrunError, ValueError):
                while line := await asyncio.wait_for(reader.readline(), IDLE_SECONDS):
                    writer.write(msgspec.json.encode(self._answer(line)) + b"\n")
                    await writer.drain()
        finally:
            self._connections.discard(task)
            writer.close()

    def _answer(self, line: bytes) -> Json:
        """Answer to one request."""
        try:
            return {"ok": True, **self._do(msgspec.json.decode(line, type=dict))}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return {"ok": False, "code": "malformed", "detail": f"not a JSON object on one line: {error}"}
        except Refused as refused:
            return {"ok": False, "code": refused.code, "detail": refused.detail}

    def _do(self, request: Json) -> Json:
        match request:
            case {"do": "put", "order": order}:
                parsed = parse_order(order)
                self._board.put(parsed)
                self._log.warning("fault_begins", name=parsed.name, text=parsed.text)
                return {}
            case {"do": "heal", **rest} if isinstance(name := rest.get("name"), str | None):
                healed = self._board.heal(name)
                for each in healed:
                    self._log.warning("fault_healed", name=each)
                return {"healed": healed}
            case {"do": "list"}:
                return {"faults": msgspec.to_builtins(self._board.listing())}
            case _:
                raise Refused("malformed", f"cannot do {str(request.get('do'))[:40]!r}; possible: put, heal, list")


def ask_node(path: Path, request: Json, seconds: float = ANSWER_SECONDS) -> Json:
    """Send one request to a node's socket and return its answer.

    Raises:
        Refused: `unreachable`, when nobody answers there; or what the node refused.

    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, reachable_path(path) as name:
            connection.settimeout(seconds)
            connection.connect(name)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno in {errno.ENOENT, errno.ECONNREFUSED} else str(error)
        raise Refused("unreachable", f"nobody answers at {path}: {reason}") from None
    if not line:
        raise Refused("unreachable", f"{path} was closed before it answered")
    answer: Json = msgspec.json.decode(line, type=dict)
    if answer.get("ok") is not True:
        raise Refused(str(answer.get("code")), str(answer.get("detail")))
    return answer
