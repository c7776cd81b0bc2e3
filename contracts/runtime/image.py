"""Loads the image: unpacks it, compiles it to machine code once for each user, and keeps that by content.

The compiled form is named by the machine's identity, so another image, engine version or target never meets an old
file; it is written beside its SHA-256, checked at each load, because machine code that was cut short would be run.
Compiling takes 6 to 20 s of one core. It happens when a machine is first needed, never when a validator starts.
"""

import fcntl
import hashlib
import lzma
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.runtime.identity import PACKAGE, installed_identity, manifest
from primitives.errors import invariant

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Component

Progress = Callable[[str], None]
"""Told what begins: "unpacking", "compiling", "storing". Nothing is said when the cache has it."""

KEPT_UNUSED_S = 30 * 24 * 3600
"""A compiled image takes 40 MB; one that nobody has loaded for so long belongs to a version that is gone."""

_DIGEST_LENGTH = 64


def unpack() -> bytes:
    """The image, checked against its manifest."""
    raw = lzma.decompress((PACKAGE / "machine.wasm.xz").read_bytes())
    invariant(
        hashlib.sha256(raw).hexdigest() == manifest()["image_sha256"],
        "the contract machine's image is not the one of its manifest; reinstall ostraka",
    )
    return raw


def load(engine: "Engine", progress: Progress = lambda _stage: None, folder: Path | None = None) -> "Component":
    """Get the compiled image, compiling it when this user has not yet.

    Processes that start together wait for the one that compiles.
    """
    folder = folder or cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    compiled = compiled_path(folder)
    component = _load_compiled(engine, compiled)
    if component is not None:
        return component
    with _locked(compiled.with_suffix(".lock")):
        component = _load_compiled(engine, compiled)
        if component is None:
            _compile(engine, compiled, progress)
            component = _load_compiled(engine, compiled)
    invariant(component is not None, f"what was just written to {compiled} cannot be read back")
    return component  # type: ignore[return-value]  # the line above


def compiled_path(folder: Path | None = None) -> Path:
    """Where the compiled image is, or will be."""
    return (folder or cache_folder()) / f"machine-{installed_identity().digest().hex()[:32]}.cwasm"


def is_compiled(folder: Path | None = None) -> bool:
    """Whether `load` would be quick."""
    return compiled_path(folder).with_suffix(".sha256").exists()


def cache_folder() -> Path:
    """Per user, by the platform's convention."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ostraka"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostraka"


def _load_compiled(engine: "Engine", compiled: Path) -> "Component | None":
    from wasmtime.component import Component  # noqa: PLC0415 - whoever asks only whether it is compiled needs no engine

    digest = compiled.with_suffix(".sha256")
    if not digest.exists() or not compiled.exists():
        return None
    with compiled.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest.read_text()[:_DIGEST_LENGTH]:
            return None
    os.utime(compiled)  # when it was used last
    return Component.deserialize_file(engine, str(compiled))


def _compile(engine: "Engine", compiled: Path, progress: Progress) -> None:
    from wasmtime.component import Component  # noqa: PLC0415 - as above

    progress("unpacking")
    wasm = unpack()
    progress("compiling")
    code = bytes(Component(engine, wasm).serialize())
    progress("storing")
    _remove_unused(compiled.parent, time.time() - KEPT_UNUSED_S)
    _replace(compiled, code)
    _replace(compiled.with_suffix(".sha256"), hashlib.sha256(code).hexdigest().encode())


def _remove_unused(folder: Path, since_s: float) -> None:
    """Remove the images that were not loaded since then (Unix seconds)."""
    for compiled in folder.glob("machine-*.cwasm"):
        if compiled.stat().st_mtime < since_s:
            for suffix in (".sha256", ".cwasm", ".lock"):
                compiled.with_suffix(suffix).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename: nobody ever sees half a file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
