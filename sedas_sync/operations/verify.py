"""Reading a mirror's bytes again, against the index and the lock: what is missing, changed, corrupt, or unknown.

Changes nothing. A repair is a plan like any other, made from the findings by
`sedas_sync.operations.plan.plan_repair` and carried out by `sedas_sync.operations.apply.run`.
"""

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import Filehash, check, zip_problem
from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.events import Summary
from sedas_sync.model.scene import LocalFile, LocalScene, ProofLevel, SceneId
from sedas_sync.model.threads import Pool
from sedas_sync.planning.lock import LockedFile

MAX_READERS = 8


class Finding(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    """The index remembers it or the lock names it, and it is not there."""
    CHANGED = "changed"
    """It is another file than the index or the lock says, though a whole one; or a link or folder stands there."""
    CORRUPT = "corrupt"
    """Its bytes are damaged: a zip that is not whole, or other bytes under an unchanged time; or it cannot be read."""
    UNKNOWN = "unknown"
    """The index does not know it. Not a failure: it is a stranger's, or one to be adopted."""


class LockedChecksums(NamedTuple):
    """What a lock says of one scene's file."""

    path: str | None
    """Where it belongs; None where the layout needs more than a lock says."""
    size: int | None
    sha256: str | None
    files: tuple[LockedFile, ...] = ()
    """Where the scene consists of several."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where its files belong, as far as that is known."""
        if self.path is None:
            return ()
        return tuple(f"{self.path}/{file.name}" for file in self.files) or (self.path,)

    def of(self, name: str) -> "LockedChecksums | None":
        """What it says of one file of the scene; None where it does not name it."""
        for file in self.files:
            if file.name == name:
                return self._replace(path=f"{self.path}/{name}", size=file.size, sha256=file.sha256)
        return None if self.files else self


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFile:
    """What was found of one file."""

    path: str
    """Empty where a locked scene is missing and nothing here says where it belongs."""
    size: int
    """On the disk; 0 where it is missing."""
    held: LocalFile | None
    """None where the index does not know the file."""
    id: SceneId | None = None
    """None where neither index nor lock knows the file."""
    name: str = ""
    """Where it is below the scene's folder, where the scene consists of several files."""
    demand: LockedChecksums | None = None
    """None where no lock names the scene."""
    finding: Finding | None = None
    detail: str = ""
    level: ProofLevel | None = None
    """How far its bytes are proved now; None where there is a finding."""
    mtime_ns: int = 0

    @property
    def scene_path(self) -> str:
        """Where the scene is that the file is, or is of."""
        return self.path.removesuffix(f"/{self.name}") if self.name else self.path

    @property
    def by_lock(self) -> bool:
        """Whether its bytes have the sha256 that the lock demands."""
        return self.finding is None and self.demand is not None and self.demand.sha256 is not None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "id": self.id,
            "path": self.path or None,
            "size": self.size,
            "sha256": None if self.held is None else self.held.sha256,
            "locked_sha256": None if self.demand is None else self.demand.sha256,
            "level": None if self.level is None else self.level.value,
            "by_lock": self.by_lock,
            "finding": None if self.finding is None else self.finding.value,
            "detail": self.detail or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was found of a whole mirror."""

    manifest: str
    mirror: str
    files: tuple[VerifiedFile, ...]
    """Sorted by path; files that neither index nor lock knows come last."""
    lock: str | None = None
    """The lock that they were judged by too."""
    warnings: tuple[str, ...] = ()
    damaged_index: bool = False
    """Nothing could be compared."""
    repair: Summary | None = None
    """How the repair went, where there was one to be made."""

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
        """How many files have each finding, and how many are right; zeros included."""
        counted = {"ok": sum(item.finding is None for item in self.files)}
        for kind in Finding:
            counted[kind.value] = sum(item.finding is kind for item in self.files)
        return counted

    @property
    def levels(self) -> dict[str, int]:
        """How many of the files that are right reached each level; those that have the lock's sha256 come first."""
        reached = {"lock": sum(item.by_lock for item in self.files)}
        for level in ProofLevel:
            reached[level.value] = sum(item.level is level and not item.by_lock for item in self.files)
        return reached

    @property
    def exit_code(self) -> int:
        """0 where everything is right, or is again; else 1, or what the repair ended with."""
        if self.damaged_index:
            return 1
        if self.repair is not None:
            return self.repair.exit_code
        return 1 if self.bad else 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "schema": 1,
            "manifest": self.manifest,
            "mirror": self.mirror,
            "lock": self.lock,
            "summary": {**self.counts, "bytes": sum(item.size for item in self.files if item.id is not None)},
            "findings": [item.to_json() for item in self.findings],
            "scenes": [item.to_json() for item in self.files if item.id is not None],
            "warnings": list(self.warnings),
            "repair": None if self.repair is None else self.repair.to_json(),
        }


def readers() -> int:
    """How many files to read at once: hashing is bound by the processors."""
    return min(MAX_READERS, os.cpu_count() or 1)


class _Task(NamedTuple):
    """One file to be read."""

    id: SceneId
    path: str
    held: LocalFile | None
    demand: LockedChecksums | None
    name: str = ""


def verify(
    root: Path,
    holdings: Iterable[LocalScene],
    *,
    jobs: int,
    filehash: Filehash,
    locked: Mapping[SceneId, LockedChecksums] | None = None,
    ordered: Container[SceneId] = frozenset(),
    on_file: Callable[[int, int, int, int], None] | None = None,
) -> tuple[VerifiedFile, ...]:
    """Read every file that the index remembers or the lock has a digest for, and name those that neither knows.

    Args:
        root: the mirror's folder; it may not exist.
        holdings: what the index remembers.
        jobs: files read at once.
        filehash: whether the digest that the catalogue stated counts as a proof (`ignore`: it does not).
        locked: what the lock says of each of its scenes.
        ordered: scenes whose orders are pending.
        on_file: told how many files and bytes have been read, and how many there are, from the calling thread.
    """
    demanded = locked or {}
    held = {item.id: item for item in holdings}
    expected = [path for item in held.values() for path in item.paths]
    expected += [path for item in demanded.values() for path in item.paths]
    entries = safe_tree.listing(str(root), expected) if root.is_dir() else {}
    tasks = [task for item in held.values() for task in _tasks(item, demanded.get(item.id))]
    known = {task.path for task in tasks}
    unheld = {scene_id: demand for scene_id, demand in demanded.items() if scene_id not in held}
    for scene_id, demand in list(unheld.items()):
        if demand.files and all(f"{demand.path}/{file.name}" in entries for file in demand.files):
            tasks += _locked_files(scene_id, demand)
            known.update(f"{demand.path}/{file.name}" for file in demand.files)
            del unheld[scene_id]
    places = _places(unheld, {path for path in entries if path not in known})
    done = list(_missing(unheld, places, ordered))
    for scene_id, path in places.items():
        demand = unheld[scene_id]
        known.add(path)
        if demand.sha256 is not None:
            tasks.append(_Task(scene_id, path, None, demand))
        else:
            done.append(_unknown(entries[path], scene_id, demand))
    done += _read(root, sorted(tasks, key=lambda task: task.path), entries, jobs, filehash, on_file)
    strangers = [_unknown(entries[path]) for path in sorted(entries.keys() - known)]
    return (*sorted(done, key=lambda item: (item.path, item.id or "")), *strangers)


def _tasks(held: LocalScene, demand: LockedChecksums | None) -> Iterator[_Task]:
    """What is to be read of a held scene; files that the lock names and the index does not know among it."""
    for file in held.files:
        required = demand.of(file.name) if demand is not None and held.is_folder else demand
        yield _Task(held.id, file.path, file, required, file.name)
    if held.is_folder and demand is not None:
        known = {file.name for file in held.files}
        yield from (
            _Task(held.id, f"{held.path}/{file.name}", None, demand.of(file.name), file.name)
            for file in demand.files
            if file.name not in known
        )


def _locked_files(scene_id: SceneId, demand: LockedChecksums) -> Iterator[_Task]:
    """The files of a locked scene that are here and that the index does not know."""
    for file in demand.files:
        yield _Task(scene_id, f"{demand.path}/{file.name}", None, demand.of(file.name), file.name)


def _places(unheld: Mapping[SceneId, LockedChecksums], strangers: AbstractSet[str]) -> dict[SceneId, str]:
    """The files that the index does not know and that stand where scenes of the lock belong, or have their names."""
    named: dict[str, str] = {}
    for path in sorted(strangers, reverse=True):
        named[path.rpartition("/")[2]] = path
    found = {}
    for scene_id, demand in unheld.items():
        place = demand.path if demand.path is not None else named.get(f"{scene_id}.zip")
        if place in strangers:
            found[scene_id] = str(place)
    return found


def _missing(
    unheld: Mapping[SceneId, LockedChecksums], places: Container[SceneId], ordered: Container[SceneId]
) -> Iterator[VerifiedFile]:
    for scene_id, demand in unheld.items():
        if scene_id not in places:
            detail = "the lock names it, and it is not here"
            if scene_id in ordered:
                detail += " yet: its order from the long-term archive is pending"
            yield VerifiedFile(
                path=demand.path or "", size=0, held=None, id=scene_id, demand=demand, finding=Finding.MISSING,
                detail=detail,
            )  # fmt: skip


def _unknown(
    entry: safe_tree.TreeEntry, scene_id: SceneId | None = None, demand: LockedChecksums | None = None
) -> VerifiedFile:
    return VerifiedFile(
        path=entry.path, size=entry.size, held=None, id=scene_id, demand=demand, finding=Finding.UNKNOWN,
        detail="not in the index" + (", and the lock has no digest to know it by" if scene_id is not None else ""),
    )  # fmt: skip


def _read(
    root: Path,
    tasks: list[_Task],
    entries: Mapping[str, safe_tree.TreeEntry],
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
            # Only so many are handed out that an interruption is not held up by a queue.
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


def _verify_one(root: Path, task: _Task, entry: safe_tree.TreeEntry | None, filehash: Filehash) -> VerifiedFile:
    held, demand = task.held, task.demand

    def found(finding: Finding, detail: str) -> VerifiedFile:
        size = 0 if entry is None else entry.size
        return VerifiedFile(
            path=task.path, size=size, held=held, id=task.id, name=task.name, demand=demand, finding=finding,
            detail=detail,
        )  # fmt: skip

    if entry is None:
        return found(Finding.MISSING, "it is not there")
    if not entry.is_file:
        return found(Finding.CHANGED, "a symbolic link or another thing that is no file stands there")
    stated = None if held is None else held.digest
    size = held.size if held is not None else None if demand is None else demand.size
    try:
        checked = check(
            task.path, root=str(root), level="crc", size=size, digest=stated,
            filehash="ignore" if filehash == "ignore" else "warn",
        )  # fmt: skip
        if held is not None and checked.sha256 != held.sha256:
            return found(*_difference(root, held, entry))
    except FileNotFoundError:
        return found(Finding.MISSING, "it was there a moment ago, and is not any more")
    except OSError as error:
        return found(Finding.CORRUPT, f"it cannot be read: {error.strerror}")
    except TransferError as error:
        return found(Finding.CORRUPT, f"it cannot be read: {error}")
    if checked.problems:
        return found(Finding.CORRUPT, "; ".join(checked.problems))
    if demand is not None and (unlike := _unlike(demand, checked.sha256, checked.size)):
        return found(Finding.CHANGED, unlike)
    proved = demand is not None and demand.sha256 is not None
    return VerifiedFile(
        path=task.path,
        size=entry.size,
        held=held,
        id=task.id,
        name=task.name,
        demand=demand,
        level=ProofLevel.DIGEST if proved else checked.level,
        mtime_ns=entry.mtime_ns,
    )


def _unlike(demand: LockedChecksums, sha256: str, size: int) -> str | None:
    """How a file differs from what a lock says of it."""
    if demand.sha256 is not None:
        return None if sha256 == demand.sha256 else f"its sha256 is {sha256}, the lock has {demand.sha256}"
    if demand.size not in (None, size):
        return f"it has {size} bytes, the lock has {demand.size}"
    return None


def _difference(root: Path, held: LocalFile, entry: safe_tree.TreeEntry) -> tuple[Finding, str]:
    """Tell damage from another whole file."""
    wrong = None
    if held.path.lower().endswith(".zip"):
        with os.fdopen(safe_tree.open_file(str(root), held.path, os.O_RDONLY), "rb") as file:
            wrong = zip_problem(file, "crc")
    if wrong is not None:
        return Finding.CORRUPT, f"the zip is damaged: {wrong}"
    if safe_tree.untouched(entry, held):
        return Finding.CORRUPT, "its bytes are not those that were fetched, though its size and time are"
    return Finding.CHANGED, "it is another file than was fetched"


def observed(
    report: VerifyReport, held: Mapping[SceneId, LocalScene], partials: Mapping[SceneId, int]
) -> dict[SceneId, DiskState]:
    """What a repair has to go by.

    Args:
        report: what was found.
        held: what the index remembers of the scenes.
        partials: for each scene with a download under way, its bytes that are here.
    """
    seen: dict[SceneId, DiskState] = {}
    wrong: dict[SceneId, set[str]] = {}
    for item in report.bad:
        if item.id is not None:
            whole = held.get(item.id)
            gone = item.finding is Finding.MISSING and not item.name
            wrong.setdefault(item.id, set()).add(item.name)
            seen[item.id] = DiskState(
                held=whole if whole is None else _without(whole, wrong[item.id]),
                state=FileState.ABSENT if gone else FileState.DAMAGED,
                tracked=whole is not None,
                partial=partials.get(item.id, 0),
            )
    return seen


def _without(held: LocalScene, wrong: AbstractSet[str]) -> LocalScene:
    """A folder of whose files these are wrong: no look at their time and size is to trust them."""
    members = tuple(replace(file, mtime_ns=-1) if file.name in wrong else file for file in held.members)
    return replace(held, members=members)
