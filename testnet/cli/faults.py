"""`ostraka fault …`: break single nodes of a running testnet on purpose, and mend them."""

import time
from pathlib import Path
from typing import Annotated

import typer

from testnet.cli.common import HomeOption, JsonOption, command, example, running, say, show

NodeArgument = Annotated[str, typer.Argument(help="A validator like s2/v1 (shard 2, validator 1), or a relay like r0.")]

RESTART_SECONDS = 20.0
"""How long a restarted node may take until it is ready again: it replays what it had not flushed."""

app = typer.Typer(
    help="Break single nodes on purpose, and mend them. A killed node stays down until it is restarted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _control(home: Path | None, operation: str, node: str) -> None:
    """Ask the launcher to do something to a node and say what became of it."""
    from testnet.control import ask

    info = running(home)
    (now,) = ask(Path(info.control), {"do": operation, "node": node})["nodes"]
    words = {
        "kill": "killed with SIGKILL; its ports refuse connections. Bring it back: ostraka fault restart {0}",
        "pause": "paused with SIGSTOP; its ports accept and nothing answers. Go on: ostraka fault resume {0}",
        "resume": "runs again where it stopped",
        "restart": "started again (pid {1}) on its old ports",
    }
    show({"node": node, "state": now["state"], "pid": now["pid"]})
    say(f"✓ {node} {words[operation].format(node, now['pid'])}")


@app.command(epilog=example("ostraka fault kill s2/v1"))
@command
def kill(node: NodeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """SIGKILL a node: what it had not written is gone, what it had acknowledged is not."""
    _control(home, "kill", node)


@app.command(epilog=example("ostraka fault pause s2/v1"))
@command
def pause(node: NodeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """SIGSTOP a node: it is there and silent, like a machine that swaps."""
    _control(home, "pause", node)


@app.command(epilog=example("ostraka fault resume s2/v1"))
@command
def resume(node: NodeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let a paused node go on."""
    _control(home, "resume", node)


@app.command(epilog=example("ostraka fault restart s2/v1", "ostraka fault restart s2/v1 --no-wait"))
@command
def restart(
    node: NodeArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when it is ready again.")] = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a node again, after stopping it if it runs."""
    _control(home, "restart", node)
    if not wait:
        return
    from primitives.errors import Refused
    from testnet.start import is_ready

    target = running(home).node(node)
    deadline = time.monotonic() + RESTART_SECONDS
    while not is_ready(target):
        if time.monotonic() > deadline:
            raise Refused(
                "not_ready", f"{node} runs but is not ready after {RESTART_SECONDS:.0f} s: ostraka logs {node}"
            )
        time.sleep(0.05)
    say("  ready")
