"""The traceback of a failed call, as bounded text: caller first, the other contract's below, source lines in place.

It is made of the contract's source, line numbers and names only, so it is the same on every validator.
"""

from contracts.values import Value

MAX_SOURCE_LINE = 160
"""Characters of one source line shown."""


def format_traceback(shard: int, contract: str, source: str, frames: list[Value], remote: str) -> str:
    """Write frames of [line, function], outermost first, followed by what the awaited call's reply brought."""
    lines = source.split("\n")
    text = []
    for frame in frames:
        match frame:
            case [int(number), str(function)] if 0 < number <= len(lines):
                place = f"shard {shard} · {contract}.py:{number} in {function}"
                text.append(f"  {place}\n    {lines[number - 1].strip()[:MAX_SOURCE_LINE]}\n")
    return "".join(text) + remote
