"""Downloads: which scene is next, and what follows when a download ends.

A state machine without I/O: see `sedas_sync.operations.apply.effects`. It renews refused links and tokens, gives a
scene to another worker if one is lost, and turns to the next archive if one cannot deliver.
"""

from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from sedas_sync.errors import StoppedError, TransferError, sentence
from sedas_sync.model.events import Warned
from sedas_sync.model.order import Order
from sedas_sync.model.scene import Download, Scene
from sedas_sync.operations.apply.effects import (
    Abort,
    Answered,
    Effect,
    Emit,
    Fail,
    FetchEnded,
    GiveUp,
    LeavePending,
    MachineEvent,
    Now,
    OrderExpired,
    OrderLinkRefused,
    OrderNeeded,
    PutBack,
    RecordFetch,
    RenewLink,
    SceneOffline,
    SceneReady,
    StopRequested,
    Task,
    TaskFailed,
    retry,
)
from sedas_sync.transfer.job import FetchStopped
from sedas_sync.workers.claim import WorkerLost

MAX_LINK_FAILURES = 2
"""How often a refused link or token of a scene is renewed while no bytes arrive."""
MAX_LOSSES = 3
"""How often a scene is given to another worker after its worker was lost."""
_TOKEN_STATUSES = (301, 307, 400, 401, 403)
"""HTTP statuses of a download server that refuses a token or a signature; 301 and 307: the region of a signature."""


class DownloadQueue:
    """The downloads of one run."""

    def __init__(self) -> None:
        self.ready: deque[Task] = deque()
        """Scenes that can be downloaded now."""
        self.running: dict[Task, None] = {}
        """Scenes and files that are being downloaded, the oldest first."""
        self._renewing: dict[Task, None] = {}
        self._stopping = False

    @property
    def active(self) -> tuple[Task, ...]:
        """Scenes and files that are being downloaded, or wait for a new link."""
        return (*self.running, *self._renewing)

    @property
    def unfinished(self) -> tuple[Task, ...]:
        """The same, with scenes that are ready."""
        return (*self.ready, *self.active)

    def next(self, full: AbstractSet[str] = frozenset()) -> Task | None:
        """Return the next scene to download; None if there is none.

        Args:
            full: Keys of archives that allow no further download now.
        """
        for position, task in enumerate(self.ready):
            if task.archive not in full:
                del self.ready[position]
                return task
        return None

    def begin(self, task: Task, now: Now) -> None:
        """Count a scene or file as being downloaded."""
        task.began = task.began or now.seconds
        self.running[task] = None

    def handle(self, event: MachineEvent, now: Now) -> Iterator[Effect | MachineEvent]:
        """Yield what follows from an event."""
        match event:
            case SceneReady(task):
                self.ready.append(task)
            case PutBack(task) if task.file is None:
                self.ready.appendleft(task)
            case FetchEnded(task):
                del self.running[task]
                yield from self._ended(task, event, now)
            case Answered(RenewLink() as request, answer, error):
                del self._renewing[request.task]
                yield from self._renewed(request, answer, error)
            case SceneOffline(task, scene) if task.file is None:
                yield from self._went_offline(task, scene, now)
            case TaskFailed(task, reason) if task.file is None:
                yield from self._failed(task, reason, now)
            case StopRequested():
                self._stopping = True
            case _:
                pass

    def _ended(self, task: Task, end: FetchEnded, now: Now) -> Iterator[Effect | MachineEvent]:
        error = end.error
        if end.result is not None:
            if task.file is None:
                yield RecordFetch(task, end.result)
        elif error is None or (self._stopping and isinstance(error, FetchStopped | WorkerLost | StoppedError)):
            yield PutBack(task)
        elif isinstance(error, FetchStopped | WorkerLost | StoppedError):
            yield from self._lost(task, error, now)
        elif isinstance(error, TransferError) and error.fatal:
            yield PutBack(task)
            if not self._stopping:
                yield Abort(error)
        elif (
            isinstance(error, TransferError)
            and error.relocate
            and end.download is not None
            and self._count_refusal(task, end)
        ):
            yield from self._renew(task, end.download, error, now)
        else:
            yield Fail(task, error)

    def _lost(
        self, task: Task, error: FetchStopped | WorkerLost | StoppedError, now: Now
    ) -> Iterator[Effect | MachineEvent]:
        """Give the scene to another worker, with a new link and token."""
        task.losses += 1
        if task.losses > MAX_LOSSES:
            yield Fail(task, f"{error} (tried {task.losses} times)")
            return
        task.download = None
        yield retry(task, task.losses, str(error), now)
        # A scene goes to the end of the queue: a worker that is still alive has the longest time to stop.
        yield SceneReady(task) if task.file is None else PutBack(task)

    # -- links and tokens --------------------------------------------------------------------------------------------

    def _count_refusal(self, task: Task, end: FetchEnded) -> bool:
        """Count a refusal of a link or token; return whether to renew it.

        If bytes arrived, the link was good: a large scene may need any number of tokens that are valid for minutes.
        A link that expired in the queue of an executor is not a failure of the archive.
        """
        if end.early:
            return True
        if end.bytes > task.bytes_at_refusal:
            task.bytes_at_refusal, task.link_failures = end.bytes, 0
        task.link_failures += 1
        return task.link_failures <= MAX_LINK_FAILURES

    def _renew(self, task: Task, refused: Download, cause: TransferError, now: Now) -> Iterator[Effect | MachineEvent]:
        task.download = None
        yield retry(task, max(1, task.link_failures), str(cause), now)
        # The first refusal with one of these statuses is about the token, every other one is about the link.
        about_the_link = cause.status not in _TOKEN_STATUSES or task.link_failures > 1
        from_order = about_the_link and task.order is not None
        self._renewing[task] = None
        yield RenewLink(task, refused, cause, from_order=from_order, look_up=about_the_link)

    def _renewed(
        self, request: RenewLink, answer: object, error: BaseException | None
    ) -> Iterator[Effect | MachineEvent]:
        task, cause = request.task, request.cause
        match answer:
            case Scene():
                yield SceneOffline(task, answer)
            case Download():
                task.download = answer
                yield PutBack(task)
            case Order(order=number, download_url=url):
                task.order = answer
                if url is None:
                    yield OrderExpired(task, f"the link of order {number} has expired: {cause}")
                elif task.link_failures >= MAX_LINK_FAILURES and url == request.refused.url:
                    yield OrderLinkRefused(task, f"the link of order {number} does not work: {cause}")
                else:
                    task.scene = replace(task.scene, download_url=url)
                    if task.whole is not None:
                        task.whole.scene = replace(task.whole.scene, download_url=url)
                    yield PutBack(task)
            case _:
                stopped = self._stopping or isinstance(error, StoppedError)
                yield PutBack(task) if stopped else Fail(task, f"{cause}; {sentence(error)}")

    def _went_offline(self, task: Task, scene: Scene, now: Now) -> Iterator[Effect | MachineEvent]:
        task.scene, task.order = scene, None
        if scene.offline is None:
            yield OrderNeeded(task)
        else:
            yield LeavePending(task.action.id)
            yield Emit(Warned(time=now.time, message=f"{scene.id}: {scene.offline}", id=scene.id))

    # -- other archives ----------------------------------------------------------------------------------------------

    def _failed(self, task: Task, reason: str, now: Now) -> Iterator[Effect | MachineEvent]:
        """Try the next archive that has the scene, or report it as failed."""
        if not task.other_sources or self._stopping:
            yield GiveUp(task.action.id, reason)
            return
        source, *others = task.other_sources
        tried = f"archive {task.archive}: {reason}"
        yield retry(task, 1, f"{tried}; archive {source.archive} has it too", now)
        again = Task(
            action=task.action,
            scene=source.scene,
            archive=source.archive,
            other_sources=tuple(others),
            began=task.began,
        )
        if source.scene.online:
            yield SceneReady(again)
        elif source.scene.offline is not None:
            yield Fail(again, f"{source.scene.offline} ({tried})")
        else:
            yield OrderNeeded(again)
