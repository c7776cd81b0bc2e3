"""Every bound of a contract call in one place, each with the reason for its number. Exceeding one names it."""

MAX_SOURCE_BYTES = 64 * 1024
"""A long module; compiling one takes about 20 ms."""

MAX_CODE_BYTES = 256 * 1024
"""Compiled; CPython's bytecode is two to three times its source."""

MAX_LOAD_GAS = 50_000
"""Running a contract's module, 5 ms: every call pays for it, and may have to wait for it."""

MAX_METHODS = 256
MAX_NAME_LENGTH = 64
"""Of a contract, a method, an event or an error's type; what fits on a line."""

MAX_KEY_BYTES = 256
"""As the API has it: a name with an address and an item number in it."""

MAX_KEYS_LISTED = 256
"""One page of `keys`: the answer fits into a quarter of a megabyte."""

MAX_CALL_GAS = 1_500_000
"""Of one call over all its runs: each of them must find room in one block (2,000,000) beside what is proved there."""

MAX_STRETCHES = 65
"""64 awaits. Every resumption replays what went before, so their cost grows with the square of this."""

MAX_JOURNAL_BYTES = 64 * 1024
"""Of one call, in the state until it ends."""

MAX_CALLS = 128
"""Calls that one call makes: a fan-out over every shard of a large network."""

MAX_EVENTS = 64
TOO_MANY_EVENTS = f"more than {MAX_EVENTS} events between two awaits"

MAX_EVENT_BYTES = 1024
"""Encoded name and data; an event is a line for those who watch, not a store."""

MAX_WRITES = 256
"""Distinct keys written in one stretch; what a block's state root takes on top is then bounded by its gas."""

TOO_MANY_WRITES = f"more than {MAX_WRITES} keys written between two awaits"

MAX_HELD_BYTES = 64 * 1024
"""Writes and events handed over at once; honest guests hold back half of it."""

MAX_TRANSFERS = 64

MAX_LOG_BYTES = 4096
"""Of one run; later lines are dropped, the program does not notice."""

MAX_TRACEBACK_LENGTH = 8 * 1024
MAX_ERROR_LENGTH = 1024
"""As a reply carries them."""

MAX_MEMORY_BYTES = 64 << 20
"""Linear memory of one call; the interpreter itself takes 14 MB of it."""

MAX_DEADLINE_MS = 24 * 3600 * 1000
"""As for any message."""
