"""The past of a mirror: its runs, and what changed. Offline, and while another process changes the mirror."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sedas_sync.model.history import Change, RunRecord
from sedas_sync.model.times import in_utc
from sedas_sync.state import history
from sedas_sync.state.index import Index
from sedas_sync.state.mirror_state import MirrorState

Entry = TypeVar("Entry")


def past_runs(mirror: MirrorState, since: datetime | None = None) -> list[RunRecord]:
    """Return the runs of this mirror, the last one first. Works offline.

    Args:
        mirror: The mirror.
        since: Only runs that began at or after this time, UTC if it has no zone; None for all that the index has.

    Raises:
        ManifestError: The mirror belongs to another manifest.
    """
    return look_back(mirror, history.runs, since)[0]


def past_changes(mirror: MirrorState, since: datetime | None = None) -> list[Change]:
    """Return what changed in the catalogue and in this mirror, the oldest first. Works offline.

    Args:
        mirror: The mirror.
        since: Only changes at or after this time, UTC if it has no zone; None for all that the index has.

    Raises:
        ManifestError: The mirror belongs to another manifest.
    """
    return look_back(mirror, history.changes, since)[0]


def look_back(
    mirror: MirrorState, find: Callable[[Index, datetime | None], list[Entry]], since: datetime | None
) -> tuple[list[Entry], list[str]]:
    """Return what a function of `sedas_sync.state.history` finds since a time, and the warnings of the index.

    Raises:
        ManifestError: The mirror belongs to another manifest.
    """
    with mirror.index(write=False) as index:
        mirror.check_owner(index)
        return find(index, None if since is None else in_utc(since)), index.warnings
