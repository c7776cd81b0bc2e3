"""TOML files that people write: a manifest, a scenario, a run."""

import json
import tomllib
from pathlib import Path
from typing import Any

from primitives.errors import Refused


def read_toml(path: Path, what: str, max_bytes: int) -> dict[str, Any]:
    """Read a file of at most `max_bytes`; `what` it is stands in the codes and texts of errors.

    Raises:
        Refused: `no_<what>` when it cannot be read, `bad_<what>` when it is too long or not TOML.

    """
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise Refused(f"no_{what}", f"cannot read the {what} {path}: {error.strerror}") from None
    if len(raw) > max_bytes:
        raise Refused(f"bad_{what}", f"{path}: too long; the file of a {what} has at most {max_bytes} bytes")
    return parse_toml(raw, what, str(path))


def parse_toml(raw: bytes, what: str, source: str) -> dict[str, Any]:
    """Parse the content of such a file; `source` names it in errors.

    Raises:
        Refused: `bad_<what>`.

    """
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number of too many digits, too deep
        raise Refused(f"bad_{what}", f"{source}: not TOML: {error}") from None


def toml_lines(table: dict[str, Any]) -> list[str]:
    """Write a table of numbers, strings, booleans and lists of them, a line each: JSON writes those as TOML does."""
    return [f"{name} = {json.dumps(value)}" for name, value in table.items()]
