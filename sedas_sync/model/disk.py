"""What the mirror's folder shows of a scene."""

from enum import StrEnum

from msgspec import Struct

from sedas_sync.model.local import LocalScene
from sedas_sync.model.reason import Reason


class FileState(StrEnum):
    """What is at a path, compared with the index."""

    ABSENT = "absent"
    INTACT = "intact"
    """What the index remembers, or an untracked file that was checked and is the scene."""
    DAMAGED = "damaged"
    """Something else: other bytes, a damaged file, a symbolic link, a folder."""
    UNREADABLE = "unreadable"
    """It cannot be read, or a folder above it, so that it is not known what is there."""


class DiskState(Struct, frozen=True, kw_only=True, gc=False):
    """What the folder shows of one desired scene."""

    local: LocalScene | None = None
    """From the index; for an untracked file that is right, what the index would store."""
    state: FileState = FileState.ABSENT
    """Of the local scene, or else of what is at the desired path."""
    tracked: bool = False
    """Whether the scene is in the index."""
    path_taken: bool = False
    """Whether something that cannot be the scene, such as a folder, is at the desired path."""
    problem: Reason | None = None
    """What of it cannot be read; with UNREADABLE alone."""
    partial: int = 0
    """Bytes of a partial download that can be resumed."""


NOTHING_ON_DISK = DiskState()
