"""Log files of a testnet: which there are, their last lines, what is new in them, and how a line reads for people."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testnet.home import LAUNCHER_LOG, NODES, node_folder

READ_BYTES = 1 << 20
"""The end of a file that is looked at for its last lines."""


@dataclass
class LogFile:
    """One file, and how far it has been read."""

    node: str
    path: Path
    offset: int = 0


def log_files(home: Path, node: str | None) -> list[LogFile]:
    """Files of one node, or of everything; those that do not exist are left out."""
    folders = [node_folder(home, node)] if node is not None else sorted((home / NODES).glob("*"))
    files = [
        LogFile(folder.name.replace("-", "/"), path)
        for folder in folders
        for path in (folder / "log", folder / "data" / "log.jsonl")
    ]
    if node is None:
        files.append(LogFile("launcher", home / LAUNCHER_LOG))
    return [file for file in files if file.path.is_file()]


def last_lines(files: list[LogFile], count: int) -> Iterator[tuple[str, str]]:
    """(node, line) of the last `count` lines of each file, which are then read up to their ends."""
    for file in files:
        size = file.path.stat().st_size
        file.offset = max(0, size - READ_BYTES)
        lines = list(_new_lines(file))
        yield from ((file.node, line) for line in (lines[-count:] if count else []))


def follow_logs(files: list[LogFile]) -> Iterator[tuple[str, str]]:
    """(node, line) of what was added since the last look; a file that was begun anew is read from its start."""
    for file in files:
        if file.path.is_file():
            if file.path.stat().st_size < file.offset:
                file.offset = 0
            yield from ((file.node, line) for line in _new_lines(file))


def _new_lines(file: LogFile) -> Iterator[str]:
    """Whole lines after the offset, which moves on."""
    with file.path.open("rb") as stream:
        stream.seek(file.offset)
        for raw in stream:
            if not raw.endswith(b"\n"):
                break
            file.offset += len(raw)
            yield raw.decode("utf-8", "replace").rstrip()


def readable(line: str) -> str:
    """A line for people: time, level, event, and what belongs to it. What is no log record stays as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    at, stamp = record.pop("at", None), str(record.pop("timestamp", ""))
    if isinstance(at, int | float):
        stamp = datetime.fromtimestamp(at, UTC).isoformat()
    level, event = record.pop("level", "info"), record.pop("event")
    mark = "" if level == "info" else f"{level}: "
    details = (f"{name}={_shown(value)}" for name, value in record.items() if value not in (None, ""))
    return "  ".join((stamp[11:23], f"{mark}{event}", *details))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return _shown([f"{name}:{_shown(item)}" for name, item in value.items() if item is not None])
    if isinstance(value, list):
        return ":".join(map(str, value)) if len(value) == 2 else ",".join(map(str, value))
    return str(value) if isinstance(value, str) and value.isprintable() and " " not in value else json.dumps(value)
