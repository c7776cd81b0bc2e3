"""The contract machine: CPython in WebAssembly, metered by fuel, and the values, journals and outcomes around it."""
