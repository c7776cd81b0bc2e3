"""The engine, as `contracts.runtime.identity` describes it."""

from wasmtime import Config, Engine

from contracts.runtime.identity import MAX_STACK_BYTES, target


def new_engine() -> Engine:
    """An engine with the settings of `FLAGS`, for `target`."""
    config = Config()
    config.target = target()
    config.wasm_component_model = True
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.cranelift_opt_level = "speed"
    config.wasm_threads = False
    config.wasm_relaxed_simd = False
    config.wasm_exceptions = True
    config.max_wasm_stack = MAX_STACK_BYTES
    return Engine(config)
