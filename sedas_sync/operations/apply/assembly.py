"""Scenes of several files: which file to download next, and when the folder of a scene is complete.

A state machine without I/O: see `sedas_sync.operations.apply.effects`. Every file is a `Task` of its own among the
downloads. A scene is reported once: when its folder is in place, or when one of its files failed.
"""

from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from msgspec.structs import replace

from sedas_sync.model.files import scene_of_file
from sedas_sync.model.scene import RemoteFile, Scene, SceneId
from sedas_sync.operations.apply.effects import (
    Answered,
    Commit,
    Effect,
    Fail,
    FetchEnded,
    FileKept,
    KeepFile,
    LookUp,
    MachineEvent,
    Now,
    PutBack,
    RecordScene,
    SceneOffline,
    SceneStaged,
    Stage,
    Task,
    TaskFailed,
)


@dataclass(slots=True)
class _OpenScene:
    """A scene that was begun and is not in place."""

    task: Task
    waiting: deque[Task] = field(default_factory=deque)
    """Files to download."""
    downloading: int = 0
    missing: set[str] = field(default_factory=set)
    """Names of files that are not complete."""
    bytes: int = 0
    """Of the files that are complete."""
    warnings: list[str] = field(default_factory=list)


class SceneAssembler:
    """The scenes of several files of one run."""

    def __init__(self) -> None:
        self._open: dict[SceneId, _OpenScene] = {}
        self._given_up: dict[SceneId, _OpenScene] = {}
        """Scenes of which one file failed while others are still being downloaded."""
        self._later: dict[SceneId, Task] = {}
        """The same scenes from another archive. They wait, so that two downloads never write to the same path."""

    @property
    def unfinished(self) -> tuple[Task, ...]:
        """Scenes that were begun and are not in place."""
        return (*(scene.task for scene in self._open.values()), *self._later.values())

    def bytes_of(self, scene_id: SceneId) -> int:
        """Return the bytes of the complete files of a scene."""
        scene = self._open.get(scene_id)
        return 0 if scene is None else scene.bytes

    def begin(self, task: Task, now: Now) -> Iterator[Effect]:
        """Yield what begins a scene."""
        if task.action.id in self._given_up:
            self._later[task.action.id] = task
            return
        task.began = task.began or now.seconds
        self._open[task.action.id] = _OpenScene(task)
        # The link of an order is one for the whole scene. The catalogue may have one for each file by now.
        # Some archives list the files of a folder only now.
        yield Stage(task) if task.order is None and not task.scene.unlisted else LookUp(task)

    def next_file(self, full: AbstractSet[str] = frozenset()) -> Task | None:
        """Return a file to download; None if no scene has one.

        Args:
            full: Keys of archives that allow no further download now.
        """
        for scene in self._open.values():
            if scene.waiting and scene.task.archive not in full:
                scene.downloading += 1
                return scene.waiting.popleft()
        return None

    def handle(self, event: MachineEvent, now: Now) -> Iterator[Effect | MachineEvent]:
        """Yield what follows from an event."""
        match event:
            case SceneStaged(task, missing, bytes_):
                yield from self._staged(task, missing, bytes_)
            case FetchEnded(task) if task.file is not None:
                yield from self._download_ended(event, task, now)
            case FileKept(task):
                yield from self._kept(task)
            case TaskFailed(task, reason) if task.file is not None:
                yield from self._file_failed(task, reason)
            case SceneOffline(task, answer) if task.file is not None:
                yield from self._went_offline(task, answer)
            case PutBack(task) | TaskFailed(task):
                self._put_back_or_close(task)
            case Answered(LookUp(task), answer, error):
                yield from self._looked_up(task, answer, error)
            case Answered(Commit(task), result, error):
                scene = self._open.pop(task.action.id)
                if isinstance(result, RecordScene):
                    yield replace(result, warnings=(*result.warnings, *scene.warnings))
                else:
                    yield Fail(task, error or "")
            case _:
                pass

    def _looked_up(self, task: Task, answer: object, error: BaseException | None) -> Iterator[Effect]:
        if error is not None:
            yield Fail(task, error)
            return
        names = {file.name for file in task.scene.assets}
        if isinstance(answer, Scene) and task.scene.unlisted:
            task.scene = answer
        elif isinstance(answer, Scene) and {file.name for file in answer.assets} == names:
            task.scene = replace(answer, download_url=answer.download_url or task.scene.download_url)
        yield Stage(task)

    def _scene_of(self, task: Task) -> _OpenScene | None:
        """Return the open scene of a file; None if it failed, even if another archive delivers it now."""
        scene = self._open.get(task.action.id)
        return scene if scene is not None and scene.task is (task.whole or task) else None

    def _give_up(self, task: Task) -> Task | None:
        """Close the scene of a file and return its task; complete files stay on disk for the next run."""
        scene = self._scene_of(task)
        if scene is None:
            return None
        del self._open[task.action.id]
        if scene.downloading:
            self._given_up[task.action.id] = scene
        return scene.task

    def _file_failed(self, task: Task, reason: str) -> Iterator[Effect]:
        whole = self._give_up(task)
        if whole is not None and task.file is not None:
            yield Fail(whole, f"{task.file.name}: {reason}")

    def _went_offline(self, task: Task, answer: Scene) -> Iterator[MachineEvent]:
        whole = self._give_up(task)
        if whole is not None:
            yield SceneOffline(whole, answer)

    def _put_back_or_close(self, task: Task) -> None:
        """Download a file later; or close a scene whose folder could not be prepared."""
        scene = self._scene_of(task)
        if scene is not None and task.file is not None:
            scene.waiting.appendleft(task)
        elif scene is not None:
            del self._open[task.action.id]

    def _staged(self, task: Task, missing: tuple[RemoteFile, ...], bytes_: int) -> Iterator[Effect]:
        scene = self._open[task.action.id]
        scene.bytes = bytes_
        for file in missing:
            scene.missing.add(file.name)
            scene.waiting.append(
                Task(
                    action=task.action,
                    scene=scene_of_file(task.scene, file),
                    archive=task.archive,
                    file=file,
                    whole=task,
                )
            )
        if not missing:
            yield Commit(task)

    def _download_ended(self, event: FetchEnded, task: Task, now: Now) -> Iterator[Effect]:
        given_up = self._given_up.get(task.action.id)
        scene = given_up or self._open.get(task.action.id)
        if scene is None:
            return
        scene.downloading -= 1
        result = event.result
        if result is not None and task.file is not None:
            # Also for a scene that failed: the next run or the next archive need not download the file again.
            yield KeepFile(task, result)
            scene.bytes += result.size
            scene.warnings += [f"{task.file.name}: {text}" for text in result.warnings]
        if given_up is not None and not given_up.downloading:
            del self._given_up[task.action.id]
            later = self._later.pop(task.action.id, None)
            if later is not None:
                yield from self.begin(later, now)

    def _kept(self, task: Task) -> Iterator[Effect]:
        scene = self._scene_of(task)
        if scene is None or task.file is None:
            return
        scene.missing.discard(task.file.name)
        if not scene.missing:
            yield Commit(scene.task)
