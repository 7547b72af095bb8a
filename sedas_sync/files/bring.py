"""Link or copy a file from outside into a mirror."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE

_SLICE = 1 << 19


def bring(
    source: str, root: str, path: str, *, sha256: str | None, copy: bool, stopped: Callable[[], bool] = lambda: False
) -> os.stat_result:
    """Bring a file of another folder into the mirror, never over another; return its status there.

    Args:
        source: The file.
        root: The mirror's folder.
        path: Its place in the mirror, relative to `root`.
        sha256: Its checksum, if it is known; a copy must have it.
        copy: Do not try a hard link first.
        stopped: Asked now and then whether to stop.

    Raises:
        FileExistsError: `path` exists.
        TransferError: The file was changed after it was checked.
        OSError: The file cannot be linked, read or written; `InterruptedError` if `stopped` returned true.
    """
    if not copy:
        with safe_tree.parent(root, path, create=True) as (there, name):
            try:
                os.link(source, name, dst_dir_fd=there, follow_symlinks=False)
                return os.stat(name, dir_fd=there, follow_symlinks=False)
            except FileExistsError:
                raise
            except OSError:
                # Another file system, one without hard links, or a file that may not be linked.
                pass
    part = f"{STATE}/partial/{hashlib.sha256(path.encode()).hexdigest()[:32]}.adopting"
    with safe_tree.parent(root, part, create=True) as (here, name), open(source, "rb") as file:  # noqa: PTH123  # strings
        target = safe_tree.create(here, name)
        try:
            with os.fdopen(target, "wb") as out:
                copied = copy_and_hash(file, out, stopped)
                times = os.fstat(file.fileno())
                os.utime(out.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
            if sha256 in (None, copied):
                return safe_tree.place(root, part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=here)
    raise TransferError(f"{source} was changed while it was copied")


def copy_and_hash(file: IO[bytes], out: IO[bytes], stopped: Callable[[], bool]) -> str:
    """Copy a file and flush it to the disk; return the sha256 of the copied bytes.

    Raises:
        InterruptedError: `stopped` returned true.
        OSError: The file cannot be read or written.
    """
    digest = hashlib.sha256()
    while piece := file.read(_SLICE):
        if stopped():
            raise InterruptedError
        digest.update(piece)
        out.write(piece)
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest()
