"""What a virtual testnet raises. Failed checks are `AssertionError`s, so that a test that meets one has failed."""

from primitives.errors import Refused


class Misuse(Exception):
    """The test asks for what cannot be; the text says what to write instead."""


class NotTaken(Refused):
    """A validator refused a transaction: `code`, and `detail` with what to do about it."""


class TransactionFailed(Exception):
    """`result()` of a transaction that did not succeed; `kind`, and of what a contract raised `error` and `message`."""

    def __init__(self, text: str, kind: str, error: str, message: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.error = error
        self.message = message


class NotSettled(AssertionError):
    """Virtual time ran out before everything was settled."""


class Unexpected(AssertionError):
    """`expect` found something else."""


class InvariantBroken(AssertionError):
    """A checker of the simulator saw the chain break a promise: a bug of Ostraka, or of a patched part of it."""
