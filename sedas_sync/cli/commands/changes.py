"""`sedas-sync changes`."""

from sedas_sync.cli.commands.history import show_past
from sedas_sync.cli.options import Globals
from sedas_sync.output import past
from sedas_sync.output.documents.past import ChangesDocument
from sedas_sync.state import history


def run(manifest: str, *, since: float | None, common: Globals) -> None:
    """List what changed in the catalogue and in the mirror."""
    show_past(manifest, since, common, find=history.changes, document=ChangesDocument.about, text=past.changes)
