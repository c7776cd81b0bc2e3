"""Every verdict is pinned: by Wycheproof, by the edge cases that libraries disagree on, by an independent library."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import InvariantViolated
from primitives.identifiers import PublicKey, SecretSeed, Signature
from primitives.signatures import ED25519, public_key_of, sign, verify_many

VECTORS = Path(__file__).parent.parent / "vectors"

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

SPECCHECK_VERDICTS = (
    # (ours, pycryptodome's): pycryptodome multiplies by the cofactor and lets small orders pass, RFC 8032 allows both.
    (False, True),  # 0: A and R of small order, S = 0
    (False, True),  # 1: A of small order, R of mixed order
    (False, True),  # 2: A of mixed order, R of small order
    (True, True),  # 3: A and R of mixed order, both equations hold
    (False, True),  # 4: A and R of mixed order, only the cofactored equation holds
    (False, True),  # 5: A of mixed order, R of prime order, only the cofactored equation holds
    (False, False),  # 6: S above the group order
    (False, False),  # 7: S far above the group order
    (False, False),  # 8: R is a non-canonical encoding of a small-order point, and hashed as it is
    (False, False),  # 9: the same, reduced before it is hashed
    (False, False),  # 10: A is a non-canonical encoding of a small-order point, and hashed as it is
    (False, False),  # 11: the same, reduced before it is hashed
)

seeds = st.binary(min_size=32, max_size=32).map(SecretSeed)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return verify_many([(PublicKey(public_key), message, Signature(signature))])[0]


def independent_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        eddsa.new(eddsa.import_public_key(public_key), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True


def wycheproof_cases() -> list[tuple[bytes, dict[str, Any]]]:
    groups = json.loads((VECTORS / "wycheproof-ed25519.json").read_text())["testGroups"]
    return [(bytes.fromhex(group["publicKey"]["pk"]), case) for group in groups for case in group["tests"]]


def speccheck_cases() -> list[tuple[bytes, bytes, bytes]]:
    cases = json.loads((VECTORS / "ed25519-speccheck.json").read_text())
    return [
        (bytes.fromhex(case["pub_key"]), bytes.fromhex(case["message"]), bytes.fromhex(case["signature"]))
        for case in cases
    ]


def test_every_wycheproof_case_has_the_verdict_of_its_authors_and_of_an_independent_library() -> None:
    cases = wycheproof_cases()
    assert len(cases) == 151
    for public_key, case in cases:
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        valid = case["result"] == "valid"
        assert verify(public_key, message, signature) is valid, case
        assert independent_verify(public_key, message, signature) is valid, case


@pytest.mark.parametrize("number", range(12))
def test_every_edge_case_that_libraries_disagree_on_has_its_recorded_verdict(number: int) -> None:
    cases = speccheck_cases()
    assert len(cases) == len(SPECCHECK_VERDICTS)
    assert (verify(*cases[number]), independent_verify(*cases[number])) == SPECCHECK_VERDICTS[number]


def test_the_identity_as_public_key_signs_nothing() -> None:
    identity = (1).to_bytes(32, "little")
    assert not verify(identity, b"anything", identity + bytes(32))


@settings(deadline=None, max_examples=40)
@given(seeds, st.binary(max_size=300))
def test_signatures_are_those_of_an_independent_library(seed: SecretSeed, message: bytes) -> None:
    other = ECC.construct(curve="Ed25519", seed=seed)
    assert public_key_of(seed) == other.public_key().export_key(format="raw")
    assert sign(seed, message) == eddsa.new(other, "rfc8032").sign(message)
    assert verify(public_key_of(seed), message, sign(seed, message))


@settings(deadline=None, max_examples=40)
@given(seeds, st.binary(min_size=1, max_size=100), st.data())
def test_a_signature_with_any_bit_changed_is_refused(seed: SecretSeed, message: bytes, data: st.DataObject) -> None:
    parts = [bytearray(public_key_of(seed)), bytearray(message), bytearray(sign(seed, message))]
    part = data.draw(st.sampled_from(parts))
    bit = data.draw(st.integers(0, 8 * len(part) - 1))
    part[bit >> 3] ^= 1 << (bit & 7)
    public_key, changed, signature = (bytes(each) for each in parts)
    assert not verify(public_key, changed, signature)


def test_a_signature_with_the_group_order_added_to_s_is_refused() -> None:
    seed = SecretSeed(bytes(range(32)))
    signature = sign(seed, b"message")
    malleated = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not verify(public_key_of(seed), b"message", signature[:32] + malleated.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64, 1000])
def test_a_public_key_of_the_wrong_length_is_false_and_not_an_error(length: int) -> None:
    seed = SecretSeed(bytes(32))
    assert not verify((public_key_of(seed) * 40)[:length], b"message", sign(seed, b"message"))


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_a_signature_of_the_wrong_length_is_false_and_not_an_error(length: int) -> None:
    seed = SecretSeed(bytes(32))
    assert not verify(public_key_of(seed), b"message", (sign(seed, b"message") * 2)[:length])


def test_a_short_signature_cannot_borrow_its_rest_from_the_message() -> None:
    seed = SecretSeed(bytes(32))
    signature = sign(seed, b"tail")
    assert not verify(public_key_of(seed), signature[60:] + b"tail", signature[:60])
    assert not verify(public_key_of(seed), b"ail", signature + b"t")


def test_verdicts_come_in_the_order_of_the_items() -> None:
    seed = SecretSeed(bytes(32))
    good = (public_key_of(seed), b"yes", sign(seed, b"yes"))
    bad = (public_key_of(seed), b"no", sign(seed, b"yes"))
    assert verify_many([]) == []
    assert verify_many([good, bad, bad, good]) == [True, False, False, True]
    assert ED25519.verify_many([bad, good]) == [False, True]


def test_the_scheme_object_signs_like_the_functions() -> None:
    seed = SecretSeed(bytes(range(32)))
    assert ED25519.public_key(seed) == public_key_of(seed)
    assert ED25519.sign(seed, b"message") == sign(seed, b"message")


def test_threads_get_the_same_verdicts() -> None:
    cases = [(PublicKey(key), message, Signature(signature)) for key, message, signature in speccheck_cases()] * 10
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(verify_many, [cases] * 8))
    assert verdicts == [[ours for ours, _ in SPECCHECK_VERDICTS] * 10] * 8


def test_a_seed_of_the_wrong_length_is_our_own_mistake() -> None:
    with pytest.raises(InvariantViolated):
        sign(SecretSeed(bytes(31)), b"message")
