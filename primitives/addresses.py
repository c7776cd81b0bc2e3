"""How people read and write an account's address: its 32-byte public key in bech32m (BIP-350), "osk1…".

The checksum finds any four mistyped characters of an address; what it refuses never reaches a transaction.
"""

from collections.abc import Iterable
from functools import lru_cache

from primitives.errors import Refused, invariant
from primitives.identifiers import PublicKey
from primitives.signatures import PUBLIC_KEY_BYTES

PREFIX = "osk"

MAX_TEXT = 90
"""Characters; the checksum's guarantee ends there (BIP-173)."""

KNOWN_ADDRESSES = 16_384
"""Kept in both forms, a few megabytes: the checksum takes longer than all else that a contract is told."""

_CHECKSUM_LENGTH = 6
_BECH32M_CONSTANT = 0x2BC830A3
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


@lru_cache(maxsize=KNOWN_ADDRESSES)
def format_address(key: PublicKey) -> str:
    """Write a 32-byte public key as its 62-character address."""
    invariant(len(key) == PUBLIC_KEY_BYTES, "an address is a 32-byte public key")
    return _encode(PREFIX, _regroup(key, 8, 5))


@lru_cache(maxsize=KNOWN_ADDRESSES)
def parse_address(text: str) -> PublicKey:
    """Read an address.

    Raises:
        Refused: `bad_address`, with what is wrong: the prefix, the case, a character, the checksum, or the length.

    """
    prefix, values = _decode(text)
    if prefix != PREFIX:
        raise Refused("bad_address", f'an address begins with "{PREFIX}1", this one with "{prefix[:20]}1"')
    key = bytes(_regroup(values, 5, 8))
    if len(key) != PUBLIC_KEY_BYTES:
        raise Refused("bad_address", f"an address holds {PUBLIC_KEY_BYTES} bytes, this one {len(key)}")
    if format_address(PublicKey(key)) != text.lower():
        raise Refused("bad_address", "the unused bits at the address's end are not zero")
    return PublicKey(key)


def _checksum_of(prefix: str, values: Iterable[int]) -> int:
    """BCH checksum over the expanded prefix and the values (BIP-173)."""
    checksum = 1
    expanded = [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix)]
    for value in (*expanded, *values):
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _encode(prefix: str, values: list[int]) -> str:
    """Write 5-bit values with their checksum."""
    remainder = _checksum_of(prefix, (*values, *[0] * _CHECKSUM_LENGTH)) ^ _BECH32M_CONSTANT
    checksum = [remainder >> 5 * (_CHECKSUM_LENGTH - 1 - place) & 31 for place in range(_CHECKSUM_LENGTH)]
    return f"{prefix}1" + "".join(_ALPHABET[value] for value in (*values, *checksum))


def _decode(text: str) -> tuple[str, list[int]]:
    """Prefix and 5-bit values of any bech32m text, checksum verified and removed."""
    if len(text) > MAX_TEXT:
        raise Refused("bad_address", f"an address has at most {MAX_TEXT} characters, this text has {len(text)}")
    if any(not "!" <= letter <= "~" for letter in text):
        raise Refused("bad_address", "an address has no spaces, control or non-ASCII characters")
    if text.lower() != text and text.upper() != text:
        raise Refused("bad_address", "upper and lower case are mixed; an address is written in one of them")
    prefix, separator, data = text.lower().rpartition("1")
    if not separator or not prefix:
        raise Refused("bad_address", f'an address begins with "{PREFIX}1"')
    for letter in data:
        if letter not in _VALUES:
            raise Refused("bad_address", f"{letter!r} does not occur in addresses (nor do 1, b, i and o)")
    if len(data) < _CHECKSUM_LENGTH:
        raise Refused("bad_address", "the address is cut short")
    values = [_VALUES[letter] for letter in data]
    if _checksum_of(prefix, values) != _BECH32M_CONSTANT:
        raise Refused("bad_address", "the checksum does not fit: a character is mistyped, missing or too many")
    return prefix, values[:-_CHECKSUM_LENGTH]


def _regroup(values: Iterable[int], width: int, new_width: int) -> list[int]:
    """Cut the bits of `width`-bit values into `new_width`-bit ones; to 5 bits pads with zeros, to 8 drops a rest."""
    bits = "".join(f"{value:0{width}b}" for value in values)
    if new_width < width:
        bits += "0" * (-len(bits) % new_width)
    whole = len(bits) - len(bits) % new_width
    return [int(bits[start : start + new_width], 2) for start in range(0, whole, new_width)]
