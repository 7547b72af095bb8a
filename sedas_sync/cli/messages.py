"""Lines that commands print to standard error."""

import shlex
import sys
from collections.abc import Iterable

import click

from sedas_sync.cli.options import Globals
from sedas_sync.model.text import printable
from sedas_sync.output.style import look_of, marked


def print_message(line: str) -> None:
    """Print a line to standard error. On a terminal `warning:`, `failed:` and `error:` are coloured."""
    click.echo(marked(printable(line), look_of(sys.stderr)), err=True)


def print_error(line: str, prefix: str = "error: ") -> None:
    """Print an error to standard error."""
    print_message(prefix + line)


def print_warnings(warnings: Iterable[str], common: Globals) -> None:
    """Print each warning to standard error, unless `--quiet` is given."""
    if not common.quiet:
        for warning in warnings:
            print_message(f"warning: {warning}")


def interrupted() -> str:
    """Return the last line of an interrupted run: how to continue it."""
    command = shlex.join(["sedas-sync", *sys.argv[1:]])
    return f"Interrupted: everything so far is kept. To continue, run `{command}`."


def as_argument(manifest: str) -> str:
    """Return the manifest as an argument of a command that is shown to the user; empty for the default."""
    return "" if manifest == "manifest.toml" else f" {shlex.quote(manifest)}"
