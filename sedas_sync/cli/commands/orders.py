"""`sedas-sync orders`."""

import sys
from datetime import UTC, datetime

import click

from sedas_sync.cli.messages import print_warnings
from sedas_sync.cli.mirror import opened_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.errors import ManifestError
from sedas_sync.model.text import count, printable
from sedas_sync.operations.orders import forget_order, forget_unwanted_orders, orders
from sedas_sync.output import text
from sedas_sync.output.documents.base import OrderEntry
from sedas_sync.output.style import look_of


def run(manifest: str, *, forget: str | None, unwanted: bool, common: Globals) -> None:
    """List the LTA orders of a mirror, or forget some."""
    if forget == "" and not unwanted:
        raise ManifestError("--forget needs the id of an order or a scene, or --unwanted")
    if forget and unwanted:
        raise ManifestError("--forget ID cannot be combined with --unwanted")

    def warn(warning: str) -> None:
        print_warnings([warning], common)

    with opened_mirror(manifest, common) as context:
        if forget is not None:
            if not forget:
                forget = count(len(forget_unwanted_orders(context, warn=warn)), "order")
            elif not forget_order(context, forget, warn=warn):
                raise ManifestError(f"{context.state.root}: has no order {forget!r}")
            if not common.as_json and not common.quiet:
                click.echo(f"Forgot {printable(forget)}.")
                return
        known, now = orders(context, warn=warn), datetime.now(UTC)
        if unwanted:
            known = [order for order in known if not order.wanted]
        if common.as_json:
            print_document([OrderEntry.at(order, now) for order in known])
        elif known:
            click.echo(text.orders(known, now, look_of(sys.stdout)))
        elif not common.quiet:
            click.echo("No orders.")
