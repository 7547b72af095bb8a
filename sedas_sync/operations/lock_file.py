"""The lock file of a manifest: its path, how it is read and written, and which scenes have to be on disk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sedas_sync.errors import ManifestError
from sedas_sync.files.atomic import writing_whole
from sedas_sync.manifest import Manifest
from sedas_sync.model.scene import SceneId
from sedas_sync.planning.lock import Lock
from sedas_sync.planning.lock_changes import mismatches
from sedas_sync.planning.lock_text import LockDamagedError, lines, loads
from sedas_sync.state.history import departed
from sedas_sync.state.index import Index


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


def wanted_scenes(manifest: Manifest, index: Index, lock: Lock | None) -> Mapping[str, Sequence[SceneId]]:
    """Return the scenes that have to be on disk, by the dataset: what `status`, `verify` and `report` compare with.

    - If the last apply was a locked one, or there was none: the scenes of the lock file.
    - After any other apply: those that it wanted, and those that were locked since. A scene of the lock file that a
      search found to match no longer is not one of them.
    - Without a lock file that matches the manifest: those that the last apply wanted.

    `export` and `recheck` are about what was applied, and read the index alone. For checksums `verify` uses all of the
    lock file but what was downloaded again: a scene that need not be there has to be right if it is.

    Args:
        manifest: Scenes of other datasets are left out.
        index: Open for reading.
        lock: The lock file, if it matches the manifest.

    Returns:
        The scenes. A dataset of which nothing is known is left out.
    """
    locked = {} if lock is None else lock.by_dataset(manifest.datasets)
    if lock is not None and index.lock_decides:
        return locked
    applied, gone = index.wanted(), departed(index)
    return {
        name: tuple(dict.fromkeys((*(i for i in locked.get(name, ()) if i not in gone), *applied.get(name, ()))))
        for name in manifest.datasets
        if name in locked or name in applied
    }


def write_lock(manifest: Manifest, lock: Lock) -> None:
    """Write the lock file of a manifest.

    Raises:
        ManifestError: It cannot be written.
    """
    with writing_whole(lock_path(manifest.source)) as file:
        file.writelines(line.encode() for line in lines(lock))
