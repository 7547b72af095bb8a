"""`sedas-sync history`."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

from sedas_sync.cli.manifest import checked_manifest
from sedas_sync.cli.messages import print_warnings
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.operations.past import Entry, look_back
from sedas_sync.output import past
from sedas_sync.output.documents.base import JsonDocument
from sedas_sync.output.documents.past import HistoryDocument
from sedas_sync.output.style import Look, look_of
from sedas_sync.state import history
from sedas_sync.state.index import Index
from sedas_sync.state.mirror_state import MirrorState


def run(manifest: str, *, since: float | None, common: Globals) -> None:
    """List the runs of a mirror."""
    show_past(manifest, since, common, find=history.runs, document=HistoryDocument.about, text=past.runs)


def show_past(
    manifest: str,
    since: float | None,
    common: Globals,
    *,
    find: Callable[[Index, datetime | None], list[Entry]],
    document: Callable[..., JsonDocument],
    text: Callable[[list[Entry], Look], str],
) -> None:
    """Print what the index has of the past; `sedas-sync changes` does this too.

    Args:
        manifest: The manifest's file.
        since: Only the last so many seconds; None for all.
        common: The global options.
        find: Returns the entries.
        document: Makes the JSON document of the entries, the manifest and the mirror.
        text: Makes the text of the entries.
    """
    state = MirrorState(checked := checked_manifest(manifest, common), _now)
    found, warnings = look_back(state, find, None if since is None else _now() - timedelta(seconds=since))
    print_warnings(warnings, common)
    if common.as_json:
        print_document(document(found, manifest=checked.name, mirror=str(state.root)))
    elif not common.quiet:
        click.echo(text(found, look_of(sys.stdout)))


def _now() -> datetime:
    return datetime.now(UTC)
