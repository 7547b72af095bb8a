"""Move or bring checked files to their places in the mirror."""

from collections.abc import Callable
from contextlib import suppress
from stat import S_ISDIR

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.bring import bring
from sedas_sync.model.files import below, with_files
from sedas_sync.model.local import LocalScene
from sedas_sync.model.results import How
from sedas_sync.state.staging import folder_place


class Placer(Struct, frozen=True, kw_only=True):
    """Puts scenes in their places.

    Args:
        root: The mirror's folder.
        source: The folder with the files; None for the mirror itself.
        how: How a file of another folder gets into the mirror. On another file system a hard link becomes a copy.
        stopped: Asked now and then whether to stop.
    """

    root: str
    source: str | None
    how: How
    stopped: Callable[[], bool]

    def is_free(self, path: str, place: str) -> bool:
        """Return whether a scene at `path` can be put at `place`: nothing is there, or an empty folder."""
        if self.source is None and (path == place or path.startswith(f"{place}/")):
            return True
        there = safe_tree.stat(self.root, place)
        return there is None or (S_ISDIR(there.st_mode) and not safe_tree.names(self.root, place))

    def put(self, path: str, found: LocalScene) -> LocalScene:
        """Move, link or copy a scene from `path` to its place; return it with its times there.

        Raises:
            FileExistsError: Something else is at its place.
            InterruptedError: The run stops.
            OSError, SedasSyncError: It cannot be moved, linked or copied, or was changed in the meantime.
        """
        if self.source is None and path == found.path:
            return found
        with suppress(OSError, TransferError):
            # An empty folder, as a kill or another program leaves it.
            safe_tree.drop_folder(self.root, found.path)
        if self.source is not None:
            self._bring(path, found)
        else:
            self._move(path, found)
        files = []
        for file in found.files:
            there = safe_tree.stat(self.root, file.path)
            if there is None or there.st_size != file.size:
                raise TransferError(f"{below(path, file.name)} was changed while it was adopted")
            files.append(replace(file, mtime_ns=there.st_mtime_ns))
        safe_tree.sync(self.root, found.path)
        return with_files(found, files)

    def _move(self, path: str, found: LocalScene) -> None:
        """Move a scene within the mirror. What else is in its folder moves along."""
        if not found.is_folder:
            safe_tree.move(self.root, path, found.path)
            return
        if not path.startswith(f"{found.path}/"):
            safe_tree.move_folder(self.root, path, found.path)
            return
        # The folder is in another one of its own name, as some programs unpack zips. If this is killed, the name in
        # between has the scene's id, so that the folder is found again.
        beside = f"{found.path}.adopted"
        safe_tree.move_folder(self.root, path, beside)
        try:
            safe_tree.move_folder(self.root, beside, found.path)
        except OSError:
            safe_tree.move_folder(self.root, beside, path)
            raise

    def _bring(self, path: str, found: LocalScene) -> None:
        """Bring a scene from another folder. A folder appears complete or not at all."""
        gathered = f"{folder_place(found.id)}/adopted" if found.is_folder else found.path
        if found.is_folder:
            safe_tree.discard(self.root, gathered)
            if safe_tree.stat(self.root, found.path) is not None:
                raise FileExistsError(found.path)
        try:
            for file in found.files:
                bring(
                    f"{self.source}/{below(path, file.name)}",
                    self.root,
                    below(gathered, file.name),
                    sha256=file.sha256,
                    copy=self.how == "copy",
                    stopped=self.stopped,
                )
        except BaseException:
            # On a full disk its room is needed.
            with suppress(OSError, TransferError):
                safe_tree.discard(self.root, folder_place(found.id))
            raise
        if found.is_folder:
            safe_tree.sync(self.root, f"{gathered}/-")
            safe_tree.move_folder(self.root, gathered, found.path)

    @property
    def moves(self) -> bool:
        """Whether files of another folder are removed there."""
        return self.source is not None and self.how == "move"

    def remove_moved(self, path: str, found: LocalScene) -> str | None:
        """Remove the files of another folder that were moved; return a warning if one cannot be removed."""
        if self.source is None:
            return None
        # Only the folders of a scene go with it.
        remove = safe_tree.remove if found.is_folder else safe_tree.drop
        for file in found.files:
            try:
                with suppress(FileNotFoundError):
                    remove(self.source, below(path, file.name))
            except (OSError, TransferError) as error:
                return f"{path}: was adopted, but could not be removed from the other folder: {error}"
        return None
