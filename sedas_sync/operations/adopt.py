"""Adopt files that are on disk already: find them by the scene ids in their names, check them, record them.

A file that is wrong, or that match no dataset, is reported and left where it is. Nothing is overwritten.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError, TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.bring import bring
from sedas_sync.files.integrity import Filehash, Proving
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.files.zip_records import MAGIC
from sedas_sync.model.disk import FileState
from sedas_sync.model.events import Failure, exit_code_of
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.files import with_files
from sedas_sync.model.scene import DesiredScene, LocalScene, SceneId
from sedas_sync.model.threads import Pool
from sedas_sync.state.inspect import state_of
from sedas_sync.state.staging import partial_path
from sedas_sync.state.untracked import adopted_as, judge_files, judge_want

How = Literal["link", "copy", "move"]
"""How a file from another folder gets into the mirror."""


class Result(StrEnum):
    """What was done with a file."""

    ADOPTED = "adopted"
    """It is in the mirror and in the index."""
    HELD = "held"
    """Its scene is on disk already; the file was left where it is."""
    WRONG = "wrong"
    """It is not the scene that its name says; the file was left where it is."""
    UNWANTED = "unwanted"
    """It matches no dataset, or its name has no scene id; the file was left where it is."""
    FAILED = "failed"
    """It is right, but could not be moved to its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file that was checked."""

    file: str
    """Where it was found: relative to the mirror, or to the other folder."""
    result: Result
    id: SceneId | None = None
    path: str | None = None
    """Its path in the mirror; None if it was not adopted."""
    size: int
    level: str | None = None
    """How far its bytes are proved."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What was done with each file."""

    manifest: str
    mirror: str
    source: str
    """The folder whose files were checked."""
    search_complete: bool
    files: tuple[File, ...]
    failures: tuple[Failure, ...] = ()
    """Searches that failed or are incomplete."""
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of files of each result, zeros included."""
        return {kind.value: sum(item.result is kind for item in self.files) for kind in Result}

    @property
    def exit_code(self) -> int:
        """4 if a search was refused, 1 if a file is wrong, could not be moved, or a search failed; else 0."""
        counts = self.counts
        return exit_code_of(self.failures) or int(bool(counts["wrong"] or counts["failed"]))


class Names:
    """Finds scene ids in file names.

    Args:
        ids: The ids to look for.
    """

    def __init__(self, ids: Iterable[SceneId]) -> None:
        self._ids = frozenset(ids)
        self._lengths = sorted({len(scene_id) for scene_id in self._ids if scene_id}, reverse=True)

    def find(self, name: str) -> SceneId | None:
        """Return the longest id in the name that has no letter or digit directly before or after it."""
        for length in self._lengths:
            for start in range(len(name) - length + 1):
                part = name[start : start + length]
                if part in self._ids and _is_whole_word(name, start, start + length):
                    return part
        return None


def _is_whole_word(name: str, start: int, end: int) -> bool:
    return not (name[start - 1 : start].isalnum() or name[end : end + 1].isalnum())


class Adopter:
    """Adopts files into one mirror.

    Args:
        root: The mirror's folder; the caller holds its lock.
        wants: The scenes that match the manifest.
        holdings: The scenes on disk that are in the index.
        level: How a zip is checked.
        filehash: What to do if a checksum differs from the catalogue's, by the archive's key.
        jobs: Number of files to read at the same time.
        record: Records a scene that is in its place.
        stopped: Returns whether to stop.
        with_lengths: Looks up the lengths of files for which the catalogue has none.
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
        self._recorded = {scene.id: scene for scene in holdings}
        self._tracked = {file.path for scene in self._recorded.values() for file in scene.files}
        self._level: Proving = level
        self._filehash = filehash
        self._jobs = jobs
        self._record = record
        self._stopped = stopped
        self._names = Names(wants)
        # A name that was made safe, or cut, no longer has the id.
        self._at = {want.path: scene_id for scene_id, want in wants.items()}
        for path, scene_id in tuple(self._at.items()):
            self._at.setdefault(path.rpartition("/")[2], scene_id)
        self.warnings: list[str] = []

    def adopt(self, source: Path | None = None, *, how: How = "link") -> Iterator[File]:
        """Adopt files of the mirror itself, or of another folder; yield each file when it is done.

        Args:
            source: The other folder; None for the mirror itself, whose files are moved to their places.
            how: How a file of another folder gets here. On another file system a hard link becomes a copy.
        """
        chosen: defaultdict[SceneId, list[TreeEntry]] = defaultdict(list)
        place = source or self._root
        candidates = list(self._candidates(source))
        folders = self._folders(candidates)
        self._wants |= self._with_lengths([self._wants[scene_id] for scene_id in sorted(set(folders.values()))])
        for path, whose in folders.items():
            done = None if self._stopped() else self._adopt_folder(whose, path, source, how)
            if done is not None:
                yield done
        for entry in candidates:
            if any(above in folders for above in _above(entry.path)):
                continue
            name = entry.path.rpartition("/")[2]
            scene_id = self._at.get(entry.path) or self._at.get(name) or self._names.find(name)
            if scene_id is None or not _is_of_kind(scene_id, place / entry.path):
                why = "its name has no id of a scene that matches a dataset"
                if scene_id is not None:
                    why = f"it is not a {(ending_of(scene_id) or ZIP).removeprefix('.')} file"
                yield File(file=entry.path, result=Result.UNWANTED, size=entry.size, detail=why)
            else:
                chosen[scene_id].append(entry)
        with Pool(self._jobs, "adopt") as pool:
            # Only one window of files is read ahead, so that a checked file is soon in its place.
            todo = list(chosen.items())
            window = 4 * self._jobs
            for first in range(0, len(todo), window):
                checks = [
                    (scene_id, [(entry, pool.submit(self._check, scene_id, place, entry)) for entry in entries])
                    for scene_id, entries in (
                        (key, self._in_order(key, found)) for key, found in todo[first : first + window]
                    )
                ]
                for scene_id, entries in checks:
                    on_disk = self._on_disk_at(scene_id)
                    for entry, future in entries:
                        found = None if self._stopped() and future.cancel() else future.result()
                        if found is None or self._stopped():
                            continue
                        done = self._adopt_file(scene_id, entry, found, source, how, on_disk)
                        if done is None:
                            continue
                        on_disk = on_disk or (done.path if done.result is Result.ADOPTED else None)
                        yield done

    def _folders(self, candidates: Iterable[TreeEntry]) -> dict[str, SceneId]:
        """Return the folders named after scenes of several files, the outermost of each branch."""
        if not any(want.scene.assets for want in self._wants.values()):
            return {}
        found: dict[str, SceneId] = {}
        for path in sorted({above for entry in candidates for above in _above(entry.path)}):
            scene_id = self._names.find(path.rpartition("/")[2])
            if scene_id is not None and self._wants[scene_id].scene.assets and not found.keys() & set(_above(path)):
                found[path] = scene_id
        return found

    def _adopt_folder(self, scene_id: SceneId, path: str, source: Path | None, how: How) -> File | None:
        """Check a folder of files and move it to its place; return None if the run stops."""
        want = self._wants[scene_id]
        on_disk = self._on_disk_at(scene_id)
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

        def result_of(result: Result, detail: str = "", *, place: str | None = None) -> File:
            size, level = (0, None) if isinstance(found, str) else (found.size, found.level.value)
            return File(file=path, result=result, id=scene_id, path=place, size=size, level=level, detail=detail)

        if isinstance(found, str):
            return result_of(Result.WRONG, found)
        if on_disk is not None:
            return result_of(Result.HELD, f"the scene is on disk at {on_disk}")
        try:
            placed = self._place_folder(path, want, found, source, how)
        except FileExistsError:
            return result_of(Result.FAILED, f"something else is at {want.path}; apply moves it to replaced/")
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return result_of(Result.FAILED, str(error))
        self._record(placed)
        if source is not None and how == "move":
            for file in found.files:
                with suppress(OSError, TransferError):
                    safe_tree.drop(str(source), f"{path}/{file.name}")
        return result_of(Result.ADOPTED, place=want.path)

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
        return with_files(found, files)

    def _candidates(self, source: Path | None) -> Iterator[TreeEntry]:
        """Yield regular files that are not in the index, outside any mirror's state folder."""
        mine = os.path.realpath(self._root)
        place = str(source or self._root)
        expected = (
            []
            if source is not None
            else [*self._tracked, *(path for want in self._wants.values() for path in want.paths)]
        )
        for entry in sorted(tree_listing.listing(place, expected).values()):
            if not entry.is_file or STATE in entry.path.split("/"):
                continue
            if source is None:
                if entry.path in self._tracked:
                    continue
            elif os.path.realpath(f"{place}/{entry.path}").startswith(f"{mine}/"):
                continue
            yield entry

    def _in_order(self, scene_id: SceneId, entries: list[TreeEntry]) -> list[TreeEntry]:
        """Return the file that is in its place first, then those with the shortest paths."""
        wanted = self._wants[scene_id].path
        return sorted(entries, key=lambda entry: (entry.path != wanted, len(entry.path), entry.path))

    def _on_disk_at(self, scene_id: SceneId) -> str | None:
        """Return where this scene is on disk; None if it is not."""
        scene = self._recorded.get(scene_id)
        try:
            if scene is not None and state_of(str(self._root), scene) is not FileState.ABSENT:
                return scene.path
        except (OSError, SedasSyncError):
            pass
        return None

    def _check(self, scene_id: SceneId, place: Path, entry: TreeEntry) -> LocalScene | str | None:
        """Check a file; return the scene to record, the reason why it is not the scene, or None if the run stops."""
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

    def _adopt_file(
        self,
        scene_id: SceneId,
        entry: TreeEntry,
        found: LocalScene | str,
        source: Path | None,
        how: How,
        on_disk: str | None,
    ) -> File | None:
        """Report what is wrong with a file, or move it to its place; return None if the run stops."""

        def result_of(result: Result, detail: str = "", *, path: str | None = None, level: str | None = None) -> File:
            return File(
                file=entry.path, result=result, id=scene_id, path=path, size=entry.size, level=level, detail=detail
            )

        if isinstance(found, str):
            return result_of(Result.WRONG, found)
        if on_disk is not None:
            return result_of(Result.HELD, f"the scene is on disk at {on_disk}", level=found.level.value)
        try:
            mtime_ns = self._place(entry, found, source, how)
        except FileExistsError:
            return result_of(Result.FAILED, f"another file is at {found.path}; apply moves it to replaced/")
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return result_of(Result.FAILED, str(error))
        self._record(replace(found, mtime_ns=mtime_ns))
        if source is not None and how == "move":
            try:
                safe_tree.drop(str(source), entry.path)
            except (OSError, TransferError) as error:
                self.warnings.append(
                    f"{entry.path}: was adopted, but could not be removed from the other folder: {error}"
                )
        return result_of(Result.ADOPTED, path=found.path, level=found.level.value)

    def _place(self, entry: TreeEntry, found: LocalScene, source: Path | None, how: How) -> int:
        """Move a checked file to its place; return its mtime there."""
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
    """Yield the folders of a path, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_of_kind(scene_id: SceneId, path: Path) -> bool:
    """Whether a file can be the scene, by its name or its first bytes."""
    if path.name.lower().endswith((ending_of(scene_id) or ZIP).lower()):
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False
