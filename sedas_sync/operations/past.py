"""The past of a mirror: its runs, and what changed. Offline, and while another process changes the mirror."""

from datetime import datetime

from sedas_sync.model.history import Change, RunRecord
from sedas_sync.model.times import in_utc
from sedas_sync.state import history
from sedas_sync.state.mirror_state import MirrorState


def past_runs(mirror: MirrorState, since: datetime | None = None) -> list[RunRecord]:
    """Return the runs of this mirror, the last one first. Works offline.

    Args:
        mirror: the mirror.
        since: only runs that began at or after this time, UTC if it has no zone; None for all that the index has.

    Raises:
        ManifestError: the mirror belongs to another manifest.
    """
    with mirror.index(write=False) as (index, _):
        mirror.check_owner(index)
        return history.runs(index, None if since is None else in_utc(since))


def past_changes(mirror: MirrorState, since: datetime | None = None) -> list[Change]:
    """Return what changed in the catalogue and in this mirror, the oldest first. Works offline.

    Args:
        mirror: the mirror.
        since: only changes at or after this time, UTC if it has no zone; None for all that the index has.

    Raises:
        ManifestError: the mirror belongs to another manifest.
    """
    with mirror.index(write=False) as (index, _):
        mirror.check_owner(index)
        return history.changes(index, None if since is None else in_utc(since))
