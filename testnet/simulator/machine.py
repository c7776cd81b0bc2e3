"""The contract machine that all validators of a process share: the real one, loaded when a contract first needs it."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cache

from contracts.machine.local import LocalMachine
from contracts.outcomes import Compilation, Invocation
from contracts.port import MachineIdentity, Settle, World
from contracts.runtime.image import Progress

REMEMBERED_COMPILATIONS = 256
"""As many as the machine itself keeps code of."""


class SharedMachine:
    """A `Machine` that compiles equal sources once: what compiling leads to depends on the source and the gas alone."""

    def __init__(self) -> None:
        self.progress: Progress = lambda _stage: None
        """Told while the image is compiled, once for each user; see `contracts.runtime.image`."""
        self._machine = LocalMachine(self._tell)
        self._compiled: OrderedDict[tuple[str, int], Compilation] = OrderedDict()

    def _tell(self, stage: str) -> None:
        self.progress(stage)

    def identity(self) -> MachineIdentity:
        """See `Machine`."""
        return self._machine.identity()

    def compile(self, source: str, gas_limit: int) -> Compilation:
        """See `Machine`."""
        key = (source, gas_limit)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._machine.compile(source, gas_limit)
            if len(self._compiled) > REMEMBERED_COMPILATIONS:
                self._compiled.popitem(last=False)
        return found

    def lose_codes(self) -> None:
        """Compile everything again when it is next needed, from the state, as a validator does that starts again."""
        self._compiled.clear()
        if "chamber" in vars(self._machine):
            fresh = LocalMachine(self._tell)
            fresh.chamber = self._machine.chamber
            self._machine = fresh

    def forget(self) -> None:
        """See `Machine`."""
        self._machine.forget()

    def run(self, batch: Sequence[Invocation], world: World, settle: Settle) -> None:
        """See `Machine`."""
        self._machine.run(batch, world, settle)


@cache
def shared_machine() -> SharedMachine:
    """The one of this process. Making it costs nothing: its engine is loaded with the first contract."""
    return SharedMachine()
