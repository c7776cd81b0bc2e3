"""Collects what one `handle` call wants written and sent; writes come out first, as one atomic `Persist`."""

from consensus.effects import Broadcast, Effect, Note, Persist, Send
from consensus.messages import Message
from primitives.codec import encode
from primitives.identifiers import ValidatorIndex
from primitives.storage import Write


class Outbox:
    """Whatever leaves the process leaves after everything that this call wrote: one fsync a call at most."""

    def __init__(self) -> None:
        self._writes: list[Write] = []
        self._effects: list[Effect] = []

    def write(self, *writes: Write) -> None:
        """Add to this call's one commit."""
        self._writes.extend(writes)

    def emit(self, effect: Effect) -> None:
        """Add an effect after those already here."""
        self._effects.append(effect)

    def send(self, to: ValidatorIndex, message: Message) -> None:
        """Send a message to one validator."""
        self._effects.append(Send(to, encode(message)))

    def broadcast(self, message: Message) -> None:
        """Send a message to every other validator."""
        self._effects.append(Broadcast(encode(message)))

    def note(self, name: str, detail: str = "") -> None:
        """Say something for the log."""
        self._effects.append(Note(name, detail))

    def flush(self) -> tuple[Effect, ...]:
        """Take everything out, the commit first."""
        effects = (Persist(tuple(self._writes)), *self._effects) if self._writes else tuple(self._effects)
        self._writes, self._effects = [], []
        return effects
