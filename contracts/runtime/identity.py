"""Which machine this installation runs: read from the manifest and the package's metadata, without loading the engine.

Machine code is generated for the plain architecture, never for the features of the CPU at hand: the depth at which a
native stack overflows is part of an outcome.
"""

import json
import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from contracts import limits
from contracts.port import MachineIdentity
from primitives.identifiers import Hash

PACKAGE: Final = Path(__file__).parent

MAX_STACK_BYTES: Final = 1 << 20
"""Native stack of the WebAssembly code: several times what 400 Python frames take, and less than any thread has."""

FLAGS: Final = (
    f"fuel nan-canonical no-threads no-relaxed-simd opt=speed stack={MAX_STACK_BYTES} memory={limits.MAX_MEMORY_BYTES}"
)
"""The engine's settings, in words; `contracts.machine.engine` makes them so."""


def target() -> str:
    """The target triple: one architecture, no optional features of its CPUs, one operating system's calling rules."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    system = {"Darwin": "apple-darwin", "Windows": "pc-windows-msvc"}.get(platform.system(), "unknown-linux-gnu")
    return f"{machine}-{system}"


@lru_cache(maxsize=1)
def manifest() -> dict[str, str]:
    """What the recipe wrote beside the image."""
    loaded: dict[str, str] = json.loads((PACKAGE / "manifest.json").read_text())
    return loaded


def identity_of(image_sha256: Hash) -> MachineIdentity:
    """Identity of the machine that this installation runs for an image."""
    return MachineIdentity(image_sha256, version("wasmtime"), target(), FLAGS)


def installed_identity() -> MachineIdentity:
    """Identity of this installation's machine; what genesis pins and the handshake compares."""
    return identity_of(Hash(bytes.fromhex(manifest()["image_sha256"])))
