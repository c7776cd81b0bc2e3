"""`ostraka check`, `new`, `replay`, `gas`, `console`: for those who write contracts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testnet.cli.common import (
    FAILED,
    USAGE,
    CommandFailed,
    HomeOption,
    JsonOption,
    command,
    example,
    output,
    running,
    say,
    show,
)

if TYPE_CHECKING:
    from shards.node.api_contracts import RecordAnswer
    from testnet.contract_check import Finding
    from testnet.gas_report import Change, GasReport, MethodGas
    from testnet.network import Network
    from testnet.replaying import Replayed


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(epilog=example("ostraka new my-app"))(new)
    app.command(epilog=example("ostraka check stock.py token.py", "ostraka check stock.py --no-types --json"))(check)
    app.command(
        epilog=example(
            "ostraka replay TRANSACTION_ID",
            "ostraka replay TRANSACTION_ID --hop stock.fill",
            "ostraka replay CALL_ID --pdb",
        )
    )(replay)
    app.command(
        epilog=example("ostraka gas", "ostraka gas --save gas.json", "ostraka gas --compare gas.json --tolerance 5")
    )(gas)
    app.command(epilog=example("ostraka console", "echo 'print(await stock.free())' | ostraka console"))(console)


@command
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; its name is the project's.")],
    as_json: JsonOption = False,
) -> None:
    """Begin a project: a contract, its tests, and the files that editors and pytest want."""
    from testnet.project_template import create_project

    try:
        files = create_project(folder, folder.absolute().name)
    except (FileExistsError, ValueError) as error:
        raise CommandFailed(USAGE, "cannot_create", str(error)) from None
    show({"folder": str(folder), "files": [str(file) for file in files]})
    say(f"✓ {folder}: {', '.join(file.name for file in files)}")
    say(f"  next: cd {folder} && pytest")


@command
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Contracts, or folders of them.")],
    types: Annotated[bool, typer.Option("--types/--no-types", help="Check types too; takes a few seconds.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Point at what is wrong in contracts before they are deployed. The exit code is 1 when there is an error."""
    from testnet.contract_check import check_files

    missing = [file for file in files if not file.exists()]
    if missing:
        raise CommandFailed(USAGE, "cannot_read", f"there is no {missing[0]}")
    findings = check_files(files, types=types)
    errors = sum(finding.severity == "error" for finding in findings)
    show({"errors": errors, "findings": [finding_dict(finding) for finding in findings]})
    for finding in findings:
        say(str(finding))
        if finding.hint:
            say(f"    → {finding.hint}")
    say(f"✗ {errors} error{'s'[: errors - 1]}" if errors else f"✓ nothing wrong in {', '.join(map(str, files))}")
    if errors:
        raise typer.Exit(FAILED)


def finding_dict(finding: "Finding") -> dict[str, Any]:
    """One remark, for programs."""
    return {
        "file": str(finding.path),
        "line": finding.line,
        "column": finding.column,
        "code": finding.code,
        "severity": str(finding.severity),
        "message": finding.message,
        "hint": finding.hint,
    }


@command
def replay(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Id of a transaction or of a contract's call.")],
    hop: Annotated[str | None, typer.Option("--hop", help="A call further down the trace, like wallet.charge.")] = None,
    run: Annotated[int | None, typer.Option("--run", min=0, help="With --pdb: another run than the last.")] = None,
    debug: Annotated[bool, typer.Option("--pdb", help="Under Python's debugger, stopped at the method.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat a contract's call on this machine from what a validator kept of it, and compare with the chain.

    The exit code is 1 when something is otherwise here than on the chain.
    """
    from contracts.machine.local import LocalMachine
    from testnet.cli.machine_setup import ensure_machine
    from testnet.network import connect
    from testnet.places import parse_id
    from testnet.replaying import debug_call, replay_call

    if debug and as_json:
        raise CommandFailed(USAGE, "usage", "--pdb is a conversation; leave --json out")
    info = running(home)
    with connect(info) as net:
        record = _record_of(net, parse_id(wanted, "the id of a transaction or call"), hop)
    if debug:
        debug_call(record, say, run)
        return
    ensure_machine()
    replayed = replay_call(record, LocalMachine())
    same = not any(each.differences for each in replayed)
    show(
        {
            "call_id": record.call_id,
            "contract": record.contract,
            "shard": record.shard,
            "same": same,
            "runs": [_run_dict(each) for each in replayed],
        }
    )
    if not output.as_json:
        _tell_replay(record, replayed, same=same)
    if not same:
        raise typer.Exit(FAILED)


def _record_of(net: "Network", wanted: bytes, hop: str | None) -> "RecordAnswer":
    """Record of the call itself, of what a transaction called on another shard, or of a call further down."""
    from primitives.errors import Refused
    from primitives.identifiers import TransactionId
    from shards.call_tree import all_calls

    desk = net.asynchronous.contracts
    if hop is None:
        try:
            return net.run(desk.find_record(wanted))
        except Refused as refused:
            if refused.code != "unknown_call":
                raise
    found = all_calls(net.trace(TransactionId(wanted)).roots)
    chosen = [node for node in found if node.runs and hop in (None, node.label)]
    if not chosen:
        known = ", ".join(dict.fromkeys(node.label for node in found if node.runs))
        what = f"no call {hop} ran in it; there are: {known}" if known else "no contract ran for it (yet)"
        raise CommandFailed(FAILED, "unknown_call", what)
    return net.run(desk.find_record(chosen[0].call_id))


def _run_dict(replayed: "Replayed") -> dict[str, object]:
    from shards.receipts import RunState

    receipt = replayed.receipt
    return {
        "run": replayed.number,
        "height": replayed.height,
        "state": RunState(receipt.state).name.lower(),
        "gas_used": receipt.gas_used,
        "same": not replayed.differences,
        "differences": list(replayed.differences),
        "log": replayed.log,
        "error": receipt.error_type or receipt.kind,
        "message": receipt.error_text,
        "traceback": receipt.traceback,
    }


def _tell_replay(record: "RecordAnswer", replayed: "list[Replayed]", *, same: bool) -> None:
    from shards.receipts import RunState

    method = replayed[0].receipt.method
    say(f"{record.contract}.{method} on shard {record.shard} · call {record.call_id}")
    for each in replayed:
        verdict = "; ".join(each.differences) or "as on the chain"
        state = RunState(each.receipt.state).name.lower()
        mark = "✗" if each.differences else "✓"
        say(f"  {mark} run {each.number}  h{each.height}  {state:<9}  {each.receipt.gas_used:>9,} gas  {verdict}")
        for line in each.log:
            say(f"      │ {line}")
    last = replayed[-1].receipt
    if last.traceback:
        say("Traceback (contract, caller first):")
        say(last.traceback.rstrip("\n"))
    if last.kind:
        say(f"{last.error_type or last.kind}: {last.error_text}")
    say("✓ this machine does what the chain says" if same else "✗ this machine does something else than the chain says")
    say(f"  look inside: ostraka replay {record.call_id} --pdb")


@command
def gas(
    first: Annotated[int, typer.Option("--from", min=1, help="Count from this height of each shard on.")] = 1,
    save: Annotated[Path | None, typer.Option("--save", help="Write the report to a file.")] = None,
    baseline: Annotated[Path | None, typer.Option("--compare", help="A report saved earlier.")] = None,
    tolerance: Annotated[int, typer.Option("--tolerance", min=0, max=1000, help="Percent that a median may grow.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what the methods of contracts have cost on this chain: min, median, max over all calls that ended.

    With --compare the exit code is 1 when the median of a method grew.
    """
    import msgspec

    from testnet.gas_report import compare, gas_report, load_report, save_report
    from testnet.network import connect

    before = load_report(baseline) if baseline is not None else None
    with connect(running(home)) as net:
        report = net.run(gas_report(net.asynchronous, first))
    if save is not None:
        save_report(report, save)
    changes = compare(before, report) if before is not None else []
    grown = [change.method for change in changes if change.is_regression(tolerance)]
    show({**msgspec.to_builtins(report), "grown": grown})
    if not output.as_json:
        _tell_gas(report, changes, tolerance)
        if save is not None:
            say(f"saved in {save}")
    if grown:
        raise typer.Exit(FAILED)


def _tell_gas(report: "GasReport", changes: "list[Change]", tolerance: int) -> None:
    if not report.methods:
        say("no contract has run yet")
        return
    before = {change.method: change for change in changes}
    width = max(len(name) for name in report.methods)
    say(f" {'method':<{width}}  calls  failed        min     median        max")
    for name, method in report.methods.items():
        row = f" {name:<{width}}  {method.calls:>5}  {method.failed:>6}  {_numbers(method)}"
        change = before.get(name)
        if change is not None and change.before is not None:
            grew = method.median - change.before.median
            mark = "✗" if change.is_regression(tolerance) else " "
            row += f"  {mark} {grew:+,}" if grew else "    ="
        elif changes:
            row += "    new"
        say(row)


def _numbers(method: "MethodGas") -> str:
    return f"{method.least:>9,}  {method.median:>9,}  {method.most:>9,}"


@command
def console(home: HomeOption = None) -> None:
    """Open a Python prompt with the network, its accounts and contracts; `await` works at the prompt.

    `await alice.call(shop.buy("owl"))`, `await shop.owner_of("owl")` for a view. What is piped in is executed, and the
    exit code is 1 when it raised.
    """
    from testnet.console import run_console

    if not run_console(running(home)):
        raise typer.Exit(FAILED)
