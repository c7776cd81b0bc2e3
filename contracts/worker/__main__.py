"""The worker process: `python -m contracts.worker`, spoken to over its standard input and output."""

import os
import resource
import select
import signal
import sys
from typing import BinaryIO, Final

from contracts.limits import MAX_MEMORY_BYTES
from contracts.machine.local import LocalMachine
from contracts.outcomes import Invocation, Outcome
from contracts.worker import frames
from primitives.codec import Record, encode
from primitives.identifiers import Hash

SPARE_INSTANCES = 16
"""Made while nothing waits: the first calls of the next block begin 1 ms earlier each."""

DATA_BYTES = 2 << 30
"""Private memory: the spare instances, 64 MB of a call and the engine take a fraction of it."""

OPEN_FILES = 64

REMEMBERED_VALUES = 16_384
"""Stored values kept between calls: 256 MB if all were the largest, a few megabytes as they are."""

ENTRY_POINTS = ("init", "migrate")


class WorldOverPipe:
    """Asks the validator what the ledger holds, and remembers stored values.

    Only runs write a contract's storage, and the ledger applies what they commit: so what was read stays true until a
    run writes it. What an entry point did may not have been kept, because deploying or upgrading failed.
    """

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source: Final = source
        self._target: Final = target
        self._values: dict[tuple[str, bytes], bytes | None] = {}

    def forget(self) -> None:
        """Forget all values."""
        self._values.clear()

    def note(self, invocation: Invocation, outcome: Outcome) -> None:
        """Remember what a run wrote."""
        if invocation.method in ENTRY_POINTS:
            self.forget()
            return
        if len(self._values) > REMEMBERED_VALUES:
            self.forget()
        for write in outcome.effects.writes:
            self._values[invocation.contract, write.key] = write.value

    def source(self, code_hash: Hash) -> str:
        """See `World`."""
        return self._ask(frames.SourceWanted(code_hash))[0].decode()

    def read(self, contract: str, key: bytes) -> bytes | None:
        """See `World`."""
        if (contract, key) not in self._values:
            found = self._ask(frames.ValueWanted(contract, key))
            self._values[contract, key] = found[0] if found else None
        return self._values[contract, key]

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """See `World`."""
        return list(self._ask(frames.KeysWanted(contract, prefix, after, limit)))

    def balance(self, contract: str) -> int:
        """See `World`."""
        return int.from_bytes(self._ask(frames.BalanceWanted(contract))[0], "big")

    def _ask(self, question: frames.Question) -> tuple[bytes, ...]:
        send(self._target, question)
        raw = frames.read_frame(self._source)
        if raw is None:
            sys.exit(0)
        answer = frames.to_worker.decode(raw)
        if not isinstance(answer, frames.Answer):
            raise TypeError(f"an answer was due, not {type(answer).__name__}")
        return answer.items


def send(target: BinaryIO, record: Record) -> None:
    """Write one frame."""
    target.write(frames.pack(record))
    target.flush()


def confine() -> None:
    """Give up what a machine needs none of. The image is loaded and mapped by now."""
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, MAX_MEMORY_BYTES),  # of snapshots, which are files in memory
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_DATA, DATA_BYTES),
    ):
        resource.setrlimit(limit, (value, value))


def serve(machine: LocalMachine, source: BinaryIO, target: BinaryIO) -> None:
    """Answer until the validator closes the pipe."""
    world = WorldOverPipe(source, target)
    while True:
        warm_while_idle(machine, source)
        raw = frames.read_frame(source)
        if raw is None:
            return
        match frames.to_worker.decode(raw):
            case frames.Compile(text, gas_limit):
                send(target, frames.CompiledSource(encode(machine.compile(text, gas_limit))))
            case frames.Run(batch, fresh):
                if fresh:
                    world.forget()
                run(machine, batch, world, target)
            case frames.Answer():
                raise TypeError("an answer to no question")


def run(machine: LocalMachine, batch: tuple[Invocation, ...], world: WorldOverPipe, target: BinaryIO) -> None:
    """Run a batch and tell each outcome."""

    def settle(index: int, outcome: Outcome) -> None:
        world.note(batch[index], outcome)
        report(target, index, outcome)

    machine.run(batch, world, settle)
    send(target, frames.Finished())


def report(target: BinaryIO, index: int, outcome: Outcome) -> None:
    """Tell one call's outcome; it leaves with the next question or the end of the batch, in this order."""
    target.write(frames.pack(frames.Settled(index, encode(outcome))))


def warm_while_idle(machine: LocalMachine, source: BinaryIO) -> None:
    """Make instances ahead, one at a time, until there is work."""
    for count in range(1, SPARE_INSTANCES + 1):
        if select.select([source], [], [], 0)[0]:
            return
        machine.warm(count)


def main() -> None:
    """Load the image, say so, confine the process, serve."""
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    target = os.fdopen(os.dup(1), "wb")
    # The terminal's Ctrl-C is for the validator, which ends its worker in its turn.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever prints by accident must not end up between frames.
    os.dup2(2, 1)
    machine = LocalMachine(lambda stage: send(target, frames.Progress(stage)))
    machine.warm(1)
    confine()
    send(target, frames.Ready())
    serve(machine, source, target)


if __name__ == "__main__":
    main()
