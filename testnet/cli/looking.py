"""`ostraka view`, `estimate`, `contracts`: looking at contracts; no transaction, no fee, nothing changes."""

from typing import TYPE_CHECKING, Annotated

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
from testnet.cli.contracts import (
    ContractArgument,
    FromOption,
    MethodArgument,
    ValueOption,
    ValuesArgument,
    asked,
    decoded,
    signer,
)
from testnet.cli.usage import ValuesCommand

if TYPE_CHECKING:
    from shards.node.api_contracts import ContractView, ViewAnswer
    from shards.node.proved_views import VerifiedView
    from testnet.contracts import Ask
    from testnet.network import Network

REFUSED_BEFORE = frozenset(
    {"not_found", "no_method", "not_a_view", "not_provable", "bad_value", "busy", "unreachable", "not_ready"}
)
"""What a validator may say instead of an answer; anything else is said of its answer, by us."""


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(
        cls=ValuesCommand,
        epilog=example("ostraka view stock@1 free", "ostraka view token@0 balance_of @alice --proof --json"),
    )(view)
    app.command(cls=ValuesCommand, epilog=example("ostraka estimate stock@1 fill owl"))(estimate)
    app.command(
        epilog=example(
            "ostraka contracts", "ostraka contracts stock@1 --source", "ostraka contracts stock@1 --storage ''"
        )
    )(contracts)


@command
def view(
    contract: ContractArgument,
    method: MethodArgument,
    args: ValuesArgument = None,
    sender: Annotated[str | None, typer.Option("--from", help="`msg.sender` that it sees.")] = None,
    proof: Annotated[
        bool, typer.Option("--proof", help="Ask for proofs of all that it read, and verify them and the result here.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a view on one validator: no transaction, no fee, nothing changes.

    With --proof the validator need not be trusted: what the view read is proved under a certificate of the shard's
    quorum, and the view is run again here on just that. --json has all of it.
    """
    import msgspec

    from primitives.addresses import format_address
    from testnet.network import connect
    from testnet.places import parse_who
    from testnet.values_text import shown

    info = running(home)
    ask = asked(contract, method, args, "0", None, info)
    address = format_address(parse_who(sender, info).key) if sender is not None else ""
    verified = None
    with connect(info) as net:
        if proof:
            answer, verified = _proved(net, ask, address)
        else:
            answer = net.run(net.asynchronous.contracts.view(ask, address))
    show({**msgspec.to_builtins(answer), "verified": None if verified is None else msgspec.to_builtins(verified)})
    if answer.failure is not None:
        say(f"✗ {ask.at.name}.{method} at height {answer.height} · {answer.gas_used:,} gas")
        for line in answer.failure.traceback.splitlines():
            say(line)
        say(f"{answer.failure.error or answer.failure.kind}: {answer.failure.message}")
        raise typer.Exit(FAILED)
    say(shown(decoded(bytes.fromhex(answer.encoded))))
    for line in answer.log:
        say(f"  log: {line}")
    if verified is not None:
        quorum = f"{verified.signers} of {verified.committee_size} validators of shard {ask.at.shard}"
        say(f"  ✓ {verified.entries} entries proved under height {verified.height}, which {quorum} signed;")
        say("    run again here on these entries alone, the view says the same")


def _proved(net: "Network", ask: "Ask", sender: str) -> "tuple[ViewAnswer, VerifiedView]":
    """A view's answer that has been verified here."""
    from contracts.machine.local import LocalMachine
    from primitives.errors import Refused
    from testnet.cli.machine_setup import ensure_machine

    ensure_machine()
    try:
        return net.run(net.asynchronous.contracts.proved_view(ask, LocalMachine(), sender))
    except Refused as refused:
        if refused.code in REFUSED_BEFORE:
            raise
        text = f"the validator's answer is not to be believed: {refused.detail}"
        raise CommandFailed(FAILED, refused.code, text, fault="ours") from None


@command
def estimate(
    contract: ContractArgument,
    method: MethodArgument,
    args: ValuesArgument = None,
    sender: FromOption = None,
    value: ValueOption = "0",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a call on one validator and say what gas it takes; nothing of it is kept."""
    import msgspec

    from primitives.addresses import format_address
    from testnet.network import connect
    from testnet.values_text import shown

    info = running(home)
    ask, who = asked(contract, method, args, value, None, info), signer(sender, info)
    with connect(info) as net:
        answer = net.run(net.asynchronous.contracts.estimate(ask, format_address(who.key)))
    show(msgspec.to_builtins(answer))
    if output.as_json:
        return
    sets_aside = f", {answer.gas_sent:,} set aside for its calls" if answer.gas_sent else ""
    say(f"{answer.state} after {answer.gas_used:,} gas{sets_aside}; give it {answer.suggested_gas:,}")
    for planned in answer.calls:
        arguments = ", ".join(map(shown, planned.arguments or []))
        say(f"  ⇢ s{planned.shard} {planned.contract}.{planned.method}({arguments})  {planned.gas:,} gas")
    if answer.failure is not None:
        say(f"  it would fail: {answer.failure.error or answer.failure.kind}: {answer.failure.message}")


@command
def contracts(
    contract: Annotated[str | None, typer.Argument(metavar="[NAME@SHARD]", help="One of them, with methods.")] = None,
    source: Annotated[bool, typer.Option("--source", help="Print its source.")] = False,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="PREFIX", help="Print its storage: keys that begin so, '' for all."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the contracts of every shard, or show one."""
    import msgspec

    from testnet.network import connect
    from testnet.places import parse_contract
    from testnet.values_text import shown

    if contract is None and (source or storage is not None):
        raise CommandFailed(USAGE, "usage", "say of which contract: ostraka contracts NAME@SHARD --source")
    info = running(home)
    with connect(info) as net:
        desk = net.asynchronous.contracts
        if contract is not None:
            at = parse_contract(contract, info)
            found = [net.run(desk.contract(at, source=source))]
        else:
            found = [each for shard in range(info.shards) for each in net.run(desk.all_of(shard))]
        entries = net.run(desk.all_stored(at, storage)) if contract is not None and storage is not None else None
    data = {"contracts": [msgspec.to_builtins(each) for each in found]}
    show(data if entries is None else {**data, "storage": [msgspec.to_builtins(each) for each in entries]})
    if not found:
        say("no contracts; deploy one: ostraka deploy FILE --shard 0 --name NAME")
    for each in found:
        _tell(each, whole=contract is not None)
    for entry in entries or ():
        say(f"  {shown(entry.key)} = {shown(decoded(bytes.fromhex(entry.encoded)))}")


def _tell(found: "ContractView", *, whole: bool) -> None:
    """One contract for people; `whole`: with methods and source."""
    from shards.calls.arrivals import RESERVED_METHODS

    owner = f"owner {found.owner[:8]}…{found.owner[-4:]}" if found.owner else "nobody may upgrade it"
    say(f"{found.name}@{found.shard}  {len(found.methods)} methods · code {found.code_hash[:16]}… · {owner}")
    if not whole:
        return
    for method in found.methods:
        mark = "once" if method.name in RESERVED_METHODS else "view" if method.view else "call"
        say(f"  {mark} {method.name}({method.parameters})  {method.summary}".rstrip())
    if found.source is not None:
        say(f"\n{found.source}")
