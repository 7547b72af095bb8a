"""`sedas-sync status`."""

import sys
from datetime import UTC, datetime

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.session import event_view, interruptible, opened_mirror, print_json, warn_all
from sedas_sync.output import text
from sedas_sync.output.style import look_of


@click.command()
@manifest_argument
@global_options
def status(manifest: str, common: Globals) -> None:
    """Show what the mirror holds against what the last apply wanted; asks nobody."""
    viewed = event_view(common, json_lines=False)
    with opened_mirror(manifest, common) as mirror, viewed as view, interruptible(view):
        mirror.on_step = view.step
        found, now = mirror.status(), datetime.now(UTC)
        view.close()
        warn_all(found.warnings, common)
        if common.as_json:
            print_json(found.to_json(now))
        elif not common.quiet:
            click.echo(text.status(found, now, look_of(sys.stdout)))
