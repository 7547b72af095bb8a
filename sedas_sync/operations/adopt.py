"""Taking files that are already there into a mirror: found by the scene id in their names, checked, then placed.

A file that is wrong, or that no dataset wants, is named and left where it is. Nothing is ever written over.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Literal

from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import Filehash, Proving
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.assets import desired_paths, files_on_disk, scene_of_files
from sedas_sync.model.events import Failure, exit_code_of
from sedas_sync.model.scene import DesiredScene, LocalScene, SceneId
from sedas_sync.model.threads import Pool
from sedas_sync.planning.compare import FileState
from sedas_sync.state.inspect import adopted_as, judge_files, judge_want, state_of
from sedas_sync.state.staging import partial_path

How = Literal["link", "copy", "move"]
"""How a file of another folder gets into the mirror."""

_MAGIC = b"PK\x03\x04"
_SLICE = 1 << 19


class Result(StrEnum):
    """What became of a file."""

    ADOPTED = "adopted"
    """It is in the mirror and in the index."""
    HELD = "held"
    """The mirror holds its scene already; the file was left where it is."""
    WRONG = "wrong"
    """It is not the scene that its name says; left where it is."""
    UNWANTED = "unwanted"
    """No dataset wants it, or its name carries no scene id; left where it is."""
    FAILED = "failed"
    """It is right and could not be placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file that was looked at."""

    file: str
    """Where it was found: relative to the mirror, or below the folder that was named."""
    result: Result
    id: SceneId | None = None
    path: str | None = None
    """Where it is in the mirror now; None where it was left."""
    size: int
    level: str | None = None
    """How far its bytes were proved."""
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "file": self.file,
            "result": self.result.value,
            "id": self.id,
            "path": self.path,
            "size": self.size,
            "level": self.level,
            "detail": self.detail or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What became of every file that was looked at."""

    manifest: str
    mirror: str
    source: str
    """The folder whose files were looked at."""
    search_complete: bool
    files: tuple[File, ...]
    failures: tuple[Failure, ...] = ()
    """Searches that failed or stayed incomplete."""
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many files came to each result, zeros included."""
        return {kind.value: sum(item.result is kind for item in self.files) for kind in Result}

    @property
    def exit_code(self) -> int:
        """4 where a search was refused, 1 where a file is wrong, could not be placed, or a search failed; else 0."""
        counts = self.counts
        return exit_code_of(self.failures) or int(bool(counts["wrong"] or counts["failed"]))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        adopted = sum(item.size for item in self.files if item.result is Result.ADOPTED)
        return {
            "schema": 1,
            "manifest": self.manifest,
            "mirror": self.mirror,
            "from": self.source,
            "search_complete": self.search_complete,
            "summary": {**self.counts, "bytes": adopted},
            "files": [item.to_json() for item in self.files],
            "failures": [{"id": failure.id, "error": failure.error} for failure in self.failures],
            "warnings": list(self.warnings),
        }


class Names:
    """Finds the scene id that a file's name carries.

    Args:
        ids: the ids to look for.
    """

    def __init__(self, ids: Iterable[SceneId]) -> None:
        self._ids = frozenset(ids)
        self._lengths = sorted({len(scene_id) for scene_id in self._ids if scene_id}, reverse=True)

    def find(self, name: str) -> SceneId | None:
        """The longest id that stands in the name by itself: no letter or digit goes on before or after it."""
        for length in self._lengths:
            for start in range(len(name) - length + 1):
                part = name[start : start + length]
                if part in self._ids and _stands_alone(name, start, start + length):
                    return part
        return None


def _stands_alone(name: str, start: int, end: int) -> bool:
    return not (name[start - 1 : start].isalnum() or name[end : end + 1].isalnum())


class Adopter:
    """Takes files into one mirror.

    Args:
        root: the mirror's folder; the caller holds its lock.
        wants: the scenes that the manifest admits.
        holdings: what the index remembers.
        level: how a file's zip is checked.
        filehash: for each archive's key, what a differing catalogue digest is worth.
        jobs: files read at once.
        record: remembers a file that is in place.
        stopped: says whether to go no further.
        with_lengths: finds out how long the files of scenes are of which the catalogue says nothing.
    """

    def __init__(
        self,
        root: Path,
        *,
        wants: Mapping[SceneId, DesiredScene],
        holdings: Iterable[LocalScene],
        level: Proving,
        filehash: Mapping[str, Filehash],
        jobs: int,
        record: Callable[[LocalScene], None],
        stopped: Callable[[], bool] = lambda: False,
        with_lengths: Callable[[list[DesiredScene]], Mapping[SceneId, DesiredScene]] = lambda _: {},
    ) -> None:
        self._root = root
        self._wants = dict(wants)
        self._with_lengths = with_lengths
        self._held = {held.id: held for held in holdings}
        self._tracked = {file.path for held in self._held.values() for file in files_on_disk(held)}
        self._level: Proving = level
        self._filehash = filehash
        self._jobs = jobs
        self._record = record
        self._stopped = stopped
        self._names = Names(wants)
        # A name that was made safe, or cut, no longer carries the id.
        self._at = {want.path: scene_id for scene_id, want in wants.items()}
        for path, scene_id in tuple(self._at.items()):
            self._at.setdefault(path.rpartition("/")[2], scene_id)
        self.warnings: list[str] = []

    def adopt(self, source: Path | None = None, *, how: How = "link") -> Iterator[File]:
        """Take in files of the mirror itself, or of another folder; yields what becomes of each, as it does.

        Args:
            source: the other folder; None for the mirror itself, whose files are moved to where they belong.
            how: how a file of another folder gets here. A hard link becomes a copy where the file systems differ.
        """
        chosen: defaultdict[SceneId, list[safe_tree.TreeEntry]] = defaultdict(list)
        place = source or self._root
        candidates = list(self._candidates(source))
        folders = self._folders(candidates)
        self._wants |= self._with_lengths([self._wants[scene_id] for scene_id in sorted(set(folders.values()))])
        for path, whose in folders.items():
            done = None if self._stopped() else self._folder(whose, path, source, how)
            if done is not None:
                yield done
        for entry in candidates:
            if any(above in folders for above in _above(entry.path)):
                continue
            name = entry.path.rpartition("/")[2]
            scene_id = self._at.get(entry.path) or self._at.get(name) or self._names.find(name)
            if scene_id is None or not (name.lower().endswith(".zip") or _is_zip(place / entry.path)):
                why = "its name carries no id of a scene that a dataset wants" if scene_id is None else "it is no zip"
                yield File(file=entry.path, result=Result.UNWANTED, size=entry.size, detail=why)
            else:
                chosen[scene_id].append(entry)
        with Pool(self._jobs, "adopt") as pool:
            # Only one window of files is read ahead: what is checked is placed before much else is.
            todo = list(chosen.items())
            window = 4 * self._jobs
            for first in range(0, len(todo), window):
                checks = [
                    (scene_id, [(entry, pool.submit(self._judge, scene_id, place, entry)) for entry in entries])
                    for scene_id, entries in (
                        (key, self._in_order(key, found)) for key, found in todo[first : first + window]
                    )
                ]
                for scene_id, entries in checks:
                    taken = self._holds(scene_id)
                    for entry, future in entries:
                        found = None if self._stopped() and future.cancel() else future.result()
                        if found is None or self._stopped():
                            continue
                        done = self._settle(scene_id, entry, found, source, how, taken)
                        if done is None:
                            continue
                        taken = taken or (done.path if done.result is Result.ADOPTED else None)
                        yield done

    def _folders(self, candidates: Iterable[safe_tree.TreeEntry]) -> dict[str, SceneId]:
        """Folders that carry the id of a scene of several files, the outermost of each branch."""
        if not any(want.scene.assets for want in self._wants.values()):
            return {}
        found: dict[str, SceneId] = {}
        for path in sorted({above for entry in candidates for above in _above(entry.path)}):
            scene_id = self._names.find(path.rpartition("/")[2])
            if scene_id is not None and self._wants[scene_id].scene.assets and not found.keys() & set(_above(path)):
                found[path] = scene_id
        return found

    def _folder(self, scene_id: SceneId, path: str, source: Path | None, how: How) -> File | None:
        """Check a folder of files and bring it to its place; None where the run ends meanwhile."""
        want = self._wants[scene_id]
        taken = self._holds(scene_id)
        try:
            found = judge_files(
                str(self._root),
                path,
                want,
                level=self._level,
                filehash=self._filehash.get(want.archive, "enforce"),
                source=None if source is None else str(source),
                stopped=self._stopped,
            )
        except InterruptedError:
            return None
        except FileNotFoundError as error:
            found = f"{str(error.filename).rpartition('/')[2]} of it is not there"
        except (OSError, SedasSyncError) as error:
            found = f"it cannot be read: {error}"

        def told(result: Result, detail: str = "", *, place: str | None = None) -> File:
            size, level = (0, None) if isinstance(found, str) else (found.size, found.level.value)
            return File(file=path, result=result, id=scene_id, path=place, size=size, level=level, detail=detail)

        if isinstance(found, str):
            return told(Result.WRONG, found)
        if taken is not None:
            return told(Result.HELD, f"the scene is held at {taken}")
        try:
            placed = self._place_folder(path, want, found, source, how)
        except FileExistsError:
            return told(Result.FAILED, f"something else stands at {want.path}; apply sets it aside")
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return told(Result.FAILED, str(error))
        self._record(placed)
        if source is not None and how == "move":
            for file in found.files:
                with suppress(OSError, TransferError):
                    safe_tree.drop(str(source), f"{path}/{file.name}")
        return told(Result.ADOPTED, place=want.path)

    def _place_folder(
        self, path: str, want: DesiredScene, found: LocalScene, source: Path | None, how: How
    ) -> LocalScene:
        root = str(self._root)
        if source is None:
            if path != want.path:
                safe_tree.move_folder(root, path, want.path)
            return found
        gathered = f"{partial_path(want.scene)}/adopted"
        safe_tree.discard(root, gathered)
        if safe_tree.stat(root, want.path) is not None:
            raise FileExistsError(want.path)
        files = []
        for file in found.files:
            at = f"{gathered}/{file.name}"
            there = bring(
                str(source / path / file.name),
                root,
                at,
                sha256=file.sha256,
                copy=how == "copy",
                stopped=self._stopped,
            )
            if there.st_size != file.size:
                raise TransferError(f"{path}/{file.name} was changed while it was adopted")
            files.append(replace(file, mtime_ns=there.st_mtime_ns))
        safe_tree.sync(root, f"{gathered}/-")
        safe_tree.move_folder(root, gathered, want.path)
        return scene_of_files(found, files)

    def _candidates(self, source: Path | None) -> Iterator[safe_tree.TreeEntry]:
        """Regular files that the index does not know, outside every mirror's own folder."""
        mine = os.path.realpath(self._root)
        place = str(source or self._root)
        expected = (
            []
            if source is not None
            else [*self._tracked, *(path for want in self._wants.values() for path in desired_paths(want))]
        )
        for entry in sorted(safe_tree.listing(place, expected).values()):
            if not entry.is_file or STATE in entry.path.split("/"):
                continue
            if source is None:
                if entry.path in self._tracked:
                    continue
            elif os.path.realpath(f"{place}/{entry.path}").startswith(f"{mine}/"):
                continue
            yield entry

    def _in_order(self, scene_id: SceneId, entries: list[safe_tree.TreeEntry]) -> list[safe_tree.TreeEntry]:
        """The file that is where it belongs first, then those with the plainest names."""
        wanted = self._wants[scene_id].path
        return sorted(entries, key=lambda entry: (entry.path != wanted, len(entry.path), entry.path))

    def _holds(self, scene_id: SceneId) -> str | None:
        """Where the mirror holds this scene already."""
        held = self._held.get(scene_id)
        try:
            return held.path if held is not None and state_of(str(self._root), held) is not FileState.ABSENT else None
        except (OSError, SedasSyncError):
            return None

    def _judge(self, scene_id: SceneId, place: Path, entry: safe_tree.TreeEntry) -> LocalScene | str | None:
        """Check a file: what the index is to remember of it, or why it is not the scene; None where the run ends."""
        want = self._wants[scene_id]
        try:
            judged = judge_want(
                str(place), entry.path, want, level=self._level, filehash=self._filehash, stopped=self._stopped
            )
            if judged.problem is not None:
                return judged.problem
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return f"it cannot be read: {error}"
        if judged.warning is not None:
            self.warnings.append(f"{entry.path}: {judged.warning}")
        return adopted_as(want, judged.checked, mtime_ns=entry.mtime_ns)

    def _settle(
        self,
        scene_id: SceneId,
        entry: safe_tree.TreeEntry,
        found: LocalScene | str,
        source: Path | None,
        how: How,
        taken: str | None,
    ) -> File | None:
        """Say what is wrong with a file, or bring it to its place; None where the run ends meanwhile."""

        def told(result: Result, detail: str = "", *, path: str | None = None, level: str | None = None) -> File:
            return File(
                file=entry.path, result=result, id=scene_id, path=path, size=entry.size, level=level, detail=detail
            )

        if isinstance(found, str):
            return told(Result.WRONG, found)
        if taken is not None:
            return told(Result.HELD, f"the scene is held at {taken}", level=found.level.value)
        try:
            mtime_ns = self._place(entry, found, source, how)
        except FileExistsError:
            return told(Result.FAILED, f"another file stands at {found.path}; apply sets it aside")
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return told(Result.FAILED, str(error))
        self._record(replace(found, mtime_ns=mtime_ns))
        if source is not None and how == "move":
            try:
                safe_tree.drop(str(source), entry.path)
            except (OSError, TransferError) as error:
                self.warnings.append(f"{entry.path}: is adopted, and stays where it was too: {error}")
        return told(Result.ADOPTED, path=found.path, level=found.level.value)

    def _place(self, entry: safe_tree.TreeEntry, found: LocalScene, source: Path | None, how: How) -> int:
        """Bring a checked file to its place; returns its time there."""
        root = str(self._root)
        if source is not None:
            placed = bring(
                str(source / entry.path),
                root,
                found.path,
                sha256=found.sha256,
                copy=how == "copy",
                stopped=self._stopped,
            )
        elif entry.path == found.path:
            return entry.mtime_ns
        else:
            safe_tree.move(root, entry.path, found.path)
            there = safe_tree.stat(root, found.path)
            if there is None:
                raise TransferError(f"{found.path} has vanished")
            placed = there
        if placed.st_size != found.size:
            raise TransferError(f"{entry.path} was changed while it was adopted")
        safe_tree.sync(root, found.path)
        return placed.st_mtime_ns


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _MAGIC
    except OSError:
        return False


def bring(
    source: str, root: str, path: str, *, sha256: str, copy: bool, stopped: Callable[[], bool] = lambda: False
) -> os.stat_result:
    """Bring a file of another folder into the mirror, never over another; returns its stat there.

    Args:
        source: the file.
        root: the mirror's folder.
        path: where it belongs, relative to it.
        sha256: what its bytes are; a copy has to have them.
        copy: do not try a hard link first.
        stopped: asked now and then whether to end.

    Raises:
        FileExistsError: something stands at `path`.
        TransferError: the bytes read are not those that were checked.
        OSError: the file cannot be linked, read or written. `InterruptedError`: `stopped` said so.
    """
    if not copy:
        with safe_tree.parent(root, path, create=True) as (there, name):
            try:
                os.link(source, name, dst_dir_fd=there, follow_symlinks=False)
                return os.stat(name, dir_fd=there, follow_symlinks=False)
            except FileExistsError:
                raise
            except OSError:
                # Another file system, one without links, or a file that may not be linked.
                pass
    part = f"{STATE}/partial/{hashlib.sha256(path.encode()).hexdigest()[:32]}.adopting"
    with safe_tree.parent(root, part, create=True) as (here, name), open(source, "rb") as file:  # noqa: PTH123  # strings all through
        target = safe_tree.anew(here, name)
        try:
            with os.fdopen(target, "wb") as out:
                copied = _copied(file, out, stopped)
                times = os.fstat(file.fileno())
                os.utime(out.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
            if copied == sha256:
                return safe_tree.place(root, part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=here)
    raise TransferError(f"{source} was changed while it was copied")


def _copied(file: IO[bytes], out: IO[bytes], stopped: Callable[[], bool]) -> str:
    """Copy a file down to the disk; returns the sha256 of what was copied."""
    digest = hashlib.sha256()
    while piece := file.read(_SLICE):
        if stopped():
            raise InterruptedError
        digest.update(piece)
        out.write(piece)
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest()
