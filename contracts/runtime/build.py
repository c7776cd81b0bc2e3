"""The recipe of the runtime image: `python -m contracts.runtime.build` (`make runtime`).

CPython 3.14 for WebAssembly comes with componentize-py; this stages the guest's sources, lets componentize-py link
and snapshot them, compresses the component, and writes `manifest.json` beside it. The image is not reproducible bit
by bit (the interpreter's hash seed and the times of unpacked files are in the snapshot), and fuel differs between
builds: so it is built once for each version of the protocol, pinned by SHA-256 and shipped.
"""

import hashlib
import json
import lzma
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parent.parent
IMAGE = PACKAGE / "machine.wasm.xz"
MANIFEST = PACKAGE / "manifest.json"

COMPONENTIZE_PY = "0.25.1"
"""Its version decides CPython's (3.14), the libc's and the snapshot tool's; another one is another protocol version."""

SOURCES = (
    "contracts/__init__.py",
    "contracts/limits.py",
    "contracts/operations.py",
    "contracts/values.py",
    "ostraka_contract/__init__.py",
    "ostraka_contract/api.py",
    "ostraka_contract/buffer.py",
    "ostraka_contract/errors.py",
    "ostraka_contract/scheduler.py",
)
"""What the guest shares with the world outside."""


def build() -> None:
    """Build the image and its manifest in place."""
    installed = version("componentize-py")
    if installed != COMPONENTIZE_PY:
        sys.exit(f"The recipe is for componentize-py {COMPONENTIZE_PY}, installed is {installed}.")
    with tempfile.TemporaryDirectory() as folder:
        wasm = link(Path(folder))
    IMAGE.write_bytes(lzma.compress(wasm, preset=9 | lzma.PRESET_EXTREME))
    manifest = {
        "image_sha256": hashlib.sha256(wasm).hexdigest(),
        "image_bytes": len(wasm),
        "archive_sha256": hashlib.sha256(IMAGE.read_bytes()).hexdigest(),
        "sources_sha256": sources_hash(),
        "built_with": {"componentize-py": installed},
    }
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")


def link(folder: Path) -> bytes:
    """Stage the sources in `folder` and have componentize-py make a component of them."""
    staged = folder / "sources"
    for name in SOURCES:
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    shutil.copyfile(PACKAGE / "guest" / "app.py", staged / "app.py")
    shutil.copyfile(PACKAGE / "guest" / "machine.wit", folder / "machine.wit")
    tool = Path(sys.executable).parent / "componentize-py"
    # --stub-wasi: no clock, files, sockets or entropy exist inside; whatever asks for one traps.
    arguments = [
        "-d",
        "machine.wit",
        "-w",
        "machine",
        "componentize",
        "app",
        "--stub-wasi",
        "-p",
        "sources",
        "-o",
        "app.wasm",
    ]
    subprocess.run([tool, *arguments], cwd=folder, check=True)  # noqa: S603 - our own tool and arguments
    return (folder / "app.wasm").read_bytes()


def sources_hash() -> str:
    """SHA-256 over the guest's sources: tells whether the shipped image still is what the sources say."""
    digest = hashlib.sha256()
    for path in [*(ROOT / name for name in SOURCES), PACKAGE / "guest" / "app.py", PACKAGE / "guest" / "machine.wit"]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


if __name__ == "__main__":
    build()
