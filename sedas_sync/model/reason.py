"""Why a plan does what it does with a scene: a code with its data. `sedas_sync.output.reasons` makes the text."""

from enum import StrEnum

from msgspec import Struct


class ReasonCode(StrEnum):
    """What decides about a scene."""

    PLANNED = "planned"
    """It is a planned acquisition."""
    UNCHANGED = "unchanged"
    """It is on disk, as in the archive or the lock file."""
    NOT_IN_MIRROR = "not_in_mirror"
    """Nothing of it is on disk."""
    PATH_TAKEN = "path_taken"
    """It is not on disk, and something else is at its path."""
    PARTLY_DOWNLOADED = "partly_downloaded"
    """Its download was interrupted."""
    FILE_GONE = "file_gone"
    """It was downloaded, and its file is gone."""
    DAMAGED = "damaged"
    """Its bytes are not those that were downloaded."""
    FILES_DAMAGED = "files_damaged"
    """A file of it is gone, or is not what was downloaded."""
    UNTRACKED = "untracked"
    """An untracked file at its path is this scene."""
    OTHER_PATH = "other_path"
    """It is on disk at another path than the layout's."""
    LOCK_DIFFERS = "lock_differs"
    """Its checksum is not that of the lock file."""
    FORM_CHANGED = "form_changed"
    """It is a folder here and one file in the archive, or the other way round."""
    FILES_MISSING = "files_missing"
    """The archive has files of it that are not here."""
    FILES_EXTRA = "files_extra"
    """Some files here are no longer among its files: gone from the archive, or not selected."""
    SIZE_CHANGED = "size_changed"
    """The archive states another size."""
    CHECKSUM_CHANGED = "checksum_changed"
    """The archive states another checksum than when it was downloaded."""
    NO_ORDER = "no_order"
    """It is in the long-term archive and has no order."""
    ORDER_PENDING = "order_pending"
    """Its order is not ready."""
    ORDER_READY = "order_ready"
    """Its order is ready."""
    ORDER_FAILED = "order_failed"
    """Its order failed."""
    OFFLINE = "offline"
    """The archive cannot deliver it now and takes no orders."""
    NOT_DOWNLOADABLE = "not_downloadable"
    """The archive can never deliver it."""
    NO_MATCH = "no_match"
    """It no longer matches a dataset."""
    NOT_LISTED = "not_listed"
    """It matches a dataset, and the catalogue no longer lists it."""
    NOT_IN_LOCK = "not_in_lock"
    """It is not in the lock file, and the archive still has it."""
    SUCCESSOR_MISSING = "successor_missing"
    """It is superseded by scenes that are not downloaded yet."""
    WRONG_CLOCK = "wrong_clock"
    """A relative date excludes it, and a clock may be wrong."""
    NOT_CONFIRMED = "not_confirmed"
    """Its replacement was not confirmed."""
    SEARCH_INCOMPLETE = "search_incomplete"
    """Nothing is removed after a search that failed or is incomplete."""
    IN_DOUBT = "in_doubt"
    """It cannot be judged, or its file was changed by somebody."""


class Reason(Struct, frozen=True, gc=False, omit_defaults=True):
    """What decides about a scene, with the data that the text needs."""

    code: ReasonCode
    cause: "Reason | None" = None
    """Why the code matters: what an order is for, or what will happen later."""
    here: str | int | None = None
    """What is on disk: a path, a checksum, a size in bytes, or `a folder` or `one file`."""
    there: str | int | None = None
    """What is desired or in the archive, as `here`."""
    names: tuple[str, ...] = ()
    """Names of files of the scene, or the ids of other scenes."""
    order: str = ""
    """The archive's id of the order."""
    detail: str = ""
    """A clause of an archive, a rule or a look-up, as it is."""
