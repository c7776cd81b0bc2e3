"""How people name accounts, shards and ids, and what they hear when they mistype one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.addresses import format_address
from primitives.errors import Refused
from primitives.identifiers import PublicKey
from testnet.development_keys import account_key, account_seed
from testnet.places import parse_id, parse_who, seed_of
from testnet.run_file import AccountRun, RunInfo

INFO = RunInfo(
    ostraka="0",
    home="/",
    genesis="",
    chain_id="",
    launcher_pid=0,
    control="",
    shards=3,
    validators=4,
    nodes=(),
    accounts={
        name: AccountRun(format_address(account_key(name)), account_seed(name).hex()) for name in ("alice", "bob")
    },
)
STRANGER = format_address(PublicKey(bytes(range(32))))


def test_a_name_or_an_address_with_or_without_a_shard() -> None:
    assert parse_who("alice@2", INFO) == ("alice", account_key("alice"), 2)
    assert parse_who("bob", INFO) == ("bob", account_key("bob"), None)
    assert parse_who(f"{STRANGER}@0", INFO) == (STRANGER, bytes(range(32)), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alcie@1", 'did you mean "alice"\\? Known: alice, bob'),
        ("alice@3", "there is no shard '3'; this testnet has 0 to 2"),
        ("alice@", "there is no shard ''"),
        ("alice@-1", "there is no shard"),
        ("alice@²", "there is no shard"),
        (STRANGER[:-1] + "q@1", "bad_address"),
        ("", "there is no account ''"),
        ("x" * 200, "has 200 characters"),
    ],
)
def test_a_mistyped_place_is_explained(text: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        parse_who(text, INFO)


@given(st.text(max_size=80))
@settings(deadline=None, max_examples=200)
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        parse_who(text, INFO)
    except Refused as refused:
        assert refused.detail  # noqa: PT017 - either way is right; a crash is not


def test_only_development_accounts_have_a_key_here() -> None:
    assert seed_of(parse_who("alice", INFO), INFO) == account_seed("alice")
    with pytest.raises(Refused, match="no_key"):
        seed_of(parse_who(STRANGER, INFO), INFO)


def test_an_id_is_64_hexadecimal_digits() -> None:
    assert parse_id("ab" * 32, "an id") == b"\xab" * 32
    for bad in ("", "ab", "zz" * 32, "ab" * 33, " " * 64):
        with pytest.raises(Refused, match=r"bad_id: .* is not an id: those are 64 hexadecimal digits"):
            parse_id(bad, "an id")
