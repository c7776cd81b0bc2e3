"""The image, its manifest and the cache of its compiled form."""

import os
import time
from pathlib import Path

import pytest
from wasmtime import Engine
from wasmtime.component import Component

from contracts.machine.engine import new_engine
from contracts.runtime import build, image
from contracts.runtime.identity import identity_of, manifest
from primitives.errors import InvariantViolated
from primitives.identifiers import Hash

# A component that takes no time to compile.
EMPTY = b"\0asm\x0d\0\x01\0"


@pytest.fixture
def engine() -> Engine:
    return new_engine()


@pytest.fixture
def empty_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "unpack", lambda: EMPTY)


def test_the_shipped_image_is_the_one_of_the_manifest_and_of_the_sources() -> None:
    assert len(image.unpack()) == int(manifest()["image_bytes"])
    assert manifest()["sources_sha256"] == build.sources_hash(), "the guest changed: run `make runtime`"


def test_an_image_that_is_not_the_manifests_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "manifest", lambda: {"image_sha256": "00"})
    with pytest.raises(InvariantViolated, match="reinstall"):
        image.unpack()


def test_any_difference_between_machines_is_a_different_identity() -> None:
    base = identity_of(Hash(bytes(32)))
    assert base.digest() == identity_of(Hash(bytes(32))).digest()
    others = [
        type(base)(Hash(b"\1" * 32), base.wasmtime, base.target, base.flags),
        type(base)(base.image_sha256, "1", base.target, base.flags),
        type(base)(base.image_sha256, base.wasmtime, "x", base.flags),
        type(base)(base.image_sha256, base.wasmtime, base.target, "x"),
        type(base)(base.image_sha256, base.wasmtime + "x", base.target[1:], base.flags),
    ]
    assert len({base.digest(), *(other.digest() for other in others)}) == 6


@pytest.mark.usefixtures("empty_image")
def test_the_first_load_compiles_and_says_so_and_the_second_does_not(engine: Engine, tmp_path: Path) -> None:
    stages: list[str] = []
    assert not image.is_compiled(tmp_path)
    assert isinstance(image.load(engine, stages.append, tmp_path), Component)
    assert stages == ["unpacking", "compiling", "storing"]
    assert image.is_compiled(tmp_path)
    image.load(engine, stages.append, tmp_path)
    assert len(stages) == 3


@pytest.mark.usefixtures("empty_image")
@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_compiled_code_that_was_damaged_is_compiled_again(engine: Engine, tmp_path: Path, damage: str) -> None:
    image.load(engine, folder=tmp_path)
    compiled = image.compiled_path(tmp_path)
    whole = compiled.read_bytes()
    if damage == "missing":
        compiled.unlink()
    else:
        compiled.write_bytes(whole[:-100] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1]))
    stages: list[str] = []
    image.load(engine, stages.append, tmp_path)
    assert "compiling" in stages
    assert compiled.read_bytes() == whole


@pytest.mark.usefixtures("empty_image")
def test_the_cache_is_the_users_alone(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    image.load(engine, folder=folder)
    assert folder.stat().st_mode & 0o077 == 0


def test_an_image_that_was_not_loaded_for_long_is_removed_when_another_is_compiled(
    engine: Engine, tmp_path: Path
) -> None:
    now = time.time()
    for name, unused_s in (("old", image.KEPT_UNUSED_S + 60), ("recent", image.KEPT_UNUSED_S - 60)):
        for suffix in (".cwasm", ".sha256", ".lock"):
            file = tmp_path / f"machine-{name}{suffix}"
            file.touch()
            os.utime(file, (now - unused_s, now - unused_s))
    (tmp_path / "notes.txt").touch()
    image.load(engine, folder=tmp_path)
    ours = image.compiled_path(tmp_path).stem
    assert {file.stem for file in tmp_path.iterdir()} == {"machine-recent", "notes", ours}


def test_loading_an_image_counts_as_using_it(engine: Engine, tmp_path: Path) -> None:
    image.load(engine, folder=tmp_path)
    compiled = image.compiled_path(tmp_path)
    os.utime(compiled, (0, 0))
    image.load(engine, folder=tmp_path)
    assert compiled.stat().st_mtime > time.time() - 3600
