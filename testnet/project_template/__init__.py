"""`ostraka new`: the files of a new project, with two contracts, a call between two shards, and tests that pass."""

import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
"""What both a folder and a Python project may be called."""

MAX_NAME: Final = 64
"""Characters."""

FILES: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    "contracts/counter.py": "contracts/counter.py",
    "contracts/gate.py": "contracts/gate.py",
    "tests/test_gate.py": "tests/test_gate.py",
}
"""Where each file goes, and where it is kept; names of their own keep tools from taking them for this project's."""


def create_project(folder: Path, name: str) -> list[Path]:
    """Write a new project into `folder`, which is made unless it exists; the files, in the order of `FILES`.

    Raises:
        ValueError: `name` is none for a project.
        FileExistsError: a file is there already, or `folder` is one; nothing was written then.

    """
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise ValueError(
            f"{name[:MAX_NAME]!r} is no name for a project: lower-case letters and digits, words joined by - or _, "
            f"at most {MAX_NAME} characters; for example my-app"
        )
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; choose another name")
    written = [folder / target for target in FILES]
    taken = [path for path in written if path.exists() or path.is_symlink()]
    if taken:
        raise FileExistsError(f"{taken[0]} exists and is not overwritten; choose another name or an empty folder")
    kept = files(__name__).joinpath("files")
    for path, source in zip(written, FILES.values(), strict=True):
        text = kept.joinpath(source).read_text(encoding="utf-8")
        if source.endswith(".txt"):
            text = text.replace("{name}", name).replace("{version}", version("ostraka"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return written
