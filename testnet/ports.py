"""Ports of the testnet's processes: chosen once, free again the moment a process dies, never lost to another program.

A child gets a bound socket of its own and the launcher closes its copy, so that connections to a dead validator are
refused at once. On Linux the launcher also keeps every port *reserved* with a second socket that never listens: with
SO_REUSEADDR on both the child may bind and listen beside it, and while the child is dead the system gives the port to
nobody else (not even as the source port of a connection, with which a dialling peer could end up talking to itself).
"""

import socket
import sys

from primitives.errors import Refused

LOOPBACK = "127.0.0.1"
CAN_RESERVE = sys.platform == "linux"
"""Elsewhere two bound sockets on one port need SO_REUSEPORT, which would let a stranger share it."""


def bind_port(port: int, what: str) -> socket.socket:
    """TCP socket bound to a port of the loopback interface (0: any free one), not listening.

    Raises:
        Refused: `port_taken`; `what` says what the port is for.

    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise Refused(
            "port_taken",
            f"port {port} ({what}) cannot be had: {error.strerror}. Stop the program that uses it, or set another"
            " port (0 means any) under [ports] in the manifest",
        ) from None
    return bound


def port_of(bound: socket.socket) -> int:
    """Number of the port a socket is bound to."""
    number: int = bound.getsockname()[1]
    return number


class PortReservation:
    """A port that stays ours whether or not somebody listens on it."""

    def __init__(self, port: int, what: str) -> None:
        self._what = what
        self._held: socket.socket | None = bind_port(port, what)
        self.number = port_of(self._held)

    def open(self) -> socket.socket:
        """A socket on this port for one process."""
        if not CAN_RESERVE and self._held is not None:
            handed, self._held = self._held, None
            return handed
        return bind_port(self.number, self._what)

    def close(self) -> None:
        """Give the port up (or this process's copy of it, in a child)."""
        if self._held is not None:
            self._held.close()
            self._held = None
