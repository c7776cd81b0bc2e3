"""The two paths into and out of the engine that every call takes, on the C interface of the version that is pinned.

The engine's own Python binding looks every type up anew and makes a ctypes type for each length of a string: 60 µs a
crossing, most of what a short call costs. Here a crossing takes 5 µs. All strings hold the code points 0 to 255 (see
machine.wit) and cross as UTF-8.
"""

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final

from wasmtime import Store, WasmtimeError, _ffi
from wasmtime.component import Func, LinkerInstance

from contracts.operations import BYTES

Ask = Callable[[int, bytes], bytes]

_STRING: Final = _ffi.WASMTIME_COMPONENT_STRING.value
_VALUE_BYTES: Final = ctypes.sizeof(_ffi.wasmtime_component_val_t)
_PLACE: Final = _ffi.wasmtime_component_val_t.of.offset
"""Of a value's content, behind its kind: a number, or the length and the address of a string."""

_STRING_VALUE: Final = struct.Struct("B7xQQ")
_QUESTION: Final = struct.Struct(f"B7xB{_VALUE_BYTES - 9}xB7xQQ")
"""The two arguments of `ask`, a u8 and a string."""

_ADDRESS: Final = ctypes.c_void_p
_SIZE: Final = ctypes.c_size_t


def _imported(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, *arguments)((name, _ffi.dll))


_call: Final = _imported("wasmtime_component_func_call", _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _SIZE, _ADDRESS, _SIZE)
_new_text: Final = _imported("wasm_byte_vec_new", None, _ADDRESS, _SIZE, ctypes.c_char_p)
_delete_value: Final = _imported("wasmtime_component_val_delete", None, _ADDRESS)
_new_error: Final = _imported("wasmtime_error_new", _ADDRESS, ctypes.c_char_p)
_set_fuel: Final = _imported("wasmtime_context_set_fuel", _ADDRESS, _ADDRESS, ctypes.c_uint64)
_get_fuel: Final = _imported("wasmtime_context_get_fuel", _ADDRESS, _ADDRESS, _ADDRESS)
_string_at: Final = ctypes.string_at

_Callback: Final = ctypes.CFUNCTYPE(_ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _SIZE, _ADDRESS, _SIZE)
"""Addresses as plain numbers: an object made for each pointer takes as long as the answer."""

_Finalizer: Final = ctypes.CFUNCTYPE(None, _ADDRESS)
_add_function: Final = _imported(
    "wasmtime_component_linker_instance_add_func",
    _ADDRESS,
    _ADDRESS,
    ctypes.c_char_p,
    _SIZE,
    _Callback,
    _ADDRESS,
    _Finalizer,
)

_forget: Final = _Finalizer(lambda _data: None)
"""There is nothing to free with a callback."""


class Tank:
    """The fuel of one store."""

    def __init__(self, store: Store) -> None:
        self.context: Final = ctypes.cast(store._context(), _ADDRESS).value  # noqa: SLF001 - see the module
        self._fuel: Final = ctypes.c_uint64()
        self._place: Final = ctypes.addressof(self._fuel)

    def read(self) -> int:
        """Fuel that is left."""
        _get_fuel(self.context, self._place)  # fails only for an engine without fuel
        return self._fuel.value

    def fill(self, fuel: int) -> None:
        """Set what is left."""
        _set_fuel(self.context, fuel)  # as above


class Export:
    """A function of an instance from a string to a string."""

    def __init__(self, function: Func) -> None:
        self._function: Final = function
        self._address: Final = ctypes.addressof(function._func)  # noqa: SLF001 - see the module
        self._values: Final = (_ffi.wasmtime_component_val_t * 2)()
        self._argument: Final = ctypes.addressof(self._values)
        self._result: Final = self._argument + _VALUE_BYTES

    def call(self, tank: Tank, text: bytes) -> bytes:
        """Call it with UTF-8, get UTF-8.

        Raises:
            WasmtimeError: it trapped, or the host refused to answer.

        """
        ctypes.memset(self._argument, _STRING, 1)
        _new_text(self._argument + _PLACE, len(text), text)
        try:
            error = _call(self._address, tank.context, self._argument, 1, self._result, 1)
        finally:
            _delete_value(self._argument)
        _raise(error)
        _kind, length, address = _STRING_VALUE.unpack(_string_at(self._result, _STRING_VALUE.size))
        result = _string_at(address, length)
        _delete_value(self._result)
        return result


class Answering:
    """The host's end of `ask`. What the answering function raises is kept for whoever called the guest."""

    def __init__(self) -> None:
        self._answer: Ask | None = None
        self.raised: BaseException | None = None

    def begin(self, answer: Ask) -> None:
        """Let this function answer."""
        self._answer, self.raised = answer, None

    def end(self) -> None:
        """The guest has returned, or was stopped."""
        self._answer = None

    def rethrow(self, expected: type[Exception]) -> None:
        """Raise what the answering function raised, unless it is what was expected."""
        if self.raised is not None and not isinstance(self.raised, expected):
            raise self.raised from None

    def asked(self, *details: Any) -> int:
        """The engine's callback: environment, context, type, arguments and their number, results and theirs."""
        arguments, result = details[3], details[5]
        try:
            if self._answer is None:
                raise LookupError("the image asked while it runs for nobody")
            _, operation, _, length, address = _QUESTION.unpack(_string_at(arguments, _QUESTION.size))
            request = _string_at(address, length).decode().encode(BYTES, errors="replace")
            answer = self._answer(operation, request).decode(BYTES).encode()
            ctypes.memset(result, _STRING, 1)
            _new_text(result + _PLACE, len(answer), answer)
        except BaseException as error:  # noqa: BLE001 - nothing may be raised through the engine's frames
            self.raised = error
            return int(_new_error(b"the host stopped the call"))
        return 0


class Import:
    """A function that the image imports, answered by the host; kept for as long as the linker is used."""

    def __init__(self, root: LinkerInstance, name: str, answering: Answering) -> None:
        self._callback: Final = _Callback(answering.asked)
        raw = name.encode()
        instance = ctypes.cast(root.ptr(), _ADDRESS).value
        _raise(_add_function(instance, raw, len(raw), self._callback, None, _forget))


def _raise(error: int | None) -> None:
    if error:
        pointer = ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t))
        raise WasmtimeError._from_ptr(pointer)  # noqa: SLF001 - see the module
