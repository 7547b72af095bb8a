"""The lock file of a manifest: its path, and reading and writing it completely or not at all."""

import os
from pathlib import Path

from sedas_sync.errors import ManifestError
from sedas_sync.files.atomic import writing_whole
from sedas_sync.manifest import Manifest
from sedas_sync.planning.lock import Lock
from sedas_sync.planning.lock_changes import mismatches
from sedas_sync.planning.lock_text import LockDamagedError, lines, loads


def lock_path(manifest: str | os.PathLike[str]) -> Path:
    """Return the path of a manifest's lock file: `<stem>.lock` next to it.

    Raises:
        ManifestError: This is the manifest itself.
    """
    source = Path(manifest)
    path = source.with_suffix(".lock")
    if path == source:
        raise ManifestError(f"{source}: a manifest cannot have the name of its lock file; rename it to .toml")
    return path


def beside(manifest: Manifest, name: str) -> Path:
    """Return the path of a file beside the manifest, as short as the user wrote the manifest's own path."""
    shown = Path(manifest.name).parent / name
    path = Path(manifest.source).parent / name
    return shown if shown.absolute() == path else path


def read_lock(manifest: Manifest) -> Lock | None:
    """Read the lock file of a manifest; None if there is none.

    Raises:
        LockDamagedError: The file is not a lock file.
        ManifestError: It cannot be read, or was written by a newer version of this package.
    """
    path = lock_path(manifest.name)
    try:
        text = lock_path(manifest.source).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise LockDamagedError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    return loads(text, str(path))


def matching_lock_or_warning(manifest: Manifest, warnings: list[str]) -> Lock | None:
    """Return the manifest's lock file if there is one that matches; a lock file that does not match becomes a warning.

    Raises:
        ManifestError: The file is not a lock file, or cannot be read.
    """
    if Path(manifest.source).suffix == ".lock":
        return None
    lock = read_lock(manifest)
    if lock is None or not (found := mismatches(manifest, lock)):
        return lock
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    warnings.append(
        f"{lock_path(manifest.name)}: ignored: it does not match the manifest ({found[0]}{more}); "
        "update it with `sedas-sync lock`"
    )
    return None


def write_lock(manifest: Manifest, lock: Lock) -> None:
    """Write the lock file of a manifest.

    Raises:
        ManifestError: It cannot be written.
    """
    with writing_whole(lock_path(manifest.source)) as file:
        file.writelines(line.encode() for line in lines(lock))
