"""Every example in every --help, and every command in the README, is run as it stands."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testnet.real import Shell
from tests.testnet.test_cli import ALL, run

pytestmark = pytest.mark.real

CONTRACTS = Path(__file__).parents[2] / "examples"
SCENARIOS = CONTRACTS / "scenarios"
README = Path(__file__).parents[2] / "README.md"

ORDER = (
    *("doctor", "up", "accounts", "balance", "status", "logs", "transfer", "faucet"),
    *("wait", "trace", "proof", "verify", "blocks"),
    *(
        "new",
        "check",
        "deploy",
        "contracts",
        "upgrade",
        "estimate",
        "call",
        "view",
        "replay",
        "gas",
        "topup",
        "console",
    ),
    *("fault kill", "fault restart", "fault pause", "fault resume"),
    *("fault cut", "fault partition", "fault delay", "fault drop", "fault duplicate", "fault corrupt", "fault skew"),
    *("fault list", "fault disk", "fault byzantine", "fault heal", "observe", "scenario run"),
    *("sim", "sweep", "demo", "down", "reset"),
)
"""In which the examples make sense: the names of all commands."""


def examples(path: str) -> list[str]:
    """Examples that the help of a command shows."""
    return re.findall(r"\$ (ostraka [^\n]+)", run(*path.split(), "--help").output)


SHORT_SCENARIO = """
name = "short"
shards = 1
validators = 4
duration = "1s"
settle = "20s"

[load]
transfers_per_second = 2

[[step]]
at = "0s"
action = "cut"
target = "s0/v3"
for = "500ms"
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for home in (".ostraka", "two"):
        shell.run("down", "--home", home, code=None)


def test_every_example_of_every_help_works(shell: Shell) -> None:
    assert sorted(ORDER) == sorted(" ".join(path) for path, _ in ALL)
    sent: dict[str, str] = {}
    for contract in ("stock", "token"):
        [file] = CONTRACTS.glob(f"*/{contract}.py")
        shutil.copy(file, shell.folder)
    (shell.folder / "bad-minute.toml").write_text(SHORT_SCENARIO)
    for path in ORDER:
        found = examples(path)
        assert found, path
        for example in found:
            for name, value in sent.items():
                example = example.replace(name, value)
            if path == "observe":  # for ever, or for longer than a test needs
                example = f"{example} --for 1s" if "--for" not in example else example.replace("60s", "1s")
            # There is nothing to top up: every call of the examples ends at once.
            shell.run(*shlex.split(example)[1:], code=1 if path == "topup" else 0)
            if path == "up":
                shell.run("down", "--home", "two", code=None)
            if path == "transfer":
                found = shell.json("transfer", "alice", "bob@1", "1")
                sent = {"TRANSACTION_ID": found["id"], "MESSAGE_ID": found["message_id"]}
            if path == "fault cut" and "cut-3f9a" not in sent:
                sent["cut-3f9a"] = shell.json("fault", "cut", "s2/v3")["name"]
            if path == "call":
                called = shell.json("call", "stock@1", "fill", "heron")
                sent["TRANSACTION_ID"] = called["id"]
                sent["CALL_ID"] = called["trace"]["contracts"][0]["call_id"]


def test_every_command_of_the_readme_works(shell: Shell) -> None:
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), flags=re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if "$ ostraka" in line]
    assert "ostraka up --detach" in commands
    shutil.copytree(SCENARIOS, shell.folder / "examples" / "scenarios")
    for command in commands:
        shell.run(*shlex.split(command)[1:])


def test_the_python_of_the_readme_runs_as_it_stands() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})
