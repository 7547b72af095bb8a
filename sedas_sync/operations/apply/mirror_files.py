"""Effects on the files of a mirror: stage, commit, record, move, set aside, remove.

Runs in the thread of the run, except `commit`. Deletes only files that are known to be the mirror's.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import SedasSyncError, sentence
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.model.disk import FileState
from sedas_sync.model.file_kind import with_ending
from sedas_sync.model.files import local_scene
from sedas_sync.model.local import LocalFile, LocalScene
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.scene import Download, SceneId
from sedas_sync.operations.apply.effects import (
    Fail,
    FileKept,
    GiveUp,
    KeepFile,
    MovedAside,
    MoveFailed,
    RecordFetch,
    RecordScene,
    SceneStaged,
    Task,
)
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.state.index import WritableIndex
from sedas_sync.state.inspect import file_state
from sedas_sync.state.staging import StagedScene, downloaded, partial_path
from sedas_sync.state.unpacking import ZipUnpacking
from sedas_sync.transfer.job import FetchJob, Policy
from sedas_sync.transfer.partial import partial_of


class MirrorFiles:
    """The files of one mirror, and the index that describes them.

    Args:
        root: The mirror's folder.
        index: Open for writing.
        archives: By their keys in the manifest.
        reports: Takes events.
    """

    def __init__(
        self,
        root: str,
        index: WritableIndex,
        *,
        archives: Mapping[str, Archive],
        reports: Reports,
    ) -> None:
        self._root = root
        self._index = index
        self._archives = archives
        self._reports = reports
        self._staged: dict[SceneId, StagedScene] = {}
        self._unsaved: list[LocalScene] = []
        """Scenes in place that are not in the index yet."""
        self._to_clean: list[StagedScene | ZipUnpacking] = []

    # -- downloads ---------------------------------------------------------------------------------------------------

    def job(self, task: Task, download: Download, policy: Policy) -> FetchJob:
        """Return what to download for a scene or file, after making its path free.

        Raises:
            OSError, TransferError: something is at the path and cannot be moved.
        """
        action, want = task.action, task.action.wanted
        if task.file is not None:
            return self._staged[action.id].job(task.file, download, policy)
        replaced: safe_tree.Replace = False
        if action.blocked or action.local is not None:
            replaced = self.make_way(action.path, ours=action.local if action.kind is ActionKind.REPLACE else None)
        part = partial_of(self._root, partial_path(task.scene)) if action.kind is ActionKind.RESUME else None
        if part is not None and part.kind is not None:
            # An earlier download has shown under which name the file will be.
            path = with_ending(action.path, part.kind)
            if path != action.path and not self._index.has_path(path):
                self.make_way(path)
        return FetchJob(
            id=action.id,
            download=download,
            root=self._root,
            path=action.path,
            partial=partial_path(task.scene),
            product=action.id,
            policy=policy,
            sha256=None if want is None else want.sha256,
            replace=replaced,
        )

    def stage(self, task: Task) -> SceneStaged | Fail:
        """Prepare the folder of a scene of several files, with the files that are on disk already."""
        action, want = task.action, task.action.wanted
        staged = StagedScene(
            self._root,
            replace(task.scene, id=action.id),
            action.path,
            pinned={} if want is None else want.pinned,
            local=action.local,
        )
        try:
            missing = staged.begin()
            if staged.in_the_way:
                self.make_way(action.path)
        except (SedasSyncError, OSError) as error:
            return Fail(task, error)
        self._staged[action.id] = staged
        return SceneStaged(task, missing, staged.bytes)

    def keep_file(self, effect: KeepFile) -> FileKept | Fail:
        """Record a file as complete in the folder of its scene."""
        task = effect.task
        if task.file is None:
            return FileKept(task)
        try:
            self._staged[task.action.id].take(task.file, effect.result)
        except (SedasSyncError, OSError) as error:
            return Fail(task, error)
        return FileKept(task)

    def commit(self, task: Task) -> RecordScene:
        """Rename the folder of a scene into place; runs in a thread of its own.

        Raises:
            OSError, TransferError: something is in the way, or the folders cannot be written.
        """
        staged = self._staged[task.action.id]
        warnings = staged.commit()
        local = self._local_scene(task, task.action.path, staged.files.values())
        return RecordScene(task, local, staged.received, staged.transferred, tuple(warnings))

    def record_of(self, effect: RecordFetch) -> RecordScene:
        """Describe a scene that is one file and was just downloaded."""
        task, result = effect.task, effect.result
        local = self._local_scene(task, result.path, [downloaded(result, "", task.scene.digest)])
        return RecordScene(task, local, result.size, result.received, result.warnings, result.worker)

    def _local_scene(self, task: Task, path: str, files: Iterable[LocalFile]) -> LocalScene:
        archive = self._archives[task.archive].identity
        return local_scene(task.action.id, path, files, archive=archive, facts=_metadata(task))

    def record(self, effect: RecordScene) -> None:
        """Take a scene into the index at the next `save`, and remove the files that it replaces."""
        task, local = effect.task, effect.local
        action, want = task.action, task.action.wanted
        self._unsaved.append(local)
        # The zip of a folder is removed later, by its `ZipUnpacking`.
        old = action.local if local.packed is None or action.local is None or action.local.is_folder else None
        if action.kind is ActionKind.REPLACE and old is not None and old.path != local.path:
            self._remove_replaced(old, local.path)
        if task.order is not None or (want is not None and len(want.sources) > 1):
            self._index.drop_order(local.id)
        staged = effect.unpacking or (self._staged.pop(local.id, None) if local.is_folder else None)
        if staged is not None:
            self._to_clean.append(staged)

    def save(self) -> None:
        """Write recorded scenes to the index."""
        unsaved, self._unsaved = self._unsaved, []
        self._index.put_files(unsaved, self._reports.now())

    def clean(self) -> None:
        """Remove the staging folders of scenes that the index has; call it after its commit."""
        for staged in self._to_clean:
            try:
                staged.clean()
            except (SedasSyncError, OSError) as error:
                self._reports.warn(f"a zip that was unpacked cannot be removed: {sentence(error)}")
        self._to_clean.clear()

    # -- moves -------------------------------------------------------------------------------------------------------

    def forget_past(self, kept: Iterable[Action]) -> None:
        """Remove the last errors and the orders of scenes that are on disk and wanted."""
        errors, orders = self._index.last_errors(), {order.id for order in self._index.orders()}
        for action in kept if errors or orders else ():
            if action.id in errors:
                self._index.drop_error(action.id)
            if action.id in orders:
                self._index.drop_order(action.id)

    def move(self, action: Action) -> tuple[GiveUp | MoveFailed, ...]:
        """Move the files of a scene to the path of its action, and record them."""
        local = action.local
        if local is None or action.wanted is None:
            return ()
        try:
            if local.path.startswith(f"{action.path}/") or action.path.startswith(f"{local.path}/"):
                # The new path is a folder that contains the old one, or the other way round.
                local = self._put_aside(action)
            if local.path != action.path:
                if not tree_listing.same(self._root, local.path, action.path):
                    self.make_way(action.path)
                self._rename(local, action.path)
        except (SedasSyncError, OSError) as error:
            return GiveUp(action.id, error), MoveFailed(action)
        before = self._index.local_scene(action.id)
        if before is not None and before.path not in (local.path, action.path):
            self._remove_replaced(before, action.path)
        moved = replace(local, path=action.path, facts=metadata_of(action.wanted.scene))
        self._index.put_files([moved], self._reports.now())
        self._index.drop_order(action.id)
        self._reports.adopted(moved)
        return ()

    def move_aside(self, action: Action) -> tuple[GiveUp | MoveFailed | MovedAside, ...]:
        """Move the files of a scene to the partial folder."""
        try:
            return (MovedAside(action, self._put_aside(action)),)
        except (SedasSyncError, OSError) as error:
            return GiveUp(action.id, error), MoveFailed(action)

    def _put_aside(self, action: Action) -> LocalScene:
        if action.local is None or action.wanted is None:
            raise SedasSyncError(f"{action.path}: there is nothing to move")
        scene = action.wanted.scene
        aside = replace(action.local, path=partial_path(scene) + ".moving", facts=metadata_of(scene))
        self._rename(action.local, aside.path)
        # If the run is killed now, the next one finds the files there.
        self._index.put_files([aside], self._reports.now())
        return aside

    def _rename(self, local: LocalScene, path: str) -> None:
        rename = safe_tree.move_folder if local.is_folder else safe_tree.move
        rename(self._root, local.path, path)

    def make_way(self, path: str, *, ours: LocalScene | None = None) -> safe_tree.Replace:
        """Set aside a file or folder that is at the path of a scene.

        A file that is as in the index is left: the download replaces it when it is complete. Other bytes may be
        a user's work, and a link or folder at the path of a file was never ours.

        Returns:
            The size and time of a file that is left, so that the download replaces no other one.
        """
        entry = tree_listing.look(self._root, path)
        if entry is None:
            return False
        known = ours is not None and (path == ours.path or tree_listing.same(self._root, path, ours.path))
        if ours is None or not (known and not ours.is_folder and self._is_ours(ours.files[0], entry)):
            kept = safe_tree.set_aside(self._root, path)
            self._reports.warn(f"{path}: something else stood in the scene's place; it is now {kept}")
            return False
        return entry.size, entry.mtime_ns

    def _is_ours(self, local: LocalFile, entry: tree_listing.TreeEntry) -> bool:
        try:
            return file_state(self._root, local, entry) is FileState.INTACT
        except (SedasSyncError, OSError):
            # It cannot be read, so it may be a user's.
            return False

    def _remove_replaced(self, old: LocalScene, new: str) -> None:
        """Remove the files that a scene had at its old path."""
        for file in old.files:
            entry = tree_listing.look(self._root, file.path)
            if entry is None or tree_listing.same(self._root, file.path, new):
                continue
            if self._is_ours(file, entry):
                safe_tree.remove(self._root, file.path)
            else:
                self.make_way(file.path)

    def give_up(self, scene_id: SceneId, reason: str) -> None:
        """Report a scene as failed, and record its last error."""
        self._index.put_error(scene_id, reason, self._reports.now())
        self._reports.fail(scene_id, reason)


def _metadata(task: Task) -> str:
    """Return what the index remembers of the scene's metadata, by which rules are judged later.

    All rules use the description of the archive that the manifest lists first.
    """
    want = task.action.wanted
    return metadata_of(task.scene if want is None or len(want.sources) == 1 else want.scene)
