"""What a long-running process needs of its system: an event loop, sockets to listen on, signals that end it, memory."""

import asyncio
import ctypes
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from shards.node.config import Listener
from shards.node.faults import BadConfiguration

LISTEN_BACKLOG: Final = 128

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Between looks for garbage that nobody asked for. Nodes and simulations make many objects that live for long: Python's
own thresholds, a look after every 700 new ones, took a fifth of the time."""

COLLECT_EVERY_S: Final = 30.0
"""A look at everything that was made since the start takes 2 to 20 ms. Few objects die in a cycle, but a link that
ended is one, with buffers of a quarter of a megabyte: left alone, a validator grew by a tenth in an hour."""

LARGE_BYTES: Final = 128 * 1024
"""Blocks of memory from this size on are the system's again as soon as they are free. The C library raises this bound
when it meets a larger block, and the holes that such blocks leave are never filled."""

_M_MMAP_THRESHOLD: Final = -3
"""Of mallopt(3)."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where there is one (not on Windows)."""
    try:
        import uvloop  # noqa: PLC0415 - optional on some platforms
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def listen(listener: Listener, purpose: str) -> socket.socket:
    """Bind an address and listen there, unless it is a socket that somebody has bound already.

    Raises:
        BadConfiguration: the address is taken or is none of this machine.

    """
    if isinstance(listener, socket.socket):
        return listener
    host, port = listener
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(LISTEN_BACKLOG)
    except OSError as error:
        bound.close()
        raise BadConfiguration(
            f"cannot listen on {host}:{port} for {purpose}: {error.strerror}; free it or use another (0 takes any)"
        ) from None
    return bound


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Within the `with`, SIGTERM and SIGINT call `stop`; after it they end the process as usual."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def collected_regularly() -> Iterator[None]:
    """Within the `with`, free what died in cycles every `COLLECT_EVERY_S`, and give the system back what is free.

    What is there at its begin is never walked, and not collected first either: that costs more than the little garbage
    in it.
    """
    loop = asyncio.get_running_loop()
    trim = _trimmer()

    def collect() -> None:
        gc.collect()
        trim(0)
        timers[0] = loop.call_later(COLLECT_EVERY_S, collect)

    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    timers = [loop.call_later(COLLECT_EVERY_S, collect)]
    try:
        yield
    finally:
        timers[0].cancel()
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _trimmer() -> Callable[[int], object]:
    """Return malloc_trim(3), which gives free pages back, or what does nothing where the C library has none."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        trim: Callable[[int], object] = library.malloc_trim
    except (AttributeError, OSError):
        return lambda _pad: None
    return trim
