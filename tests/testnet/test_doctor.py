"""What doctor says of the contract machine."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.runtime.identity import installed_identity
from primitives.errors import Refused
from primitives.identifiers import Milliseconds
from testnet import doctor, start
from testnet.genesis_builder import build_genesis
from testnet.home import HomeLock, create_home
from testnet.manifest import parse_manifest

MANIFEST = parse_manifest({"shards": 1, "validators": 1}, "test")


def make_home(path: Path, wasmtime: str) -> None:
    genesis = build_genesis(MANIFEST, Milliseconds(1_750_000_000_000))
    lock = HomeLock(path)
    try:
        create_home(path, MANIFEST, replace(genesis, machine=replace(genesis.machine, wasmtime=wasmtime)))
    finally:
        lock.release()


def contracts_finding(home: Path) -> doctor.Finding:
    return next(finding for finding in doctor.examine(home) if finding.name == "contracts")


def test_the_installed_machine_is_shown_with_and_without_a_chain(tmp_path: Path) -> None:
    installed = installed_identity()
    for home in (tmp_path / "none", tmp_path / "home"):
        if home.name == "home":
            make_home(home, installed.wasmtime)
        found = contracts_finding(home)
        assert found.ok
        assert f"wasmtime {installed.wasmtime}, runtime {installed.image_sha256.hex()[:16]}" in found.detail


def test_a_chain_that_was_made_for_another_engine_is_named_with_what_to_install(tmp_path: Path) -> None:
    make_home(tmp_path / "home", "1.2.3")
    found = contracts_finding(tmp_path / "home")
    assert not found.ok
    assert "pip install wasmtime==1.2.3" in found.detail
    assert "ostraka reset" in found.advice


def test_a_testnet_for_another_engine_is_refused_before_any_process_starts(tmp_path: Path) -> None:
    make_home(tmp_path / "home", "1.2.3")
    with pytest.raises(Refused, match="other_machine"):
        start.start(tmp_path / "home", MANIFEST, attached=False)


def test_a_genesis_that_cannot_be_read_is_the_homes_finding_not_the_machines(tmp_path: Path) -> None:
    make_home(tmp_path / "home", "1.2.3")
    (tmp_path / "home" / "genesis.json").write_text("{}")
    assert contracts_finding(tmp_path / "home").ok
    assert not next(each for each in doctor.examine(tmp_path / "home") if each.name == "home").ok
