"""The lock of a manifest on disk: where it is, reading it, and writing it as a whole or not at all."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sedas_sync.errors import ManifestError
from sedas_sync.files.atomic import writing_whole

if TYPE_CHECKING:  # where a lock is has to be known faster than its reader can be imported
    from sedas_sync.manifest import Manifest
    from sedas_sync.planning.lock import Lock


def lock_path(manifest: str | os.PathLike[str]) -> Path:
    """Where the lock of a manifest is: `<stem>.lock` beside it.

    Raises:
        ManifestError: that is the manifest itself.
    """
    source = Path(manifest)
    path = source.with_suffix(".lock")
    if path == source:
        raise ManifestError(f"{source}: a manifest cannot be called so, since its lock would be; call it .toml")
    return path


def read_lock(manifest: "Manifest") -> "Lock | None":
    """Read the lock of a manifest; None where it has none.

    Raises:
        LockDamagedError: the file is no lock.
        ManifestError: it cannot be read, or is of a newer version of this package.
    """
    from sedas_sync.planning.lock import LockDamagedError, loads  # noqa: PLC0415  # see above

    path = lock_path(manifest.source)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise LockDamagedError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    return loads(text, str(path))


def write_lock(manifest: "Manifest", lock: "Lock") -> None:
    """Write the lock of a manifest.

    Raises:
        ManifestError: it cannot be written.
    """
    from sedas_sync.planning.lock import lines  # noqa: PLC0415  # see above

    with writing_whole(lock_path(manifest.source)) as file:
        file.writelines(line.encode() for line in lines(lock))
