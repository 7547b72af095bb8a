"""A file of this machine as a scene: linked, cloned or copied, then proved and renamed as a download is.

The path below the source folder is opened one component at a time without following links, so that nothing outside the
folder is ever taken, whatever is changed meanwhile. A linked file is never written to. A copy is flushed before it gets
its final name, and is resumed if a run ended during it.
"""

import errno
import fcntl
import os
import stat as modes
from contextlib import suppress

from msgspec.structs import replace

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import FileCheck, Proof, algorithm
from sedas_sync.model.file_kind import ZIP, ZIP_BYTES, ending_of, with_ending
from sedas_sync.model.scene import LocalSource, Taking
from sedas_sync.transfer.job import FetchJob
from sedas_sync.transfer.partial import Note, identity, note_name, read_note, write_note
from sedas_sync.transfer.shared_state import SharedState

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RESUME = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409
"""The ioctl that shares the blocks of another file (linux/fs.h)."""
_STEP, _READ_STEP = 8 << 20, 1 << 20
"""Bytes that the kernel copies at once, and that this process does if the kernel cannot."""
_UNSUPPORTED = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EMLINK}
    | {errno.EACCES, errno.ENOTSOCK}
)
"""Errors of a file system or a kernel that cannot link, clone or copy here."""


def copy(job: FetchJob, source: LocalSource, shared: SharedState) -> tuple[FileCheck, os.stat_result, int, int]:
    """Link, clone or copy a file of this machine into the mirror.

    Returns:
        The proof, the file's stat, the number of bytes that were copied, and of those from an earlier run.

    Raises:
        TransferError: The file cannot be read, or not in the requested way.
        IntegrityError: It is not the scene.
        InterruptedError: `shared.stop` was set; the copied bytes are kept.
        OSError: The mirror cannot store it; the copied bytes are kept.
    """
    resumed, keep = 0, False
    with safe_tree.parent(job.root, job.partial, create=True) as (folder, partial):
        try:
            copied, resumed = _take(job, source, shared, folder, partial)
            file = os.open(partial, _READ, dir_fd=folder)
            try:
                checked = _prove(job, file, shared)
                if os.fstat(file).st_nlink == 1:
                    os.fsync(file)
            finally:
                os.close(file)
            with safe_tree.parent(job.root, job.path, create=True) as (target, name):
                found = safe_tree.place_at(folder, partial, target, name, replace=job.replace)
        except FileExistsError as error:
            raise errors.TransferError(f"{job.path}: another file appeared at this path meanwhile") from error
        except errors.IntegrityError:
            if not resumed:
                raise
        except OSError:
            # Without a note a partial file cannot be resumed.
            keep = safe_tree.exists(folder, note_name(partial))
            raise
        else:
            shared.flush_folder(job.root, job.path)
            return checked, found, copied, resumed
        finally:
            if not keep:
                _discard(folder, partial)
    # The bytes of an earlier run were damaged: a power cut may keep the length and lose the bytes.
    return copy(job, source, shared)


def _discard(folder: int, partial: str) -> None:
    for name in (partial, note_name(partial)):
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)


def _take(job: FetchJob, source: LocalSource, shared: SharedState, folder: int, partial: str) -> tuple[int, int]:
    """Create the partial file; return how many bytes were copied now, and how many earlier."""
    try:
        with safe_tree.parent(source.root, source.path) as (source_folder, name):
            file = os.open(name, _READ, dir_fd=source_folder)
            try:
                if not modes.S_ISREG(os.fstat(file).st_mode):
                    raise errors.TransferError(f"{source.path}: is not a regular file")
                return _link_clone_or_copy(job, source.how, shared, (source_folder, name, file), (folder, partial))
            finally:
                os.close(file)
    except FileNotFoundError:
        raise errors.TransferError(f"{source.path}: is not in {source.root} any more") from None
    except errors.TransferError as error:
        if "symbolic link" in str(error):
            raise errors.TransferError(f"{source.path}: a folder of the path is a symbolic link") from None
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise errors.TransferError(f"{source.path}: is a symbolic link, which is not followed") from None
        raise


def _link_clone_or_copy(
    job: FetchJob, how: Taking, shared: SharedState, source: tuple[int, str, int], target: tuple[int, str]
) -> tuple[int, int]:
    source_folder, name, file = source
    folder, partial = target
    # A clone costs no more than a link, and a change to one file does not change the other.
    ways = {"auto": ("reflink", "hard", "copy")}.get(how, (how,))
    note = _note(job, os.fstat(file))
    done = _copied_before(folder, partial, note) if note is not None and "copy" in ways else 0
    if done:
        return _copy_bytes(job, shared, file, folder, partial, done=done)
    _discard(folder, partial)
    for way in ways:
        try:
            if way == "hard":
                os.link(name, partial, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)
                _check_same_file(file, folder, partial)
                return 0, 0
            if way == "reflink":
                _clone(file, folder, partial)
                return 0, 0
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            if way == ways[-1]:
                raise errors.TransferError(
                    f"{name}: link = {how!r} is not possible from there to here: {os.strerror(error.errno)}"
                ) from error
            continue
        if note is not None:
            write_note(folder, partial, note)
        return _copy_bytes(job, shared, file, folder, partial)
    raise AssertionError(how)


def _check_same_file(file: int, folder: int, partial: str) -> None:
    """Check that the linked file is the opened one."""
    linked, opened = os.stat(partial, dir_fd=folder, follow_symlinks=False), os.fstat(file)
    if (linked.st_dev, linked.st_ino) != (opened.st_dev, opened.st_ino):
        raise errors.TransferError("the file was replaced while it was linked")


def _clone(file: int, folder: int, partial: str) -> None:
    target = os.open(partial, _CREATE, 0o666, dir_fd=folder)
    try:
        fcntl.ioctl(target, _FICLONE, file)
    except OSError:
        os.unlink(partial, dir_fd=folder)
        raise
    finally:
        os.close(target)


def _note(job: FetchJob, source: os.stat_result) -> Note | None:
    """Return the note of a copy; None if resuming it is not worthwhile, or nothing would prove it."""
    policy, download = job.policy, job.download
    provable = (
        job.sha256 is not None
        or (policy.filehash == "enforce" and algorithm(download.digest) is not None)
        or (policy.integrity == "crc" and _is_zip(job))
    )
    if not provable or source.st_size <= _STEP:
        return None
    return Note(
        identity=identity(job.id, download.url),
        total=source.st_size,
        etag=f"{source.st_dev}-{source.st_ino}-{source.st_mtime_ns}",
        modified=None,
        digest=download.digest,
        validator=None,
    )


def _copied_before(folder: int, partial: str, note: Note) -> int:
    """Return how many bytes of the file an earlier run has copied."""
    try:
        found = os.stat(partial, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return 0
    if not modes.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > (note.total or 0):
        return 0
    return found.st_size if read_note(folder, partial) == note else 0


def _copy_bytes(
    job: FetchJob, shared: SharedState, file: int, folder: int, partial: str, *, done: int = 0
) -> tuple[int, int]:
    size, before = os.fstat(file).st_size, done
    target = os.open(partial, _RESUME if done else _CREATE, 0o666, dir_fd=folder)
    try:
        os.lseek(target, done, os.SEEK_SET)
        while True:
            if shared.stop.is_set():
                raise InterruptedError
            sent = _send(target, file, done, shared.read_size(_STEP))
            if not sent:
                return done - before, before
            done += sent
            shared.throttle(sent)
            if shared.on_bytes is not None:
                shared.on_bytes(job.id, done, size)
    finally:
        os.close(target)


def _send(target: int, file: int, start: int, most: int) -> int:
    """Copy bytes to the end of the target; return how many, 0 at the end of the file."""
    # Only Linux sends to a file: macOS sends to sockets alone.
    if hasattr(os, "sendfile"):
        try:
            return os.sendfile(target, file, start, most)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    return os.write(target, os.pread(file, min(most, _READ_STEP), start))


def with_own_ending(job: FetchJob, source: LocalSource) -> FetchJob:
    """Return the job with the ending of the local file, if it is a whole product."""
    ending = ending_of(source.path)
    if job.product and not ending:
        try:
            file = safe_tree.open_file(source.root, source.path, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, errors.TransferError):
            # The copy reports it.
            return job
        try:
            ending = ZIP if os.pread(file, len(ZIP_BYTES), 0) == ZIP_BYTES else ""
        finally:
            os.close(file)
    return replace(job, path=with_ending(job.path, ending)) if job.product else job


def _is_zip(job: FetchJob) -> bool:
    return job.path.lower().endswith(ZIP)


def _prove(job: FetchJob, file: int, shared: SharedState) -> FileCheck:
    proof = Proof(
        level=job.policy.integrity,
        size=job.download.size,
        digest=job.download.digest,
        filehash=job.policy.filehash,
        sha256=job.sha256,
        zipped=_is_zip(job),
        stopped=shared.stop.is_set,
    )
    proof.catch_up(file, os.fstat(file).st_size)
    checked = proof.finish(file)
    if checked.problems:
        raise errors.IntegrityError(f"the file is not the scene: {'; '.join(checked.problems)}")
    return checked
