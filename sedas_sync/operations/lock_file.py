"""The lock of a manifest on disk: where it is, reading it, and writing it as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING

from sedas_sync.errors import ManifestError

if TYPE_CHECKING:  # where a lock is has to be known faster than its reader can be imported
    from sedas_sync.manifest import Manifest
    from sedas_sync.planning.lock import Lock

_READABLE = 0o666


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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever finds half of it.

    Raises:
        ManifestError: it cannot be written.
    """
    with writing_whole(path) as file:
        file.write(content)


@contextmanager
def writing_whole(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that is at `path` once all went well, and nowhere before.

    Raises:
        ManifestError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    name = None
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            name = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else _READABLE & ~umask())
        Path(name).replace(target)
        name = None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if name is not None:
            with suppress(OSError):
                Path(name).unlink()


def check_output(file: str | os.PathLike[str], manifest: "Manifest") -> None:
    """See to it that what a user has written somewhere is not the manifest, its lock, or a file of the mirror.

    Raises:
        ManifestError: it is.
    """
    from sedas_sync.errors import SedasSyncError  # noqa: PLC0415
    from sedas_sync.files.safe_tree import STATE  # noqa: PLC0415
    from sedas_sync.model.assets import paths_on_disk  # noqa: PLC0415  # see above
    from sedas_sync.state.index import Index  # noqa: PLC0415

    target, source = Path(os.path.realpath(file)), Path(manifest.source)
    root = Path(os.path.realpath(source.parent / manifest.mirror.path))
    known = {Path(os.path.realpath(name)) for name in (source, source.with_suffix(".lock"))}
    if root in target.parents and target.exists():
        with suppress(SedasSyncError), Index(root, write=False) as index:
            known |= {root / path for held in index.holdings() for path in paths_on_disk(held)}
    if target in known or root / STATE in (target, *target.parents):
        raise ManifestError(
            f"{file}: is a file of the mirror, its manifest or its lock, and is left as it is; name another file"
        )


def umask() -> int:
    """The bits that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
