"""Money: integers of the base unit. 1 obol = 10**6 base units; decimals exist only where people read and write.

On the wire and in anything hashed an amount is 16 bytes, big-endian (`AmountField`).
"""

import re
from typing import Annotated, NewType

from msgspec import Meta

from primitives.errors import Refused

Amount = NewType("Amount", int)
"""Base units, 0 <= amount < 2**128."""

AmountBytes = NewType("AmountBytes", bytes)
AmountField = Annotated[AmountBytes, Meta(min_length=16, max_length=16)]

DECIMALS = 6
BASE_UNITS_PER_OBOL = 10**DECIMALS
AMOUNT_BYTES = 16
MAX_AMOUNT = Amount(2**128 - 1)
MAX_SUPPLY = Amount(2**100)
"""Over all shards at genesis. Cumulative stream counters can then not overflow 2**128 in any chain's life."""

_WRITTEN = re.compile(r"(\d{1,33})(?:\.(\d{1,6}))?", re.ASCII)


def pack_amount(amount: Amount) -> AmountBytes:
    """Encode as 16 big-endian bytes; a negative or overflowing amount raises `Refused`."""
    try:
        return AmountBytes(amount.to_bytes(AMOUNT_BYTES, "big"))
    except OverflowError:
        raise Refused(
            "amount_out_of_range", f"an amount must be 0 to 2**128-1 base units, got {_shown(amount)}"
        ) from None


def _shown(amount: int) -> str:
    """The number, or its size when its digits would fill pages (Python refuses to print 4300 of them)."""
    return str(amount) if amount.bit_length() <= 2 * 8 * AMOUNT_BYTES else f"one of {amount.bit_length()} bits"


def unpack_amount(raw: AmountBytes) -> Amount:
    """Decode 16 big-endian bytes."""
    return Amount(int.from_bytes(raw, "big"))


def parse_obol(text: str) -> Amount:
    """Read what a person writes ("25", "0.5", "1.000001") as base units.

    Raises:
        Refused: not a plain positive decimal of at most six places, or too large.

    """
    match = _WRITTEN.fullmatch(text.strip().replace("_", ""))
    if match is None:
        raise Refused("bad_amount", f"{text[:40]!r} is not an amount; write obols like 25 or 0.5 (at most 6 decimals)")
    whole, fraction = match.group(1), match.group(2) or ""
    amount = int(whole) * BASE_UNITS_PER_OBOL + int(fraction.ljust(DECIMALS, "0"))
    if amount > MAX_AMOUNT:
        raise Refused("amount_out_of_range", f"{text[:40]} obol is more than an amount can hold")
    return Amount(amount)


def format_obol(amount: Amount) -> str:
    """Write base units as obols, without trailing zeros: 1_500_000 is "1.5"."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), BASE_UNITS_PER_OBOL)
    fraction = f"{rest:0{DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
