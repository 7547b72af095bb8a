"""Folders below a mirror's root that stay open between the files of many downloads."""

import os
import threading
import time
from collections.abc import Callable

from sedas_sync.files import safe_tree

KEEP_OPEN = 1.0
"""Seconds that a folder stays open for the next file before it is looked up again."""

_MAX_OPEN = 16


class OpenFolder:
    """An open folder and the number of its users; see `FolderCache.borrow`."""

    __slots__ = ("cached", "file", "since", "users")

    def __init__(self, file: int, since: float) -> None:
        self.file = file
        """Its descriptor, valid until the folder is given back."""
        self.since = since
        self.users = 1
        self.cached = True
        """Whether the next borrower gets this folder."""


class FolderCache:
    """Opens folders below roots and keeps them open for a while; for all threads.

    An open folder is the one that was found, whatever is renamed or put in its place: a link that comes later is not
    followed. After `KEEP_OPEN` seconds a folder is looked up again, so that one that was moved away is not filled.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cached: dict[tuple[str, str], OpenFolder] = {}
        self._mutex = threading.Lock()

    def borrow(self, root: str, relative: str, *, again: bool = False) -> tuple[OpenFolder, str]:
        """Open the folder of `relative`, and create it if it is missing; return it and the last name.

        Every borrowed folder must be given back.

        Args:
            root: The mirror's folder.
            relative: A path below it.
            again: Look it up, because the cached folder turned out to be deleted.

        Raises:
            TransferError: A component is a symbolic link or not a folder; the message names it.
        """
        *above, name = safe_tree.parts(relative)
        key = (root, "/".join(above))
        now = self._clock()
        with self._mutex:
            cached = self._cached.get(key)
            if cached is not None and not again and now - cached.since < KEEP_OPEN:
                cached.users += 1
                return cached, name
        opened = OpenFolder(safe_tree.open_folder(root, above, create=True), now)
        with self._mutex:
            self._forget(key)
            while len(self._cached) >= _MAX_OPEN:
                self._forget(next(iter(self._cached)))
            self._cached[key] = opened
        return opened, name

    def give_back(self, folder: OpenFolder) -> None:
        """Return a folder; it is closed when it is neither used nor cached."""
        with self._mutex:
            folder.users -= 1
            unused = not folder.users and not folder.cached
        if unused:
            os.close(folder.file)

    def close(self) -> None:
        """Close all unused folders; the others are closed when they are given back."""
        with self._mutex:
            for key in list(self._cached):
                self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        folder = self._cached.pop(key, None)
        if folder is not None:
            folder.cached = False
            if not folder.users:
                os.close(folder.file)
