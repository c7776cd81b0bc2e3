"""How much of a fault: durations, shares and offsets as people write them, with the limits that nodes have."""

import re

from primitives.errors import Refused
from shards.node.injection.faults import MAX_DELAY_MS, MAX_LASTS_MS, MAX_OFFSET_MS, PERMILLE
from testnet.durations import HOW, parse_milliseconds, shown

_SHARE = re.compile(r"(\d{1,3})(?:\.(\d))? ?%")


def parse_delay(text: str) -> int:
    """Milliseconds of a delay: more than none, at most a minute.

    Raises:
        Refused: `bad_duration`.

    """
    return _duration(text, MAX_DELAY_MS, "a delay")


def parse_lasts(text: str | None) -> int | None:
    """Milliseconds that a fault lasts; None: until it is healed.

    Raises:
        Refused: `bad_duration`.

    """
    return None if text is None else _duration(text, MAX_LASTS_MS, "how long a fault lasts")


def _duration(text: str, limit_ms: int, what: str) -> int:
    found = parse_milliseconds(text.strip())
    if found is None:
        raise Refused("bad_duration", f"{text[:40]!r} is no duration; {HOW}")
    if not 0 < found <= limit_ms:
        raise Refused("bad_duration", f"{what} is more than 0 and at most {shown(limit_ms)}, got {text[:40]}")
    return found


def parse_share(text: str) -> int:
    """Thousandths of a share like 10% or 0.5%.

    Raises:
        Refused: `bad_share`.

    """
    found = _SHARE.fullmatch(text.strip())
    permille = 0 if found is None else 10 * int(found[1]) + int(found[2] or 0)
    if not 0 < permille <= PERMILLE:
        raise Refused("bad_share", f"{text[:40]!r} is no share of the messages; write 10% or 0.5%, at most 100%")
    return permille


def parse_offset(text: str) -> int:
    """Milliseconds that a clock is off, like +900ms or -2s.

    Raises:
        Refused: `bad_offset`.

    """
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    found = parse_milliseconds(rest.strip())
    if not found or found > MAX_OFFSET_MS:
        raise Refused("bad_offset", f"{text[:40]!r} is no offset of a clock; write +900ms, -2s or 1h, not 0")
    return sign * found
