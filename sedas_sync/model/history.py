"""What a mirror remembers of the past: its runs, when scenes were seen, and how they changed."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from sedas_sync.model.scene import SceneId

SUCCESS = frozenset({0, 3})
"""Exit codes of runs that did all that can be done now; 3 means that orders are pending."""


class SceneState(StrEnum):
    """What became of a scene that a dataset wanted."""

    LISTED = "listed"
    """The last search returned it, and a dataset wants it."""
    WITHDRAWN = "withdrawn"
    """It matches a dataset, and the catalogue no longer lists it."""
    SUPERSEDED = "superseded"
    """A later processing of the same acquisition is in the catalogue."""
    UNMATCHED = "unmatched"
    """The manifest's rules exclude it: it became too old, or the manifest was edited."""


class Departure(Struct, frozen=True):
    """A scene that was wanted at the last search and is not wanted now."""

    id: SceneId
    state: SceneState
    by: tuple[SceneId, ...] = ()
    """The scenes that supersede it."""


class ChangeKind(StrEnum):
    """What happened to a scene."""

    LATE = "late"
    """It came into the catalogue days after its acquisition, after a search that should have found it."""
    REPROCESSED = "reprocessed"
    """A later processing of the same acquisition took its place in the catalogue."""
    CHANGED = "changed"
    """Its file changed in the archive, and was downloaded again."""
    WITHDRAWN = "withdrawn"
    """The catalogue no longer lists it, although it matches a dataset."""
    BACK = "back"
    """The catalogue lists it again."""
    PRUNED = "pruned"
    """Its file was removed, because no dataset wants it."""
    REPLACED = "replaced"
    """Its file was damaged here, and was downloaded again."""


class Change(Struct, frozen=True, kw_only=True):
    """One thing that happened to a scene."""

    time: datetime
    """When a run noticed or did it, UTC."""
    kind: ChangeKind
    id: SceneId
    detail: str = ""
    """The scenes that supersede it, or when it was acquired."""


def short_command(command: str) -> str:
    """Return the command of a run for people: without most of the checksum of a saved plan.

    >>> short_command("apply --plan " + 64 * "a")
    'apply --plan aaaaaaaaaaaa'
    """
    return re.sub("([0-9a-f]{12})[0-9a-f]{52}", r"\1", command)


class RunRecord(Struct, frozen=True, kw_only=True):
    """A run as the index records it."""

    command: str
    started: datetime
    ended: datetime | None
    """None while it is under way, and for good if it was killed."""
    exit_code: int | None
    summary: Mapping[str, Any] | None
    """The fields of its last event."""

    @property
    def end(self) -> datetime:
        """When it ended; when it began, if it has not."""
        return self.ended or self.started

    @property
    def succeeded(self) -> bool:
        """Whether it did all that could be done."""
        return self.exit_code in SUCCESS
