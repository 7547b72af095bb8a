"""A mirror's folder as the place of its state: its index, who owns it, and its lock."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from sedas_sync.errors import ManifestError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.state import memory
from sedas_sync.state.database import IndexDamagedError, cannot_write
from sedas_sync.state.index import Index
from sedas_sync.state.memory import BESIDE, INDEX, LOCK, NOTE
from sedas_sync.state.process_lock import lock
from sedas_sync.state.recovery import RecoveredOrders, rescue

_OURS = ("", "partial", "replaced", "workers", INDEX, *(INDEX + end for end in BESIDE), LOCK, NOTE)
"""What a run writes to in the state folder, and the folder itself."""

WILL_REBUILD = "; apply rebuilds it from the folder, without fetching what is here"
"""The end of the sentence about a damaged index that is only looked at."""


class MirrorState:
    """The folder of one manifest's scenes.

    Args:
        manifest: says where it is, and owns it.
        clock: gives the present instant, UTC.

    Raises:
        ManifestError: what is there is no folder.
    """

    def __init__(self, manifest: Manifest, clock: Callable[[], datetime]) -> None:
        self.on_step: OnStep = ignore_step
        self.on_lost: Callable[[], None] = lambda: None
        """Told, from another thread, that another process took the mirror's lock while this one stood still."""
        self._source = Path(manifest.source)
        self.root = Path(os.path.realpath(self._source.parent / manifest.mirror.path))
        if self.root.exists() and not self.root.is_dir():
            raise ManifestError(f"{self.root}: the mirror has to be a folder, and this is a file")
        self._clock = clock
        self._locked = False
        self._rebuilt: list[str] = []

    @contextmanager
    def index(self, *, write: bool) -> Iterator[tuple[Index, list[str]]]:
        """Open the index, and give it with what is said of it; more may be said while it is open.

        A damaged one is put aside and begun anew where it is written or the mirror is locked, with the orders that
        can still be read of it; else it is taken as empty, but for its orders. That holds whenever it is found out.
        """
        try:
            index = Index(self.root, write=write)
        except IndexDamagedError as error:
            index = Index(self.root / STATE / "none", write=False)
            said = index.said
            rescued = self._put_aside(error, said, write=write)
            if write or self._locked:
                index = Index(self.root, write=write)
                index.said = said
            index.write = write
            index.begin_anew(rescued)
        else:
            if write:
                index.said[:0], self._rebuilt = self._rebuilt, []
            index.on_damage = lambda index, error: self._put_aside(error, index.said, write=index.write)
        with index:
            yield index, index.said

    def _put_aside(self, error: IndexDamagedError, said: list[str], *, write: bool) -> RecoveredOrders:
        rescued = rescue(self.root)
        if not write and not self._locked:
            said.append(f"{error}{WILL_REBUILD}")
            return rescued
        kept = _put_aside(str(self.root))
        said.append(f"{error}; it was put aside as {kept} and is rebuilt from the folder{_orders_said(rescued)}")
        if not write:
            # Whoever reads may not be who tells of it.
            self._rebuilt.append(said[-1])
            with Index(self.root, write=True) as anew:
                anew.begin_anew(rescued)
        return rescued

    def check_owner(self, index: Index, *, take_over: bool = False) -> None:
        """See to it that the mirror belongs to this manifest.

        Raises:
            ManifestError: it belongs to another one, and is not taken over.
        """
        owner = index.owner()
        if owner is None or take_over or memory.belongs(owner, str(self._source), str(self.root)):
            return
        first = Path(os.path.normpath(self.root / str(owner)))
        gone = "" if first.exists() else " (which is not there any more)"
        raise ManifestError(
            f"{self.root}: this mirror belongs to another manifest, {first}{gone}; "
            "give this manifest a folder of its own ([mirror] path), or take it over with `apply --take-over`"
        )

    def own(self, index: Index) -> None:
        """Remember that the mirror belongs to this manifest, by the path that leads to it.

        A path that was remembered and leads here stays, unless this one has links on it: what they lead to changes,
        and the next run finds the manifest by the path alone.
        """
        manifest, root = str(self._source), str(self.root)
        name = memory.named(manifest, root)
        if name != memory.resolved(manifest, root) or not memory.belongs(index.owner(), manifest, root):
            index.set_owner(name)

    @contextmanager
    def locked(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's lock, creating the mirror where there is none.

        Args:
            timeout: how long to wait for another process, seconds.

        Raises:
            MirrorLocked: another process is at work in this mirror.
            ManifestError: the folder cannot be made or written.
        """
        if self._locked:
            yield
            return
        root = str(self.root)
        try:
            for name in _OURS:
                found = safe_tree.stat(root, f"{STATE}/{name}" if name else STATE)
                if found is not None and stat.S_ISLNK(found.st_mode):
                    raise ManifestError(
                        f"{self.root / STATE / name}: is a symbolic link; nothing is written through it: "
                        "take it away and run the command again"
                    )
            for name in ("partial", "replaced"):
                safe_tree.prepare(root, f"{STATE}/{name}/-")
        except TransferError as error:
            raise ManifestError(f"{self.root}: {error}; take it away and run the command again") from None
        except OSError as error:
            raise cannot_write(self.root, error) from None
        with lock(
            self.root,
            timeout=timeout,
            now=self._clock(),
            on_wait=lambda: self.on_step(Step("waiting for the mirror")),
            on_lost=self.on_lost,
        ):
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    @contextmanager
    def locked_if_there(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's lock where there is a mirror; where there is none, make none.

        Raises:
            MirrorLocked: another process is at work in this mirror.
        """
        if (self.root / STATE).is_dir():
            with self.locked(timeout=timeout):
                yield
        else:
            yield


def _orders_said(rescued: RecoveredOrders) -> str:
    if not rescued.whole:
        lost = "; its orders cannot all be read: scenes that are still ordered may be ordered again"
        return f"{lost} ({len(rescued.orders)} were read)" if rescued.orders else lost
    return f", with the {len(rescued.orders)} orders that it had" if rescued.orders else ""


def _put_aside(root: str) -> str:
    number = 1
    while safe_tree.stat(root, f"{STATE}/{(kept := f'{INDEX}.damaged-{number}')}") is not None:
        number += 1
    for suffix in ("", *BESIDE):
        with suppress(FileNotFoundError):
            safe_tree.move(root, f"{STATE}/{INDEX}{suffix}", f"{STATE}/{kept}{suffix}")
    return kept
