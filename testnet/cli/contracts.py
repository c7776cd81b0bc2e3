"""`ostraka deploy`, `upgrade`, `call`, `topup`: what changes contracts, and calls to them that are on the record."""

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
from testnet.cli.usage import ValuesCommand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shards.call_tree import CallNode
    from shards.traces import Trace
    from testnet.client import Sent, Settlement
    from testnet.contracts import Ask, AsyncContracts, At
    from testnet.network import Network
    from testnet.places import Who
    from testnet.run_file import RunInfo
    from testnet.trace_view import Logs

ContractArgument = Annotated[str, typer.Argument(metavar="NAME@SHARD", help="A contract, like shop@0.")]
MethodArgument = Annotated[str, typer.Argument(help="One of its methods; `ostraka contracts NAME@SHARD` lists them.")]
ValuesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ARGS]...",
        help="Python or JSON: 5, true, '[1, 2]', '{\"a\": 1}'; anything else is text; @alice is her address.",
    ),
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="Development account that signs, like alice; default: the first one.")
]
ValueOption = Annotated[str, typer.Option("--value", help="Obols that go with it.")]
GasOption = Annotated[int | None, typer.Option("--gas", min=1, help="Prepaid; what is not used comes back.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Return once it has ended, or once it is sent.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, max=86400, help="Seconds to wait; it goes on.")]
CheckOption = Annotated[
    bool, typer.Option("--check/--no-check", help="Look for mistakes first, as `ostraka check` does, types aside.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The contract: one Python file.")]
ArgsOption = Annotated[
    str | None, typer.Option("--args", help="A list of arguments for it, as JSON or Python: '[\"owl\", 5]'")
]


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(
        epilog=example(
            "ostraka deploy stock.py --shard 1 --name stock",
            "ostraka deploy token.py --name token@0 --args 1000 --owner none",
        )
    )(deploy)
    app.command(epilog=example("ostraka upgrade stock.py --name stock@1"))(upgrade)
    app.command(
        cls=ValuesCommand,
        epilog=example(
            "ostraka call stock@1 fill owl",
            "ostraka call stock@1 reserve owl --from bob --json",
            "ostraka call stock@1 fill hoopoe --gas 100000 --no-wait",
        ),
    )(call)
    app.command(epilog=example("ostraka topup CALL_ID 500000"))(topup)


def read_source(file: Path) -> str:
    """Read a contract's file."""
    from contracts.limits import MAX_SOURCE_BYTES

    try:
        raw = file.read_bytes()
        if len(raw) > MAX_SOURCE_BYTES:
            raise CommandFailed(USAGE, "too_large", f"{file} has {len(raw)} bytes; a contract {MAX_SOURCE_BYTES}")
        return raw.decode()
    except OSError as error:
        raise CommandFailed(USAGE, "cannot_read", f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(USAGE, "cannot_read", f"{file} is no contract: it is not UTF-8 text") from None


def signer(text: str | None, info: "RunInfo") -> "Who":
    """The account that signs: the one named, or the first development account."""
    from testnet.manifest import FAUCET
    from testnet.places import parse_who

    first = next(name for name in info.accounts if name != FAUCET)
    return parse_who(text or first, info)


def _submit(net: "Network", work: Any) -> "Sent":
    """What a submission came to; what the ledger refuses has its own exit code."""
    from testnet.client import SubmissionRefused

    try:
        sent: Sent = net.run(work)
    except SubmissionRefused as refused:
        raise CommandFailed(FAILED, refused.code, refused.detail) from None
    return sent


@command
def deploy(
    file: FileArgument,
    name: Annotated[str | None, typer.Option("--name", help="Its name, or name@shard; default: the file's.")] = None,
    shard: Annotated[str | None, typer.Option("--shard", help="Shard that it lives on; default 0.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Who may upgrade it; `none`: nobody, ever. Default: who deploys it.")
    ] = None,
    args: ArgsOption = None,
    sender: FromOption = None,
    value: ValueOption = "0",
    gas: GasOption = None,
    check: CheckOption = True,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy a contract, and run its `init` if it has one."""
    from primitives.amounts import parse_obol
    from testnet.contracts import DEPLOY_GAS, Code
    from testnet.places import parse_contract, parse_who, seed_of
    from testnet.values_text import parse_json_list

    info = running(home)
    source = read_source(file)
    text = name or file.stem
    at = parse_contract(text, info, shard if shard is not None or "@" in text else "0")
    who = signer(sender, info)
    keeper = None if owner == "none" else parse_who(owner, info).key if owner is not None else who.key
    code = Code(source, parse_json_list(args, info), gas or DEPLOY_GAS)
    findings = _look_at(file) if check else []
    amount, seed = parse_obol(value), seed_of(who, info)
    _bring(info, at, lambda to: to.deploy(seed, at, code, owner=keeper, value=amount), findings, timeout)


def _bring(
    info: "RunInfo",
    at: "At",
    submit: "Callable[[AsyncContracts], Awaitable[Sent]]",
    findings: list[dict[str, Any]],
    timeout: float,
) -> None:
    """Send a contract's code, wait until the ledger has run what comes with it, and show what is there then."""
    from testnet.cli.machine_setup import ensure_machine
    from testnet.network import connect

    ensure_machine()
    with connect(info) as net:
        sent = _submit(net, submit(net.asynchronous.contracts))
        _follow(net, sent, timeout, {**_about(at), "findings": findings})
        _introduce(net, at)


def _about(at: "At") -> dict[str, Any]:
    return {"contract": at.name, "shard": at.shard}


def _look_at(file: Path) -> "list[dict[str, Any]]":
    """Warnings of `ostraka check`, told; its errors end the command, because the ledger would take gas to say less."""
    from testnet.cli.code import finding_dict
    from testnet.contract_check import Severity, check_files

    findings = [each for each in check_files([file], types=False) if each.severity is not Severity.NOTE]
    errors = [each for each in findings if each.severity is Severity.ERROR]
    if errors:
        more = f", and {len(errors) - 1} more (`ostraka check {file}`)" if len(errors) > 1 else ""
        raise CommandFailed(FAILED, "check_failed", f"{errors[0]}{more}; --no-check sends it nevertheless")
    for finding in findings:
        say(str(finding))
    return [finding_dict(each) for each in findings]


def _introduce(net: "Network", at: "At") -> None:
    """What is deployed now, for people."""
    if output.as_json:
        return
    shown = net.run(net.asynchronous.contracts.contract(at))
    views = sum(method.view for method in shown.methods)
    say(f"  {at} has {len(shown.methods)} methods, {views} of them views; code {shown.code_hash[:16]}…")
    say(f"  call it: ostraka call {at} METHOD ARGS… · look: ostraka contracts {at}")


@command
def upgrade(
    file: FileArgument,
    name: Annotated[str, typer.Option("--name", help="The contract: name@shard.")],
    shard: Annotated[str | None, typer.Option("--shard", help="Its shard, if --name does not say it.")] = None,
    sender: FromOption = None,
    gas: GasOption = None,
    check: CheckOption = True,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a contract's code, and run the new code's `migrate` if it has one. Only its owner may."""
    from testnet.contracts import DEPLOY_GAS, Code
    from testnet.places import parse_contract, seed_of

    info = running(home)
    source = read_source(file)
    at, seed = parse_contract(name, info, shard), seed_of(signer(sender, info), info)
    code = Code(source, gas=gas or DEPLOY_GAS)
    _bring(info, at, lambda to: to.upgrade(seed, at, code), _look_at(file) if check else [], timeout)


def asked(contract: str, method: str, args: list[str] | None, value: str, gas: int | None, info: "RunInfo") -> "Ask":
    """What is asked of a contract, as the command line says it."""
    from primitives.amounts import parse_obol
    from testnet.contracts import Ask
    from testnet.places import parse_contract
    from testnet.values_text import parse_arguments

    amount = parse_obol(value)
    return Ask(parse_contract(contract, info), method, parse_arguments(args or [], info), amount, gas)


@command
def call(
    contract: ContractArgument,
    method: MethodArgument,
    args: ValuesArgument = None,
    sender: FromOption = None,
    value: ValueOption = "0",
    gas: GasOption = None,
    wait: WaitOption = True,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a method of a contract, and show where the call went.

    The account pays on the contract's shard; --from alice@1 calls from shard 1. --json prints one object: id, outcome
    (settled, failed, expired, refused or pending), result, gas, trace. The exit code is 0 for settled, 1 for the rest.
    """
    from testnet.cli.machine_setup import ensure_machine
    from testnet.client import judge
    from testnet.network import connect
    from testnet.places import seed_of

    info = running(home)
    who, ask = signer(sender, info), asked(contract, method, args, value, gas, info)
    ensure_machine()
    with connect(info) as net:
        sent = _submit(net, net.asynchronous.contracts.call(seed_of(who, info), ask, who.shard))
        if wait:
            _follow(net, sent, timeout, _about(ask.at))
            return
        show({**judge(sent, None).as_dict(), "result": None, "gas": 0, "trace": None})
        say(f"… sent; transaction {sent.id.hex()}")
        say(f"  follow it: ostraka wait {sent.id.hex()} · ostraka trace {sent.id.hex()}")


def _follow(net: "Network", sent: "Sent", timeout: float, about: dict[str, Any]) -> None:
    """Wait for a contract's transaction and tell how it went."""
    from testnet.cli.following import await_settlement, say_pending
    from testnet.trace_view import log_lines

    settlement, found = await_settlement(net, sent, timeout)
    logs = net.run(net.asynchronous.contracts.logs(found))
    show({**call_dict(settlement, found, logs), **about})
    if found.root is not None:
        say("\n".join([net.draw(found), *log_lines(found, logs)]))
    else:
        say(f"… {settlement.outcome}{': ' + settlement.detail if settlement.detail else ''}")
    say(f"  transaction {sent.id.hex()}")
    if settlement.outcome not in ("settled", "pending") and any(node.runs for node in found.roots):
        say(f"  replay: ostraka replay {sent.id.hex()}")
    say_pending(settlement, timeout)
    if settlement.outcome != "settled":
        raise typer.Exit(FAILED)


def call_dict(settlement: "Settlement", found: "Trace", logs: "Logs") -> dict[str, Any]:
    """What became of a call, for programs."""
    from shards.node.json_values import to_json
    from testnet.trace_view import trace_dict

    root: CallNode | None = found.roots[0] if found.roots else None
    return {
        **settlement.as_dict(),
        "result": None if root is None or not root.result else to_json(decoded(root.result)),
        "error": None if root is None or not root.failed else root.origin().error,
        "gas": found.gas,
        "trace": trace_dict(found, logs),
    }


def decoded(raw: bytes) -> Any:
    """A value as a validator sent it."""
    from contracts.values import read

    return read(raw)


@command
def topup(
    call_id: Annotated[
        str, typer.Argument(help="Id of a call that is out of gas, or of the transaction that made it.")
    ],
    gas: Annotated[int, typer.Argument(min=1, help="Gas to give; what is not used goes to whoever made the call.")],
    sender: FromOption = None,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give gas to a call that ran out of it while it resumed. Anyone may."""
    from testnet.network import connect
    from testnet.places import parse_id, seed_of

    info = running(home)
    wanted, who = parse_id(call_id, "the id of a call"), signer(sender, info)
    with connect(info) as net:
        desk = net.asynchronous.contracts
        found = net.run(desk.find_call(wanted))
        if found.state in ("completed", "failed"):
            text = f"{found.contract}.{found.method} needs no gas any more: it has {found.state}"
            raise CommandFailed(FAILED, "call_over", text)
        sent = _submit(net, desk.top_up(seed_of(who, info), found.shard, bytes.fromhex(found.call_id), gas))
        _follow(net, sent, timeout, {"call_id": found.call_id, "shard": found.shard})
        say(f"  {found.contract}.{found.method} goes on; follow it: ostraka wait {found.trace_id}")
