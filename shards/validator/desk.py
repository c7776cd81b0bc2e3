"""Signature checks on their way: asked as an effect, answered as an event, in batches."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from primitives.errors import invariant
from primitives.identifiers import PublicKey, Signature, ValidatorIndex
from shards.validator.effects import VerifySignatures

SignatureItem = tuple[PublicKey, bytes, Signature]
WhenVerified = Callable[[tuple[bool, ...]], None]

Origin = ValidatorIndex | None
"""Whose signatures they are: a peer's gossip, or None for clients and blocks."""


class _Batch(NamedTuple):
    size: int
    origin: Origin
    done: WhenVerified


class SignatureDesk:
    """Hands out batch numbers and remembers who waits for which."""

    def __init__(self, emit: Callable[[VerifySignatures], None]) -> None:
        self._emit = emit
        self._next = 0
        self._waiting: dict[int, _Batch] = {}
        self._outstanding: Counter[Origin] = Counter()

    def outstanding(self, origin: Origin) -> int:
        """Signatures from there that were asked for and not answered yet."""
        return self._outstanding[origin]

    def ask(self, items: Sequence[SignatureItem], done: WhenVerified, origin: Origin = None) -> None:
        """Have the items verified; `done` gets one verdict each, at once when there are none."""
        if not items:
            done(())
            return
        batch, self._next = self._next, self._next + 1
        self._waiting[batch] = _Batch(len(items), origin, done)
        self._outstanding[origin] += len(items)
        self._emit(VerifySignatures(batch, tuple(items)))

    def answer(self, batch: int, verdicts: tuple[bool, ...]) -> None:
        """Pass verdicts on to who asked; an answer to a question nobody asked (any more) is ignored."""
        waiting = self._waiting.pop(batch, None)
        if waiting is None:
            return
        invariant(len(verdicts) == waiting.size, f"{waiting.size} signatures have {waiting.size} verdicts")
        self._outstanding[waiting.origin] -= waiting.size
        waiting.done(verdicts)
