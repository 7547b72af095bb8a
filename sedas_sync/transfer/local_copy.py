"""Getting a scene from a folder of this machine: linked or copied, proved like any other, then renamed.

What is in the source folder is walked to one component at a time and opened without following links, so that nothing
is ever taken from outside it, whoever changes what meanwhile. A file that was linked is not written to by anybody
here; one that was copied is flushed before it has its final name, and gone on with where a run was ended.
"""

import errno
import os
import stat as modes
from contextlib import suppress
from typing import TYPE_CHECKING

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import FileCheck, Proof, algorithm
from sedas_sync.model.scene import LocalSource, Taking
from sedas_sync.transfer.partial import Note, identity, note_name, read_note, write_note
from sedas_sync.transfer.shared_state import SharedState

if TYPE_CHECKING:
    from sedas_sync.transfer.job import FetchJob

_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TARGET = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ONWARDS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409
"""Share the blocks of another file (linux/fs.h)."""
_STEP = 8 << 20
_CANNOT = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EMLINK, errno.EACCES}
)
"""What a file system answers that cannot link or clone here."""


def bring(job: "FetchJob", source: LocalSource, live: SharedState) -> tuple[FileCheck, os.stat_result, int, int]:
    """Bring a file of this machine into the mirror.

    Returns:
        What was proved, its stat, how many bytes were copied, and how many were here from an earlier run.

    Raises:
        TransferError: it cannot be read, or not be had in the way that was asked for.
        IntegrityError: it is not the scene.
        InterruptedError: `live.stop` was set; what was copied is kept.
        OSError: the mirror cannot take it; what was copied is kept.
    """
    resumed, keep = 0, False
    with safe_tree.parent(job.root, job.partial, create=True) as (here, part):
        try:
            copied, resumed = _take(job, source, live, here, part)
            file = os.open(part, _SOURCE, dir_fd=here)
            try:
                checked = _proved(job, file, live)
                if os.fstat(file).st_nlink == 1:
                    os.fsync(file)
            finally:
                os.close(file)
            with safe_tree.parent(job.root, job.path, create=True) as (there, name):
                found = safe_tree.place_at(here, part, there, name, replace=job.replace)
        except FileExistsError as error:
            raise errors.TransferError(f"{job.path}: something has taken the scene's place meanwhile") from error
        except errors.IntegrityError:
            if not resumed:
                raise
        except OSError:
            # Only with a note beside it a part can be gone on with.
            keep = safe_tree.exists(here, note_name(part))
            raise
        else:
            live.flush_folder(job.root, job.path)
            return checked, found, copied, resumed
        finally:
            if not keep:
                _drop(here, part)
    # What an earlier run had copied is no part of it: a power cut may have kept the length and lost the bytes.
    return bring(job, source, live)


def _drop(here: int, part: str) -> None:
    for name in (part, note_name(part)):
        with suppress(OSError):
            os.unlink(name, dir_fd=here)


def _take(job: "FetchJob", source: LocalSource, live: SharedState, here: int, part: str) -> tuple[int, int]:
    """Make the part a link, a clone or a copy; returns how many bytes were copied, and how many were here."""
    try:
        with safe_tree.parent(source.root, source.path) as (there, name):
            file = os.open(name, _SOURCE, dir_fd=there)
            try:
                if not modes.S_ISREG(os.fstat(file).st_mode):
                    raise errors.TransferError(f"{source.path}: is no regular file")
                return _link_clone_or_copy(job, source.how, live, (there, name, file), (here, part))
            finally:
                os.close(file)
    except FileNotFoundError:
        raise errors.TransferError(f"{source.path}: is not in {source.root} any more") from None
    except errors.TransferError as error:
        if "symbolic link" in str(error):
            raise errors.TransferError(f"{source.path}: a folder on the way is a symbolic link") from None
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise errors.TransferError(f"{source.path}: is a symbolic link; it is not followed") from None
        raise


def _link_clone_or_copy(
    job: "FetchJob", how: Taking, live: SharedState, source: tuple[int, str, int], target: tuple[int, str]
) -> tuple[int, int]:
    there, name, file = source
    here, part = target
    # A clone is as cheap as a link, and a change to one file is no change to the other.
    ways = {"auto": ("reflink", "hard", "copy")}.get(how, (how,))
    note = _note(job, os.fstat(file))
    done = _begun(here, part, note) if note is not None and "copy" in ways else 0
    if done:
        return _copy(job, live, file, here, part, done=done)
    _drop(here, part)
    for way in ways:
        try:
            if way == "hard":
                os.link(name, part, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
                _the_same(file, here, part)
                return 0, 0
            if way == "reflink":
                _clone(file, here, part)
                return 0, 0
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            if way == ways[-1]:
                raise errors.TransferError(
                    f"{name}: link = {how!r} is not possible from there to here: {os.strerror(error.errno)}"
                ) from error
            continue
        if note is not None:
            write_note(here, part, note)
        return _copy(job, live, file, here, part)
    raise AssertionError(how)


def _the_same(file: int, here: int, part: str) -> None:
    """See to it that the file that was linked is the one that was opened."""
    linked, opened = os.stat(part, dir_fd=here, follow_symlinks=False), os.fstat(file)
    if (linked.st_dev, linked.st_ino) != (opened.st_dev, opened.st_ino):
        raise errors.TransferError("the file was replaced while it was being linked")


def _clone(file: int, here: int, part: str) -> None:
    import fcntl  # noqa: PLC0415  # there is none on Windows, where nothing is cloned

    target = os.open(part, _TARGET, 0o666, dir_fd=here)
    try:
        fcntl.ioctl(target, _FICLONE, file)
    except OSError:
        os.unlink(part, dir_fd=here)
        raise
    finally:
        os.close(target)


def _note(job: "FetchJob", source: os.stat_result) -> Note | None:
    """Of which file the bytes of a copy are; None where going on with them is not worth it, or could not be proved."""
    policy, download = job.policy, job.download
    proved = (
        job.sha256 is not None
        or (policy.filehash == "enforce" and algorithm(download.digest) is not None)
        or (policy.integrity == "crc" and _is_zip(job))
    )
    if not proved or source.st_size <= _STEP:
        return None
    return Note(
        identity=identity(job.id, download.url),
        total=source.st_size,
        etag=f"{source.st_dev}-{source.st_ino}-{source.st_mtime_ns}",
        modified=None,
        digest=download.digest,
        validator=None,
    )


def _begun(here: int, part: str, note: Note) -> int:
    """How many bytes of a file an earlier run has copied."""
    try:
        found = os.stat(part, dir_fd=here, follow_symlinks=False)
    except OSError:
        return 0
    if not modes.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > (note.total or 0):
        return 0
    return found.st_size if read_note(here, part) == note else 0


def _copy(job: "FetchJob", live: SharedState, file: int, here: int, part: str, *, done: int = 0) -> tuple[int, int]:
    size, began = os.fstat(file).st_size, done
    target = os.open(part, _ONWARDS if done else _TARGET, 0o666, dir_fd=here)
    try:
        os.lseek(target, done, os.SEEK_SET)
        while True:
            if live.stop.is_set():
                raise InterruptedError
            step = live.reading(_STEP)
            sent = os.sendfile(target, file, done, step)
            if not sent:
                return done - began, began
            done += sent
            live.pay(sent)
            if live.on_bytes is not None:
                live.on_bytes(job.id, done, size)
    finally:
        os.close(target)


def _is_zip(job: "FetchJob") -> bool:
    return job.path.lower().endswith(".zip")


def _proved(job: "FetchJob", file: int, live: SharedState) -> FileCheck:
    proof = Proof(
        level=job.policy.integrity,
        size=job.download.size,
        digest=job.download.digest,
        filehash=job.policy.filehash,
        sha256=job.sha256,
        zipped=_is_zip(job),
        stopped=live.stop.is_set,
    )
    proof.catch_up(file, os.fstat(file).st_size)
    checked = proof.finish(file)
    if checked.problems:
        raise errors.IntegrityError(f"what is there is not the scene: {'; '.join(checked.problems)}")
    return checked
