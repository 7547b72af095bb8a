"""The state of a mirror: its index, its owner and its lock."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from sedas_sync.errors import ManifestError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.paths import user_path
from sedas_sync.files.safe_tree import STATE
from sedas_sync.manifest import Manifest
from sedas_sync.model.arguments import Seconds
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.state.connection import INDEX, LOCK, ORDERS, SQLITE_SUFFIXES
from sedas_sync.state.database import IndexDamagedError, cannot_write
from sedas_sync.state.index import Index, WritableIndex
from sedas_sync.state.owner import absolute_path, is_owner, path_from_mirror, resolved_path_from_mirror
from sedas_sync.state.process_lock import lock
from sedas_sync.state.recovery import replace_index

_WRITTEN = (
    *("", "partial", "replaced", "workers", "spare"),
    *(INDEX, *(INDEX + end for end in SQLITE_SUFFIXES), LOCK, ORDERS),
)
"""Names in the state folder that a run writes to; the empty one is the folder itself."""


def _to_be_rebuilt(error: IndexDamagedError) -> str:
    return f"{error}; apply rebuilds it from the folder, and downloads nothing again"


class MirrorState:
    """The folder of one manifest's scenes.

    Args:
        manifest: Names the folder, and owns it.
        clock: Returns the current time, UTC.

    Raises:
        ManifestError: The mirror's path is a file.
    """

    def __init__(self, manifest: Manifest, clock: Callable[[], datetime]) -> None:
        self.on_step: OnStep = ignore_step
        self.on_lost: Callable[[], None] = lambda: None
        """Called, from another thread, if another process took the mirror's lock while this process stood still."""
        self.manifest = manifest
        self._source = Path(manifest.source)
        self.root = Path(os.path.realpath(user_path(self._source.parent, manifest.mirror.path)))
        if self.root.exists() and not self.root.is_dir():
            raise ManifestError(f"{self.root}: the mirror has to be a folder, and this is a file")
        self._clock = clock
        self._locked_by: tuple[int, int] | None = None
        """The process and the thread that hold the lock through this object."""
        self._checked = False
        self._rebuilt: list[str] = []
        self.outdated_warnings: set[str] = set()
        """Warnings of commands that only read about an index that has been rebuilt since."""

    @overload
    def index(self, *, write: Literal[True]) -> AbstractContextManager[WritableIndex]: ...
    @overload
    def index(self, *, write: Literal[False]) -> AbstractContextManager[Index]: ...
    @contextmanager
    def index(self, *, write: bool) -> Iterator[Any]:  # the overloads say which index
        """Open the index; its `warnings` may grow while it is open.

        A damaged or outdated index is replaced if the mirror is locked; then the folder fills the new one. Without the
        lock it is read as empty. Orders are never lost: they are in a journal.
        """
        try:
            index = self._open(write=write)
        except IndexDamagedError as error:
            index = self._instead(error, write=write)
        if write:
            # The reader that found the damage may not be the one that reports it.
            index.warnings[:0], self._rebuilt = self._rebuilt, []
        with index:
            try:
                yield index
            except IndexDamagedError:
                self._checked = False
                raise

    def _open(self, *, write: bool) -> Index:
        index = WritableIndex(self.root) if write else Index(self.root, check=not self._checked)
        self._checked = True
        return index

    def _instead(self, error: IndexDamagedError, *, write: bool) -> Index:
        """Open a new index in place of a damaged one."""
        if not write and not self.is_locked:
            index = Index(self.root, damaged=True)
            index.warnings.insert(0, _to_be_rebuilt(error))
            return index
        self.outdated_warnings.add(_to_be_rebuilt(error))
        warning = f"{error}; it was renamed to {replace_index(self.root)} and is rebuilt from the folder"
        self._rebuilt.append(warning)
        index = self._open(write=write)
        if not write:
            index.warnings.append(warning)
        return index

    def check_owner(self, index: Index, *, take_over: bool = False) -> None:
        """Check that the mirror belongs to this manifest, or to none.

        Raises:
            ManifestError: It belongs to another manifest and is not taken over.
        """
        owner, absolute = index.owner(), index.absolute_owner()
        if owner is None or take_over or any(self._is_mine(path) for path in (owner, absolute)):
            return
        first = Path(os.path.normpath(self.root / owner))
        if absolute is not None and not first.exists():
            # The mirror was moved: only the absolute path names a file that there was.
            first = Path(absolute)
        gone = "" if first.exists() else " (which no longer exists)"
        raise ManifestError(
            f"{self.root}: this mirror belongs to another manifest, {first}{gone}; "
            "set another folder in [mirror] path, or take this one over with `apply --take-over`"
        )

    def own(self, index: WritableIndex) -> None:
        """Record that the mirror belongs to this manifest.

        Recorded paths that lead to this manifest stay, unless the present one has links on it: their targets change,
        and only the path itself identifies the manifest then.
        """
        manifest, root = str(self._source), str(self.root)
        path = path_from_mirror(manifest, root)
        has_links = path != resolved_path_from_mirror(manifest, root)
        if has_links or not (self._is_mine(index.owner()) and self._is_mine(index.absolute_owner())):
            index.set_owner(path, absolute_path(manifest))

    def _is_mine(self, recorded: str | None) -> bool:
        return is_owner(recorded, str(self._source), str(self.root))

    @property
    def is_locked(self) -> bool:
        """Whether this thread holds the lock: another one, and a child after a fork, must not work beside it."""
        return self._locked_by == _this_thread()

    @contextmanager
    def locked(self, *, timeout: Seconds = 0.0) -> Iterator[None]:
        """Hold the mirror's process lock; creates the mirror if needed.

        Args:
            timeout: Seconds to wait for another process.

        Raises:
            MirrorLocked: Another process is at work in this mirror.
            ManifestError: The folder cannot be created or written.
        """
        if self.is_locked:
            yield
            return
        created = [folder for folder in (self.root / STATE, self.root) if not folder.exists()]
        self._prepare_folders()
        with lock(
            self.root,
            timeout=timeout,
            before_release=partial(self._remove_unused, created),
            now=self._clock(),
            prepare=self._prepare_folders,
            on_wait=lambda: self.on_step(Step("waiting for the mirror")),
            on_lost=self.on_lost,
        ):
            self._locked_by = _this_thread()
            try:
                yield
            finally:
                self._locked_by = None

    def _prepare_folders(self) -> None:
        root = str(self.root)
        try:
            for name in _WRITTEN:
                found = safe_tree.stat(root, f"{STATE}/{name}" if name else STATE)
                if found is not None and stat.S_ISLNK(found.st_mode):
                    raise ManifestError(
                        f"{self.root / STATE / name}: is a symbolic link, so it is not used; "
                        "move it away and run the command again"
                    )
            for name in ("partial", "replaced"):
                safe_tree.prepare(root, f"{STATE}/{name}/-")
        except TransferError as error:
            raise ManifestError(f"{self.root}: {error}; move it away and run the command again") from None
        except OSError as error:
            raise cannot_write(self.root, error) from None

    def _remove_unused(self, created: list[Path]) -> None:
        """Remove the folders that this process has created, if they were not used; the lock is held.

        Args:
            created: None, the state folder, or that and the mirror's folder.
        """
        root = str(self.root)
        if not created:
            return
        with suppress(OSError, TransferError):
            if safe_tree.names(root, STATE) != [LOCK, "partial", "replaced"]:
                return
            for name in ("partial", "replaced"):
                safe_tree.drop_folder(root, f"{STATE}/{name}")
            safe_tree.remove(root, f"{STATE}/{LOCK}")
            if self.root in created:
                safe_tree.drop_folder(str(self.root.parent), self.root.name)

    @contextmanager
    def locked_if_there(self, *, timeout: Seconds = 0.0) -> Iterator[None]:
        """Hold the mirror's process lock if there is a mirror; creates nothing.

        Args:
            timeout: Seconds to wait for another process.

        Raises:
            MirrorLocked: Another process is at work in this mirror.
        """
        if (self.root / STATE).is_dir():
            with self.locked(timeout=timeout):
                yield
        else:
            yield


def _this_thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()
