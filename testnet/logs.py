"""Log files of a testnet: which there are, their last lines, and what is new in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
