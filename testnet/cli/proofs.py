"""`ostraka proof`, `verify`, `blocks`: what the chain says, and evidence of it that needs nobody's word."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from testnet.cli.common import (
    FAILED,
    USAGE,
    CommandFailed,
    HomeOption,
    JsonOption,
    command,
    example,
    find_home,
    output,
    running,
    say,
    show,
    shown_path,
)

MAX_PAGE = 100
"""Blocks that one `ostraka blocks` shows."""


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(epilog=example("ostraka proof MESSAGE_ID --out message.proof"))(proof)
    app.command(epilog=example("ostraka verify message.proof --genesis .ostraka/genesis.json"))(verify)
    app.command(epilog=example("ostraka blocks 0", "ostraka blocks 0 --last 3"))(blocks)


@command
def proof(
    message_id: Annotated[
        str, typer.Argument(help="Id of a message between shards; `ostraka trace --json` shows them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export the proof that a message was sent: anyone who has the genesis can verify it offline."""
    from testnet.network import connect
    from testnet.places import parse_id

    info = running(home)
    with connect(info) as net:
        raw = net.message_proof(parse_id(message_id, "the id of a message"))
    try:
        out.write_bytes(raw)
    except OSError as error:
        raise CommandFailed(USAGE, "cannot_write", f"cannot write {out}: {error.strerror}") from None
    show({"message_id": message_id, "file": str(out), "bytes": len(raw), "genesis": info.genesis})
    genesis = shown_path(Path(info.genesis))
    say(f"✓ {len(raw):,} B in {out}; verify it anywhere: ostraka verify {out} --genesis {genesis}")


@command
def verify(
    file: Annotated[Path, typer.Argument(help="A proof that `ostraka proof` wrote.")],
    genesis: Annotated[Path | None, typer.Option("--genesis", help="Default: that of the testnet here.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an exported proof offline: against the genesis alone, asking nobody."""
    from primitives.addresses import format_address
    from primitives.amounts import format_obol, unpack_amount
    from primitives.errors import Refused
    from primitives.identifiers import PublicKey
    from primitives.signatures import ED25519
    from shards.messages import Call
    from shards.proofs import verify_message_proof
    from testnet.genesis_file import parse_genesis

    path = genesis or find_home(home) / "genesis.json"
    try:
        text, raw = path.read_text(encoding="utf-8"), file.read_bytes()
    except OSError as error:
        raise CommandFailed(USAGE, "cannot_read", f"cannot read {error.filename}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(USAGE, "cannot_read", f"{path} is no genesis file: it is not UTF-8 text") from None
    context = parse_genesis(text)
    try:
        message = verify_message_proof(raw, context, ED25519)
    except Refused as refused:
        raise CommandFailed(FAILED, refused.code, f"{file} proves nothing: {refused.detail}") from None
    body = message.message
    shown = {
        "valid": True,
        "message_id": message.message_id.hex(),
        "kind": "call" if isinstance(body, Call) else "reply",
        "source": message.source,
        "destination": message.destination,
        "sequence": message.sequence,
        "certified_height": message.height,
        "signers": message.signers,
        "validators": message.committee_size,
        "chain_id": context.chain_id.hex(),
    }
    what = f"the reply to call {body.call_id.hex()[:16]}…"
    if isinstance(body, Call):
        value = unpack_amount(body.value)
        shown |= {"sender": _principal(body.sender), "target": _principal(body.target), "value": format_obol(value)}
        what = f"{format_obol(value)} obol to {_principal(body.target)}"
        if len(body.target) == 32:
            shown["target"] = format_address(PublicKey(body.target))
    show(shown)
    say(f"✓ shard {message.source} sent shard {message.destination} message {message.sequence}: {what}")
    say(
        f"  certified at height {message.height} by {message.signers} of {message.committee_size} validators of shard"
        f" {message.source}, chain {context.chain_id.hex()[:16]}…; nobody was asked"
    )


def _principal(raw: bytes) -> str:
    """An account's address, or a contract's name."""
    from primitives.addresses import format_address
    from primitives.identifiers import PublicKey

    return format_address(PublicKey(raw)) if len(raw) == 32 else raw.decode("utf-8", "backslashreplace")


@command
def blocks(
    shard: Annotated[str, typer.Argument(help="Number of a shard.")],
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=MAX_PAGE, help="How many of the newest.")] = 10,
    first: Annotated[int | None, typer.Option("--from", min=1, help="Begin at this height instead.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List finalized blocks of a shard."""
    import msgspec

    from testnet.network import connect
    from testnet.places import parse_shard

    info = running(home)
    number = parse_shard(shard, info)
    with connect(info) as net:
        begin = first if first is not None else max(1, net.status(number).finalized_height - last + 1)
        page = net.blocks(number, begin, last)
    show({"shard": number, "blocks": [msgspec.to_builtins(block) for block in page]})
    if output.as_json:
        return
    say(" height  items   bytes  level      time (UTC)           id")
    for block in page:
        level = "certified" if block.certified else "executed" if block.executed else "finalized"
        content = f"{block.height:>6}  {block.items:>5}  {block.size_bytes:>6}"
        moment = datetime.fromtimestamp(block.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        say(f" {content}  {level:<9}  {moment}  {block.block_id}")
