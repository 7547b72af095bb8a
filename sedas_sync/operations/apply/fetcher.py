"""Runs downloads: in threads of this process, or on the workers of an executor."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from time import monotonic

from msgspec import Struct

from sedas_sync.errors import TransferError
from sedas_sync.files.threads import Pool
from sedas_sync.model.events import Transfer, Worker
from sedas_sync.model.scene import Download, SceneId
from sedas_sync.operations.apply.effects import FetchEnded, Task
from sedas_sync.transfer.answers import allowed_connections
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchResult
from sedas_sync.transfer.partial import partial_of
from sedas_sync.transfer.shared_state import SharedState
from sedas_sync.workers.claim import clear, fetch_claimed
from sedas_sync.workers.pool import WorkerPool, remove_run_folder
from sedas_sync.workers.remote_job import RemoteRetry

_SILENCE = 30.0
"""Seconds without an answer from workers after which to check whether there are any."""


class FetchRetry(Struct, frozen=True):
    """A download failed and is tried again."""

    id: SceneId
    archive: str
    attempt: int
    error: str
    delay: float
    allowed: int | None = None
    """Connections that the service allows the account, as a worker was informed."""


class _Running(Struct, frozen=True):
    task: Task
    download: Download
    job: FetchJob


class Fetcher:
    """The downloads of one run that are under way.

    Args:
        root: The mirror's folder.
        jobs: Downloads at once.
        max_rate: Bytes a second over all of them; 0 for no limit.
        executor: Its workers download; threads of this process do if None.
        stop: Set when the run ends.
        on_retry: Called for each try that failed, from any thread.
    """

    def __init__(
        self,
        root: Path,
        *,
        jobs: int,
        max_rate: int,
        executor: Executor | None,
        stop: threading.Event,
        on_retry: Callable[[FetchRetry], None],
    ) -> None:
        self._root = root
        self._jobs = jobs
        self._stop = stop
        self._on_retry = on_retry
        self._workers = (
            None
            if executor is None
            else WorkerPool(executor, root, jobs=jobs, max_rate=max_rate, on_retry=self._retried_by_worker)
        )
        self._threads = Pool(jobs)
        self._shared = SharedState(
            stop=stop, jobs=jobs, max_rate=max_rate, on_bytes=self._on_bytes, on_retry=self._retried
        )
        self._old_workers = False
        """Whether workers of an earlier run may still download scenes."""
        self._running: dict[Future[FetchResult], _Running] = {}
        self._tasks: dict[str, Task] = {}
        """By the ids of their jobs."""
        self._progress: dict[str, tuple[int, int | None]] = {}
        """Bytes on disk and in all, by the ids of jobs."""
        self._heard_at = 0.0
        """When a job was last given to a worker, or returned."""
        self._silence_reported = False

    @property
    def remote(self) -> bool:
        """Whether workers of an executor download, which may be gone."""
        return self._workers is not None

    @property
    def window(self) -> int:
        """How many downloads to start at once.

        A thread that has ended a job finds the next one waiting; workers get no more than they can do now.
        """
        return 2 * self._jobs if self._workers is None else self._workers.window

    @property
    def workers(self) -> tuple[Worker, ...]:
        """What each worker has done."""
        return () if self._workers is None else self._workers.workers

    def prepare(self) -> str | None:
        """Check that the workers of the executor can work in this mirror; end what earlier runs left to theirs.

        Returns:
            A warning, if workers did not answer yet.

        Raises:
            ManifestError: They cannot.
            SedasSyncError: The executor cannot run anything.
        """
        if self._workers is not None:
            return self._workers.start(self._stop.is_set)
        self._old_workers = clear(str(self._root))
        return None

    def submit(self, task: Task, download: Download, job: FetchJob) -> Future[FetchResult]:
        """Start a download.

        Raises:
            SedasSyncError: The executor takes no work.
        """
        self._tasks[job.id] = task
        future: Future[FetchResult]
        if self._workers is not None:
            future = self._workers.submit(job)
        elif self._old_workers:
            future = self._threads.submit(fetch_claimed, job, self._shared, "this run")
        else:
            future = self._threads.submit(fetch, job, self._shared)
        self._heard_at = monotonic()
        self._running[future] = _Running(task, download, job)
        return future

    def ended(self, future: Future[FetchResult]) -> FetchEnded:
        """Return how a download ended."""
        running = self._running.pop(future)
        self._heard_at, self._silence_reported = monotonic(), False
        task, job = running.task, running.job
        self._progress.pop(job.id, None)
        self._tasks.pop(job.id, None)
        if future.cancelled():
            return FetchEnded(task, running.download)
        error = future.exception()
        if error is None:
            result = future.result()
            if self._workers is not None:
                self._workers.count(result)
            return FetchEnded(task, running.download, result)
        part = partial_of(job.root, job.partial) if isinstance(error, TransferError) and error.relocate else None
        return FetchEnded(
            task,
            running.download,
            error=error,
            early=getattr(future, "early", False),
            bytes=0 if part is None else part.bytes,
        )

    def active(self, assembled: Callable[[SceneId], int]) -> tuple[Transfer, ...]:
        """Return how far each download is.

        Args:
            assembled: Returns the bytes of the complete files of a scene of several files.
        """
        scenes: dict[SceneId, Transfer] = {}
        for job_id, (done, total) in list(self._progress.items()):
            task = self._tasks.get(job_id)
            if task is None:
                continue
            scene_id = task.action.id
            if task.file is None:
                scenes[scene_id] = Transfer(id=scene_id, done=done, total=total)
            else:
                others = scenes[scene_id].done if scene_id in scenes else assembled(scene_id)
                scenes[scene_id] = Transfer(id=scene_id, done=others + done, total=task.action.size)
        return tuple(scenes.values())

    def stop_workers(self) -> None:
        """Inform workers that the run ends."""
        if self._workers is not None:
            self._workers.stop()

    def close(self) -> None:
        """End all downloads; the stop event is set."""
        self.stop_workers()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._shared.close()
        if self._old_workers:
            remove_run_folder(self._root)

    # -- workers that do not answer ----------------------------------------------------------------------------------

    def begin_check_if_due(self) -> bool:
        """Return whether to check for workers now: jobs are out, and no answer came for a while. Restarts the wait."""
        if self._workers is None or not self._running or monotonic() - self._heard_at < _SILENCE:
            return False
        self._heard_at = monotonic()
        return True

    def check_for_workers(self) -> str | None:
        """Ask the executor for its workers; return a warning if none is left. May take a while."""
        return None if self._workers is None else self._workers.check_for_workers()

    def once_per_silence(self, warning: str | None) -> str | None:
        """Return the warning if it was not returned since the last answer of a worker."""
        if warning is None or self._silence_reported:
            return None
        self._silence_reported = True
        return warning

    # -- called from other threads -----------------------------------------------------------------------------------

    def _on_bytes(self, job_id: str, done: int, total: int | None) -> None:
        self._progress[job_id] = (done, total)

    def _retried(self, job_id: str, attempt: int, error: str, delay: float, allowed: int | None = None) -> None:
        task = self._tasks.get(job_id)
        if task is None:
            return
        error = error if task.file is None else f"{task.file.name}: {error}"
        self._on_retry(FetchRetry(task.action.id, task.archive, attempt, error, delay, allowed))

    def _retried_by_worker(self, job_id: str, retry: RemoteRetry) -> None:
        self._retried(job_id, retry.attempt, retry.error, retry.delay, allowed_connections(retry.error) or None)
