"""The genesis of a testnet, the file it is kept in, and the home around it."""

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.addresses import format_address
from primitives.amounts import BASE_UNITS_PER_OBOL, unpack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds
from primitives.signatures import public_key_of
from shards.genesis import ChainContext
from testnet.development_keys import account_key, account_seed, validator_seed
from testnet.genesis_builder import build_genesis
from testnet.genesis_file import genesis_text, parse_genesis
from testnet.home import HomeLock, check_same_chain, create_home, erase_home, open_genesis, open_manifest, write_atomic
from testnet.manifest import Manifest, parse_manifest

NOW = Milliseconds(1_750_000_000_000)
SMALL = parse_manifest({"shards": 2, "validators": 2, "accounts": {"alice": "12.5", "bob": 3, "zed": 0}}, "test")


def context_of(manifest: Manifest = SMALL, time_ms: Milliseconds = NOW) -> ChainContext:
    return ChainContext(build_genesis(manifest, time_ms))


def test_development_keys_never_change() -> None:
    assert format_address(account_key("alice")) == "osk1wu9jw6sgjjpsajsmmxugr5zha03cawja0gnf6wnf4ak774fyrh3s73ehat"
    assert validator_seed(0, 1) != validator_seed(1, 0)
    assert account_seed("alice") != account_seed("bob")


def test_everyone_in_the_manifest_is_funded_on_every_shard() -> None:
    for shard in context_of().genesis.shards:
        balances = {a.account: unpack_amount(a.amount) for a in shard.allocations}
        assert balances[account_key("alice")] == 12_500_000
        assert balances[account_key("faucet")] == 1_000_000_000 * BASE_UNITS_PER_OBOL
        assert account_key("zed") not in balances


def test_the_committees_are_the_development_validators_and_the_chain_says_so() -> None:
    context = context_of()
    assert context.genesis.development
    assert context.committees[1].keys == tuple(public_key_of(validator_seed(1, index)) for index in range(2))


def test_equal_manifest_and_time_are_the_same_chain_and_anything_else_is_another() -> None:
    assert context_of().chain_id == context_of().chain_id
    assert context_of().chain_id != context_of(time_ms=Milliseconds(NOW + 1)).chain_id
    assert context_of().chain_id != context_of(msgspec.structs.replace(SMALL, faucet=1)).chain_id


def test_the_file_gives_back_the_same_chain() -> None:
    context = context_of()
    again = parse_genesis(genesis_text(context))
    assert again.chain_id == context.chain_id
    assert again.genesis == context.genesis


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a JSON value that is neither an object nor a list."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in leaves(inner, (*path, index))]
    return [path]


def changed(value: Any) -> Any:
    """The smallest change of a leaf."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    last = value[-1:]
    return value[:-1] + ("1" if last == "0" else "0")


TEXT = genesis_text(context_of())
TREE = msgspec.json.decode(TEXT)


@pytest.mark.parametrize("path", leaves(TREE), ids=lambda path: ".".join(map(str, path))[:60])
def test_a_genesis_with_any_value_changed_is_refused(path: tuple[Any, ...]) -> None:
    tree = msgspec.json.decode(TEXT)
    holder = tree
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = changed(holder[path[-1]])
    with pytest.raises(Refused):
        parse_genesis(msgspec.json.encode(tree).decode())


def test_an_edited_balance_is_called_an_altered_genesis() -> None:
    with pytest.raises(Refused, match=r"genesis_altered: .*somebody edited it.*ostraka reset"):
        parse_genesis(TEXT.replace('"12.5"', '"13.5"'))


@given(st.text(max_size=60) | st.integers(0, len(TEXT)).map(lambda cut: TEXT[:cut]))
@settings(deadline=None, max_examples=60)
def test_what_is_not_a_genesis_file_is_refused_in_words(text: str) -> None:
    if text.strip() == TEXT.strip():
        return
    with pytest.raises(Refused, match="bad_genesis"):
        parse_genesis(text)


def make_home(path: Path) -> ChainContext:
    lock = HomeLock(path)
    try:
        return create_home(path, SMALL, build_genesis(SMALL, NOW))
    finally:
        lock.release()


def test_a_home_is_private_and_gives_back_its_chain_and_manifest(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    context = make_home(home)
    assert open_genesis(home).chain_id == context.chain_id
    assert open_manifest(home) == SMALL
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir() if path.is_file()} == {0o600}


def test_a_folder_with_other_files_is_not_made_a_home_nor_erased(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Refused, match=r"not_a_home: .*thesis\.tex"):
        make_home(tmp_path)
    erase_home(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_unfinished_home_is_simply_made_again(tmp_path: Path) -> None:
    make_home(tmp_path)
    (tmp_path / "genesis.json").unlink()
    (tmp_path / ".genesis.json.123").write_text("{")
    make_home(tmp_path)
    assert open_manifest(tmp_path) == SMALL


def test_a_chain_is_not_run_as_if_made_from_another_manifest(tmp_path: Path) -> None:
    make_home(tmp_path)
    check_same_chain(tmp_path, msgspec.structs.replace(SMALL, relays=3))
    with pytest.raises(Refused, match=r"other_chain: .*other shards \(it has 2, asked for 3\).*ostraka reset"):
        check_same_chain(tmp_path, msgspec.structs.replace(SMALL, shards=3))


def test_erasing_leaves_nothing_but_the_lock(tmp_path: Path) -> None:
    make_home(tmp_path)
    erase_home(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    with pytest.raises(Refused, match=r"no_home: .*ostraka up"):
        open_genesis(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    write_atomic(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(target, "new \ud800")
    assert target.read_text() == "old"
    write_atomic(target, "new")
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
