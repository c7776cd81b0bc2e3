"""What every command shares: options, output for people or programs, errors and exit codes.

0  it worked
1  the transfer or call did not: refused by the ledger, failed, expired, or a proof that does not hold
2  the command was used wrongly: bad option, unknown name, bad manifest, a taken port
3  the testnet is not running or does not answer
4  a bug in Ostraka
130  interrupted; nothing is lost
"""

import errno
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from testnet.run_file import RunInfo

OK, FAILED, USAGE, UNREACHABLE, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 130

UNREACHABLE_CODES = frozenset({"not_running", "no_home", "unreachable", "node_failed", "not_ready", "launch_failed"})
"""Refusals that say: there is no testnet to talk to."""

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", envvar="OSTRAKA_HOME", help="Folder of the testnet. Default: the manifest's home, else ./.ostraka"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]

P = ParamSpec("P")
R = TypeVar("R")


class CommandFailed(Exception):
    """A command did not do what was asked; `exit_code` says of what kind the reason is."""

    def __init__(self, exit_code: int, code: str, detail: str, *, fault: str = "yours") -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code
        self.detail = detail
        self.fault = fault


class _Output:
    """Where the running command prints, and for whom."""

    def __init__(self) -> None:
        self.as_json = False


output = _Output()


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn every way in which a command can fail into a message and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        output.as_json = bool(kwargs.get("as_json", False))
        try:
            return function(*args, **kwargs)
        except typer.Exit:
            raise
        except BrokenPipeError:
            # Whoever read our output has seen enough (`ostraka logs | head`).
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except KeyboardInterrupt:
            complain("interrupted", "interrupted; nothing is lost", INTERRUPTED, fault="yours")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # the last line of defence: a bug is reported as one
            failure = _classify(error)
            if failure.exit_code == BUG and os.environ.get("OSTRAKA_TRACEBACK"):
                raise
            complain(failure.code, failure.detail, failure.exit_code, fault=failure.fault)
            raise typer.Exit(failure.exit_code) from None

    return guarded


_MACHINE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
)
"""Errors that tell of rights, space and limits on this machine, not of a mistake in the program."""


def _classify(error: Exception) -> CommandFailed:
    """Whose fault an error is, and which exit code says so."""
    from primitives.errors import Refused

    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, Refused):
        if error.code in UNREACHABLE_CODES:
            return CommandFailed(UNREACHABLE, error.code, error.detail, fault="not_yet")
        return CommandFailed(USAGE, error.code, error.detail)
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f" ({error.filename})" if error.filename else ""
        return CommandFailed(USAGE, "system", f"the system refuses: {error.strerror}{where}")
    what = f"{type(error).__name__}: {error}"
    hint = "this is a bug in Ostraka; set OSTRAKA_TRACEBACK=1 and run it again to see where"
    return CommandFailed(BUG, "bug", f"{what} ({hint})", fault="ours")


_BLAME = {"yours": "the command or its input", "ours": "Ostraka", "not_yet": "nobody: it is not there (yet)"}


def complain(code: str, detail: str, exit_code: int, *, fault: str) -> None:
    """Report a failure: as an object on standard output for programs, as a text on standard error for people."""
    if output.as_json:
        print(json.dumps({"error": {"code": code, "detail": detail, "fault": fault, "exit_code": exit_code}}))
        return
    console = people(stderr=True)
    console.print(f"✗ {detail}", style="red", markup=False, highlight=False, emoji=False)
    if exit_code != INTERRUPTED:  # whoever pressed Ctrl-C knows whose doing it was
        console.print(f"  at fault: {_BLAME.get(fault, fault)} · {code}", style="dim", markup=False, highlight=False)


def people(*, stderr: bool = False) -> "Console":
    """Console for people; plain text when it is not a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """One line for people; never interpreted as markup, because names and memos are other people's texts."""
    if not output.as_json:
        print(text, flush=True)  # a pipe is read while we go on


def show(data: dict[str, Any]) -> None:
    """One object for programs."""
    if output.as_json:
        print(json.dumps(data, ensure_ascii=False), flush=True)


def find_home(option: Path | None) -> Path:
    """Folder of the testnet: the option (or $OSTRAKA_HOME), the home of ./ostraka.toml, or ./.ostraka."""
    if option is not None:
        return option.expanduser().absolute()
    manifest = Path("ostraka.toml")
    if manifest.is_file():
        from testnet.manifest import load_manifest

        return (manifest.parent / load_manifest(manifest).home).absolute()
    return Path(".ostraka").absolute()


def shown_path(path: Path) -> str:
    """A path as a person would write it here."""
    try:
        return f"./{path.relative_to(Path.cwd())}"
    except ValueError:
        return str(path)


def running(option: Path | None) -> "RunInfo":
    """What `run.json` says of a testnet that runs.

    Raises:
        CommandFailed: exit code 3, when it does not run.

    """
    from testnet.run_file import read_run

    home = find_home(option)
    info = read_run(home)
    if info is None or not Path(info.control).exists():
        there = "it has been stopped" if (home / "genesis.json").is_file() else "there is none"
        raise CommandFailed(
            UNREACHABLE,
            "not_running",
            f"no testnet runs in {shown_path(home)} ({there}); start it with `ostraka up --detach`",
            fault="not_yet",
        )
    return info


def example(*lines: str) -> str:
    """Epilog of a command's help: examples that can be run as they stand."""
    return "Examples:\n\n" + "\n\n".join(f"    $ {line}" for line in lines)
