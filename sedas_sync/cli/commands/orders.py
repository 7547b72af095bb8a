"""`sedas-sync orders`."""

import sys
from datetime import UTC, datetime

import click

from sedas_sync.cli.options import Globals, completer, global_options, manifest_argument
from sedas_sync.cli.session import opened_mirror, print_json, warn_all
from sedas_sync.errors import ManifestError
from sedas_sync.model.text import printable
from sedas_sync.output import text
from sedas_sync.output.style import look_of


@click.command()
@manifest_argument
@click.option(
    "--forget", metavar="ID", help="Forget an order, by its id or its scene's.", shell_complete=completer("orders")
)
@global_options
def orders(manifest: str, forget: str | None, common: Globals) -> None:
    """Show the LTA orders of this mirror."""
    with opened_mirror(manifest, common) as mirror:
        said: list[str] = []
        if forget is not None:
            forgotten = mirror.forget_order(forget, warn=said.append)
            warn_all(tuple(said), common)
            if not forgotten:
                raise ManifestError(f"{mirror.root}: remembers no order {forget!r}")
            if not common.as_json and not common.quiet:
                click.echo(f"Forgot {printable(forget)}.")
                return
        said.clear()
        known, now = mirror.orders(warn=said.append), datetime.now(UTC)
        warn_all(tuple(said), common)
        if common.as_json:
            from sedas_sync.operations.status import order_json  # noqa: PLC0415  # imports what a manifest needs

            print_json([order_json(order, now) for order in known])
        elif known:
            click.echo(text.orders(known, now, look_of(sys.stdout)))
        elif not common.quiet:
            click.echo("No orders.")
