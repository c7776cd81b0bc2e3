"""Where calls run: each begins in an instance that holds exactly what the contract's loading left, whoever ran before.

A contract's module is loaded in an instance as good as fresh. One that is called again and again gets a `Snapshot` of
that state, and an instance that is restored to it after each call; for the others the instance goes back to what the
image has. Instances may be made ahead (`warm`), while nothing waits. What is kept changes no outcome and no gas.

What the engine owns is given back at the latest when the process ends, before the interpreter takes the binding apart.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple
from weakref import finalize

from wasmtime import Engine, Store, WasmtimeError
from wasmtime.component import Component, Linker

from contracts import limits
from contracts.gas import FUEL_PER_GAS, gas_of
from contracts.machine.crossing import Answering, Ask, Export, Import, Tank
from contracts.machine.restoring import MachineUnfit, Restorer, Snapshot
from contracts.operations import BYTES
from contracts.session import GasExhausted, Trapped
from primitives.errors import InvariantViolated

SNAPSHOTS: Final = 12
"""Contracts kept loaded, 14 MB each."""

KEPT_FROM_CALL: Final = 4
"""The call of a contract at which a snapshot is made: it takes as long as ten calls, so that many must be likely."""

COUNTED: Final = 1024
"""Contracts whose calls are counted."""

OUT_OF_FUEL: Final = "all fuel consumed"
"""What the engine's error says, in the version that the machine is pinned to."""

_ATTEMPTS: Final = 4
"""An instance's memory is not found when another one's, at the same place, was given up just then."""

_LINKING_FUEL: Final = 1 << 32
"""For the image's own start; the call's fuel is set afterwards."""

_TRAP: Final = "wasm trap: "

_EXPORTS: Final = ("run", "load", "compile")


class Instance:
    """One instance of the image."""

    def __init__(self, engine: Engine, linker: Linker, component: Component, restorer: Restorer) -> None:
        others = restorer.memories()
        self._store: Final = Store(engine)
        self._store.set_limits(memory_size=limits.MAX_MEMORY_BYTES)
        self._store.set_fuel(_LINKING_FUEL)
        finalize(self, self._store.close)
        instance = linker.instantiate(self._store, component)
        self.tank: Final = Tank(self._store)
        self.clean = True
        """Whether its last call returned."""
        self.exports: Final[dict[str, Export]] = {}
        for name in _EXPORTS:
            function = instance.get_func(self._store, name)
            if function is None:
                raise LookupError(f"the image exports no {name}")
            self.exports[name] = Export(function)
        new = restorer.memories() - others
        self.memory: Final = restorer.remember(*new) if len(new) == 1 else None
        """None where it cannot be seen."""


class Ran(NamedTuple):
    """What came of a call."""

    result: bytes | None
    """None: the gas ran out."""
    gas: int
    growth: int
    """See `Restorer.growth`; the instance is not used again then."""


@dataclass(slots=True)
class Home:
    """A contract that is kept loaded."""

    snapshot: Snapshot
    instance: Instance | None
    """That was restored to it; None after a call that did not return."""


class Chamber:
    """Runs the image's functions under a gas limit. Not for several threads at once. The engine is its own."""

    def __init__(self, engine: Engine, component: Component, restorer: Restorer) -> None:
        self._engine: Final = engine
        self._component: Final = component
        self._restorer: Final = restorer
        self._linker: Final = Linker(engine)
        for owned in (engine, component, self._linker):
            finalize(self, owned.close)
        self._tank: Tank | None = None
        self._ready: Final[list[Instance]] = []
        """As good as fresh; the one at the end was used last and is warmest."""
        self._homes: Final[OrderedDict[bytes, Home]] = OrderedDict()
        self._calls: Final[OrderedDict[bytes, int]] = OrderedDict()
        self._answering: Final = Answering()
        with self._linker.root() as root:
            self._import: Final = Import(root, "ask", self._answering)

    def warm(self, count: int) -> None:
        """Have `count` instances ready."""
        while len(self._ready) < count:
            self._ready.insert(0, self._new_instance())

    def compile(self, source: bytes, *, gas: int, ask: Ask) -> tuple[bytes | None, int]:
        """Compile: the result and the gas taken, or None and all of `gas` when that ran out.

        Compiling writes to many pages that no call touches, so an instance that compiled is not used again.

        Raises:
            Trapped: the engine stopped it.

        """
        return self._execute(self._fresh(), "compile", source, gas=gas, ask=ask)

    def load(self, code: bytes, *, gas: int, ask: Ask) -> tuple[bytes | None, int]:
        """Load a contract's module, to see whether it can be and what it takes; as `compile`."""
        instance = self._fresh()
        result = self._execute(instance, "load", code, gas=gas, ask=ask)
        self._give_back(instance)
        return result

    def call(self, code_hash: bytes, code: bytes, request: bytes, *, gas: int, ask: Ask) -> "Ran":
        """Call a contract that can be loaded; as `compile`, the gas of loading not included.

        Raises:
            Trapped: the engine stopped it.

        """
        home = self._homes.get(code_hash)
        if home is None:
            instance = self._fresh()
            self._load(instance, code)
            home = self._settle(code_hash, instance)
        else:
            self._homes.move_to_end(code_hash)
            instance = self._at_home(home)
        result, used = self._execute(instance, "run", request, gas=gas, ask=ask)
        growth = 0 if instance.memory is None else self._restorer.growth(instance.memory)
        if home is None:
            self._give_back(instance)
        elif instance.clean and instance.memory is not None:
            restored = self._restorer.restore(instance.memory, home.snapshot)
            home.instance = instance if restored else None
        return Ran(result, used, growth)

    def left(self) -> int:
        """See `Meter`."""
        return 0 if self._tank is None else self._tank.read() // FUEL_PER_GAS

    def charge(self, amount: int) -> None:
        """Take gas from the call that runs; see `Meter`."""
        tank = self._tank
        if tank is None:
            return
        left = tank.read() - amount * FUEL_PER_GAS
        if left < 0:
            raise GasExhausted
        tank.fill(left)

    def used_before(self, gas: int) -> int:
        """Gas taken so far from the running call's `gas`."""
        return gas if self._tank is None else gas_of(gas * FUEL_PER_GAS - self._tank.read())

    def _new_instance(self) -> Instance:
        """An instance whose memory can be seen, if the system lets memory be seen."""
        for _ in range(_ATTEMPTS):
            instance = Instance(self._engine, self._linker, self._component, self._restorer)
            if instance.memory is not None or not self._restorer.sees_memory:
                return instance
        raise MachineUnfit("the memory of an instance cannot be found; is /proc mounted?")

    def _fresh(self) -> Instance:
        self.warm(1)
        return self._ready.pop()

    def _give_back(self, instance: Instance) -> None:
        """Use an instance again; only a call that returned has left the engine's own state as it found it."""
        if instance.clean and instance.memory is not None and self._restorer.restore(instance.memory):
            self._ready.append(instance)

    def _load(self, instance: Instance, code: bytes) -> None:
        result, _gas = self._execute(instance, "load", code, gas=limits.MAX_LOAD_GAS, ask=_refuse_to_answer)
        if result is None:
            raise InvariantViolated("a contract that was loaded when it was deployed takes more gas now")

    def _settle(self, code_hash: bytes, instance: Instance) -> Home | None:
        """Keep a contract loaded when it is called often enough."""
        count = self._calls.pop(code_hash, 0) + 1
        self._calls[code_hash] = count
        if len(self._calls) > COUNTED:
            self._calls.popitem(last=False)
        if count < KEPT_FROM_CALL or instance.memory is None:
            return None
        snapshot = self._restorer.snapshot(instance.memory)
        if snapshot is None:
            return None
        self._calls[code_hash] = 0
        home = self._homes[code_hash] = Home(snapshot, None)
        if len(self._homes) > SNAPSHOTS:
            _, dropped = self._homes.popitem(last=False)
            dropped.instance = None
            dropped.snapshot.close()
        return home

    def _at_home(self, home: Home) -> Instance:
        """An instance in which the contract is loaded."""
        instance, home.instance = home.instance, None
        if instance is None:
            instance = self._fresh()
            if instance.memory is not None:
                self._restorer.adopt(instance.memory, home.snapshot)
        return instance

    def _execute(
        self, instance: Instance, name: str, argument: bytes, *, gas: int, ask: Ask
    ) -> tuple[bytes | None, int]:
        tank, answering = instance.tank, self._answering
        fuel = gas * FUEL_PER_GAS
        tank.fill(fuel)
        answering.begin(ask)
        self._tank = tank
        instance.clean = False
        try:
            result = instance.exports[name].call(tank, argument)
        except WasmtimeError as error:
            text = str(error)
            answering.rethrow(GasExhausted)
            if answering.raised is not None or OUT_OF_FUEL in text:
                return None, gas
            raise Trapped(_trap_name(text), gas_of(fuel - tank.read())) from None
        finally:
            answering.end()
            self._tank = None
        instance.clean = True
        return result.decode().encode(BYTES, errors="replace"), gas_of(fuel - tank.read())


def _refuse_to_answer(operation: int, _request: bytes) -> bytes:
    raise InvariantViolated(f"loading a contract's module asked for operation {operation}")


def _trap_name(text: str) -> str:
    """The engine's own name of the trap, without the native backtrace around it."""
    if _TRAP not in text:
        return "abort"
    return text.partition(_TRAP)[2].partition("\n")[0].strip()
