"""Answers peers that ask for finalized history, on the reading threads and only so many at a time.

A request has a few bytes and its answer up to some megabytes, so whoever asks without end would otherwise keep those
threads, on which blocks to execute are read back too, for itself.
"""

from collections import Counter
from collections.abc import Callable

from primitives.errors import Refused
from primitives.identifiers import ValidatorIndex
from primitives.storage import Reader
from shards.node.logs import Log

MAX_REQUESTS_IN_HAND = 16
"""Of one peer: what a straggler asks for at once (`consensus.fetcher.MAX_WANTS`). It repeats what is not answered."""

AnswerRequest = Callable[[Reader, bytes], bytes | None]
ReadSoon = Callable[[Callable[[Reader], bytes | None], Callable[[bytes | None], None]], None]
"""Runs a question on a reading thread, then tells its answer on the loop."""


class ArchiveDesk:
    """Counts what every peer has asked for and was not answered yet."""

    def __init__(
        self, answer: AnswerRequest, read: ReadSoon, send: Callable[[ValidatorIndex, bytes], None], log: Log
    ) -> None:
        self._answer = answer
        self._read = read
        self._send = send
        self._log = log
        self._in_hand: Counter[ValidatorIndex] = Counter()

    def serve(self, peer: ValidatorIndex, request: bytes) -> None:
        """Send a peer what it asks for, unless it has asked for too much that is not answered yet."""
        if self._in_hand[peer] >= MAX_REQUESTS_IN_HAND:
            self._log.debug("archive_request_dropped", peer=peer)
            return
        self._in_hand[peer] += 1

        def answered(raw: bytes | None) -> None:
            self._in_hand[peer] -= 1
            if raw is not None:
                self._send(peer, raw)

        self._read(lambda reader: self._look_up(reader, request), answered)

    def _look_up(self, reader: Reader, request: bytes) -> bytes | None:
        try:
            return self._answer(reader, request)
        except Refused as refused:
            self._log.warning("archive_request_refused", code=refused.code, detail=refused.detail)
            return None
