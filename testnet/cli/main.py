"""The command's root: every group of commands hangs here, and every way out has an exit code (`cli.common`)."""

import sys
from typing import Annotated

import typer

from testnet.cli import code, contracts, faults, looking, money, network, observing, proofs, scenarios, sweep, tools
from testnet.cli.usage import RootCommand

app = typer.Typer(
    name="ostraka",
    cls=RootCommand,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (network, money, contracts, looking, code, proofs, tools, sweep, observing):
    group.add_to(app)
app.add_typer(faults.app, name="fault")
app.add_typer(scenarios.app, name="scenario")


def _show_version(wanted: bool) -> None:
    if wanted:
        from shards.node.http_chain import VERSION

        typer.echo(f"ostraka {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show which Ostraka this is.")
    ] = False,
) -> None:
    """A sharded BFT ledger on your laptop: run it, use it, break it."""


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show ✓ gets an escape, not a crash
            stream.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()
