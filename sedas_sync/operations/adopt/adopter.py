"""Check candidates, put the right ones in their places and record them: one scene after the other."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from posixpath import basename

from msgspec.structs import replace

from sedas_sync.archives.lookup import SceneLookup, archives_of
from sedas_sync.errors import SedasSyncError
from sedas_sync.files import tree_listing
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.threads import Pool
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.files.zip_records import MAGIC
from sedas_sync.model.events import Failure
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.files import above, folder_path
from sedas_sync.model.local import LocalScene
from sedas_sync.model.results import File, How, Result
from sedas_sync.model.scene import DesiredScene, SceneId
from sedas_sync.model.text import count, is_unicode, named, product_id
from sedas_sync.operations.adopt.candidates import Candidate, Names, find_candidates
from sedas_sync.operations.adopt.placing import Placer
from sedas_sync.operations.context import MirrorContext, filehash_of
from sedas_sync.operations.wants import at_layout
from sedas_sync.planning.sources import with_sources
from sedas_sync.state.index import BatchWriter
from sedas_sync.state.product_folder import FOLDER_ENDINGS
from sedas_sync.state.untracked import Verdict, judge
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error

_LIKE_AN_ID = re.compile(r"[^\s,/]+")
"""Names that may be the id of a scene: an archive can read a comma as the end of an id."""

_Check = tuple[Candidate, Future[Verdict | LocalScene | str | None]]


class Adopter:
    """Adopts files and folders into one mirror, whose lock the caller has.

    Args:
        context: The mirror.
        source: The folder with the files; None for the mirror itself, whose files are moved to their places.
        how: How a file of another folder gets into the mirror.
        wants: The scenes that match the manifest.
        scenes: The scenes of the index.
        writer: Records scenes that are in their places. None for a dry run, which changes nothing.
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
        writer: BatchWriter | None,
        look_up: SceneLookup | None = None,
    ) -> None:
        self._context = context
        self._root = str(context.state.root)
        self._source = None if source is None else str(source)
        self._place = self._source or self._root
        self._stopped: Callable[[], bool] = lambda: self._disk_full or context.stopped_with is not None
        self._placer = Placer(root=self._root, source=self._source, how=how, stopped=self._stopped)
        self._wants = dict(wants)
        self._recorded = {scene.id: scene for scene in scenes}
        self._tracked = {path for scene in self._recorded.values() for path in scene.paths}
        self._folders = {scene.path for scene in self._recorded.values() if scene.is_folder}
        self._writer = writer
        self._disk_full = False
        self._look_up = look_up
        self._names = Names(self._wants)
        self.candidates: list[Candidate] = []
        """The files and folders that were found, once `adopt` has begun."""
        self.warnings: list[str] = []
        self.failures: tuple[Failure, ...] = ()
        """Look-ups that failed."""

    def adopt(self, jobs: int) -> Iterator[File]:
        """Adopt the files; yield each file, or folder of a scene, when it is done.

        Args:
            jobs: Number of files to read at the same time.
        """
        entries = list(self._entries())
        self.candidates = find_candidates(entries, self._names, self._is_several)
        if self._look_up is not None:
            self._wants |= self._known_scenes(self._look_up, self.candidates)
            self._names = Names(self._wants)
            self.candidates = find_candidates(entries, self._names, self._is_several)
        chosen: defaultdict[SceneId, list[Candidate]] = defaultdict(list)
        for candidate in self.candidates:
            found = self._names.of(candidate.path)
            why = self._why_unwanted(found, candidate)
            if found is None or why is not None:
                yield File(file=candidate.path, result=Result.UNWANTED, size=candidate.size, detail=why or "")
            else:
                chosen[found].append(candidate)
        of_files = sorted(key for key in chosen if self._is_several(key))
        self._wants |= self._context.remote_sizes.complete([self._wants[key] for key in of_files])
        with Pool(jobs) as pool:
            # Only one window of files is read ahead, so that a checked file is soon in its place.
            todo, window = list(chosen.items()), 4 * jobs
            for first in range(0, len(todo), window):
                if self._stopped():
                    break
                checks = [(key, self._checked(pool, key, some)) for key, some in todo[first : first + window]]
                for key, candidates in checks:
                    yield from self._adopt_scene(self._wants[key], candidates)

    def _is_several(self, scene_id: SceneId) -> bool:
        return self._wants[scene_id].scene.is_folder

    def _why_unwanted(self, found: SceneId | None, candidate: Candidate) -> str | None:
        if found is None:
            return "its name has no id of a scene that matches a dataset"
        if candidate.entry is not None and not _is_of_kind(found, Path(self._place, candidate.path)):
            return f"it is not a {(ending_of(found) or ZIP).removeprefix('.')} file"
        return None

    def _known_scenes(self, look_up: SceneLookup, candidates: Iterable[Candidate]) -> dict[SceneId, DesiredScene]:
        """Return the scenes of the archives that files or folders are named after and no dataset wants."""
        paths: dict[SceneId, str] = {}
        for candidate in candidates:
            # A file in a folder may be one of a scene of several files.
            for path in (candidate.path, *(() if candidate.entry is None else above(candidate.path))):
                name = basename(path)
                stem = product_id(name) if candidate.entry is None else name.removesuffix(ZIP)
                if self._names.find(name) is None and _LIKE_AN_ID.fullmatch(stem) and is_unicode(stem):
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
        """Yield regular files that are not in the index, outside any mirror's state folder and any scene's folder."""
        # No link is followed below either folder.
        mine, place = os.path.realpath(self._root), os.path.realpath(self._place)
        expected: list[str] = []
        if self._source is None:
            expected = [*self._tracked, *(path for want in self._wants.values() for path in want.paths)]
        unreadable: tree_listing.Unreadable = {}
        entries = tree_listing.listing(self._place, expected, unreadable=unreadable)
        self.warnings += tree_listing.left_out(unreadable)
        for entry in sorted(entries.values()):
            if not entry.is_file or STATE in entry.path.split("/"):
                continue
            if self._source is None:
                if entry.path in self._tracked or not self._folders.isdisjoint(above(entry.path)):
                    continue
            elif f"{place}/{entry.path}".startswith(f"{mine}/"):
                continue
            yield entry

    def _checked(self, pool: Pool, scene_id: SceneId, candidates: Iterable[Candidate]) -> list[_Check]:
        """Begin to check the candidates of a scene."""
        want, unpack = self._wants[scene_id], self._context.manifest.mirror.unpack
        # Of a zip and its folder the wanted form comes first; then the one in its place, and the shortest path.
        ordered = sorted(
            candidates,
            key=lambda one: ((one.entry is None) != unpack, one.path != want.path, len(one.path), one.path),
        )
        return [(one, pool.submit(self._check, want, one)) for one in ordered]

    def _judge(self, want: DesiredScene, path: str, entry: TreeEntry | None, source: str | None) -> Verdict:
        return judge(
            self._root,
            path,
            want,
            entry=entry,
            level=self._context.manifest.transfer.integrity,
            filehash=filehash_of(self._context.manifest),
            source=source,
            stopped=self._stopped,
        )

    def _check(self, want: DesiredScene, candidate: Candidate) -> Verdict | LocalScene | str | None:
        """Check a candidate.

        Returns:
            What it is. If the scene is on disk already, its path, or the scene if it is not recorded. None if the run
            stops.
        """
        try:
            return (
                self._on_disk_at(want.scene.id)
                or self._standing(want)
                or self._judge(want, candidate.path, candidate.entry, self._source)
            )
        except InterruptedError:
            return None
        except (OSError, SedasSyncError) as error:
            return Verdict(f"it cannot be read: {error}")

    def _standing(self, want: DesiredScene) -> LocalScene | None:
        """Return the scene if it was brought from another folder and its run was killed before it was recorded."""
        places = {want.path, *(folder_path(want.path, want.scene.id + ending) for ending in FOLDER_ENDINGS)}
        for place in sorted(places) if self._source is not None else ():
            there = tree_listing.look(self._root, place)
            if there is not None:
                found = self._judge(want, place, there if there.is_file else None, None).found
                if not isinstance(found, str):
                    return found
        return None

    def _adopt_scene(self, want: DesiredScene, candidates: Iterable[_Check]) -> Iterator[File]:
        """Adopt the first candidate that is the scene; yield what was done with each."""
        on_disk: str | None = None
        for candidate, checked in candidates:
            verdict = None if self._stopped() and checked.cancel() else checked.result()
            if verdict is None or self._stopped():
                continue
            if isinstance(verdict, str):
                yield _held(want, candidate, verdict)
                continue
            if isinstance(verdict, LocalScene):
                if on_disk is None and self._writer is not None:
                    self._writer.add(verdict)
                on_disk = verdict.path
                yield _held(want, candidate, on_disk)
                continue
            if verdict.warning is not None:
                self.warnings.append(f"{candidate.path}: {verdict.warning}")
            if on_disk is not None and not isinstance(verdict.found, str):
                yield _held(want, candidate, on_disk)
                continue
            try:
                done = self._adopt_one(want, candidate, verdict)
            except InterruptedError:
                continue
            on_disk = on_disk or done.path
            yield done

    def _on_disk_at(self, scene_id: SceneId) -> str | None:
        """Return where this scene is on disk, or a file of it; None if it is not."""
        scene = self._recorded.get(scene_id)
        with suppress(OSError, SedasSyncError):
            if scene is not None and any(tree_listing.look(self._root, path) is not None for path in scene.paths):
                return scene.path
        return None

    def _adopt_one(self, want: DesiredScene, candidate: Candidate, verdict: Verdict) -> File:
        """Report what is wrong with a candidate, or put it in its place.

        Raises:
            InterruptedError: The run stops.
        """
        found = verdict.found

        def done(result: Result, detail: str = "", *, path: str | None = None) -> File:
            return File(
                file=candidate.path,
                result=result,
                id=want.scene.id,
                path=path,
                size=candidate.size if isinstance(found, str) else found.size,
                level=None if isinstance(found, str) else found.level.value,
                detail=detail,
                added=verdict.added,
            )

        if isinstance(found, str):
            return done(verdict.result, found)
        taken = f"something else stands at {found.path}; apply sets it aside"
        try:
            if not self._placer.is_free(candidate.path, found.path):
                return done(Result.FAILED, taken)
            if self._writer is not None:
                self._writer.add(self._placer.put(candidate.path, found))
        except FileExistsError:
            return done(Result.FAILED, taken)
        except InterruptedError:
            raise
        except (OSError, SedasSyncError) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                self._disk_full = True
                return done(Result.FAILED, str(disk_error(self._root, error)))
            return done(Result.FAILED, str(error))
        if self._writer is not None and self._placer.moves:
            self._remove_moved(self._writer, candidate, found)
        return done(Result.ADOPTED, _of_additions(verdict.added), path=found.path)

    def _remove_moved(self, writer: BatchWriter, candidate: Candidate, found: LocalScene) -> None:
        """Remove the files of a scene that was moved from another folder, once the index has the scene."""
        recorded = writer.flush()
        warning = self._placer.remove_moved(candidate.path, found) if recorded else None
        if not recorded:
            warning = f"{candidate.path}: is in the mirror, and stays here too, because the index could not be written"
        if warning is not None:
            self.warnings.append(warning)


def _held(want: DesiredScene, candidate: Candidate, on_disk: str) -> File:
    return File(
        file=candidate.path,
        result=Result.HELD,
        id=want.scene.id,
        size=candidate.size,
        detail=f"the scene is on disk at {on_disk}",
    )


def _of_additions(added: tuple[str, ...]) -> str:
    if not added:
        return ""
    return f"{count(len(added), 'file')} in it that the product does not list, left alone: {named(added)}"


def _is_of_kind(scene_id: SceneId, path: Path) -> bool:
    """Whether a file can be the scene, by its name or its first bytes."""
    if path.name.lower().endswith((ending_of(scene_id) or ZIP).lower()):
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False
