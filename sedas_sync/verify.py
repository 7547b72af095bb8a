"""Reading a mirror's bytes again, against the index: what is missing, changed, corrupt, and what nobody knows of.

Changes nothing. A repair is a plan like any other, made from the findings by `sedas_sync.plan.decide` and carried out
by `sedas_sync.apply`.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sedas_sync import folder
from sedas_sync.events import Summary
from sedas_sync.integrity import Filehash, check, zip_problem
from sedas_sync.model import Holding, Level, SceneId
from sedas_sync.plan import FileState, Observed

MAX_READERS = 8


class Finding(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    """The index remembers it, and it is not there."""
    CHANGED = "changed"
    """It is another file than the index remembers, though a whole one; or a link or folder stands there."""
    CORRUPT = "corrupt"
    """Its bytes are damaged: a zip that is not whole, or other bytes under an unchanged time; or it cannot be read."""
    UNKNOWN = "unknown"
    """The index does not know it. Not a failure: it is a stranger's, or one to be adopted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found of one file."""

    path: str
    size: int
    """On the disk; 0 where it is missing."""
    held: Holding | None
    """None where the index does not know the file."""
    finding: Finding | None = None
    detail: str = ""
    level: Level | None = None
    """How far its bytes are proved now; None where there is a finding."""
    mtime_ns: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "id": None if self.held is None else self.held.id,
            "path": self.path,
            "size": self.size,
            "sha256": None if self.held is None else self.held.sha256,
            "level": None if self.level is None else self.level.value,
            "finding": None if self.finding is None else self.finding.value,
            "detail": self.detail or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found of a whole mirror."""

    manifest: str
    mirror: str
    files: tuple[Verified, ...]
    """Sorted by path; files that the index does not know come last."""
    warnings: tuple[str, ...] = ()
    damaged_index: bool = False
    """Nothing could be compared."""
    repair: Summary | None = None
    """How the repair went, where there was one to be made."""

    @property
    def findings(self) -> tuple[Verified, ...]:
        """Files with a finding, unknown ones included."""
        return tuple(item for item in self.files if item.finding is not None)

    @property
    def bad(self) -> tuple[Verified, ...]:
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
    def levels(self) -> dict[Level, int]:
        """How many of the files that are right reached each level."""
        return {level: sum(item.level is level for item in self.files) for level in Level}

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
            "summary": {**self.counts, "bytes": sum(item.size for item in self.files if item.held is not None)},
            "findings": [item.to_json() for item in self.findings],
            "scenes": [item.to_json() for item in self.files if item.held is not None],
            "warnings": list(self.warnings),
            "repair": None if self.repair is None else self.repair.to_json(),
        }


def readers() -> int:
    """How many files to read at once: hashing is bound by the processors."""
    return min(MAX_READERS, os.cpu_count() or 1)


def verify(
    root: Path,
    holdings: Iterable[Holding],
    *,
    jobs: int,
    filehash: Filehash,
    pinned: Mapping[SceneId, str] | None = None,
    on_file: Callable[[int, int, int, int], None] | None = None,
) -> tuple[Verified, ...]:
    """Read every file that the index remembers, and name those that it does not.

    Args:
        root: the mirror's folder; it may not exist.
        holdings: what the index remembers.
        jobs: files read at once.
        filehash: whether the digest that the catalogue stated counts as a proof (`ignore`: it does not).
        pinned: the sha256 that a scene has to have, where something else than the index demands one.
        on_file: told how many files and bytes have been read, and how many there are, from the calling thread.
    """
    demanded = pinned or {}
    held = sorted(holdings, key=lambda item: item.path)
    entries = {entry.path: entry for entry in folder.scan(str(root))} if root.is_dir() else {}
    total = sum(entries[item.path].size for item in held if item.path in entries)
    done: list[Verified] = []
    bytes_read = 0
    with ThreadPoolExecutor(jobs, "verify") as pool:
        waiting: set[Future[Verified]] = set()
        for item in held:
            # Only so many are handed out that an interruption is not held up by a queue.
            if len(waiting) >= 4 * jobs:
                waiting, bytes_read = _collect(waiting, done, bytes_read, FIRST_COMPLETED)
            entry = entries.get(item.path)
            waiting.add(pool.submit(_verify_one, root, item, entry, filehash, demanded.get(item.id)))
            if on_file is not None:
                on_file(len(done), bytes_read, len(held), total)
        while waiting:
            waiting, bytes_read = _collect(waiting, done, bytes_read, FIRST_COMPLETED)
            if on_file is not None:
                on_file(len(done), bytes_read, len(held), total)
    known = {item.path for item in held}
    strangers = [
        Verified(path=path, size=entries[path].size, held=None, finding=Finding.UNKNOWN, detail="not in the index")
        for path in sorted(entries.keys() - known)
    ]
    return (*sorted(done, key=lambda item: item.path), *strangers)


def _collect(
    waiting: set[Future[Verified]], done: list[Verified], bytes_read: int, until: str
) -> tuple[set[Future[Verified]], int]:
    finished, rest = wait(waiting, return_when=until)
    for future in finished:
        done.append(future.result())
        bytes_read += done[-1].size
    return rest, bytes_read


def _verify_one(
    root: Path, held: Holding, entry: folder.Entry | None, filehash: Filehash, demanded: str | None
) -> Verified:
    def found(finding: Finding, detail: str) -> Verified:
        size = 0 if entry is None else entry.size
        return Verified(path=held.path, size=size, held=held, finding=finding, detail=detail)

    if entry is None:
        return found(Finding.MISSING, "it is not there")
    if not entry.is_file:
        return found(Finding.CHANGED, "a symbolic link or another thing that is no file stands there")
    path = str(root / held.path)
    try:
        checked = check(path, level="crc", digest=held.digest, filehash="ignore" if filehash == "ignore" else "warn")
        if checked.sha256 != held.sha256:
            return found(*_difference(path, held, entry))
    except OSError as error:
        return found(Finding.CORRUPT, f"it cannot be read: {error.strerror}")
    if demanded is not None and checked.sha256 != demanded.lower():
        return found(Finding.CHANGED, f"its sha256 is {checked.sha256}, {demanded} is demanded")
    if checked.problems:
        return found(Finding.CORRUPT, "; ".join(checked.problems))
    level = Level.DIGEST if demanded is not None else checked.level
    return Verified(path=held.path, size=entry.size, held=held, level=level, mtime_ns=entry.mtime_ns)


def _difference(path: str, held: Holding, entry: folder.Entry) -> tuple[Finding, str]:
    """Tell damage from another whole file."""
    wrong = zip_problem(path, "crc")
    if wrong is not None:
        return Finding.CORRUPT, f"the zip is damaged: {wrong}"
    if (entry.size, entry.mtime_ns) == (held.size, held.mtime_ns):
        return Finding.CORRUPT, "its bytes are not those that were fetched, though its size and time are"
    return Finding.CHANGED, "it is another file than was fetched"


def observed(report: Report, partials: Mapping[SceneId, int]) -> dict[SceneId, Observed]:
    """What a repair has to go by.

    Args:
        report: what was found.
        partials: for each scene with a download under way, its bytes that are here.
    """
    seen = {}
    for item in report.bad:
        if item.held is not None:
            state = FileState.ABSENT if item.finding is Finding.MISSING else FileState.DAMAGED
            partial = partials.get(item.held.id, 0)
            seen[item.held.id] = Observed(held=item.held, state=state, tracked=True, partial=partial)
    return seen
