"""Adopt files that are on disk already: find them by the scene ids in their names, check them, record them.

A file that is wrong, or that match no dataset, is reported and left where it is. Nothing is overwritten.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from sedas_sync.archives.lookup import SceneLookup, archives_of
from sedas_sync.errors import ManifestError, SedasSyncError, TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.bring import bring
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.threads import Pool
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.files.zip_records import MAGIC
from sedas_sync.model.arguments import Jobs, Seconds
from sedas_sync.model.disk import FileState
from sedas_sync.model.events import Failure, Step
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.files import below, with_files
from sedas_sync.model.local import LocalScene
from sedas_sync.model.results import Adoption, File, How, Result
from sedas_sync.model.scene import DesiredScene, SceneId
from sedas_sync.operations.context import Listener, MirrorContext, filehash_of, ignore
from sedas_sync.operations.search import search_archives
from sedas_sync.operations.verify import readers
from sedas_sync.operations.wants import at_layout
from sedas_sync.planning.sources import with_sources
from sedas_sync.state.history import begin_run, end_run
from sedas_sync.state.index import BatchWriter
from sedas_sync.state.inspect import state_of
from sedas_sync.state.staging import partial_path
from sedas_sync.state.untracked import Verdict, judge

_LIKE_AN_ID = re.compile(r"[^\s,/]+")
"""Names that may be the id of a scene: an archive can read a comma as the end of an id."""


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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file or folder that may be a scene."""

    path: str
    """Relative to the folder that is searched."""
    entry: TreeEntry | None = None
    """None for a folder."""


def adopt_files(
    context: MirrorContext,
    source: str | os.PathLike[str] | None = None,
    *,
    how: How = "link",
    known: bool = False,
    jobs: Jobs | None = None,
    on_file: Callable[[File], None] | None = None,
    on_event: Listener = ignore,
    on_found: Callable[[int], None] | None = None,
    take_over: bool = False,
    lock_timeout: Seconds = 0.0,
) -> Adoption:
    """Check existing files and take them into the mirror and its index; downloads nothing.

    Args:
        context: the mirror.
        source: the folder with the files; the mirror itself if None.
        how: `link` (a hard link, or a copy on another file system), `copy` or `move` files of another folder.
        known: also adopt scenes that match no dataset, if their file or folder has the id of a scene that an archive
            knows. So a prune can judge them, after the index was lost.
        jobs: number of files that are read at once.
        on_file: called with the result for each file.
        on_event: called with every event.
        on_found: called with the number of scenes found, a few times a second.
        take_over: take the mirror from the manifest it belongs to.
        lock_timeout: seconds to wait for another process in this mirror.

    Raises:
        ManifestError: the mirror belongs to another manifest, or `source` is not a folder.
    """
    place, state, clock = _source_folder(source, context.state.root), context.state, context.clock
    with state.locked(timeout=lock_timeout), state.index(write=True) as (index, warnings):
        state.check_owner(index, take_over=take_over)
        search = search_archives(context, on_event=on_event, on_found=on_found)
        state.own(index)
        number = begin_run(index, "adopt", clock())
        files: list[File] = []
        state.on_step(Step("checking files", unit="file"))
        look_up, scenes, wants = context.look_up() if known else None, index.local_scenes(), search.wants
        with BatchWriter(index, clock) as writer:
            adopter = Adopter(context, place, how, wants=wants, scenes=scenes, record=writer.add, look_up=look_up)
            for file in adopter.adopt(jobs or readers(), stopped=lambda: context.stopped_with is not None):
                files.append(file)
                state.on_step(Step("checking files", len(files), unit="file"))
                if on_file is not None:
                    on_file(file)
        done = Adoption(
            manifest=context.manifest.name,
            mirror=str(state.root),
            source=str(place or state.root),
            search_complete=search.complete,
            files=tuple(files),
            failures=(*(() if search.complete else search.failures), *adopter.failures),
            warnings=(*warnings, *search.warnings, *adopter.warnings),
        )
        code = done.exit_code if context.stopped_with is None else context.stopped_with
        end_run(index, number, clock(), code, done.counts)
        return done


def _source_folder(source: str | os.PathLike[str] | None, root: Path) -> Path | None:
    """Return the folder to adopt from; None for the mirror itself.

    Raises:
        ManifestError: the folder does not exist.
    """
    place = None if source is None else Path(source)
    if place is not None and not place.is_dir():
        raise ManifestError(f"{place}: the folder to adopt from does not exist")
    return None if place is None or place.resolve() == root else place


class Adopter:
    """Adopts files into one mirror, whose lock the caller holds.

    Args:
        context: The mirror.
        source: The folder with the files; None for the mirror itself, whose files are moved to their places.
        how: How a file of another folder gets into the mirror. On another file system a hard link becomes a copy.
        wants: The scenes that match the manifest.
        scenes: The scenes of the index.
        record: Records a scene that is in its place.
        look_up: Looks up files whose names are not among `wants`; None to leave them.
    """

    def __init__(
        self,
        context: MirrorContext,
        source: Path | None,
        how: How,
        *,
        wants: Mapping[SceneId, DesiredScene],
        scenes: Iterable[LocalScene],
        record: Callable[[LocalScene], None],
        look_up: SceneLookup | None = None,
    ) -> None:
        self._context = context
        self._root = str(context.state.root)
        self._source = None if source is None else str(source)
        self._place = self._source or self._root
        self._how = how
        self._wants = dict(wants)
        self._recorded = {scene.id: scene for scene in scenes}
        self._tracked = {path for scene in self._recorded.values() for path in scene.paths}
        self._record = record
        self._look_up = look_up
        self._stopped: Callable[[], bool] = lambda: False
        self.warnings: list[str] = []
        self.failures: tuple[Failure, ...] = ()
        """Look-ups that failed."""
        self._name_wants()

    def _name_wants(self) -> None:
        """Prepare to find the ids of the scenes in the names of files."""
        self._names = Names(self._wants)
        # A name that was made safe, or cut, no longer has the id.
        self._at = {want.path: scene_id for scene_id, want in self._wants.items()}
        for path, scene_id in tuple(self._at.items()):
            self._at.setdefault(path.rpartition("/")[2], scene_id)

    def adopt(self, jobs: int, *, stopped: Callable[[], bool]) -> Iterator[File]:
        """Adopt the files; yield each file, or folder of a scene, when it is done.

        Args:
            jobs: Number of files to read at the same time.
            stopped: Returns whether to stop.
        """
        self._stopped = stopped
        chosen: defaultdict[SceneId, list[_Candidate]] = defaultdict(list)
        entries = list(self._entries())
        if self._look_up is not None:
            self._wants |= self._known_scenes(self._look_up, entries)
            self._name_wants()
        folders = self._folders(entries)
        self._wants |= self._context.remote_sizes.complete([self._wants[key] for key in sorted(set(folders.values()))])
        for path, scene_id in folders.items():
            chosen[scene_id].append(_Candidate(path))
        for entry in entries:
            if any(above in folders for above in _above(entry.path)):
                continue
            name = entry.path.rpartition("/")[2]
            found = self._at.get(entry.path) or self._at.get(name) or self._names.find(name)
            if found is None:
                why = "its name has no id of a scene that matches a dataset"
                yield File(file=entry.path, result=Result.UNWANTED, size=entry.size, detail=why)
            elif not _is_of_kind(found, Path(self._place, entry.path)):
                why = f"it is not a {(ending_of(found) or ZIP).removeprefix('.')} file"
                yield File(file=entry.path, result=Result.UNWANTED, size=entry.size, detail=why)
            else:
                chosen[found].append(_Candidate(entry.path, entry))
        with Pool(jobs) as pool:
            # Only one window of files is read ahead, so that a checked file is soon in its place.
            todo, window = list(chosen.items()), 4 * jobs
            for first in range(0, len(todo), window):
                checks = [
                    (self._wants[key], [(one, pool.submit(self._check, self._wants[key], one)) for one in ordered])
                    for key, ordered in ((key, self._in_order(key, some)) for key, some in todo[first : first + window])
                ]
                for want, candidates in checks:
                    yield from self._adopt_scene(want, candidates)

    def _known_scenes(self, look_up: SceneLookup, entries: Iterable[TreeEntry]) -> dict[SceneId, DesiredScene]:
        """Return the scenes of the archives that files or folders are named after and no dataset wants."""
        paths: dict[SceneId, str] = {}
        for entry in entries:
            for path in (entry.path, *_above(entry.path)):
                name = path.rpartition("/")[2]
                if self._names.find(name) is None and _LIKE_AN_ID.fullmatch(stem := name.removesuffix(ZIP)):
                    paths.setdefault(stem, path)
        everywhere = archives_of(self._context.manifest, self._context.manifest.datasets)
        self._context.step("looking up scenes", len(paths))
        look_up.ask(dict.fromkeys(paths, everywhere))
        self.failures = tuple(failure for failure in look_up.failures if failure.id not in look_up.unknown)
        found = {}
        for stem, path in paths.items():
            if (scene := look_up.found(stem)) is not None:
                want = at_layout(self._context, scene, everywhere[0], ())
                # Without a dataset a file of the mirror stays where it is.
                want = replace(want, path=path) if self._source is None else want
                found[scene.id] = with_sources(want, look_up.sources(stem))
        return found

    def _entries(self) -> Iterator[TreeEntry]:
        """Yield regular files that are not in the index, outside any mirror's state folder."""
        mine = os.path.realpath(self._root)
        expected: list[str] = []
        if self._source is None:
            expected = [*self._tracked, *(path for want in self._wants.values() for path in want.paths)]
        for entry in sorted(tree_listing.listing(self._place, expected).values()):
            if not entry.is_file or STATE in entry.path.split("/"):
                continue
            if self._source is None:
                if entry.path in self._tracked:
                    continue
            elif os.path.realpath(f"{self._place}/{entry.path}").startswith(f"{mine}/"):
                continue
            yield entry

    def _folders(self, entries: Iterable[TreeEntry]) -> dict[str, SceneId]:
        """Return the folders named after scenes of several files, the outermost of each branch."""
        if not any(want.scene.is_folder for want in self._wants.values()):
            return {}
        found: dict[str, SceneId] = {}
        for path in sorted({above for entry in entries for above in _above(entry.path)}):
            scene_id = self._names.find(path.rpartition("/")[2])
            if scene_id is not None and self._wants[scene_id].scene.is_folder and not found.keys() & set(_above(path)):
                found[path] = scene_id
        return found

    def _in_order(self, scene_id: SceneId, candidates: list[_Candidate]) -> list[_Candidate]:
        """Return the candidate that is in its place first, then those with the shortest paths."""
        wanted = self._wants[scene_id].path
        return sorted(candidates, key=lambda one: (one.path != wanted, len(one.path), one.path))

    def _check(self, want: DesiredScene, candidate: _Candidate) -> Verdict | None:
        """Check a candidate; return None if the run stops."""
        try:
            return judge(
                self._root,
                candidate.path,
                want,
                entry=candidate.entry,
                level=self._context.manifest.transfer.integrity,
                filehash=filehash_of(self._context.manifest),
                source=self._source,
                stopped=self._stopped,
            )
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return Verdict(f"it cannot be read: {error}")

    def _adopt_scene(
        self, want: DesiredScene, candidates: Iterable[tuple[_Candidate, Future[Verdict | None]]]
    ) -> Iterator[File]:
        """Adopt the first candidate that is the scene; yield what was done with each."""
        on_disk = self._on_disk_at(want.scene.id)
        for candidate, future in candidates:
            verdict = None if self._stopped() and future.cancel() else future.result()
            if verdict is None or self._stopped():
                continue
            if verdict.warning is not None:
                self.warnings.append(f"{candidate.path}: {verdict.warning}")
            try:
                done = self._adopt_one(want, candidate, verdict.found, on_disk)
            except InterruptedError:
                continue
            on_disk = on_disk or done.path
            yield done

    def _on_disk_at(self, scene_id: SceneId) -> str | None:
        """Return where this scene is on disk; None if it is not."""
        scene = self._recorded.get(scene_id)
        with suppress(OSError, SedasSyncError):
            if scene is not None and state_of(self._root, scene) is not FileState.ABSENT:
                return scene.path
        return None

    def _adopt_one(
        self, want: DesiredScene, candidate: _Candidate, found: LocalScene | str, on_disk: str | None
    ) -> File:
        """Report what is wrong with a candidate, or move it to its place.

        Raises:
            InterruptedError: The run stops.
        """

        def done(result: Result, detail: str = "", *, path: str | None = None) -> File:
            size, level = (0, None) if isinstance(found, str) else (found.size, found.level.value)
            size = size if candidate.entry is None else candidate.entry.size
            return File(
                file=candidate.path, result=result, id=want.scene.id, path=path, size=size, level=level, detail=detail
            )

        if isinstance(found, str):
            return done(Result.WRONG, found)
        if on_disk is not None:
            return done(Result.HELD, f"the scene is on disk at {on_disk}")
        try:
            self._record(self._put_in_place(want, candidate, found))
        except FileExistsError:
            return done(Result.FAILED, f"something else stands at {found.path}; apply sets it aside")
        except InterruptedError:
            raise
        except (OSError, SedasSyncError) as error:
            return done(Result.FAILED, str(error))
        self._remove_moved(candidate, found)
        return done(Result.ADOPTED, path=found.path)

    def _put_in_place(self, want: DesiredScene, candidate: _Candidate, found: LocalScene) -> LocalScene:
        """Move, link or copy checked files to their place; return the scene with its times there."""
        root, place = self._root, found.path
        rename = safe_tree.move_folder if found.is_folder else safe_tree.move
        if self._source is None:
            if candidate.path == place:
                return found
            rename(root, candidate.path, place)
        else:
            # A folder appears complete or not at all.
            gathered = f"{partial_path(want.scene)}/adopted" if found.is_folder else place
            if found.is_folder:
                safe_tree.discard(root, gathered)
                if safe_tree.stat(root, place) is not None:
                    raise FileExistsError(place)
            for file in found.files:
                bring(
                    f"{self._source}/{below(candidate.path, file.name)}",
                    root,
                    below(gathered, file.name),
                    sha256=file.sha256,
                    copy=self._how == "copy",
                    stopped=self._stopped,
                )
            if found.is_folder:
                safe_tree.sync(root, f"{gathered}/-")
                rename(root, gathered, place)
        files = []
        for file in found.files:
            there = safe_tree.stat(root, file.path)
            if there is None or there.st_size != file.size:
                raise TransferError(f"{below(candidate.path, file.name)} was changed while it was adopted")
            files.append(replace(file, mtime_ns=there.st_mtime_ns))
        safe_tree.sync(root, place)
        return with_files(found, files)

    def _remove_moved(self, candidate: _Candidate, found: LocalScene) -> None:
        """Remove the files of another folder that were moved."""
        for file in found.files if self._source is not None and self._how == "move" else ():
            try:
                safe_tree.drop(self._source or "", below(candidate.path, file.name))
            except (OSError, TransferError) as error:
                self.warnings.append(
                    f"{candidate.path}: was adopted, but could not be removed from the other folder: {error}"
                )


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
