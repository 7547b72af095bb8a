"""`sedas-sync changes`."""

from sedas_sync.cli.commands.history import show_past
from sedas_sync.cli.options import Globals
from sedas_sync.operations.past import past_changes
from sedas_sync.output import past
from sedas_sync.output.documents.past import ChangesDocument


def run(manifest: str, *, since: float | None, common: Globals) -> None:
    """List what changed in the catalogue and in the mirror."""
    show_past(manifest, since, common, find=past_changes, document=ChangesDocument.about, text=past.changes)
