"""The launcher's control socket: one JSON object per line each way, over a Unix socket that only its user can open.

{"do": "status"}                             -> {"ok": true, "nodes": [...], "mending": {"s0/v1": 1200, ...}}
{"do": "kill" | "pause" | "resume" | "restart", "node": "s0/v1"} -> {"ok": true, "nodes": [that node]}
{"do": "byzantine", "node": "s0/v1", "as": "equivocate"} -> {"ok": true, "nodes": [that node]}, which lies from now on
    "for_ms": 5000 beside kill, pause or byzantine: it is started again or goes on by itself after so many milliseconds
{"do": "watch"}                              -> {"ok": true}, then {"event": ..., "node": {...}} as things happen
{"do": "stop"}                               -> {"ok": true} when every process has stopped
anything refused                             -> {"ok": false, "code": "...", "detail": "..."}
"""

import json
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from primitives.errors import Refused

MAX_LINE = 64 * 1024
"""A status of 1024 nodes is sent, never received; requests have some 50 bytes."""

MAX_CONNECTIONS = 64
"""One for each terminal that somebody has open, generously."""

ANSWER_SECONDS = 60.0
"""Longest operation: stopping everything, with a kill of what does not stop by itself."""

Json = dict[str, Any]


class ControlServer:
    """Accepts connections and hands each request line to `handle`; driven by the launcher's selector."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, handle: Callable[[Json], Json]) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()
        self._listener.setblocking(False)
        self._selector = selector
        self._handle = handle
        self._buffers: dict[socket.socket, bytes] = {}
        self._watchers: list[socket.socket] = []
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        """Take a new connection, unless there are too many."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._buffers) >= MAX_CONNECTIONS:
            connection.close()
            return
        # Answers are small and the reader waits for them: a blocking send with a limit keeps this simple.
        connection.settimeout(1.0)
        self._buffers[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        """Read what came and answer every whole line of it."""
        try:
            received = connection.recv(MAX_LINE)
        except OSError:
            received = b""
        *lines, rest = (self._buffers[connection] + received).split(b"\n")
        if not received or len(rest) > MAX_LINE:
            self._drop(connection)
            return
        self._buffers[connection] = rest
        for line in lines:
            self._send(connection, self._answer(connection, line))

    def _answer(self, connection: socket.socket, line: bytes) -> Json:
        """Answer to one request line."""
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise Refused("malformed", "a request is a JSON object")
            if request.get("do") == "watch":
                self._watchers.append(connection)
                return {"ok": True}
            return {"ok": True, **self._handle(request)}
        except (ValueError, RecursionError) as error:
            return {"ok": False, "code": "malformed", "detail": f"not a JSON line: {error}"}
        except Refused as error:
            return {"ok": False, "code": error.code, "detail": error.detail}

    def publish(self, event: Json) -> None:
        """Tell everyone who watches."""
        for connection in tuple(self._watchers):
            self._send(connection, event)

    def _send(self, connection: socket.socket, message: Json) -> None:
        """Send one line; a peer that is gone or does not read is dropped."""
        try:
            connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        """Forget a connection."""
        if connection in self._buffers:
            del self._buffers[connection]
            self._selector.unregister(connection)
        if connection in self._watchers:
            self._watchers.remove(connection)
        connection.close()

    def close(self) -> None:
        """Close every socket (this process's copies of them)."""
        for connection in tuple(self._buffers):
            connection.close()
        self._listener.close()


def ask(path: Path, request: Json) -> Json:
    """Send one request to a launcher and return its answer.

    Raises:
        Refused: `not_running` when nobody listens there, or what the launcher refused.

    """
    for answer in stream(path, request, seconds=ANSWER_SECONDS):
        return answer
    raise Refused("not_running", "the launcher went away before it answered")


def stop_launcher(path: Path) -> None:
    """Stop a testnet; returns when every process, the launcher's lock and its socket are gone."""
    for _ in stream(path, {"do": "stop"}, seconds=ANSWER_SECONDS):
        continue


def stream(path: Path, request: Json, *, seconds: float | None = None) -> Iterator[Json]:
    """Send one request and yield every line that comes back until the launcher closes the connection.

    Raises:
        Refused: as `ask` does.

    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    answer: Json = json.loads(line)
                    if answer.get("ok") is False:
                        raise Refused(answer["code"], answer["detail"])
                    yield answer
        except (ConnectionError, FileNotFoundError, TimeoutError) as error:
            raise Refused(
                "not_running",
                f"the launcher does not answer on {path}: {error}. If it was killed, `ostraka up --detach` cleans up"
                " and goes on",
            ) from None
