"""The contract machine is compiled once for a user, who sees that it is and how far it has come."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from testnet.cli import machine_setup
from testnet.cli.common import output


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages of the compilations there were; the first one makes the machine a compiled one."""
    stages: list[str] = []

    def load(_engine: object, progress: Callable[[str], None] = lambda _stage: None) -> None:
        for stage in machine_setup.STAGES:
            stages.append(stage)
            progress(stage)

    monkeypatch.setattr("contracts.runtime.image.is_compiled", lambda: bool(stages))
    monkeypatch.setattr("contracts.runtime.image.load", load)
    monkeypatch.setattr("contracts.machine.engine.new_engine", lambda: None)
    monkeypatch.setattr(output, "as_json", False)
    return stages


def shown_on(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    """What people see."""
    file = io.StringIO()
    monkeypatch.setattr(machine_setup, "people", lambda **_: Console(file=file, force_terminal=terminal, width=100))
    return file


def test_a_terminal_shows_the_stages_and_afterwards_nothing(loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = shown_on(monkeypatch, terminal=True)
    machine_setup.ensure_machine()
    assert loaded == list(machine_setup.STAGES)
    assert "contract machine, once for this user: " in file.getvalue()
    length = len(file.getvalue())
    machine_setup.ensure_machine()
    assert (loaded, len(file.getvalue())) == (list(machine_setup.STAGES), length), "once is enough"


def test_a_pipe_gets_one_line_and_a_program_nothing(loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = shown_on(monkeypatch, terminal=False)
    machine_setup.ensure_machine()
    assert file.getvalue().splitlines() == ["preparing the contract machine, once for this user; it takes about 20 s …"]
    loaded.clear()
    monkeypatch.setattr(output, "as_json", True)
    machine_setup.ensure_machine()
    assert loaded == list(machine_setup.STAGES)
    assert len(file.getvalue().splitlines()) == 1
