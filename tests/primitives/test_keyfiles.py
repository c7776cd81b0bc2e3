"""Key files: only the right passphrase opens them, nothing in them can be changed, none makes its reader suffer."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import InvariantViolated, Refused
from primitives.identifiers import SecretSeed
from primitives.keyfiles import DEFAULT_COST, MAX_FILE_BYTES, ScryptCost, open_key, seal_key
from primitives.signatures import public_key_of

SEED = SecretSeed(bytes(range(32)))
CHEAP = ScryptCost(n=2, r=1, p=1)


def seal(seed: SecretSeed = SEED, passphrase: str = "open sesame", cost: ScryptCost = CHEAP) -> str:
    return seal_key(seed, passphrase, salt=b"salt" * 4, nonce=b"nonce" + bytes(7), cost=cost)


def code_of(text: str, passphrase: str = "open sesame") -> str:
    with pytest.raises(Refused) as caught:
        open_key(text, passphrase)
    return caught.value.code


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(seal()) | fields)


@settings(deadline=None, max_examples=40)
@given(st.binary(min_size=32, max_size=32).map(SecretSeed), st.text(max_size=40))
def test_the_passphrase_that_sealed_a_key_opens_it(seed: SecretSeed, passphrase: str) -> None:
    text = seal(seed, passphrase)
    assert open_key(text, passphrase) == seed
    assert code_of(text, passphrase + "x") == "wrong_passphrase"


def test_the_default_cost_is_32_mib_and_is_written_in_the_file() -> None:
    text = seal(cost=DEFAULT_COST)
    fields = json.loads(text)
    assert 128 * fields["n"] * fields["r"] * fields["p"] == 32 * 2**20
    assert open_key(text, "open sesame") == SEED


def test_the_file_shows_the_public_key_and_nothing_of_the_seed() -> None:
    text = seal()
    assert json.loads(text)["public_key"] == public_key_of(SEED).hex()
    assert SEED.hex() not in text


def test_the_file_is_what_other_libraries_read_by_its_description() -> None:
    fields = json.loads(seal())
    salt, nonce = bytes.fromhex(fields["salt"]), bytes.fromhex(fields["nonce"])
    key = hashlib.scrypt(b"open sesame", salt=salt, n=fields["n"], r=fields["r"], p=fields["p"], dklen=32)
    header = msgspec.msgpack.encode([value for name, value in fields.items() if name not in {"ciphertext", "tag"}])
    assert AESGCM(key).decrypt(nonce, bytes.fromhex(fields["ciphertext"] + fields["tag"]), header) == SEED


def test_a_letter_typed_composed_or_decomposed_is_the_same_letter() -> None:
    assert open_key(seal(passphrase="caf\u00e9"), "cafe\u0301") == SEED


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["public_key", "salt", "nonce", "ciphertext", "tag"]), st.data())
def test_no_byte_of_the_file_can_be_changed(field: str, data: st.DataObject) -> None:
    value = bytearray.fromhex(json.loads(seal())[field])
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit >> 3] ^= 1 << (bit & 7)
    assert code_of(changed(**{field: value.hex()})) == "wrong_passphrase"


def test_the_cost_cannot_be_changed_unnoticed() -> None:
    # With n = 2 and r = 1 the key may be the same by no accident: the header must differ on its own.
    for fields in ({"n": 4}, {"r": 2}, {"p": 2}):
        assert code_of(changed(**fields)) == "wrong_passphrase"


def test_the_header_is_bound_and_not_only_the_key_derivation() -> None:
    other = public_key_of(SecretSeed(bytes(32)))
    assert code_of(changed(public_key=other.hex())) == "wrong_passphrase"


def test_a_file_that_honestly_names_a_wrong_public_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = public_key_of(SecretSeed(bytes(32)))
    with monkeypatch.context() as patched:
        patched.setattr("primitives.keyfiles.public_key_of", lambda seed: other)
        text = seal()
    assert code_of(text) == "bad_key_file"


@pytest.mark.parametrize(
    "cost",
    [
        (2**31, 1, 1),
        (2**30, 8, 1),
        (2**19, 8, 1),
        (2, 2**31, 1),
        (2, 33, 1),
        (2, 1, 5),
        (2, 1, 2**31),
        (2**20, 2**20, 2**20),
    ],
)
def test_a_file_that_asks_for_gigabytes_or_hours_is_refused_before_it_gets_them(cost: tuple[int, int, int]) -> None:
    n, r, p = cost
    assert code_of(changed(n=n, r=r, p=p)) == "too_large"


def test_a_cost_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(Refused, match="too_large"):
        seal(cost=ScryptCost(2**20, 8, 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 3},
        {"n": 0},
        {"n": -2},
        {"n": 1},
        {"n": 2.0},
        {"n": "2"},
        {"n": True},
        {"n": 2**70},
        {"r": 0},
        {"p": 0},
        {"version": 2},
        {"format": "keystore"},
        {"kdf": "md5"},
        {"cipher": "none"},
        {"tag": ""},
        {"salt": "00"},
        {"salt": "G" * 32},
        {"salt": "A" * 32},
        {"nonce": None},
        {"ciphertext": "00" * 33},
        {"extra": 1},
        {"public_key": "00" * 32 + "\n"},
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_refused(fields: dict[str, Any]) -> None:
    assert code_of(changed(**fields)) == "bad_key_file"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "not json", "[" * 4000, '{"format":"ostraka-key"}', "\ud800", '"\\ud800"']
)
def test_what_is_no_key_file_is_refused(text: str) -> None:
    assert code_of(text) == "bad_key_file"


def test_a_huge_file_or_passphrase_is_refused_unread() -> None:
    assert code_of(seal() + " " * MAX_FILE_BYTES) == "too_large"
    assert code_of(seal(), "x" * 1_000_000) == "too_large"


def test_salts_nonces_and_seeds_of_another_length_are_our_own_mistake() -> None:
    with pytest.raises(InvariantViolated):
        seal_key(SEED, "p", salt=bytes(15), nonce=bytes(12), cost=CHEAP)
    with pytest.raises(InvariantViolated):
        seal_key(SEED, "p", salt=bytes(16), nonce=bytes(16), cost=CHEAP)
    with pytest.raises(InvariantViolated):
        seal(SecretSeed(bytes(31)))
