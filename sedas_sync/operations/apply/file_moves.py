"""The files of a mirror within one run: taken in, moved to where the layout has them, set aside, removed.

Driven by the loop of `sedas_sync.operations.apply.run`, in its thread. Nothing that is not known to be the mirror's is
deleted.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError, sentence
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.model.disk import FileState
from sedas_sync.model.events import Adopted, Event, Pruned
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.plan import Action
from sedas_sync.model.scene import DesiredScene, LocalFile, LocalScene, Scene, SceneId
from sedas_sync.operations.apply.orders import Task
from sedas_sync.state.index import WritableIndex
from sedas_sync.state.inspect import file_state, state_of, states_of
from sedas_sync.state.staging import forget, left_over, partial_path, recover


class Loop(Protocol):
    """What is needed of the loop that drives this."""

    @property
    def interrupted(self) -> bool:
        """Whether the run was asked to end."""
        ...

    def tell(self, event: Event) -> None:
        """Something has happened."""
        ...

    def warn(self, message: str, scene_id: str | None = None) -> None:
        """Something looks wrong and stops nothing."""
        ...

    def fail(self, task: Task, why: str | BaseException | None) -> None:
        """A scene has failed for this run."""
        ...

    def failed(self, scene_id: SceneId, why: str) -> None:
        """A deed has failed that no archive can help with."""
        ...


class FileMover:
    """Moves the files of one mirror.

    Args:
        loop: drives this.
        root: the mirror's folder.
        index: open for writing.
        now: gives the present instant, UTC.
    """

    def __init__(self, loop: Loop, root: str, index: WritableIndex, now: Callable[[], datetime]) -> None:
        self._loop = loop
        self._root = root
        self._index = index
        self._now = now
        self.adopted = 0
        """Scenes that were taken in or moved."""
        self.pruned = 0
        """Scenes whose files were removed."""

    def recover(self) -> frozenset[str]:
        """Finish what a kill has left half done; returns the folders of scenes that were being gathered."""
        left = left_over(self._root)
        for place in sorted(left):
            try:
                for said in recover(self._root, place, self._index.local_scene):
                    self._loop.warn(said)
            except (SedasSyncError, OSError) as error:
                self._loop.warn(f"{place}: is left as it is: {sentence(error)}")
        return left

    def adopt_all(self, actions: list[Action]) -> None:
        """Take files into the index and move those that the layout puts elsewhere.

        A file may have to wait until another has left its place; what is left when nothing moves any more stands in a
        circle and goes by way of the partial folder.
        """
        leaving = {action.held.path for action in actions if action.held is not None}
        while actions:
            blocked = []
            for action in actions:
                held = action.held
                if held is not None and held.path != action.path and action.path in leaving:
                    blocked.append(action)
                    continue
                self._adopt(action)
                if held is not None:
                    leaving.discard(held.path)
            if len(blocked) == len(actions):
                first = blocked[0]
                if first.held is None or first.want is None:
                    break
                leaving.discard(first.held.path)
                try:
                    blocked[0] = replace(first, held=self._step_aside(first.held, first.want.scene))
                except (SedasSyncError, OSError) as error:
                    self._fail(first, first.want, error)
                    del blocked[0]
            actions = blocked

    def _step_aside(self, held: LocalScene, scene: Scene) -> LocalScene:
        """Move a scene to the partial folder for a moment; returns what the index remembers of it there."""
        aside = replace(held, path=partial_path(scene) + ".moving", facts=metadata_of(scene))
        self._move(held, aside.path)
        # Where a kill leaves it there, the next run finds it.
        self._index.put_files([aside], self._now())
        return aside

    def _move(self, held: LocalScene, path: str) -> None:
        move = safe_tree.move_folder if held.is_folder else safe_tree.move
        move(self._root, held.path, path)

    def _adopt(self, action: Action) -> None:
        held = action.held
        if held is None or action.want is None:
            return
        try:
            if held.path.startswith(f"{action.path}/") or action.path.startswith(f"{held.path}/"):
                # Its new place is a folder that it lies in, or is within itself.
                held = self._step_aside(held, action.want.scene)
            if held.path != action.path:
                if not tree_listing.same(self._root, held.path, action.path):
                    self.clear_the_way(action.path)
                self._move(held, action.path)
        except (SedasSyncError, OSError) as error:
            self._fail(action, action.want, error)
            return
        before = self._index.local_scene(action.id)
        if before is not None and before.path not in (held.path, action.path):
            self.clear_old_place(before, action.path)
        self._index.put_files([replace(held, path=action.path, facts=metadata_of(action.want.scene))], self._now())
        self._index.drop_order(action.id)
        self.adopted += 1
        self._loop.tell(Adopted(time=self._now(), id=action.id, path=action.path, size=held.size))

    def _fail(self, action: Action, want: DesiredScene, error: Exception) -> None:
        self._loop.fail(Task(action=action, scene=want.scene, archive=want.archive), error)

    def clear_old_place(self, replaced: LocalScene, new: str) -> None:
        """Take away what a scene had before it came to be elsewhere."""
        for old in replaced.files:
            there = tree_listing.look(self._root, old.path)
            if there is None or tree_listing.same(self._root, old.path, new):
                continue
            if self._is_ours(old, there):
                safe_tree.remove(self._root, old.path)
            else:
                self.clear_the_way(old.path)

    def _is_ours(self, file: LocalFile, there: tree_listing.TreeEntry) -> bool:
        try:
            return file_state(self._root, file, there) is FileState.INTACT
        except (SedasSyncError, OSError):
            # It cannot be read, so nobody knows: it is set aside.
            return False

    def clear_the_way(self, path: str, *, ours: LocalScene | None = None) -> safe_tree.Replace:
        """Set aside whatever stands where a scene is to go; the plan has found that it is not the scene.

        Only a file that still is what the index says gives way when its successor is complete. Other bytes may be
        somebody's work, and a link or folder in its place never was ours.

        Returns:
            What is left there to give way, which may be another file by then.
        """
        there = tree_listing.look(self._root, path)
        if there is None:
            return False
        known = ours is not None and (path == ours.path or tree_listing.same(self._root, path, ours.path))
        if ours is None or ours.is_folder or not (known and self._is_ours(ours.files[0], there)):
            kept = safe_tree.set_aside(self._root, path)
            self._loop.warn(f"{path}: something else stood in the scene's place; it is now {kept}")
            return False
        return there.size, there.mtime_ns

    def forget(self, spare: tuple[str, ...], *, but: AbstractSet[SceneId]) -> None:
        """Take away downloads under way that nobody goes on with, and what was remembered of their failures."""
        for path in spare:
            try:
                forget(self._root, path)
            except (SedasSyncError, OSError) as error:
                self._loop.warn(f"{path}: is left as it is: {sentence(error)}")
        if spare:
            self._index.drop_errors(but=but)

    def has(self, scene_id: SceneId) -> bool:
        """Whether a scene is in the mirror, complete and as it was fetched."""
        held = self._index.local_scene(scene_id)
        try:
            return held is not None and states_of(self._root, held) == {FileState.INTACT}
        except (SedasSyncError, OSError):
            return False

    def prune(self, action: Action) -> None:
        """Remove the files of a scene, as far as they are still what was fetched."""
        held = self._index.local_scene(action.id)
        if held is None or held.path != action.path:
            return
        try:
            state = state_of(self._root, held, lambda: self._loop.interrupted)
            if state is FileState.DAMAGED:
                self._loop.warn(
                    f"{held.path}: has been changed since it was fetched; it stays, and is forgotten", held.id
                )
            elif state is FileState.INTACT:
                for file in held.files:
                    with suppress(FileNotFoundError):
                        safe_tree.remove(self._root, file.path)
        except InterruptedError:
            return
        except (SedasSyncError, OSError) as error:
            self._loop.failed(action.id, sentence(error))
            return
        self._index.drop_file(held.id)
        self._index.drop_order(held.id)
        if state is not FileState.DAMAGED:
            self.pruned += 1
            self._loop.tell(Pruned(time=self._now(), id=held.id, path=held.path, size=held.size))
