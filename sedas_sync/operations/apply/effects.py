"""The values that the state machines of a run exchange: tasks, events and effects.

A machine (`orders`, `assembly`, `downloads`, `file_moves`, `unpacks`) does no I/O and reads no clock. It takes an event
and the time, changes its own state, and yields effects. The run carries them out and passes their results on as events.
An event that a machine yields is a message to the others: every machine sees every event.
"""

from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from sedas_sync.errors import SedasSyncError, TransferError
from sedas_sync.model import events
from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import Order
from sedas_sync.model.plan import Action
from sedas_sync.model.scene import ArchiveKey, Download, RemoteFile, Scene, SceneId, Source
from sedas_sync.state.unpacking import ZipUnpacking
from sedas_sync.transfer.job import FetchResult


class Now(Struct, frozen=True):
    """The time, as a machine gets it."""

    seconds: float
    """Monotonic."""
    time: datetime
    """UTC."""


@dataclass(slots=True, eq=False)
class Task:
    """A scene on its way into the mirror, or one file of a scene of several files."""

    action: Action
    scene: Scene
    """As it is known now: with the link of an order that is ready. Of a file: as if it were a scene."""
    archive: ArchiveKey = ""
    """The archive it comes from."""
    other_sources: tuple[Source, ...] = ()
    """Other archives that have the scene and were not tried yet, best first."""
    file: RemoteFile | None = None
    """The file to fetch, if the scene has several files."""
    whole: "Task | None" = None
    """The task of the scene that the file belongs to."""
    order: Order | None = None
    placed: int = 0
    """Orders placed for the scene, those of earlier runs included."""
    download: Download | None = None
    link_failures: int = 0
    """How often the link or token was refused since bytes last arrived."""
    bytes: int = 0
    """Bytes on disk when the link or token was last refused."""
    losses: int = 0
    """How often the worker that fetched it was lost."""
    orders_refused: int = 0
    """How often the scene was ordered again because the link of a valid order was refused."""
    began: float = 0.0
    """Monotonic seconds; 0 before the first download."""

    @property
    def is_last_source(self) -> bool:
        """Whether no other archive can still be tried for the scene."""
        return not (self.whole or self).other_sources


# -- events: what happened ---------------------------------------------------------------------------------------------


class SceneReady(Struct, frozen=True):
    """The scene can be downloaded now."""

    task: Task


class OrderNeeded(Struct, frozen=True):
    """The scene has to be ordered; the task may have an order that failed."""

    task: Task


class OrderPending(Struct, frozen=True):
    """An order of an earlier run is not ready yet."""

    task: Task


class OrderExpired(Struct, frozen=True):
    """The order of the scene can no longer be used."""

    task: Task
    reason: str


class OrderLinkRefused(Struct, frozen=True):
    """The order is ready, and its link does not work."""

    task: Task
    reason: str


class Answered(Struct, frozen=True):
    """An effect of another thread ended: `PlaceOrder`, `PollOrders`, `RenewLink`, `LookUp`, `Commit` or `Unpack`."""

    effect: "PlaceOrder | PollOrders | RenewLink | LookUp | Commit | Unpack"
    result: "Order | tuple[Order, ...] | Download | Scene | RecordScene | None" = None
    """What its docstring says; None if there is an error."""
    error: BaseException | None = None


class FetchEnded(Struct, frozen=True):
    """A download ended: with a result, with an error, or cancelled with neither."""

    task: Task
    download: Download | None
    """None if it could not be started."""
    result: FetchResult | None = None
    error: BaseException | None = None
    early: bool = False
    """The link or token expired while the job waited in the queue of an executor."""
    bytes: int = 0
    """Bytes on disk, if the link or token was refused."""


class SceneOffline(Struct, frozen=True):
    """The archive moved the scene to its long-term archive after the search."""

    task: Task
    scene: Scene


class SceneStaged(Struct, frozen=True):
    """The folder for a scene of several files is ready."""

    task: Task
    missing: tuple[RemoteFile, ...]
    """Files that are not on disk yet."""
    bytes: int = 0
    """Bytes of the files that are on disk."""


class FileKept(Struct, frozen=True):
    """A file of a scene is complete and recorded in the scene's folder."""

    task: Task


class ZipReady(Struct, frozen=True):
    """The zip of a scene is in place, and has to be unpacked."""

    record: "RecordScene"
    """The scene as its zip, and what to report once it is unpacked."""


class TaskFailed(Struct, frozen=True):
    """The archive of the task cannot deliver the scene, or a file of it."""

    task: Task
    reason: str


class PutBack(Struct, frozen=True):
    """The download was not done and is still wanted."""

    task: Task


class MovedAside(Struct, frozen=True):
    """The files of a scene are in the partial folder, so that their old place is free."""

    action: Action
    local: LocalScene


class MoveFailed(Struct, frozen=True):
    """The files of a scene could not be moved."""

    action: Action


class TimePassed(Struct, frozen=True):
    """The loop begins another round."""

    idle: bool
    """Whether no download is ready or running."""


class StopRequested(Struct, frozen=True):
    """The run ends: nothing new is started."""


MachineEvent = (
    SceneReady
    | OrderNeeded
    | OrderPending
    | OrderExpired
    | OrderLinkRefused
    | Answered
    | FetchEnded
    | SceneOffline
    | SceneStaged
    | FileKept
    | ZipReady
    | TaskFailed
    | PutBack
    | MovedAside
    | MoveFailed
    | TimePassed
    | StopRequested
)


# -- effects: what to do -----------------------------------------------------------------------------------------------


class PlaceOrder(Struct, frozen=True):
    """Order the scene; the answer is the order."""

    task: Task


class PollOrders(Struct, frozen=True):
    """Request the state of orders; the answer is the orders that the archive knows."""

    archive: ArchiveKey
    orders: tuple[Order, ...]


class SaveOrder(Struct, frozen=True):
    """Write an order to the index."""

    order: Order


class Fetch(Struct, frozen=True):
    """Start a download; `FetchEnded` follows."""

    task: Task


class RenewLink(Struct, frozen=True):
    """Request another link or token; the answer is the link, the order now, or the scene if it went offline."""

    task: Task
    refused: Download
    cause: TransferError
    from_order: bool
    """Poll the order for its link."""
    look_up: bool
    """Check whether the scene is still online."""


class LookUp(Struct, frozen=True):
    """Look up a scene of several files whose order is ready; the answer is the scene, or None if it is unknown."""

    task: Task


class Stage(Struct, frozen=True):
    """Prepare the folder of a scene of several files; `SceneStaged` follows."""

    task: Task


class KeepFile(Struct, frozen=True):
    """Record a file as complete in the folder of its scene; `FileKept` follows."""

    task: Task
    result: FetchResult


class Commit(Struct, frozen=True):
    """Rename the folder of a scene into place; the answer is what to record."""

    task: Task


class Unpack(Struct, frozen=True):
    """Unpack the zip of a scene; the answer is what to record."""

    record: "RecordScene"


class RecordScene(Struct, frozen=True):
    """Write a scene that is in place to the index, and report it."""

    task: Task
    local: LocalScene
    bytes: int
    """Size of the files that were completed in this run."""
    received: int
    """Bytes received for them."""
    warnings: tuple[str, ...] = ()
    worker: str | None = None
    unpacking: ZipUnpacking | None = None
    """What removes the zip of a scene that was unpacked, once the index has its folder."""


class RecordFetch(Struct, frozen=True):
    """Record a scene that is one file and was just downloaded."""

    task: Task
    result: FetchResult


class Fail(Struct, frozen=True):
    """Handle an error of a task: `TaskFailed` follows, or `Abort` if the disk is full."""

    task: Task
    error: str | BaseException


class GiveUp(Struct, frozen=True):
    """Report a scene as failed."""

    id: SceneId
    error: str | BaseException


class LeavePending(Struct, frozen=True):
    """Leave a scene to a later run."""

    id: SceneId


class Abort(Struct, frozen=True):
    """End the run: no other scene could succeed."""

    error: SedasSyncError


class Emit(Struct, frozen=True):
    """Report an event to the listener."""

    event: events.Event


class Move(Struct, frozen=True):
    """Move the files of a scene to the path of its action, and record them; `MoveFailed` may follow."""

    action: Action


class MoveAside(Struct, frozen=True):
    """Move the files of a scene to the partial folder; `MovedAside` or `MoveFailed` follows."""

    action: Action


Effect = (
    PlaceOrder
    | PollOrders
    | SaveOrder
    | Fetch
    | RenewLink
    | LookUp
    | Stage
    | KeepFile
    | Commit
    | Unpack
    | RecordScene
    | RecordFetch
    | Fail
    | GiveUp
    | LeavePending
    | Abort
    | Emit
    | Move
    | MoveAside
)


def retry(task: Task, attempt: int, error: str, now: Now, *, delay: float = 0.0) -> Emit:
    """Return the report that something failed and is tried again after a delay in seconds."""
    delay = round(delay, 1)
    return Emit(events.Retried(time=now.time, id=task.action.id, attempt=attempt, error=error, delay_seconds=delay))
