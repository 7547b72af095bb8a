"""Read a mirror's files again and compare them with the index and the lock file.

Verifying changes nothing. A repair is a plan like any other, made from the findings by
`sedas_sync.planning.compare.choose_actions` and carried out by `sedas_sync.operations.apply.run`.
"""

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.integrity import Filehash, check, zip_problem
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.events import Summary
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.scene import LocalFile, LocalScene, ProofLevel, SceneId
from sedas_sync.model.threads import Pool
from sedas_sync.planning.lock import LockedFile

MAX_READERS = 8


class Finding(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    """It is in the index or the lock file, and not on disk."""
    CHANGED = "changed"
    """It is a whole file, but another one than in the index or the lock file; or a link or folder is in its place."""
    CORRUPT = "corrupt"
    """Its bytes are damaged: the zip is not whole, or the bytes changed and the mtime did not; or it cannot be read."""
    UNKNOWN = "unknown"
    """It is not in the index. This is not a failure: sedas-sync did not create it, or it can be adopted."""


class LockedChecksums(NamedTuple):
    """What the lock file has for one scene's file."""

    path: str | None
    """Its place in the mirror; None if the layout needs more than the lock file has."""
    size: int | None
    sha256: str | None
    files: tuple[LockedFile, ...] = ()
    """The files of a scene of several files."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The places of its files, as far as they are known."""
        if self.path is None:
            return ()
        return tuple(f"{self.path}/{file.name}" for file in self.files) or (self.path,)

    def of(self, name: str) -> "LockedChecksums | None":
        """Return what the lock file has for one file of the scene; None if the file is not in it."""
        for file in self.files:
            if file.name == name:
                return self._replace(path=f"{self.path}/{name}", size=file.size, sha256=file.sha256)
        return None if self.files else self


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFile:
    """The result for one file."""

    path: str
    """Empty if a scene of the lock file is missing and its place is not known."""
    size: int
    """Bytes on disk; 0 if it is missing."""
    recorded: LocalFile | None
    """The file in the index; None if the file is not in the index."""
    id: SceneId | None = None
    """None if the file is in neither the index nor the lock file."""
    name: str = ""
    """Its path below the scene's folder, for a scene of several files."""
    locked: LockedChecksums | None = None
    """None if no lock file has the scene."""
    finding: Finding | None = None
    detail: str = ""
    level: ProofLevel | None = None
    """How far its bytes are proved now; None if there is a finding."""
    mtime_ns: int = 0

    @property
    def scene_path(self) -> str:
        """The path of the file's scene."""
        return self.path.removesuffix(f"/{self.name}") if self.name else self.path

    @property
    def by_lock(self) -> bool:
        """Whether its bytes have the sha256 in the lock file."""
        return self.finding is None and self.locked is not None and self.locked.sha256 is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The result for a whole mirror."""

    manifest: str
    mirror: str
    files: tuple[VerifiedFile, ...]
    """Sorted by path; files that are in neither the index nor the lock file come last."""
    lock: str | None = None
    """The lock file that they were compared with too."""
    warnings: tuple[str, ...] = ()
    damaged_index: bool = False
    """Whether there was no index to compare with, because it is damaged."""
    repair: Summary | None = None
    """The summary of the repair, if there was one."""

    @property
    def findings(self) -> tuple[VerifiedFile, ...]:
        """Files with a finding, unknown ones included."""
        return tuple(item for item in self.files if item.finding is not None)

    @property
    def bad(self) -> tuple[VerifiedFile, ...]:
        """Files that are not what they should be."""
        return tuple(item for item in self.findings if item.finding is not Finding.UNKNOWN)

    @property
    def counts(self) -> dict[str, int]:
        """Number of files with each finding, and without one; zeros included."""
        counted = {"ok": sum(item.finding is None for item in self.files)}
        for kind in Finding:
            counted[kind.value] = sum(item.finding is kind for item in self.files)
        return counted

    @property
    def levels(self) -> dict[str, int]:
        """Number of files without a finding at each level; those with the lock file's sha256 come first."""
        reached = {"lock": sum(item.by_lock for item in self.files)}
        for level in ProofLevel:
            reached[level.value] = sum(item.level is level and not item.by_lock for item in self.files)
        return reached

    @property
    def exit_code(self) -> int:
        """0 if everything is right, or right again; else 1, or the exit code of the repair."""
        if self.damaged_index:
            return 1
        if self.repair is not None:
            return self.repair.exit_code
        return 1 if self.bad else 0


def readers() -> int:
    """Return how many files to read at the same time: hashing is limited by the processors."""
    return min(MAX_READERS, os.cpu_count() or 1)


class _Task(NamedTuple):
    """One file to read."""

    id: SceneId
    path: str
    recorded: LocalFile | None
    locked: LockedChecksums | None
    name: str = ""


def verify(
    root: Path,
    scenes: Iterable[LocalScene],
    *,
    jobs: int,
    filehash: Filehash,
    locked: Mapping[SceneId, LockedChecksums] | None = None,
    ordered: Container[SceneId] = frozenset(),
    on_file: Callable[[int, int, int, int], None] | None = None,
) -> tuple[VerifiedFile, ...]:
    """Read every file that is in the index, or has a checksum in the lock file, and list the other files.

    Args:
        root: The mirror's folder; it may not exist.
        scenes: The scenes in the index.
        jobs: Number of files to read at the same time.
        filehash: `ignore` if the catalogue's checksums must not count as proofs.
        locked: What the lock file has for each of its scenes.
        ordered: Scenes whose orders are pending.
        on_file: Called, from this thread, with the numbers of files and bytes that were read, and of all of them.
    """
    checksums = locked or {}
    recorded = {scene.id: scene for scene in scenes}
    expected = [path for scene in recorded.values() for path in scene.paths]
    expected += [path for found in checksums.values() for path in found.paths]
    entries = tree_listing.listing(str(root), expected) if root.is_dir() else {}
    tasks = [task for scene in recorded.values() for task in _tasks(scene, checksums.get(scene.id))]
    known = {task.path for task in tasks}
    not_indexed = {scene_id: found for scene_id, found in checksums.items() if scene_id not in recorded}
    for scene_id, found in list(not_indexed.items()):
        if found.files and all(f"{found.path}/{file.name}" in entries for file in found.files):
            tasks += _locked_files(scene_id, found)
            known.update(f"{found.path}/{file.name}" for file in found.files)
            del not_indexed[scene_id]
    places = _places(not_indexed, {path for path in entries if path not in known})
    done = list(_missing(not_indexed, places, ordered))
    for scene_id, path in places.items():
        found = not_indexed[scene_id]
        known.add(path)
        if found.sha256 is not None:
            tasks.append(_Task(scene_id, path, None, found))
        else:
            done.append(_unknown(entries[path], scene_id, found))
    done += _read(root, sorted(tasks, key=lambda task: task.path), entries, jobs, filehash, on_file)
    untracked = [_unknown(entries[path]) for path in sorted(entries.keys() - known)]
    return (*sorted(done, key=lambda file: (file.path, file.id or "")), *untracked)


def _tasks(recorded: LocalScene, locked: LockedChecksums | None) -> Iterator[_Task]:
    """Yield the files to read of a scene in the index, including those that only the lock file has."""
    for file in recorded.files:
        required = locked.of(file.name) if locked is not None and recorded.is_folder else locked
        yield _Task(recorded.id, file.path, file, required, file.name)
    if recorded.is_folder and locked is not None:
        known = {file.name for file in recorded.files}
        yield from (
            _Task(recorded.id, f"{recorded.path}/{file.name}", None, locked.of(file.name), file.name)
            for file in locked.files
            if file.name not in known
        )


def _locked_files(scene_id: SceneId, locked: LockedChecksums) -> Iterator[_Task]:
    """Yield the files of a scene that is on disk and in the lock file, but not in the index."""
    for file in locked.files:
        yield _Task(scene_id, f"{locked.path}/{file.name}", None, locked.of(file.name), file.name)


def _places(not_indexed: Mapping[SceneId, LockedChecksums], untracked: AbstractSet[str]) -> dict[SceneId, str]:
    """Return untracked files that are in the places of scenes of the lock file, or have their names."""
    named: dict[str, str] = {}
    for path in sorted(untracked, reverse=True):
        named[path.rpartition("/")[2]] = path
    found = {}
    for scene_id, locked in not_indexed.items():
        place = (
            locked.path if locked.path is not None else named.get(scene_id if ending_of(scene_id) else scene_id + ZIP)
        )
        if place in untracked:
            found[scene_id] = str(place)
    return found


def _missing(
    not_indexed: Mapping[SceneId, LockedChecksums], places: Container[SceneId], ordered: Container[SceneId]
) -> Iterator[VerifiedFile]:
    for scene_id, locked in not_indexed.items():
        if scene_id not in places:
            detail = "it is in the lock file and not on disk"
            if scene_id in ordered:
                detail += " yet: its order from the long-term archive is pending"
            yield VerifiedFile(
                path=locked.path or "", size=0, recorded=None, id=scene_id, locked=locked, finding=Finding.MISSING,
                detail=detail,
            )  # fmt: skip


def _unknown(entry: TreeEntry, scene_id: SceneId | None = None, locked: LockedChecksums | None = None) -> VerifiedFile:
    detail = "not in the index"
    if scene_id is not None:
        detail += ", and the lock file has no checksum to identify it"
    return VerifiedFile(
        path=entry.path, size=entry.size, recorded=None, id=scene_id, locked=locked, finding=Finding.UNKNOWN,
        detail=detail,
    )  # fmt: skip


def _read(
    root: Path,
    tasks: list[_Task],
    entries: Mapping[str, TreeEntry],
    jobs: int,
    filehash: Filehash,
    on_file: Callable[[int, int, int, int], None] | None,
) -> list[VerifiedFile]:
    total = sum(entries[task.path].size for task in tasks if task.path in entries)
    done: list[VerifiedFile] = []
    bytes_read = 0
    with Pool(jobs, "verify") as pool:
        waiting: set[Future[VerifiedFile]] = set()
        for task in tasks:
            # Few files wait in the queue, so that an interruption takes effect soon.
            if len(waiting) >= 4 * jobs:
                waiting, bytes_read = _collect(waiting, done, bytes_read, FIRST_COMPLETED)
            waiting.add(pool.submit(_verify_one, root, task, entries.get(task.path), filehash))
            if on_file is not None:
                on_file(len(done), bytes_read, len(tasks), total)
        while waiting:
            waiting, bytes_read = _collect(waiting, done, bytes_read, FIRST_COMPLETED)
            if on_file is not None:
                on_file(len(done), bytes_read, len(tasks), total)
    return done


def _collect(
    waiting: set[Future[VerifiedFile]], done: list[VerifiedFile], bytes_read: int, until: str
) -> tuple[set[Future[VerifiedFile]], int]:
    finished, rest = wait(waiting, return_when=until)
    for future in finished:
        done.append(future.result())
        bytes_read += done[-1].size
    return rest, bytes_read


def _verify_one(root: Path, task: _Task, entry: TreeEntry | None, filehash: Filehash) -> VerifiedFile:
    recorded, locked = task.recorded, task.locked

    def found(finding: Finding, detail: str) -> VerifiedFile:
        size = 0 if entry is None else entry.size
        return VerifiedFile(
            path=task.path, size=size, recorded=recorded, id=task.id, name=task.name, locked=locked, finding=finding,
            detail=detail,
        )  # fmt: skip

    if entry is None:
        return found(Finding.MISSING, "it is not on disk")
    if not entry.is_file:
        return found(Finding.CHANGED, "a symbolic link or a special file is in its place")
    stated = None if recorded is None else recorded.digest
    size = recorded.size if recorded is not None else None if locked is None else locked.size
    try:
        checked = check(
            task.path, root=str(root), level="crc", size=size, digest=stated,
            filehash="ignore" if filehash == "ignore" else "warn",
        )  # fmt: skip
        if recorded is not None and checked.sha256 != recorded.sha256:
            return found(*_damage_or_change(root, recorded, entry))
    except FileNotFoundError:
        return found(Finding.MISSING, "it was deleted while it was verified")
    except OSError as error:
        return found(Finding.CORRUPT, f"it cannot be read: {error.strerror}")
    except TransferError as error:
        return found(Finding.CORRUPT, f"it cannot be read: {error}")
    if checked.problems:
        return found(Finding.CORRUPT, "; ".join(checked.problems))
    if locked is not None and (difference := _difference_from_lock(locked, checked.sha256, checked.size)):
        return found(Finding.CHANGED, difference)
    proved = locked is not None and locked.sha256 is not None
    return VerifiedFile(
        path=task.path,
        size=entry.size,
        recorded=recorded,
        id=task.id,
        name=task.name,
        locked=locked,
        level=ProofLevel.DIGEST if proved else checked.level,
        mtime_ns=entry.mtime_ns,
    )


def _difference_from_lock(locked: LockedChecksums, sha256: str, size: int) -> str | None:
    """Return how a file differs from the lock file; None if it does not."""
    if locked.sha256 is not None:
        return None if sha256 == locked.sha256 else f"its sha256 is {sha256}, the lock file has {locked.sha256}"
    if locked.size not in (None, size):
        return f"it has {size} bytes, the lock file has {locked.size}"
    return None


def _damage_or_change(root: Path, recorded: LocalFile, entry: TreeEntry) -> tuple[Finding, str]:
    """Return whether a file is damaged or another whole file, with the reason."""
    wrong = None
    if recorded.path.lower().endswith(ZIP):
        with os.fdopen(safe_tree.open_file(str(root), recorded.path, os.O_RDONLY), "rb") as file:
            wrong = zip_problem(file, "crc")
    if wrong is not None:
        return Finding.CORRUPT, f"the zip is damaged: {wrong}"
    if tree_listing.untouched(entry, recorded):
        return Finding.CORRUPT, "contents changed but size and mtime did not"
    return Finding.CHANGED, "the file was replaced or edited after download"


def observed(
    report: VerifyReport, recorded: Mapping[SceneId, LocalScene], partials: Mapping[SceneId, int]
) -> dict[SceneId, DiskState]:
    """Return the state of each bad scene, from which a repair is planned.

    Args:
        report: The findings.
        recorded: The scenes in the index.
        partials: For each scene with a partial download, its bytes on disk.
    """
    seen: dict[SceneId, DiskState] = {}
    wrong: dict[SceneId, set[str]] = {}
    for item in report.bad:
        if item.id is not None:
            whole = recorded.get(item.id)
            gone = item.finding is Finding.MISSING and not item.name
            wrong.setdefault(item.id, set()).add(item.name)
            seen[item.id] = DiskState(
                held=whole if whole is None else _without(whole, wrong[item.id]),
                state=FileState.ABSENT if gone else FileState.DAMAGED,
                tracked=whole is not None,
                partial=partials.get(item.id, 0),
            )
    return seen


def _without(recorded: LocalScene, wrong: AbstractSet[str]) -> LocalScene:
    """Return a folder whose wrong files have an impossible mtime, so that they are read and not trusted."""
    return replace(
        recorded, members=tuple(replace(file, mtime_ns=-1) if file.name in wrong else file for file in recorded.members)
    )
