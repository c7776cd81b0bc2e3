"""How a validator process ends, and the errors that end it."""

from enum import IntEnum

from primitives.errors import OstrakaError


class ExitCode(IntEnum):
    """Exit codes of a validator process (and of the relay's); a supervisor restarts after none but `STOPPED` blindly.

    0: it was asked to stop. 2: a file, folder, key, address or port it was given will not do. 3: going on would be
    unsafe: its result differs from a certified one, its journal contradicts it, its code broke an invariant, or
    contracts cannot be executed on this computer.
    4: the storage failed or lied; what was acknowledged is on disk, nothing after it was sent.
    """

    STOPPED = 0
    BAD_CONFIGURATION = 2
    UNSAFE = 3
    STORAGE = 4


class BadConfiguration(OstrakaError):
    """The operator's fault: says which setting, file or port is wrong and what to do."""


class StorageFault(OstrakaError):
    """A record is corrupt, or a commit failed. Never retried: after a failed fsync nobody knows what is on disk."""


class Stopping(OstrakaError):
    """This validator was asked to stop in the middle of a contract's run; the block is executed again at its start."""


class Halted(OstrakaError):
    """The core found that going on would be unsafe."""
