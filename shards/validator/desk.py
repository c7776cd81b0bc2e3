"""Signature checks on their way: asked as an effect, answered as an event, in batches."""

from collections.abc import Callable, Sequence

from primitives.identifiers import PublicKey, Signature
from shards.validator.effects import VerifySignatures

SignatureItem = tuple[PublicKey, bytes, Signature]
WhenVerified = Callable[[tuple[bool, ...]], None]


class SignatureDesk:
    """Hands out batch numbers and remembers who waits for which."""

    def __init__(self, emit: Callable[[VerifySignatures], None]) -> None:
        self._emit = emit
        self._next = 0
        self._waiting: dict[int, tuple[int, WhenVerified]] = {}
        self.outstanding = 0
        """Signatures asked for and not answered yet."""

    def ask(self, items: Sequence[SignatureItem], done: WhenVerified) -> None:
        """Have the items verified; `done` gets one verdict each, at once when there are none."""
        if not items:
            done(())
            return
        batch, self._next = self._next, self._next + 1
        self._waiting[batch] = (len(items), done)
        self.outstanding += len(items)
        self._emit(VerifySignatures(batch, tuple(items)))

    def answer(self, batch: int, verdicts: tuple[bool, ...]) -> None:
        """Pass verdicts on to who asked; an answer to a question nobody asked is ignored."""
        waiting = self._waiting.pop(batch, None)
        if waiting is None or len(verdicts) != waiting[0]:
            return
        self.outstanding -= waiting[0]
        waiting[1](verdicts)
