"""The machine in this process: compiles contracts and runs batches of calls, one after the other, in order."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from contracts import gas, limits
from contracts.checking import checked
from contracts.operations import BYTES, COMPLETED
from contracts.outcomes import (
    Compilation,
    Compiled,
    Completed,
    Cost,
    Effects,
    Failed,
    Invocation,
    Last,
    Method,
    Outcome,
    OutOfGas,
    Rejected,
    Suspended,
    code_hash_of,
)
from contracts.port import MachineIdentity, Settle, World
from contracts.runtime import image
from contracts.runtime.identity import installed_identity
from contracts.session import Session, Stop, Trapped, held_price
from contracts.tracebacks import format_traceback
from contracts.values import BadValue, Value
from primitives.amounts import unpack_amount
from primitives.errors import InvariantViolated
from primitives.identifiers import Hash

if TYPE_CHECKING:
    from contracts.machine.chamber import Chamber

CACHED_CODES = 256
"""Compiled contracts kept in memory, a few tens of kilobytes each."""

COMPILE_GAS = 5_000_000
"""What compiling the longest source may take; a restarted validator compiles again, so it is no one's limit to set."""

_MAX_OUTPUT_BYTES: Final = 1 << 20
_RESULT_AT: Final = 5
"""See `operations.COMPLETED`."""

_NOTHING: Final = Effects((), (), (), ())


@dataclass(frozen=True, slots=True)
class Code:
    """A contract that was compiled."""

    source: str
    marshalled: bytes
    """As it is handed to the guest."""
    methods: dict[str, Method]
    load_gas: int
    """Of running its module."""

    @property
    def start_gas(self) -> int:
        """What a run takes before its method begins, whether or not the contract is loaded already."""
        return gas.START_GAS + self.load_gas


class LocalMachine:
    """Runs calls in this process. For the simulator, for tools, and inside the worker."""

    def __init__(self, progress: image.Progress = lambda _stage: None) -> None:
        self._progress: Final = progress
        self._codes: Final[OrderedDict[Hash, Code]] = OrderedDict()

    @cached_property
    def chamber(self) -> "Chamber":
        """Loads the engine and the image when they are first needed."""
        from contracts.machine.chamber import Chamber  # noqa: PLC0415 - the engine's binding takes 80 ms to import
        from contracts.machine.engine import new_engine  # noqa: PLC0415 - as above
        from contracts.machine.restoring import Restorer  # noqa: PLC0415 - as above

        engine = new_engine()
        component = image.load(engine, self._progress)
        return Chamber(engine, component, Restorer(image.compiled_path()))

    def identity(self) -> MachineIdentity:
        """See `Machine`."""
        return installed_identity()

    def warm(self, count: int) -> None:
        """Make instances ahead of need."""
        self.chamber.warm(count)

    def compile(self, source: str, gas_limit: int) -> Compilation:
        """See `Machine`. `gas_used` is at most `gas_limit`."""
        size = len(source.encode(errors="replace"))
        if size > limits.MAX_SOURCE_BYTES or "\0" in source or source.encode(errors="ignore").decode() != source:
            return Rejected(f"a contract is UTF-8 text of at most {limits.MAX_SOURCE_BYTES} bytes without NUL", 0, 0)
        keeping = gas.START_GAS + gas.COMPILE_BYTE_GAS * size
        compilation, code = self._compile(source, max(min(gas_limit, COMPILE_GAS) - keeping, 0), keeping)
        if compilation.gas_used > gas_limit:
            return Rejected(f"compiling and loading it take more than {gas_limit} gas", 0, gas_limit)
        if isinstance(compilation, Compiled) and code is not None:
            self._keep(compilation.code_hash, code)
        return compilation

    def forget(self) -> None:
        """See `Machine`: nothing that was read is remembered here."""

    def run(self, batch: Sequence[Invocation], world: World, settle: Settle) -> None:
        """See `Machine`."""
        for index, invocation in enumerate(batch):
            settle(index, self.run_one(invocation, world))

    def run_one(self, invocation: Invocation, world: World) -> Outcome:
        """One call, from a fresh instance."""
        code = self._code(invocation.code_hash, world)
        method = code.methods.get(invocation.method)
        if method is None:
            text = f"{invocation.contract} has no method {invocation.method!r}"
            return _no_method(invocation, text)
        if invocation.gas < code.start_gas + gas.RESTART_GAS:
            return OutOfGas(Cost(invocation.gas, 0), _NOTHING, (), invocation.journal, Last(invocation.replies, ()))
        return Run(self.chamber, invocation, code, world, read_only=method.view).outcome()

    def _code(self, code_hash: Hash, world: World) -> Code:
        code = self._codes.get(code_hash)
        if code is None:
            source = world.source(code_hash)
            compilation, code = self._compile(source, COMPILE_GAS, 0)
            if code is None or code_hash_of(source) != code_hash:
                raise InvariantViolated(f"deployed code {code_hash.hex()} does not compile any more: {compilation}")
            self._keep(code_hash, code)
        self._codes.move_to_end(code_hash)
        return code

    def _keep(self, code_hash: Hash, code: Code) -> None:
        self._codes[code_hash] = code
        if len(self._codes) > CACHED_CODES:
            self._codes.popitem(last=False)

    def _compile(self, source: str, gas_limit: int, keeping: int) -> tuple[Compilation, Code | None]:
        try:
            raw, used = self.chamber.compile(source.encode(), gas=gas_limit, ask=_refuse_to_answer)
        except Trapped as trapped:
            return Rejected(f"the compiler gave up: {trapped.args[0]}", 0, keeping + trapped.gas_used), None
        if raw is None:
            return Rejected("compiling took more gas than there was", 0, min(keeping + used, gas_limit + keeping)), None
        used += keeping
        match checked(raw, max_bytes=_MAX_OUTPUT_BYTES):
            case ["rejected", str(text), int(line)]:
                return Rejected(text[: limits.MAX_ERROR_LENGTH], line, used), None
            case ["compiled", bytes(marshalled), list(listed)] if len(marshalled) <= limits.MAX_CODE_BYTES:
                methods = tuple(_method(item) for item in listed)
            case _:
                return Rejected(f"compiled, it has more than {limits.MAX_CODE_BYTES} bytes", 0, used), None
        if len(methods) > limits.MAX_METHODS or not methods:
            return Rejected(f"a contract has 1 to {limits.MAX_METHODS} public functions", 0, used), None
        code = Code(source, marshalled.decode(BYTES).encode(), {method.name: method for method in methods}, 0)
        problem, line, load_gas = self._try_to_load(code)
        if problem:
            return Rejected(problem[: limits.MAX_ERROR_LENGTH], line, used + load_gas), None
        return Compiled(code_hash_of(source), methods, used + load_gas), replace(code, load_gas=load_gas)

    def _try_to_load(self, code: Code) -> tuple[str, int, int]:
        """Run the module once: what is wrong with it, the line, and the gas taken."""
        try:
            raw, used = self.chamber.load(code.marshalled, gas=limits.MAX_LOAD_GAS, ask=_refuse_to_ask)
        except Stop as stop:
            return str(stop), 0, limits.MAX_LOAD_GAS
        except Trapped as trapped:
            return f"its module stops the machine: {trapped}", 0, trapped.gas_used
        if raw is None:
            return f"its module takes more than {limits.MAX_LOAD_GAS} gas to run", 0, used
        match checked(raw, max_bytes=_MAX_OUTPUT_BYTES):
            case ["loaded"]:
                return "", 0, used
            case ["failed", str(error), str(text), list(frames), str()]:
                line = next((item[0] for item in reversed(frames) if isinstance(item, list)), 0)
                return f"running its module raises {error}: {text}", line if isinstance(line, int) else 0, used
            case _:
                return "running its module tampers with the machine", 0, used


class Run:
    """One run of one call: from the invocation to the outcome."""

    def __init__(
        self, chamber: "Chamber", invocation: Invocation, code: Code, world: World, *, read_only: bool
    ) -> None:
        self._chamber: Final = chamber
        self._invocation: Final = invocation
        self._code: Final = code
        self._read_only: Final = read_only
        self._session: Final = Session(invocation, world, chamber, read_only=read_only)
        self._limit: Final = invocation.gas - code.start_gas - gas.RESTART_GAS
        self._used = 0
        self._restart = 0
        """Gas for the instance that the next call needs."""

    def outcome(self) -> Outcome:
        """Run it."""
        code, call = self._code, self._invocation
        try:
            raw, self._used, growth = self._chamber.call(
                call.code_hash, code.marshalled, self._request(), gas=self._limit, ask=self._ask
            )
        except Stop as stop:
            self._restart = gas.RESTART_GAS
            return self._failed(stop.kind, "", str(stop))
        except Trapped as trapped:
            self._used, self._restart = trapped.gas_used, gas.RESTART_GAS
            return self._failed("trap", "", str(trapped))
        if growth:
            self._used, self._restart = self._used + growth * gas.GROWTH_GAS, gas.RESTART_GAS
        if raw is None or self._used > self._limit:
            return self._out_of_gas()
        try:
            if raw[:1] == COMPLETED:
                end = _RESULT_AT + int.from_bytes(raw[1:_RESULT_AT], "big")
                return self._completed(raw[_RESULT_AT:end], raw[end:])
            return self._read(checked(raw, max_bytes=_MAX_OUTPUT_BYTES))
        except BadValue:
            return self._failed("protocol", "", "what the run returned cannot be read")
        except Stop as stop:
            return self._failed(stop.kind, "", str(stop))

    def _ask(self, operation: int, request: bytes) -> bytes:
        try:
            return self._session.ask(operation, request)
        except Stop:
            self._used = self._chamber.used_before(self._limit)
            raise

    def _request(self) -> bytes:
        call = self._invocation
        # A replay begins in the block that the call began in.
        start = call.journal[0] if call.journal else call
        return msgspec.json.encode(
            [
                call.method,
                call.arguments.decode(BYTES),
                call.sender,
                unpack_amount(call.value),
                call.shard,
                call.contract,
                call.trace_id.hex(),
                call.call_id.hex(),
                start.height,
                start.time_ms,
                self._read_only,
            ]
        )

    def _completed(self, result: bytes, held: bytes) -> Outcome:
        """The method returned; what the guest held back is paid for and taken over."""
        session = self._session
        last = session.last
        checked(result)
        self._used += held_price(held)
        if self._used > self._limit:
            return self._out_of_gas()
        session.finish(held)
        return Completed(self._cost(), session.effects, tuple(session.log), session.journal, last, result)

    def _read(self, output: Value) -> Outcome:
        session, call = self._session, self._invocation
        match output:
            case ["suspended"] if session.waits:
                return Suspended(self._cost(), session.effects, tuple(session.log), session.journal, session.waits)
            case ["failed", str(error), str(text), list(frames), str(remote)]:
                if session.replaying:
                    raise Stop("replay_diverged", "the call raised in a stretch that had suspended before")
                traceback = format_traceback(call.shard, call.contract, self._code.source, frames, remote)
                return self._failed("raised", error, text, traceback)
            case _:
                return self._failed("protocol", "", "what the run returned is no outcome")

    def _out_of_gas(self) -> OutOfGas:
        self._used, self._restart = self._limit, gas.RESTART_GAS
        session = self._session
        return OutOfGas(self._cost(), session.effects, tuple(session.log), session.journal, session.last)

    def _cost(self) -> Cost:
        """What was set aside for calls that are not made, because their stretch is undone, was not used either."""
        session = self._session
        total = self._code.start_gas + self._used + self._restart
        return Cost(total - session.gas_set_aside, session.gas_sent)

    def _failed(self, kind: str, error: str, message: str, traceback: str = "") -> Failed:
        session = self._session
        return Failed(
            cost=self._cost(),
            effects=session.effects,
            log=tuple(session.log),
            journal=session.journal,
            last=session.last,
            kind=kind,
            error=error[: limits.MAX_NAME_LENGTH],
            message=message[: limits.MAX_ERROR_LENGTH],
            traceback=traceback[: limits.MAX_TRACEBACK_LENGTH],
        )


def _no_method(invocation: Invocation, text: str) -> Failed:
    """Nothing ran, but the machine was asked for."""
    return Failed(
        cost=Cost(min(gas.ASK_GAS, invocation.gas), 0),
        effects=_NOTHING,
        log=(),
        journal=invocation.journal,
        last=Last(invocation.replies, ()),
        kind="no_method",
        error="",
        message=text[: limits.MAX_ERROR_LENGTH],
        traceback="",
    )


def _method(item: Value) -> Method:
    match item:
        case [str(name), bool(view), str(parameters), str(summary)]:
            return Method(name, view, parameters, summary)
        case _:
            raise InvariantViolated("the image's compiler lists methods in another form")


def _refuse_to_ask(operation: int, _request: bytes) -> NoReturn:
    raise Stop("protocol", f"running its module asks for operation {operation}; a module cannot use the ledger")


def _refuse_to_answer(operation: int, _request: bytes) -> NoReturn:
    raise InvariantViolated(f"the image's compiler asked for operation {operation}")
