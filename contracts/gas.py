"""What contract calls cost. One gas is about 0.1 µs of a core, as for transactions; every number is protocol.

Instructions are metered by fuel, rounded up to whole gas once for each run. Everything that the host does beside is
priced by what it takes and deducted from the same fuel, so there is one counter and running out is one event.
"""

from contracts.operations import Operation

FUEL_PER_GAS = 1000
"""About 110 ns of a core in a loop; the worst program takes 5 times the mean (`bench/contracts_machine.py`)."""

START_GAS = 1500
"""Restoring the pages that the last call wrote and putting the call together take 0.15 ms."""

RESTART_GAS = 10_000
"""A call that was stopped, or for which the machine's memory grew, leaves nothing to restore: the next one needs a new
instance, 1 ms. Reserved by every run."""

GROWTH_GAS = 200
"""Each 64 KiB by which the memory grew; touching them for the first time takes 10 to 40 µs, and giving them back."""

MESSAGE_GAS = 300
"""Consuming a message at its destination, as `shards.gas` has it; a payment to an account needs no more."""

MIN_CALL_GAS = MESSAGE_GAS + START_GAS + RESTART_GAS
"""With less, a call could not even begin."""

DEFAULT_CALL_GAS = 100_000
"""What `call` sets aside when the contract does not say, but never more than half of what it has left, so that a call
that calls on has something for its own rest. What is not used comes back with the reply."""

COMPILE_BYTE_GAS = 2
"""Keeping a byte of source; compiling is metered beside."""

ASK_GAS = 150
"""Crossing from the machine to the host and back, 10 to 20 µs with what the guest does about it."""

REPLAY_ASK_GAS = 50
"""The same while the journal answers, 5 to 10 µs; what was asked for was paid when it happened."""

_SUBJECT_GAS = {
    Operation.GET: 50,
    Operation.PUT: 300,
    Operation.KEYS: 500,
    Operation.CALL: 500,
    Operation.TRANSFER: 300,
    Operation.EMIT: 100,
    Operation.BALANCE: 50,
    Operation.LOG: 0,
    Operation.COMMIT: 500,
    Operation.HAND_OVER: 0,
}
"""On top of ASK_GAS: state touched with its share of the root, a message with its call record, a page of keys. What is
handed over together is priced by `price_of_all`."""

OVERLAY_KEY_GAS = 1
"""Of each key that the run has written, when keys are listed: they are looked through."""

REQUEST_BYTE_GAS = 1
"""What is stored, sent or shown, by its length."""

JOURNAL_BYTE_GAS = 1
"""Kept in the state until the call ends."""


def price_of(operation: Operation, request: bytes) -> int:
    """Gas of one question to the host, whatever its answer."""
    return ASK_GAS + _SUBJECT_GAS[operation] + REQUEST_BYTE_GAS * len(request)


def price_of_all(entries: list[tuple[Operation, bytes]]) -> int:
    """Gas of what is handed over together: as if each had been asked for itself."""
    return sum([price_of(operation, request) for operation, request in entries])


def gas_of(fuel: int) -> int:
    """Fuel as gas, rounded up."""
    return -(-fuel // FUEL_PER_GAS)
