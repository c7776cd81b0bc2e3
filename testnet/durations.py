"""Durations as people write them: "200ms", "60s", "5m", "2h"."""

import re

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_FORM = re.compile(r"(\d{1,12})\s*(ms|s|m|h)")

HOW = 'write "200ms", "60s", "5m" or "2h"'
"""For the error of whoever was given something else."""


def parse_milliseconds(text: str) -> int | None:
    """Whole milliseconds; None for what is no duration. A number without a unit is none: nobody agrees on its unit."""
    found = _FORM.fullmatch(text)
    return None if found is None else int(found[1]) * _UNITS_MS[found[2]]


def shown(duration_ms: int) -> str:
    """A duration as it is written, in the largest unit that divides it."""
    unit = next(unit for unit in ("h", "m", "s", "ms") if duration_ms % _UNITS_MS[unit] == 0)
    return f"{duration_ms // _UNITS_MS[unit]}{unit}"
