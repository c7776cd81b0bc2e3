"""`ostraka accounts`, `faucet`, `balance`, `transfer`, `wait`, `trace`: accounts and what moves between them."""

from typing import TYPE_CHECKING, Annotated

import typer

from testnet.cli.common import (
    FAILED,
    UNREACHABLE,
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
    from primitives.amounts import Amount
    from testnet.client import Sent, Settlement
    from testnet.network import Network
    from testnet.places import Who
    from testnet.run_file import RunInfo

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, max=86400, help="Seconds to wait; the transfer goes on regardless.")
]
IdArgument = Annotated[str, typer.Argument(help="Id of a transaction, as `ostraka transfer` prints it.")]

FAUCET_SHARE = "1000"
"""Obols that `ostraka faucet` gives when nothing else is said."""


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(epilog=example("ostraka accounts", "ostraka accounts --json"))(accounts)
    app.command(epilog=example("ostraka balance alice@0", "ostraka balance bob"))(balance)
    app.command(
        epilog=example(
            "ostraka transfer alice bob@2 25",
            "ostraka transfer bob@2 carol@1 0.5 --memo lunch",
            "ostraka transfer alice bob@2 25 --no-wait --json",
        )
    )(transfer)
    app.command(epilog=example("ostraka faucet alice@1", "ostraka faucet dave@2 5000"))(faucet)
    app.command(epilog=example("ostraka wait TRANSACTION_ID"))(wait)
    app.command(
        epilog=example(
            "ostraka trace TRANSACTION_ID",
            "ostraka trace TRANSACTION_ID --json",
            "ostraka trace TRANSACTION_ID --otel spans.json",
        )
    )(trace)


@command
def accounts(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the development accounts of this testnet. Their keys are PUBLIC."""
    info = running(home)
    show({"accounts": [{"name": name, "address": account.address} for name, account in info.accounts.items()]})
    say("PUBLIC development keys: anyone can spend from these accounts. Secret seeds: run.json")
    for name, account in info.accounts.items():
        say(f"  {name:<10} {account.address}")


@command
def balance(
    who: Annotated[str, typer.Argument(help="A name or address, with a shard: alice@2. Without: on every shard.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an account has, on one shard or on all of them."""
    from primitives.addresses import format_address
    from primitives.amounts import Amount, format_obol
    from primitives.errors import Refused
    from testnet.network import connect
    from testnet.places import parse_who

    info = running(home)
    account = parse_who(who, info)
    wanted = [account.shard] if account.shard is not None else list(range(info.shards))
    answers, silent = [], []
    with connect(info) as net:
        for shard in wanted:
            try:
                answers.append(net.account(shard, account.key))
            except Refused as refused:
                if refused.code != "unreachable" or account.shard is not None:
                    raise
                silent.append(shard)
    show(
        {
            "account": account.name,
            "address": format_address(account.key),
            "unreachable": silent,
            "balances": [
                {
                    "shard": answer.shard,
                    "height": answer.height,
                    "obol": format_obol(Amount(int(answer.balance))),
                    "nonce": answer.nonce,
                    "open_calls": answer.open_calls,
                }
                for answer in answers
            ],
        }
    )
    for answer in answers:
        waiting = f" · {answer.open_calls} calls in flight" if answer.open_calls else ""
        amount = format_obol(Amount(int(answer.balance)))
        say(f"{account.name}@{answer.shard}  {amount} obol at height {answer.height}{waiting}")
    for shard in silent:
        say(f"{account.name}@{shard}  unknown: no validator of shard {shard} answers; see `ostraka status`")
    if silent:
        raise typer.Exit(UNREACHABLE)


@command
def transfer(
    sender: Annotated[str, typer.Argument(metavar="FROM", help="A development account, like alice or alice@1.")],
    to: Annotated[str, typer.Argument(metavar="TO@SHARD", help="A name or an address with a shard: bob@2.")],
    amount: Annotated[str, typer.Argument(help="Obols: 25 or 0.5")],
    from_shard: Annotated[str | None, typer.Option("--from-shard", help="Shard that pays; default 0.")] = None,
    memo: Annotated[str, typer.Option("--memo", help="Up to 64 bytes that everybody can read.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Return once it is settled, or once it is sent.")
    ] = True,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send obols from one account to another, on the same shard or across shards.

    --json prints one object: id, outcome (settled, failed, expired, refused or pending), blocks, seconds, message_id.
    The exit code is 0 for settled (with --no-wait: for pending), 1 for anything else.
    """
    from primitives.amounts import parse_obol
    from testnet.places import parse_who

    info = running(home)
    payer, payee = parse_who(sender, info), parse_who(to, info)
    payer = payer._replace(shard=_source_shard(payer.shard, from_shard, info))
    payee = payee if payee.shard is not None else payee._replace(shard=payer.shard)
    _move(info, payer, payee, parse_obol(amount), memo, wait=wait, timeout=timeout)


def _source_shard(written: int | None, option: str | None, info: "RunInfo") -> int:
    """Shard that pays: said once, or shard 0."""
    from primitives.errors import Refused
    from testnet.places import parse_shard

    asked = parse_shard(option, info) if option is not None else None
    if written is not None and asked is not None and written != asked:
        raise Refused("bad_place", f"FROM says shard {written}, --from-shard says {asked}; say it once")
    return written if written is not None else asked or 0


@command
def faucet(
    who: Annotated[str, typer.Argument(help="A name or address, with a shard: alice@1. Without: shard 0.")],
    amount: Annotated[str, typer.Argument(help="Obols.")] = FAUCET_SHARE,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an account development obols: a transfer from the faucet's account on the same shard."""
    from primitives.amounts import parse_obol
    from testnet.manifest import FAUCET
    from testnet.places import parse_who

    info = running(home)
    payee = parse_who(who, info)
    payer = parse_who(FAUCET, info)._replace(shard=payee.shard or 0)
    _move(info, payer, payee, parse_obol(amount), "", wait=True, timeout=timeout)


def _move(
    info: "RunInfo", payer: "Who", payee: "Who", amount: "Amount", memo: str, *, wait: bool, timeout: float
) -> None:
    """Send from one account to another (both with their shards), and follow what becomes of it."""
    from testnet.client import SubmissionRefused, judge
    from testnet.network import connect
    from testnet.places import seed_of

    source, destination = payer.shard or 0, payee.shard or 0
    said = _memo_bytes(memo)
    with connect(info) as net:
        try:
            sent = net.send(seed_of(payer, info), source, payee.key, destination, amount, said)
        except SubmissionRefused as refused:
            if not output.as_json:
                raise CommandFailed(FAILED, refused.code, refused.detail) from None
            detail = f"{refused.code}: {refused.detail}"
            show({"id": None, "outcome": "refused", "blocks": 0, "seconds": 0, "message_id": None, "detail": detail})
            raise typer.Exit(FAILED) from None
        if wait:
            _follow(net, sent, timeout)
            return
        _report(judge(sent, None), "")
        say(f"  follow it: ostraka wait {sent.id.hex()}")


def _memo_bytes(memo: str) -> bytes:
    """A memo as it goes into the transaction."""
    from shards.limits import MAX_MEMO_BYTES

    try:
        raw = memo.encode()
    except UnicodeEncodeError:
        raise CommandFailed(USAGE, "bad_memo", "the memo is not valid UTF-8 text") from None
    if len(raw) > MAX_MEMO_BYTES:
        raise CommandFailed(USAGE, "bad_memo", f"a memo has at most {MAX_MEMO_BYTES} bytes, this one {len(raw)}")
    return raw


def _follow(net: "Network", sent: "Sent", timeout: float) -> None:
    """Wait for a transfer to settle and tell how it went; Ctrl-C only stops the waiting."""
    from testnet.cli.following import await_settlement, say_pending

    settlement, found = await_settlement(net, sent, timeout)
    _report(settlement, net.draw(found) if found.root is not None else "")
    say_pending(settlement, timeout)
    if settlement.outcome != "settled":
        raise typer.Exit(FAILED)


def _report(settlement: "Settlement", drawn: str) -> None:
    """Say how a transfer stands."""
    show(settlement.as_dict())
    if drawn:
        say(drawn)
    else:
        mark = {"settled": "✓", "pending": "…"}.get(settlement.outcome, "✗")
        say(f"{mark} {settlement.outcome}{': ' + settlement.detail if settlement.detail else ''}")
    say(f"  transaction {settlement.id.hex()}")
    if settlement.message_id is not None:
        say(f"  message     {settlement.message_id.hex()}")


@command
def wait(
    transaction_id: IdArgument,
    timeout: TimeoutOption = 60.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a transaction has settled, and say how. Same output and exit codes as `ostraka transfer`."""
    from primitives.identifiers import TransactionId
    from testnet.network import connect
    from testnet.places import parse_id

    wanted = TransactionId(parse_id(transaction_id, "the id of a transaction"))
    with connect(running(home)) as net:
        _follow(net, net.find(wanted), timeout)


@command
def trace(
    transaction_id: IdArgument,
    otel: Annotated[
        str | None,
        typer.Option(
            "--otel",
            metavar="FILE|URL",
            help="Export OpenTelemetry spans too, as OTLP in JSON: to a file, or a collector (http://127.0.0.1:4318).",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw where a transaction has been: every shard, every hop, every proof, every contract."""
    from primitives.identifiers import TransactionId
    from shards.traces import TraceState
    from testnet.network import connect
    from testnet.places import parse_id
    from testnet.telemetry import export_trace
    from testnet.trace_view import log_lines, trace_dict

    wanted = TransactionId(parse_id(transaction_id, "the id of a transaction"))
    with connect(running(home)) as net:
        found = net.trace(wanted)
        if found.root is None:
            raise CommandFailed(FAILED, "unknown_transaction", f"no shard knows transaction {transaction_id} (yet)")
        logs = net.run(net.asynchronous.contracts.logs(found))
        spans = export_trace(found, otel) if otel is not None else None
        show({**trace_dict(found, logs), "spans": spans})
        say("\n".join([net.draw(found), *log_lines(found, logs)]))
    if found.state is TraceState.FAILED and any(node.runs for node in found.roots):
        say(f"replay: ostraka replay {transaction_id}")
    if spans is not None:
        say(f"spans: {spans}")
