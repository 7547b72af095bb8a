"""The files in `replaced/`: what was in the place of a scene, and is the user's to look at or to delete."""

import stat as modes
from collections.abc import Iterator
from datetime import datetime

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.safe_tree import REPLACED


def replaced_files(root: str) -> tuple[int, int]:
    """Return how many files there are, and their bytes; none if the folder cannot be read."""
    try:
        sizes = [entry.size for entry in tree_listing.scan(root, REPLACED) if entry.is_file]
    except (OSError, TransferError):
        return 0, 0
    return len(sizes), sum(sizes)


def remove_replaced(root: str, before: datetime) -> Iterator[str]:
    """Delete files, folders and links that were moved there before a time; yield their paths.

    The time of a move is the change time (ctime) of its inode, which a rename sets on Linux and macOS. Whatever else
    sets it, such as a restore from a backup, makes the file stay longer.

    Raises:
        OSError, TransferError: something cannot be read or deleted.
    """
    try:
        names = safe_tree.names(root, REPLACED)
    except FileNotFoundError:
        return
    for name in names:
        path = f"{REPLACED}/{name}"
        found = safe_tree.stat(root, path)
        if found is None or found.st_ctime >= before.timestamp():
            continue
        remove = safe_tree.discard if modes.S_ISDIR(found.st_mode) else safe_tree.drop
        remove(root, path)
        yield path
