"""`sedas-sync status`."""

import sys
from datetime import UTC, datetime

import click

from sedas_sync.cli.manifest import checked_manifest
from sedas_sync.cli.messages import print_message, print_warnings
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, interruptible, print_document, reporting
from sedas_sync.operations.status import mirror_status
from sedas_sync.output import text
from sedas_sync.output.documents.mirror import StatusDocument
from sedas_sync.output.style import look_of
from sedas_sync.state.mirror_state import MirrorState


def run(manifest: str, *, max_age: float | None, common: Globals) -> None:
    """Show how the mirror compares with its lock file or its last apply."""
    state = MirrorState(checked_manifest(manifest, common), _now)
    with reporting(common) as reporter, interruptible(reporter):
        state.on_step = reporter.step
        # Not by `sedas_sync.api`, which imports all that a download needs.
        found, now = mirror_status(state), _now()
        reporter.close()
        print_warnings(found.warnings, common)
        if common.as_json:
            print_document(StatusDocument.at(found, now))
        elif not common.quiet:
            click.echo(text.status(found, now, look_of(sys.stdout)))
        if max_age is not None and (late := text.no_success(found, now, max_age)) is not None:
            print_message(f"failed: {late}")
            end_with(1)
        if found.unreadable:
            end_with(1)


def _now() -> datetime:
    return datetime.now(UTC)
