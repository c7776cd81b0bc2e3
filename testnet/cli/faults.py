"""`ostraka fault …`: break parts of a running testnet on purpose, and mend them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from testnet.cli.common import HomeOption, JsonOption, command, example, running, say, show
from testnet.cli.usage import ValuesCommand

if TYPE_CHECKING:
    from testnet.faults.control import Applied, FaultControl, Operation
    from testnet.faults.targets import Target

NodeArgument = Annotated[
    str, typer.Argument(help="A validator like s2/v1 (shard 2, validator 1), a relay like r0, a shard like s2, or all.")
]
WhoArgument = Annotated[
    str, typer.Argument(help="A validator like s2/v1, or a shard like s2 for all of its validators.")
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        help="A link like s0/v1-s0/v2, r0-s1 or s0-s2 (what relays carry); a validator, shard or relay for all of its"
        " links."
    ),
]
ForOption = Annotated[
    str | None, typer.Option("--for", help="End it by itself after this long, like 20s. Default: until it is healed.")
]

RESTART_SECONDS = 20.0
"""How long restarted nodes may take until they are ready again: they replay what they had not flushed."""

app = typer.Typer(
    help="Break parts of a running testnet on purpose, and mend them. Development chains only.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _open(home: Path | None) -> "FaultControl":
    from testnet.faults.control import FaultControl

    return FaultControl(running(home))


# Processes


_DONE = {
    "kill": "killed with SIGKILL; its ports refuse connections",
    "pause": "paused with SIGSTOP; its ports accept and nothing answers",
    "resume": "runs again where it stopped",
    "restart": "started again (pid {0}) on its old ports",
}
_BACK = {"kill": "restart", "pause": "resume"}


def _process(home: Path | None, operation: "Operation", nodes: str, lasts: str | None = None) -> list[str]:
    """Do something to processes and say what became of each; of several, those that are down are left as they are."""
    from primitives.errors import Refused
    from testnet.faults.amounts import parse_lasts

    control = _open(home)
    lasts_ms = parse_lasts(lasts)
    names = [str(each) for each in control.shape.nodes(nodes)]
    done, down = [], []
    for name in names:
        try:
            done.append(control.process(operation, name, lasts_ms))
        except Refused as refused:
            if refused.code != "node_down" or len(names) == 1:
                raise
            down.append(name)
    if not done:
        raise Refused("node_down", f"all of {nodes} are down already; start them with `ostraka fault restart {nodes}`")
    states = [{"node": now.name, "state": now.state, "pid": now.pid} for now in done]
    show({**states[0], "nodes": states} if len(states) == 1 else {"nodes": states})
    for now in done:
        back = f"; {_BACK[operation]}s by itself after {lasts}" if lasts_ms else ""
        hint = (
            f". Bring it back: ostraka fault {_BACK[operation]} {now.name}" if operation in _BACK and not back else ""
        )
        say(f"✓ {now.name} {_DONE[operation].format(now.pid)}{back}{hint}")
    for name in down:
        say(f"  {name} was down already")
    return names


@app.command(epilog=example("ostraka fault kill s2/v1", "ostraka fault kill s2 --for 10s"))
@command
def kill(nodes: NodeArgument, lasts: ForOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """SIGKILL a node: what it had not written is gone, what it had acknowledged is not."""
    _process(home, "kill", nodes, lasts)


@app.command(epilog=example("ostraka fault pause s2/v1", "ostraka fault pause s2/v1 --for 5s"))
@command
def pause(nodes: NodeArgument, lasts: ForOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """SIGSTOP a node: it is there and silent, like a machine that swaps."""
    _process(home, "pause", nodes, lasts)


@app.command(epilog=example("ostraka fault resume s2/v1"))
@command
def resume(nodes: NodeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let a paused node go on."""
    _process(home, "resume", nodes)


@app.command(epilog=example("ostraka fault restart s2/v1", "ostraka fault restart all --no-wait"))
@command
def restart(
    nodes: NodeArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when it is ready again.")] = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a node again, after stopping it if it runs."""
    names = _process(home, "restart", nodes)
    if not wait:
        return
    from primitives.errors import Refused
    from testnet.start import is_ready

    info = running(home)
    waiting = [info.node(name) for name in names]
    deadline = time.monotonic() + RESTART_SECONDS
    while waiting := [node for node in waiting if not is_ready(node)]:
        if time.monotonic() > deadline:
            late = ", ".join(node.name for node in waiting)
            raise Refused(
                "not_ready",
                f"{late}: running, not ready after {RESTART_SECONDS:.0f} s; see `ostraka logs {waiting[0].name}`",
            )
        time.sleep(0.05)
    say("  ready")


@app.command(
    epilog=example("ostraka fault byzantine s1/v3 equivocate", "ostraka fault byzantine s1/v3 half-send --for 30s")
)
@command
def byzantine(
    node: Annotated[str, typer.Argument(help="A validator like s1/v3.")],
    behaviour: Annotated[
        str, typer.Argument(help="How it lies, like equivocate or withhold-votes; any other word lists all.")
    ],
    lasts: ForOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restart a validator as one that lies: its core is honest, what it says is not. Restart it to end that.

    Up to f of a shard's n = 3f + 1 validators may lie, and everything holds; others will blame it with evidence.
    """
    from testnet.faults.amounts import parse_lasts

    control = _open(home)
    lasts_ms = parse_lasts(lasts)
    for each in control.shape.validator(node):
        now = control.process("byzantine", str(each), lasts_ms, behaviour)
        show({"node": now.name, "state": now.state, "pid": now.pid, "behaviour": now.behaviour})
        end = f"restarts by itself after {lasts}" if lasts_ms else f"end it: ostraka fault restart {now.name}"
        say(f"✓ {now.name} lies from now on: {behaviour} (pid {now.pid}); {end}")


# Links


def _report(applied: "Applied", home: Path | None) -> None:
    """Say what has begun, and how it ends."""
    import msgspec

    show(msgspec.to_builtins(applied))
    where = f" --home {home}" if home is not None else ""
    until = "until it is healed" if applied.lasts_ms is None else f"for {applied.lasts_ms / 1000:g} s"
    say(f"✓ {applied.text} {until} · mend it: ostraka fault heal {applied.name}{where}")
    if applied.missed:
        say(f"  not told, because they are down or paused: {', '.join(applied.missed)}")


@app.command(
    epilog=example(
        "ostraka fault cut s0/v1-s0/v2 --for 20s",
        "ostraka fault cut 0 2 --for 30s",
        "ostraka fault cut s0/v1",
        "ostraka fault cut r0-s1",
    )
)
@command
def cut(
    target: TargetArgument,
    other: Annotated[str | None, typer.Argument(help="The other end, if the first names only one.")] = None,
    one_way: Annotated[bool, typer.Option("--one-way", help="Only what the first end sends to the other.")] = False,
    lasts: ForOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Nothing passes: between two validators, from a validator to its shard, between shards, to a relay."""
    from testnet.faults.amounts import parse_lasts
    from testnet.faults.control import Degree

    control = _open(home)
    parsed = _target(control, target, other, one_way=one_way)
    _report(control.links("cut", parsed, f"cut {parsed}", Degree(), parse_lasts(lasts)), home)


def _target(control: "FaultControl", target: str, other: str | None, *, one_way: bool) -> "Target":
    """One target from one argument or two."""
    from primitives.errors import Refused

    if other is not None:
        return control.shape.between(target, other, one_way=one_way)
    if not one_way:
        return control.shape.parse(target)
    if "-" not in target:
        raise Refused("bad_target", f"{target[:40]!r} has no direction; name two ends, like s0/v1-s0/v2")
    return control.shape.parse(target.replace("-", ">", 1))


@app.command(epilog=example("ostraka fault partition s0/v0 s0/v1 --for 10s"))
@command
def partition(
    members: Annotated[list[str], typer.Argument(help="Validators of one shard that stay together.")],
    lasts: ForOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Part a shard: the validators named and the others hear nothing of one another."""
    from testnet.faults.amounts import parse_lasts
    from testnet.faults.control import Degree

    control = _open(home)
    group = control.shape.group(members)
    _report(control.links("cut", group, f"partition {group}", Degree(), parse_lasts(lasts)), home)


@app.command(epilog=example("ostraka fault delay s0/v1 200ms --jitter 50ms", "ostraka fault delay 0-1 1s --for 20s"))
@command
def delay(
    target: TargetArgument,
    by: Annotated[str, typer.Argument(help="How much later everything arrives, like 200ms; at most 1m.")],
    jitter: Annotated[
        str | None, typer.Option("--jitter", help="Up to so much more, each message for itself: order is lost.")
    ] = None,
    lasts: ForOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What links carry arrives later."""
    from testnet.faults.amounts import parse_delay, parse_lasts
    from testnet.faults.control import Degree

    control = _open(home)
    parsed = control.shape.parse(target)
    degree = Degree(delay_ms=parse_delay(by), jitter_ms=0 if jitter is None else parse_delay(jitter))
    text = f"delay {parsed} {by}{'' if jitter is None else f' ± {jitter}'}"
    _report(control.links("delay", parsed, text, degree, parse_lasts(lasts)), home)


def _some(
    effect: Literal["drop", "duplicate", "corrupt"], target: str, share: str, lasts: str | None, home: Path | None
) -> None:
    """Do something to a share of the messages."""
    from testnet.faults.amounts import parse_lasts, parse_share
    from testnet.faults.control import Degree

    control = _open(home)
    parsed = control.shape.parse(target)
    degree = Degree(permille=parse_share(share))
    _report(control.links(effect, parsed, f"{effect} {parsed} {share}", degree, parse_lasts(lasts)), home)


ShareArgument = Annotated[str, typer.Argument(help="Of all messages, like 10% or 0.5%.")]


@app.command(epilog=example("ostraka fault drop s0 10% --for 30s", "ostraka fault drop r0 50%"))
@command
def drop(
    target: TargetArgument, share: ShareArgument, lasts: ForOption = None, home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Some of what links carry is lost."""
    _some("drop", target, share, lasts, home)


@app.command(epilog=example("ostraka fault duplicate s0 20% --for 30s"))
@command
def duplicate(
    target: TargetArgument, share: ShareArgument, lasts: ForOption = None, home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Some of what links carry arrives twice, the second copy a little later."""
    _some("duplicate", target, share, lasts, home)


@app.command(epilog=example("ostraka fault corrupt 's0/v1>s0/v2' 5%", "ostraka fault corrupt r0 5% --for 30s"))
@command
def corrupt(
    target: TargetArgument, share: ShareArgument, lasts: ForOption = None, home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Some of what links carry arrives with one bit flipped."""
    _some("corrupt", target, share, lasts, home)


# Clocks and disks


@app.command(
    cls=ValuesCommand, epilog=example("ostraka fault skew s0/v1 +900ms --for 30s", "ostraka fault skew s0 -2s")
)
@command
def skew(
    who: WhoArgument,
    by: Annotated[str, typer.Argument(help="How far its clock is off, like +900ms or -2s.")],
    lasts: ForOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a validator's wall clock off; its timers go on as before."""
    from testnet.faults.amounts import parse_lasts, parse_offset

    control = _open(home)
    offset_ms = parse_offset(by)
    _report(control.skew(control.shape.validator(who), offset_ms, f"skew {who} {by}", parse_lasts(lasts)), home)


@app.command(epilog=example("ostraka fault disk slow s0/v1 --by 300ms --for 20s", "ostraka fault disk full s0/v1"))
@command
def disk(
    effect: Annotated[Literal["full", "eio", "slow"], typer.Argument(help="Full (ENOSPC), broken (EIO) or slow.")],
    who: WhoArgument,
    by: Annotated[str, typer.Option("--by", help="How much longer each commit takes on a slow disk.")] = "200ms",
    lasts: ForOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Break a validator's disk; full or broken, it stops at its next commit, and `ostraka fault restart` mends it."""
    from testnet.faults.amounts import parse_delay, parse_lasts

    control = _open(home)
    delay_ms = parse_delay(by) if effect == "slow" else 0
    text = f"disk {effect} {who}{f' {by}' if delay_ms else ''}"
    _report(control.disk(effect, control.shape.validator(who), text, delay_ms, parse_lasts(lasts)), home)


# Mending


@app.command(epilog=example("ostraka fault heal cut-3f9a", "ostraka fault heal cut", "ostraka fault heal --all"))
@command
def heal(
    names: Annotated[
        list[str] | None, typer.Argument(help="As `ostraka fault list` shows them, or a kind like cut.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything: nodes that are down or paused come back too.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End faults before their time."""
    from primitives.errors import Refused

    control = _open(home)
    if everything == bool(names):
        raise Refused("usage", "say which faults to end, or --all; `ostraka fault list` shows what is broken")
    wanted = None
    if names:
        known = [each.name for each in control.listing() if each.name]
        wanted = [each for each in known if each in names or each.rpartition("-")[0] in names]
        if not wanted:
            here = f"there are {', '.join(known)}" if known else "nothing is broken, or its time is over"
            raise Refused("unknown_fault", f"there is no fault {names[0][:40]!r}; {here}")
    healed = control.heal(wanted)
    show({"healed": healed})
    say(f"✓ healed: {', '.join(healed)}" if healed else "✓ nothing was broken")


@app.command("list", epilog=example("ostraka fault list", "ostraka fault list --json"))
@command
def list_faults(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show everything that is broken now, and for how long."""
    import msgspec

    found = _open(home).listing()
    show({"faults": msgspec.to_builtins(found)})
    if not found:
        say("nothing is broken")
        return
    width = max(5, *(len(each.text) for each in found))
    say(f" {'name':<16} {'fault':<{width}}  ends     at")
    for each in found:
        left = "–" if each.left_ms is None else f"{each.left_ms / 1000:.1f} s"
        at = ", ".join(each.nodes[:6]) + (" …" if len(each.nodes) > 6 else "")
        say(f" {each.name or '–':<16} {each.text:<{width}}  {left:<7}  {at}")
