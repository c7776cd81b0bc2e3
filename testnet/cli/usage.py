"""Wrong use of the command (an unknown option, a missing argument), told to programs as every other failure is."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from testnet.cli.common import complain, output

# Typer carries its own copy of Click under a private name; this is its base of everything that is wrong usage.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]

_NEGATIVE = re.compile(r"No such option: -[0-9.]")

_NUMBER = re.compile(r"-\.?[0-9]")


class ValuesCommand(TyperCommand):
    """A command whose arguments are values: a negative number is one of them, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Sort options from values before Click does, which takes -5 for an option."""
        taking = {
            name for each in self.params if isinstance(each, TyperOption) and not each.is_flag for name in each.opts
        }
        options: list[str] = []
        values: list[str] = []
        left = iter(args)
        for word in left:
            if word == "--":
                values += left
            elif not word.startswith("-") or word == "-" or _NUMBER.match(word):
                values.append(word)
            else:
                options.append(word)
                if word in taking:
                    options += [value for value in (next(left, None),) if value is not None]
        parsed: list[str] = super().parse_args(ctx, [*options, "--", *values] if values else options)
        return parsed


class RootCommand(TyperGroup):
    """The root of the commands: with --json, wrong usage is one JSON object too."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit; `standalone_mode=False` returns and raises instead, as Click has it."""

        def run() -> Any:
            return super(RootCommand, self).main(
                args, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra
            )

        if not standalone_mode:
            return run()
        output.as_json = "--json" in (sys.argv[1:] if args is None else args)
        try:
            code = run()
        except _UsageError as error:
            if _NEGATIVE.match(error.message):
                error.message += " (a number here cannot be negative)"
            if output.as_json:
                complain("usage", error.format_message(), error.exit_code, fault="yours")
            else:
                error.show()
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit("Aborted!")
        sys.exit(code if isinstance(code, int) else 0)
