"""The validator's end: starts the worker, hands it batches, answers its questions, and replaces it when it fails.

A call begins from a fresh instance, so a batch is taken up again at the first call without an outcome, and whatever
happened to the worker before cannot change what that call does. The wall clock decides only when a silent worker is
taken for hung; each replacement gets twice the time, and after the last one the validator stops: an outcome that
cannot be computed is not guessed.
"""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from contracts.outcomes import Compilation, Invocation, Outcome
from contracts.port import MachineIdentity, Settle, World
from contracts.runtime.identity import installed_identity
from contracts.runtime.image import Progress
from contracts.worker import frames
from primitives.amounts import AMOUNT_BYTES
from primitives.codec import Record
from primitives.errors import OstrakaError

GUARD_S = 10
"""Silence after which a worker counts as hung: a call of the largest gas limit takes about 4 s on a busy machine."""

LOADING_GUARD_S = 300
"""The same while it loads, when it may compile the image."""

MAX_ATTEMPTS = 5
"""Workers tried for one call; the last one waits 16 times the guard."""

CHUNK_BYTES = 1 << 16


class WorkerLost(Exception):
    """The worker died, said nothing for too long, or what it said cannot be read."""


class MachineFault(OstrakaError):
    """Contracts cannot be executed on this computer: our own fault, and no reason to invent an outcome."""


class WorkerMachine:
    """See `contracts.port.Machine`. The process starts with the first use. Not for several threads at once."""

    def __init__(
        self,
        progress: Progress = lambda _stage: None,
        *,
        guard_s: int = GUARD_S,
        command: Sequence[str] = (sys.executable, "-P", "-m", "contracts.worker"),
    ) -> None:
        self._progress: Final = progress
        self._guard_s: Final = guard_s
        self._command: Final = tuple(command)
        self._worker: Worker | None = None
        self._abandoned = False
        self._fresh = False
        self.replaced = 0
        """Workers lost so far, for the metrics."""
        self.on_lost: Callable[[str], None] = lambda _why: None
        """Told why a worker was lost, for the log."""

    def identity(self) -> MachineIdentity:
        """See `Machine`."""
        return installed_identity()

    def compile(self, source: str, gas_limit: int) -> Compilation:
        """See `Machine`."""
        attempt = 0
        while True:
            try:
                return self._ready(attempt).compile(source, gas_limit)
            except WorkerLost as lost:
                attempt += 1
                self._replace(lost, attempt)

    def forget(self) -> None:
        """See `Machine`; told to the worker with the next batch."""
        self._fresh = True

    def run(self, batch: Sequence[Invocation], world: World, settle: Settle) -> None:
        """See `Machine`."""
        settled = attempt = 0

        def note(outcome: Outcome) -> None:
            nonlocal settled
            settled += 1
            settle(settled - 1, outcome)

        while settled < len(batch):
            before = settled
            try:
                worker = self._ready(attempt)
                fresh, self._fresh = self._fresh, False
                worker.run(tuple(batch[settled:]), world, note, fresh=fresh)
            except WorkerLost as lost:
                attempt = attempt + 1 if settled == before else 1
                self._replace(lost, attempt)
            except BaseException:
                # The ledger's own error in the middle of a batch: the worker waits for an answer nobody will give.
                self.close()
                raise

    def start(self) -> None:
        """Start the worker now, so that the first call does not wait for it."""
        attempt = 0
        while True:
            try:
                self._ready(attempt)
            except WorkerLost as lost:
                attempt += 1
                self._replace(lost, attempt)
            else:
                return

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def abandon(self) -> None:
        """End it for good, from any thread: what is under way on another one raises `MachineFault` at once."""
        self._abandoned = True
        if (worker := self._worker) is not None:
            worker.end()

    def _ready(self, attempt: int) -> "Worker":
        if self._worker is None:
            self._worker = Worker(self._command)
            if self._abandoned:  # asked afterwards: `abandon` sees the worker, or is seen here
                self.close()
                raise MachineFault("the machine was abandoned")
            try:
                self._worker.load(self._progress)
            except BaseException:
                self.close()
                raise
        self._worker.guard_s = self._guard_s << attempt
        return self._worker

    def _replace(self, lost: WorkerLost, attempt: int) -> None:
        self.close()
        if self._abandoned:
            raise MachineFault("the machine was abandoned")
        self.replaced += 1
        self.on_lost(str(lost))
        if attempt >= MAX_ATTEMPTS:
            raise MachineFault(
                f"{attempt} workers failed at the same call, the last one because {lost}. Contracts cannot be executed "
                "on this computer; check its memory, and that wasmtime is installed as ostraka pins it."
            )


class Worker:
    """One process and the conversation with it."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.guard_s = LOADING_GUARD_S
        self._process: Final = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._buffer = bytearray()

    def load(self, progress: Progress) -> None:
        """Wait until it can run calls; `progress` is told what it does meanwhile."""
        while True:
            match self._receive():
                case frames.Ready():
                    return
                case frames.Progress(stage):
                    progress(stage)
                case other:
                    raise WorkerLost(f"it began with {type(other).__name__}")

    def compile(self, source: str, gas_limit: int) -> Compilation:
        """Have a source compiled."""
        self._send(frames.Compile(source, gas_limit))
        match self._receive():
            case frames.CompiledSource(compilation):
                return frames.compilations.decode(compilation)
            case other:
                raise WorkerLost(f"it answered a source with {type(other).__name__}")

    def run(self, batch: tuple[Invocation, ...], world: World, note: Callable[[Outcome], None], *, fresh: bool) -> None:
        """Have a batch run."""
        self._send(frames.Run(batch, fresh))
        while True:
            match self._receive():
                case frames.Settled(_, outcome):
                    note(frames.outcomes.decode(outcome))
                case frames.Finished():
                    return
                case frames.SourceWanted(code_hash):
                    self._answer(world.source(code_hash).encode())
                case frames.ValueWanted(contract, key):
                    value = world.read(contract, key)
                    self._answer(*(() if value is None else (value,)))
                case frames.KeysWanted(contract, prefix, after, limit):
                    self._answer(*world.keys(contract, prefix, after, limit))
                case frames.BalanceWanted(contract):
                    self._answer(world.balance(contract).to_bytes(AMOUNT_BYTES, "big"))
                case other:
                    raise WorkerLost(f"it sent {type(other).__name__} in a batch")

    def end(self) -> None:
        """End the process, from any thread; whoever listens to it hears so."""
        self._process.kill()

    def kill(self) -> None:
        """End the process and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self, *items: bytes) -> None:
        self._send(frames.Answer(items))

    def _send(self, record: Record) -> None:
        pipe = self._process.stdin
        raw = memoryview(frames.pack(record))
        try:
            while pipe is not None and raw:
                raw = raw[pipe.write(raw) :]
        except OSError as error:
            raise WorkerLost(f"it no longer listens ({error})") from None

    def _receive(self) -> frames.FromWorker:
        try:
            length = int.from_bytes(self._take(frames.LENGTH_BYTES), "big")
            if length > frames.MAX_FRAME_BYTES:
                raise WorkerLost(f"it announced a frame of {length} bytes")
            return frames.from_worker.decode(self._take(length))
        except msgspec.DecodeError as error:
            raise WorkerLost(f"what it said cannot be read ({error})") from None

    def _take(self, size: int) -> bytes:
        """The next `size` bytes; each part of them may take as long as the guard."""
        pipe = self._process.stdout
        while len(self._buffer) < size:
            if pipe is None or not select.select([pipe], [], [], self.guard_s)[0]:
                raise WorkerLost(f"it said nothing for {self.guard_s} s")
            part = os.read(pipe.fileno(), CHUNK_BYTES)
            if not part:
                raise WorkerLost(f"it ended with status {self._process.wait()}")
            self._buffer += part
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
