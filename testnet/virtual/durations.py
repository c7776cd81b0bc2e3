"""Durations as tests give them: as people write them, or as a timedelta."""

from datetime import timedelta

from testnet.durations import parse_milliseconds
from testnet.virtual.errors import Misuse

Duration = str | timedelta


def milliseconds(duration: Duration) -> int:
    """Whole milliseconds of a duration; a number without a unit is refused, because nobody agrees on its unit."""
    if isinstance(duration, timedelta):
        return duration // timedelta(milliseconds=1)
    found = parse_milliseconds(str(duration))
    if found is None:
        raise Misuse(f'{duration!r} is no duration; write "200ms", "60s", "5m", "2h", or pass a timedelta')
    return found
