"""The manifest: what is refused, how it is said, and that the published schema is the one in force."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.amounts import BASE_UNITS_PER_OBOL
from primitives.errors import Refused
from testnet.manifest import SCHEMA_PATH, Manifest, balance_of, json_schema, load_manifest, parse_manifest

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"shard": 3}, r'ostraka.toml: shard: unknown key; did you mean "shards"\? Allowed here: name, shards, '),
    ({"zzz": 3}, r"zzz: unknown key; Allowed here"),
    ({"ports": {"apis": 1}}, r'ports.apis: unknown key; did you mean "api"\?'),
    ({"consensus": {"idle": 1}}, r"consensus.idle: unknown key"),
    ({"shards": 0}, r"shards: expected `int` >= 1, got 0. Number of shards, 1 to 1024"),
    ({"shards": 1025}, r"shards: expected `int` <= 1024, got 1025"),
    ({"shards": "3"}, r'shards: expected `int`, got `str`, got "3"'),
    ({"shards": True}, r"shards: expected `int`, got `bool`"),
    ({"shards": 3.0}, r"shards: .*got.*3.0"),
    ({"validators": 33}, r"validators: .*1 to 32"),
    ({"relays": -1}, r"relays: .*0 to 16"),
    ({"name": "a b"}, r"name: .*letters, digits"),
    ({"consensus": 3}, r"consensus: expected `object`"),
    ({"consensus": {"idle_interval_ms": 1}}, r"consensus.idle_interval_ms: .*>= 100, got 1\. .*100 to 600000"),
    ({"consensus": {"base_timeout_ms": 5000, "max_timeout_ms": 100}}, r"consensus.max_timeout_ms: must not be below"),
    ({"ports": {"api": 70000}}, r"ports.api: .*got 70000"),
    ({"ports": {"api": 65530}}, r"ports.api: 12 ports from 65530 on go beyond 65535; begin at 65524 or lower"),
    ({"ports": {"api": 7000, "links": 7011}}, r"ports: the ranges overlap"),
    ({"accounts": {"Alice": 1}}, r"accounts.Alice: a name is a lower-case letter"),
    ({"accounts": {"al": -1}}, r"accounts.al: a balance is obols like 25"),
    ({"accounts": {"al": "0.1234567"}}, r'accounts.al: .*got "0.1234567"'),
    ({"accounts": {"al": 1.5}}, r"accounts.al: .*got 1.5"),
    ({"accounts": {"faucet": 1}}, r'accounts.faucet: this name is taken; the key "faucet" at the top'),
    ({"accounts": {"osk1abc": 1}}, r"accounts.osk1abc: .*reads as an address"),
    ({"accounts": [1]}, r"accounts: expected `object`"),
    ({"faucet": "1e9"}, r"faucet: "),
    ({"links": [[0, 3]]}, r"links: \[0, 3\] names a shard that does not exist; shards are 0 to 2"),
    ({"links": [[1, 1]]}, r"links: \[1, 1\] links a shard with itself"),
    ({"links": [[0, "a"]]}, r'links\[0\]\[1\]: expected `int`, got `str`, got "a"'),
    ({"links": [[0]]}, r"links\[0\]: "),
    ({"links": "some"}, r'links: .*"some"'),
    ({"shards": 1024}, r"shards: 1024 × 4 are 4097 processes, limit 1024"),
    ({"home": ""}, r"home: "),
]


@pytest.mark.parametrize(("table", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_refused_with_its_path_and_what_is_allowed(table: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message) as refusal:
        parse_manifest(table, "ostraka.toml")
    assert refusal.value.code == "bad_manifest"
    assert refusal.value.detail.startswith("ostraka.toml: ")


def test_an_empty_manifest_is_three_shards_of_four_with_one_relay() -> None:
    manifest = parse_manifest({}, "x")
    assert (manifest.shards, manifest.validators, manifest.relays) == (3, 4, 1)
    assert manifest.links_of() == ((0, 1), (0, 2), (1, 2))
    assert "alice" in manifest.accounts
    assert (manifest.ports.api, manifest.ports.links) == (0, 0)


def test_links_are_undirected_and_counted_once() -> None:
    assert parse_manifest({"links": [[2, 1], [1, 2], [0, 1]]}, "x").links_of() == ((0, 1), (1, 2))


def test_balances_are_obols_with_up_to_six_decimals() -> None:
    assert balance_of(25) == 25 * BASE_UNITS_PER_OBOL
    assert balance_of("0.000001") == 1


def test_consensus_settings_become_the_rules_of_consensus() -> None:
    rules = parse_manifest({"consensus": {"min_block_interval_ms": 7}}, "x").consensus.rules()
    assert rules.min_block_interval_ms == 7


def test_a_file_is_read_and_the_command_line_overrides_it(tmp_path: Path) -> None:
    path = tmp_path / "ostraka.toml"
    path.write_text('shards = 2\nvalidators = 7\n[accounts]\nzoe = "0.5"\n')
    manifest = load_manifest(path, {"shards": 5})
    assert (manifest.shards, manifest.validators, manifest.accounts) == (5, 7, {"zoe": "0.5"})


def test_a_file_that_is_missing_or_not_toml_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no_manifest: cannot read the manifest .*absent\.toml: No such file"):
        load_manifest(tmp_path / "absent.toml")
    for content in (b"shards = = 3", b"\xff\xfe", b"shards = 3\nshards = 4"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(Refused, match=r"bad\.toml: not TOML"):
            load_manifest(tmp_path / "bad.toml")


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_PATH.read_text() == json_schema(), "run: python -m testnet.manifest"


def test_the_schema_refuses_what_the_types_refuse_and_takes_the_defaults() -> None:
    schema = json.loads(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"shards": 2, "links": [[0, 1]], "accounts": {"zoe": "0.5"}, "ports": {"api": 7400}})
    for bad in ({"shards": 0}, {"shard": 1}, {"accounts": {"Zoe": 1}}, {"links": "some"}, {"ports": {"api": 65536}}):
        assert not validator.is_valid(bad), bad


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(Manifest.__struct_fields__) | st.text(max_size=8)


@given(st.dictionaries(keys, values, max_size=4))
@settings(deadline=None, max_examples=300)
def test_any_table_is_a_manifest_or_refused_in_words(table: dict[str, Any]) -> None:
    code = None
    try:
        parse_manifest(table, "x")
    except Refused as refusal:
        code = refusal.code
    assert code in {None, "bad_manifest"}


def test_the_documented_example_is_the_default_manifest() -> None:
    example = Path(__file__).parents[2] / "docs" / "ostraka.toml"
    assert load_manifest(example) == Manifest()
