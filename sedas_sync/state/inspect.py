"""Compare the mirror's folder with its index. Reads, and changes nothing.

A file with the size and time of the index is not read. One with another time is hashed. An untracked file at the path
of a desired scene is checked.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from enum import Enum, auto
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError
from sedas_sync.files import tree_listing
from sedas_sync.files.integrity import Filehash, Proving, algorithm, check, crc32_of, same_digest
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.threads import Pool
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.model.disk import NOTHING_ON_DISK, DiskState, FileState
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.model.file_kind import ending_of, folder_ending
from sedas_sync.model.files import contents_of, with_files
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile
from sedas_sync.model.product_listing import NAMES
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.state.staging import bytes_downloaded, partial_names, partial_path
from sedas_sync.state.untracked import Verdict, judge

_READERS = 4
_STATE = f"{STATE}/"


class Inspection(Struct):
    """What the folder shows of the scenes of the index and the desired ones."""

    observed: dict[SceneId, DiskState] = field(default_factory=dict)
    """Scenes of which neither the folder nor the index has anything are left out."""
    refreshed: list[LocalScene] = field(default_factory=list)
    """Local scenes with the same bytes and another time or catalogue checksum."""
    warnings: list[str] = field(default_factory=list)
    unknown: int = 0
    """How many files are not of the index."""
    bytes: int = 0
    """The size of those that are, on disk."""

    @property
    def found(self) -> list[LocalScene]:
        """Untracked files that are scenes."""
        return [here.local for here in self.observed.values() if here.local is not None and not here.tracked]

    @property
    def present(self) -> dict[SceneId, LocalScene]:
        """The scenes of the index of which a file is on disk, or may be because it cannot be read."""
        return {
            scene_id: here.local
            for scene_id, here in self.observed.items()
            if here.tracked and here.local is not None and here.state is not FileState.ABSENT
        }

    @property
    def changed(self) -> set[SceneId]:
        """Those of which a file is missing or differs from the index."""
        return {key for key, here in self.observed.items() if here.tracked and here.state is FileState.DAMAGED}

    @property
    def problems(self) -> list[Reason]:
        """For each scene that cannot be read, so that it is not known whether it is on disk, what cannot be read."""
        return [here.problem for here in self.observed.values() if here.problem is not None]


def inspect_mirror(
    root: Path,
    wants: Mapping[SceneId, DesiredScene],
    scenes: Iterable[LocalScene],
    *,
    level: Proving = "crc",
    filehash: Mapping[str, Filehash] = {},  # it is not changed
    on_step: OnStep = ignore_step,
) -> Inspection:
    """Compare the folder with the index and the desired scenes. Every command that looks at the folder does it here.

    Args:
        root: The mirror's folder; it need not exist.
        wants: The desired scenes.
        scenes: The scenes of the index.
        level: How thoroughly an untracked file is checked.
        filehash: For each archive's key, what to do if a checksum differs from the catalogue: warn, enforce or ignore.
        on_step: Called with the number of files that have been read.
    """
    result = Inspection()
    local_scenes = {scene.id: scene for scene in scenes}
    if not root.is_dir():
        result.observed = {scene_id: DiskState(local=scene, tracked=True) for scene_id, scene in local_scenes.items()}
        return result
    tracked = [path for scene in local_scenes.values() for path in scene.paths]
    unreadable: tree_listing.Unreadable = {}
    expected = (path for want in wants.values() for path in want.paths)
    files = tree_listing.listing(str(root), tracked, expected, unreadable)
    unknown = files.keys() - tracked
    result.unknown = len(unknown)
    result.bytes = sum(files[path].size for path in tracked if path in files)
    for scene_id, scene in local_scenes.items():
        if scene.path.startswith(_STATE):
            files |= _interrupted_move(str(root), scene)
        if tree_listing.all_untouched(files, scene):
            result.observed[scene_id] = DiskState(local=scene, state=FileState.INTACT, tracked=True)
    others = dict.fromkeys(scene_id for scene_id in (*local_scenes, *wants) if scene_id not in result.observed)
    partials = frozenset(partial_names(str(root)))
    with Pool(_READERS) as readers:
        reading = {}
        for scene_id in others:
            mine, want = local_scenes.get(scene_id), wants.get(scene_id)
            # The path of a partial download takes long to compute, so it is done only if there are any.
            partial = _partial(str(root), want, partials) if partials and want is not None else 0
            seen = _look(root, mine, want, files, unreadable, partial)
            if isinstance(seen, DiskState):
                if seen is not NOTHING_ON_DISK:
                    result.observed[scene_id] = seen
            elif seen is _MustRead.INDEXED and mine is not None:
                reading[scene_id] = readers.submit(_read_again, root, mine, files, partial)
            elif want is not None:
                reading[scene_id] = readers.submit(_examine, root, want, files, level, filehash, partial, mine)
        for scene_id, places in _with_other_endings(wants, local_scenes, files, unknown, unreadable):
            reading[scene_id] = readers.submit(_examine_others, root, places, files, level, filehash)
        _collect(result, reading, on_step)
    named = {problem.here for problem in result.problems}
    result.warnings += tree_listing.left_out({path: why for path, why in unreadable.items() if path not in named})
    return result


def _collect(
    result: Inspection,
    reading: Mapping[SceneId, Future[tuple[DiskState, str | None]]],
    on_step: OnStep,
) -> None:
    """Take what reading the files has shown."""
    for number, (scene_id, future) in enumerate(reading.items()):
        on_step(Step("reading files that look changed or new", number, len(reading), "file"))
        seen, warning = future.result()
        if seen is NOTHING_ON_DISK:
            continue
        result.observed[scene_id] = seen
        if warning is not None:
            result.warnings.append(warning)
        if seen.tracked and seen.state is FileState.INTACT and seen.local is not None:
            result.refreshed.append(seen.local)


def _with_other_endings(
    wants: Mapping[SceneId, DesiredScene],
    local_scenes: Mapping[SceneId, LocalScene],
    files: Mapping[str, TreeEntry],
    unknown: AbstractSet[str],
    unreadable: Iterable[str],
) -> Iterator[tuple[SceneId, list[DesiredScene]]]:
    """Yield desired scenes with nothing at their paths, at the paths of untracked files and folders of other endings.

    A worker that was lost may have put the product in place, with the ending of the file that arrived. Or it was
    unpacked, and the index was lost. What is in a folder that cannot be read is not known.
    """
    others: dict[str, list[str]] = {}
    for folder in unreadable:
        for stem in {folder, folder.removesuffix(folder_ending(folder))}:
            others.setdefault(stem, []).append(folder)
    for path in sorted(unknown):
        folder, _, name = path.rpartition("/")
        if folder and name in NAMES:
            # The ending of the product's folder may be part of the scene's id.
            for stem in {folder, folder.removesuffix(folder_ending(folder))}:
                others.setdefault(stem, []).append(folder)
        elif ending := ending_of(path):
            others.setdefault(path.removesuffix(ending), []).append(path)
    for scene_id, want in wants.items() if others else ():
        if scene_id not in local_scenes and not want.scene.is_folder and want.path not in files:
            paths = others.get(want.path.removesuffix(want.scene.ending), ())
            if paths:
                yield scene_id, [replace(want, path=path) for path in paths]


def _examine_others(
    root: Path,
    wants: Iterable[DesiredScene],
    files: Mapping[str, TreeEntry],
    level: Proving,
    filehash: Mapping[str, Filehash],
) -> tuple[DiskState, str | None]:
    """Return the first untracked file, or folder, that is the scene, or one that may be; others are left alone."""
    may_be: DiskState = NOTHING_ON_DISK
    for want in wants:
        seen, warning = _examine(root, want, files, level, filehash, 0, None)
        if seen.state is FileState.INTACT and seen.local is not None:
            return replace(seen, local=replace(seen.local, path=want.path)), warning
        if seen.state is FileState.UNREADABLE:
            may_be = seen
    return may_be, None


def reprove(root: str, seen: Inspection, scenes: Mapping[SceneId, Scene], on_step: OnStep = ignore_step) -> None:
    """Read the files whose checksums in the catalogue have changed, and store those that they have.

    The result goes into the inspection and from there into the index, so that no file is read for this twice.

    Args:
        root: The mirror's folder.
        seen: The inspection.
        scenes: From `sedas_sync.planning.compare.restated`.
        on_step: Called with the number of files that have been read.
    """
    with Pool(_READERS) as readers:
        reading = {
            scene_id: readers.submit(_restated, root, local, scene)
            for scene_id, scene in scenes.items()
            if (local := seen.observed[scene_id].local) is not None
        }
        for number, (scene_id, future) in enumerate(reading.items()):
            on_step(Step("rechecking files whose catalogue checksum changed", number, len(reading), "file"))
            before = seen.observed[scene_id]
            try:
                local = future.result()
            except (OSError, SedasSyncError) as error:
                seen.warnings.append(f"{scene_id}: cannot be compared with its new digest: {error}")
                continue
            if local != before.local:
                seen.observed[scene_id] = replace(before, local=local)
                seen.refreshed.append(local)


def _restated(root: str, local: LocalScene, scene: Scene) -> LocalScene:
    """Return a local scene with those of the new checksums that its files have."""
    stated = {file.name: file.digest for file in scene.files}
    if (packed := local.packed) is not None:
        local = with_crcs(root, local)
        return replace(local, packed=replace(packed, digest=_new_digest(root, packed, stated.get(""))))
    local = hashed(root, local)
    return with_files(
        local, [replace(file, digest=_new_digest(root, file, stated.get(file.name))) for file in local.files]
    )


def hashed(root: str, local: LocalScene) -> LocalScene:
    """Return a local scene with the sha256 of every file; files that were not hashed yet are read.

    Raises:
        OSError: A file cannot be read.
        TransferError: A folder of its path is a symbolic link or not a folder.
    """
    if local.sha256 is not None:
        return local
    return with_files(
        local,
        [
            file if file.sha256 is not None else replace(file, sha256=check(file.path, root=root, level="size").sha256)
            for file in local.files
        ],
    )


def with_crcs(root: str, local: LocalScene) -> LocalScene:
    """Return a local scene with the CRC of every file; files whose CRC is not known yet are read.

    Raises:
        OSError: A file cannot be read.
        TransferError: A folder of its path is a symbolic link or not a folder.
    """
    if contents_of(local) is not None:
        return local
    return with_files(
        local,
        [file if file.crc32 is not None else replace(file, crc32=crc32_of(root, file.path)) for file in local.files],
    )


def _new_digest(root: str, file: LocalFile | PackedFile, stated: str | None) -> str | None:
    """Return the new checksum of the catalogue if the file has it, else the previous one."""
    if stated is None or file.digest is None or stated == file.digest:
        return file.digest
    name = algorithm(stated)
    if same_digest(stated, file.digest):
        same = True
    elif name == "sha256" and file.sha256 is not None:
        same = same_digest(stated, file.sha256)
    elif name is None or isinstance(file, PackedFile):
        # It cannot be computed. A previous checksum of another kind does not contradict it, so no change is known.
        same = algorithm(file.digest) not in {None, name}
    else:
        checked = check(file.path, root=root, level="size", digest=stated, sha256=file.sha256)
        same = not checked.problems and not checked.warnings
    return stated if same else file.digest


def _interrupted_move(root: str, local: LocalScene) -> dict[str, TreeEntry]:
    """Return the files of a scene whose run was killed while it was moved."""
    found = (tree_listing.look(root, path) for path in local.paths)
    return {there.path: there for there in found if there is not None and there.is_file}


def is_folder_of(root: Path, want: DesiredScene) -> bool:
    """Return whether a desired scene is a folder and all its files exist, as far as they are known."""
    # In a folder that cannot be read these are false.
    if want.scene.unlisted:
        return os.path.isdir(root / want.path)  # noqa: PTH112 - see above
    return want.scene.is_folder and all(os.path.isfile(root / path) for path in want.paths)  # noqa: PTH113 - see above


def file_state(
    root: str, file: LocalFile, there: TreeEntry | None, stopped: Callable[[], bool] = lambda: False
) -> FileState:
    """Compare a local file with the index; it is read only if size and time do not suffice.

    Raises:
        OSError: The file cannot be read.
        InterruptedError: `stopped` returned true.
    """
    if there is None:
        return FileState.ABSENT
    if tree_listing.untouched(there, file):
        return FileState.INTACT
    if not there.is_file or there.size != file.size:
        return FileState.DAMAGED
    if file.sha256 is None:
        # A file that was not hashed is proved by its length alone, as the user has chosen.
        return FileState.INTACT
    # Only its bytes can tell: the time differs, as after a copy or a restore.
    same = check(file.path, root=root, level="size", stopped=stopped).sha256 == file.sha256
    return FileState.INTACT if same else FileState.DAMAGED


def states_of(root: str, local: LocalScene, stopped: Callable[[], bool] = lambda: False) -> set[FileState]:
    """Return the current states of the files of a local scene.

    Raises:
        OSError: A file cannot be read.
        InterruptedError: `stopped` returned true.
        TransferError: A folder of its path is a symbolic link or not a folder.
    """
    return {file_state(root, file, tree_listing.look(root, file.path), stopped) for file in local.files}


def state_of(root: str, local: LocalScene, stopped: Callable[[], bool] = lambda: False) -> FileState:
    """Compare a local scene with the index; a file is read only if its time differs.

    A folder with some files missing and the others right is intact, unlike in a plan, which fetches the missing ones.
    The question here is whether what exists may be removed or replaced.

    Raises:
        OSError: A file cannot be read.
        InterruptedError: `stopped` returned true.
        TransferError: A folder of its path is a symbolic link or not a folder.
    """
    states = states_of(root, local, stopped)
    for state in (FileState.DAMAGED, FileState.INTACT):
        if state in states:
            return state
    return FileState.ABSENT


def _blocked(root: Path, seen: DiskState, want: DesiredScene) -> DiskState:
    """Mark a scene as blocked if something exists at its path that the listing of files does not show: a folder."""
    if seen.state is not FileState.ABSENT or not os.path.lexists(f"{root}/{want.path}"):
        return seen
    return replace(seen, path_taken=True)


def _partial(root: str, want: DesiredScene, names: AbstractSet[str]) -> int:
    """Return the bytes of a scene's partial download, given the names of all partial downloads."""
    path = partial_path(want.scene)
    return bytes_downloaded(root, path) if path.rpartition("/")[2] in names else 0


class _MustRead(Enum):
    """Which files have to be read before the state of a scene is known."""

    INDEXED = auto()
    """Those of the local scene."""
    UNTRACKED = auto()
    """Those at the desired scene's path."""


def _unreadable(local: LocalScene | None, path: str, error: OSError) -> DiskState:
    """Return the state of a scene of which something cannot be read."""
    detail = f"cannot be read: {error.strerror or error}"
    problem = Reason(ReasonCode.UNREADABLE, here=path, detail=detail)
    return DiskState(local=local, state=FileState.UNREADABLE, tracked=local is not None, problem=problem)


def _look(
    root: Path,
    local: LocalScene | None,
    want: DesiredScene | None,
    files: Mapping[str, TreeEntry],
    unreadable: tree_listing.Unreadable,
    partial: int,
) -> DiskState | _MustRead:
    """Return what is known of a scene that changed without reading, or which files have to be read."""
    there = [] if want is None else [files.get(path) for path in want.paths]
    complete = bool(there) and all(entry is not None and entry.is_file for entry in there)
    if unreadable:
        paths = (*(local.paths if local is not None else ()), *(want.paths if want is not None else ()))
        for path in paths:
            if path not in files and (hidden := tree_listing.hidden_by(path, unreadable)):
                return _unreadable(local, *hidden)
    if local is not None and any(path in files for path in local.paths):
        # A folder can be at its new path already, with some files left at the old one because of a kill.
        moved = local.is_folder and complete and want is not None and local.path != want.path
        return _MustRead.UNTRACKED if moved else _MustRead.INDEXED
    if want is None:
        return DiskState(local=local, tracked=True)
    if complete:
        return _MustRead.UNTRACKED
    state = FileState.DAMAGED if local is None and (any(there) or want.path in files) else FileState.ABSENT
    seen = DiskState(local=local, state=state, tracked=local is not None, partial=partial)
    # The folder of a scene whose files are missing does not block it, whatever else is in it.
    emptied = local is not None and local.is_folder and local.path == want.path and want.path not in files
    seen = seen if emptied else _blocked(root, seen, want)
    return NOTHING_ON_DISK if seen == NOTHING_ON_DISK else seen


def _read_again(
    root: Path, local: LocalScene, files: Mapping[str, TreeEntry], partial: int
) -> tuple[DiskState, str | None]:
    """Hash the files of a local scene whose times have changed."""
    current, intact, problem = [], True, None
    for file in local.files:
        there = files.get(file.path)
        try:
            right = file_state(str(root), file, there) is FileState.INTACT
        except (FileNotFoundError, SedasSyncError) as error:
            right, problem = False, f"{file.path}: cannot be read: {error}"
        except OSError as error:
            return _unreadable(local, file.path, error), None
        intact = intact and right
        current.append(replace(file, mtime_ns=there.mtime_ns) if right and there is not None else file)
    state = FileState.INTACT if intact else FileState.DAMAGED
    return DiskState(local=with_files(local, current), state=state, tracked=True, partial=partial), problem


def _examine(
    root: Path,
    want: DesiredScene,
    files: Mapping[str, TreeEntry],
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial: int,
    local: LocalScene | None,
) -> tuple[DiskState, str | None]:
    """Check the untracked file, or the folder, at the path of a desired scene."""
    entry = files.get(want.path)
    try:
        verdict = judge(str(root), want.path, want, entry=entry, level=level, filehash=filehash)
    except (FileNotFoundError, SedasSyncError) as error:
        verdict = Verdict("it cannot be read", f"cannot be read: {error}")
    except OSError as error:
        return _unreadable(local, want.path, error), None
    warning = None if verdict.warning is None else f"{want.path}: {verdict.warning}"
    if isinstance(verdict.found, str):
        return DiskState(local=local, state=FileState.DAMAGED, tracked=False, partial=partial), warning
    return DiskState(local=verdict.found, state=FileState.INTACT, tracked=False, partial=partial), warning
