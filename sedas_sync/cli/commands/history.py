"""`sedas-sync history`."""

import sys
from datetime import UTC, datetime, timedelta

import click

from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document, start_logging
from sedas_sync.operations.load import load_manifest
from sedas_sync.operations.past import past_runs
from sedas_sync.output import past
from sedas_sync.output.documents.past import HistoryDocument
from sedas_sync.output.style import look_of
from sedas_sync.state.mirror_state import MirrorState


def run(manifest: str, *, since: float | None, common: Globals) -> None:
    """List the runs of a mirror."""
    start_logging(common)
    state = MirrorState(checked := load_manifest(manifest), _now)
    found = past_runs(state, None if since is None else _now() - timedelta(seconds=since))
    if common.as_json:
        print_document(HistoryDocument.about(found, manifest=checked.name, mirror=str(state.root)))
    elif not common.quiet:
        click.echo(past.runs(found, look_of(sys.stdout)))


def _now() -> datetime:
    return datetime.now(UTC)
