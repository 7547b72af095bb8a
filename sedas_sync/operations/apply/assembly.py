"""Scenes of several files within one run: which of their files are fetched next, and what becomes of each.

Driven by the loop of `sedas_sync.operations.apply.run`, in its thread. Every file is a `Task` of its own in the same
queue of downloads as scenes that are one file. A scene is told of once: when its folder is in place, or a file of it
failed.
"""

from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError
from sedas_sync.model.files import scene_of_file, with_files
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.scene import Download, LocalFile, LocalScene, ProofLevel, SceneId
from sedas_sync.operations.apply.orders import Answered, Task
from sedas_sync.state.staging import StagedScene
from sedas_sync.transfer import FetchJob, FetchResult, Policy


class Loop(Protocol):
    """What is needed of the loop that drives this."""

    def call(self, task: Task | None, deed: Callable[[], Any], then: Answered) -> None:
        """Do something slow on a thread of its own, and handle its answer in the loop."""
        ...

    def fail(self, task: Task, why: str | BaseException | None) -> None:
        """A scene has failed for this run."""
        ...

    def gathered(self, task: Task, held: LocalScene, size: int, received: int, warnings: list[str]) -> None:
        """A scene is complete, proved and where it belongs; so many bytes of it were fetched in this run."""
        ...


@dataclass(slots=True)
class _Gathering:
    task: Task
    bundle: StagedScene
    waiting: deque[Task] = field(default_factory=deque)
    """Files that nobody fetches yet."""
    flying: int = 0
    """Files that are being fetched."""
    moving: dict[str, int] = field(default_factory=dict)
    """Bytes that are here of those under way, by name."""
    warnings: list[str] = field(default_factory=list)


class SceneAssembler:
    """The scenes of several files of one run.

    Args:
        loop: drives this.
        root: the mirror's folder.
        clear_the_way: sets aside whatever stands where a scene is to go.
    """

    def __init__(self, loop: Loop, root: str, clear_the_way: Callable[[str], object]) -> None:
        self._loop = loop
        self._clear_the_way = clear_the_way
        self._root = root
        self._begun: dict[SceneId, _Gathering] = {}
        self._given_up: dict[SceneId, _Gathering] = {}
        """Scenes of which a file failed while others are still being fetched."""
        self._later: dict[SceneId, Task] = {}
        """The same scenes from another archive, which has to wait for them."""
        self._jobs: dict[str, tuple[_Gathering, str]] = {}
        self._to_clean: list[StagedScene] = []

    def __len__(self) -> int:
        return len(self._begun) + len(self._later)

    @property
    def tasks(self) -> list[Task]:
        """Scenes that were begun and are not complete."""
        return [*(gathering.task for gathering in self._begun.values()), *self._later.values()]

    def begin(self, task: Task) -> None:
        """Begin a scene: take up what is here of it, and find out what is to be fetched."""
        action, want = task.action, task.action.want
        if action.id in self._given_up:
            # Two of them must not write to the same places.
            self._later[action.id] = task
            return
        task.began = task.began or monotonic()
        bundle = StagedScene(
            self._root,
            replace(task.scene, id=action.id),
            action.path,
            pinned={} if want is None else want.pinned,
            held=action.held,
        )
        try:
            lacking = bundle.begin()
            if bundle.in_the_way:
                self._clear_the_way(action.path)
        except (SedasSyncError, OSError) as error:
            self._loop.fail(task, error)
            return
        gathering = self._begun[action.id] = _Gathering(task, bundle)
        for asset in lacking:
            gathering.waiting.append(
                Task(action=action, scene=scene_of_file(task.scene, asset), asset=asset, archive=task.archive)
            )
        if not lacking:
            self._commit(gathering)

    def next(self, full: AbstractSet[str] = frozenset()) -> Task | None:
        """A file that is to be fetched; None where no scene that is begun has any.

        Args:
            full: keys of archives that allow no further download now.
        """
        for gathering in self._begun.values():
            if gathering.waiting and gathering.task.archive not in full:
                return gathering.waiting.popleft()
        return None

    def put_back(self, task: Task) -> None:
        """Have a file fetched after all: first of those that wait."""
        gathering = self._begun.get(task.action.id)
        if gathering is not None and gathering.task.archive == task.archive:
            gathering.waiting.appendleft(task)

    def job(self, task: Task, download: Download, policy: Policy) -> FetchJob | None:
        """What is to be fetched for a file; None where its scene has failed meanwhile."""
        gathering = self._begun.get(task.action.id)
        if gathering is None or task.asset is None:
            return None
        job = gathering.bundle.job(task.asset, download, policy)
        self._jobs[job.id] = gathering, task.asset.name
        gathering.flying += 1
        return job

    def landed(self, task: Task, got: FetchResult | None) -> None:
        """A file is no longer being fetched, whatever became of it; `got` where it is complete."""
        gathering = self._begun.get(task.action.id) or self._given_up.get(task.action.id)
        if gathering is None:
            return
        if got is not None and task.asset is not None and task.action.id in self._given_up:
            # The next run, or the next archive, need not fetch it again.
            with suppress(SedasSyncError, OSError):
                gathering.bundle.take(task.asset, got)
        gathering.flying -= 1
        if not gathering.flying and self._given_up.pop(task.action.id, None) is not None:
            later = self._later.pop(task.action.id, None)
            if later is not None:
                self.begin(later)

    def came(self, task: Task, got: FetchResult) -> None:
        """A file is complete; the folder is put in place with the last of them."""
        gathering = self._begun.get(task.action.id)
        if gathering is None or task.asset is None or gathering.task.archive != task.archive:
            # Its scene has failed meanwhile, and may be under way from another archive.
            return
        gathering.moving.pop(task.asset.name, None)
        gathering.warnings += [f"{task.asset.name}: {warning}" for warning in got.warnings]
        try:
            gathering.bundle.take(task.asset, got)
        except (SedasSyncError, OSError) as error:
            self._loop.fail(task, error)
            return
        if gathering.bundle.complete:
            self._commit(gathering)

    def drop(self, task: Task) -> tuple[str, Task] | None:
        """Give up the scene of a task, of whose files those that are here stay for the next run.

        Returns:
            What to say before the reason, and the task of the scene; None where it was given up before.
        """
        gathering = self._begun.pop(task.action.id, None)
        if gathering is None:
            return None if task.asset is not None else ("", task)
        if gathering.flying:
            self._given_up[task.action.id] = gathering
        return ("" if task.asset is None else f"{task.asset.name}: "), gathering.task

    def file_of(self, job_id: str) -> tuple[SceneId, str]:
        """The scene that a job is for, and the name of its file; for a scene that is one file, no name."""
        found = self._jobs.get(job_id)
        return (job_id, "") if found is None else (found[0].task.action.id, found[1])

    def moved(self, job_id: str, done: int, total: int | None) -> tuple[SceneId, int, int | None]:
        """A file has got further, told from any thread; returns how far its scene is."""
        found = self._jobs.get(job_id)
        if found is None:
            return job_id, done, total
        gathering, name = found
        gathering.moving[name] = done
        here = gathering.bundle.bytes + sum(list(gathering.moving.values()))
        return gathering.task.action.id, here, gathering.task.action.size

    def clean(self) -> None:
        """Clear up after scenes that the index knows now."""
        for bundle in self._to_clean:
            bundle.clean()
        self._to_clean.clear()

    def _commit(self, gathering: _Gathering) -> None:
        self._loop.call(
            gathering.task, gathering.bundle.commit, lambda said, error: self._committed(gathering, said, error)
        )

    def _committed(self, gathering: _Gathering, said: list[str] | None, error: BaseException | None) -> None:
        task, bundle = gathering.task, gathering.bundle
        if said is None:
            self._loop.fail(task, error)
            return
        del self._begun[task.action.id]
        self._to_clean.append(bundle)
        self._loop.gathered(
            task,
            holding_of(task, bundle.files),
            bundle.received,
            bundle.transferred,
            [*said, *gathering.warnings],
        )


def holding_of(task: Task, files: Mapping[str, LocalFile], *, archive: str = "") -> LocalScene:
    """What the index is to remember of a scene of these files at the path of its task."""
    want = task.action.want
    plain = LocalScene(
        id=task.action.id,
        path=task.action.path,
        size=0,
        mtime_ns=0,
        sha256="",
        level=ProofLevel.SIZE,
        archive=archive,
        # Rules judge by them, and all rules go by the description of the archive that is listed first.
        facts=metadata_of(task.scene if want is None or len(want.sources) == 1 else want.scene),
    )
    return with_files(plain, files.values())
