"""Write files outside a mirror atomically: readers see the old content or the new one."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from sedas_sync.errors import ManifestError, SedasSyncError

_MODE = 0o666
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors of the file system: nothing on the command line is wrong."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        ManifestError: It cannot be written there.
        SedasSyncError: The file system is full or fails.
    """
    with writing_whole(path) as file:
        file.write(content)


@contextmanager
def writing_whole(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write; it gets the name `path` at the end of the `with` block, unless an error is raised.

    A link at `path` stays, and its target is replaced.

    Raises:
        ManifestError: It cannot be written there.
        SedasSyncError: The file system is full or fails.
    """
    target = Path(os.path.realpath(path))
    name = None
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            name = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else _MODE & ~umask())
        Path(name).replace(target)
        name = None
    except OSError as error:
        kind = SedasSyncError if error.errno in _NO_SPACE else ManifestError
        raise kind(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if name is not None:
            with suppress(OSError):
                Path(name).unlink()


def umask() -> int:
    """Return the permission bits that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
