"""What the folder holds, compared with what the index remembers of it. Reads, and changes nothing.

Files whose size and time are those of the index are not read. One whose time differs is hashed; an untracked file that
stands where a wanted scene belongs is checked.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.errors import SedasSyncError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import FileCheck, Filehash, Proving, algorithm, check, same_digest, zip_names
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.assets import desired_paths, files_on_disk, paths_on_disk, scene_of_files
from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.scene import DesiredScene, LocalFile, LocalScene, ProofLevel, Scene, SceneId
from sedas_sync.model.threads import Pool
from sedas_sync.state.staging import bytes_downloaded, proved

_READERS = 4


class Inspection(Struct):
    """What was seen for every wanted scene that has anything here."""

    observed: dict[SceneId, DiskState] = field(default_factory=dict)
    refreshed: list[LocalScene] = field(default_factory=list)
    """Held files whose time, or the catalogue's digest, changed and whose bytes did not."""
    warnings: list[str] = field(default_factory=list)


def inspect_mirror(
    root: Path,
    wants: Mapping[SceneId, DesiredScene],
    holdings: Iterable[LocalScene],
    *,
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial_path: Callable[[DesiredScene], str],
    on_step: OnStep = ignore_step,
) -> Inspection:
    """Look at the folder.

    Args:
        root: the mirror's folder; it may not exist.
        wants: the scenes to look for.
        holdings: what the index remembers.
        level: how an untracked file is checked.
        filehash: for each archive's key, what a differing catalogue digest is worth: warn, enforce or ignore.
        partial_path: where a download under way of a scene would be.
        on_step: told how many of the files that have to be read have been.
    """
    result = Inspection()
    held = {holding.id: holding for holding in holdings if holding.id in wants}
    if not root.is_dir():
        result.observed = {scene_id: DiskState(held=item, tracked=True) for scene_id, item in held.items()}
        return result
    expected = [item.path for item in held.values() if not item.files]
    expected += [want.path for want in wants.values() if not want.scene.assets]
    expected += [path for item in held.values() if item.files for path in paths_on_disk(item)]
    expected += [path for want in wants.values() if want.scene.assets for path in desired_paths(want)]
    files = safe_tree.listing(str(root), expected)
    for item in held.values():
        if item.path.startswith(f"{STATE}/"):
            files |= _between_places(str(root), item)
    partials = _partial_names(root)
    with Pool(_READERS, "inspect_mirror") as readers:
        reading = {}
        for scene_id, want in wants.items():
            partial = 0
            # Making a safe name of each of a hundred thousand scenes takes longer than all else that is done here.
            name = partial_path(want) if partials else ""
            if name and name.rpartition("/")[2] in partials:
                partial = bytes_downloaded(str(root), name)
            mine = held.get(scene_id)
            seen = _look(root, mine, want, files, partial)
            if isinstance(seen, DiskState):
                if seen is not _NOTHING:
                    result.observed[scene_id] = seen
            elif seen is _READ_HELD and mine is not None:
                reading[scene_id] = readers.submit(_read_again, root, mine, files, partial)
            else:
                reading[scene_id] = readers.submit(_examine, root, want, files, level, filehash, partial, mine)
        for number, (scene_id, future) in enumerate(reading.items()):
            on_step(Step("reading files that look changed or new", number, len(reading), "file"))
            seen, warning = future.result()
            result.observed[scene_id] = seen
            if warning is not None:
                result.warnings.append(warning)
            if seen.tracked and seen.state is FileState.INTACT and seen.held is not None:
                result.refreshed.append(seen.held)
    return result


def reprove(root: str, seen: Inspection, scenes: Mapping[SceneId, Scene], on_step: OnStep = ignore_step) -> None:
    """Find out which held files have the digests that the catalogue states now, though it stated others before.

    What is found goes into the survey, to be remembered: no file is read for this twice.

    Args:
        root: the mirror's folder.
        seen: the survey.
        scenes: from `sedas_sync.planning.compare.restated`.
        on_step: told how many files have been read.
    """
    with Pool(_READERS, "reprove") as readers:
        reading = {
            scene_id: readers.submit(_restated, root, held, scene)
            for scene_id, scene in scenes.items()
            if (held := seen.observed[scene_id].held) is not None
        }
        for number, (scene_id, future) in enumerate(reading.items()):
            on_step(Step("reading files whose digest the catalogue states anew", number, len(reading), "file"))
            before = seen.observed[scene_id]
            try:
                held = future.result()
            except (OSError, SedasSyncError) as error:
                seen.warnings.append(f"{scene_id}: cannot be compared with its new digest: {error}")
                continue
            if held != before.held:
                seen.observed[scene_id] = replace(before, held=held)
                seen.refreshed.append(held)


def _restated(root: str, held: LocalScene, scene: Scene) -> LocalScene:
    """A held scene with those of the digests that are stated now and that its files have."""
    if not held.files:
        return replace(held, digest=_new_digest(root, held, scene.digest))
    stated = {asset.name: asset.digest for asset in scene.assets}
    views = zip(held.files, files_on_disk(held), strict=True)
    return scene_of_files(
        held, [replace(file, digest=_new_digest(root, view, stated.get(file.name))) for file, view in views]
    )


def _new_digest(root: str, file: LocalScene, stated: str | None) -> str | None:
    """The digest that is stated now where the file has it, else the one that was stated before."""
    if stated is None or file.digest is None or stated == file.digest:
        return file.digest
    name = algorithm(stated)
    if same_digest(stated, file.digest):
        same = True
    elif name is None:
        # Nobody can compute it. What was stated before in another way says nothing of it, and no change is known.
        same = algorithm(file.digest) is not None
    elif name == "sha256":
        same = same_digest(stated, file.sha256)
    else:
        checked = check(file.path, root=root, level="size", digest=stated, sha256=file.sha256)
        same = not checked.problems and not checked.warnings
    return stated if same else file.digest


def _between_places(root: str, held: LocalScene) -> dict[str, safe_tree.TreeEntry]:
    """The files of a scene that was on its way from one path to another when something was killed."""
    found = (safe_tree.look(root, view.path) for view in files_on_disk(held))
    return {there.path: there for there in found if there is not None and there.is_file}


_NOTHING = DiskState()


def is_folder_of(root: Path, want: DesiredScene) -> bool:
    """Whether every file of a scene of several stands where it belongs."""
    return bool(want.scene.assets) and all((root / path).is_file() for path in desired_paths(want))


def glance(there: safe_tree.TreeEntry | None, file: LocalScene) -> FileState | None:
    """Compare a held file with what the index remembers, and read nothing.

    Returns:
        None where only the bytes can tell: the size is right and the time is another, as after a copy or a restore.
    """
    if there is None:
        return FileState.ABSENT
    if safe_tree.untouched(there, file):
        return FileState.INTACT
    return None if there.is_file and there.size == file.size else FileState.DAMAGED


def file_state(
    root: str, file: LocalScene, there: safe_tree.TreeEntry | None, stopped: Callable[[], bool] = lambda: False
) -> FileState:
    """Compare a held file with what the index remembers; its bytes are read only where nothing else can tell.

    This is the one rule for every command.

    Raises:
        OSError: the file cannot be read. `InterruptedError`: `stopped` said so.
    """
    state = glance(there, file)
    if state is None:
        same = check(file.path, root=root, level="size", stopped=stopped).sha256 == file.sha256
        state = FileState.INTACT if same else FileState.DAMAGED
    return state


def states_of(root: str, held: LocalScene, stopped: Callable[[], bool] = lambda: False) -> set[FileState]:
    """The states that the files of a held scene have now.

    Raises:
        OSError: a file cannot be read. `InterruptedError`: `stopped` said so.
        TransferError: a folder on the way to it is a symbolic link or no folder.
    """
    return {file_state(root, file, safe_tree.look(root, file.path), stopped) for file in files_on_disk(held)}


def state_of(root: str, held: LocalScene, stopped: Callable[[], bool] = lambda: False) -> FileState:
    """Compare a scene with what the index remembers of it; a file is read only where its time differs.

    A folder of which some files are gone and the others are right is intact: what is there is the scene's.

    Raises:
        OSError: a file cannot be read. `InterruptedError`: `stopped` said so.
        TransferError: a folder on the way to it is a symbolic link or no folder.
    """
    states = states_of(root, held, stopped)
    for state in (FileState.DAMAGED, FileState.INTACT):
        if state in states:
            return state
    return FileState.ABSENT


class Compared(Struct):
    """How the files of held scenes compare with the index."""

    changed: set[SceneId] = field(default_factory=set)
    """Scenes of which a file is gone or is not what the index remembers."""
    refreshed: list[LocalScene] = field(default_factory=list)
    """Scenes whose files have other times and the same bytes, with these times."""
    warnings: list[str] = field(default_factory=list)


def compare(
    root: Path, holdings: Iterable[LocalScene], files: Mapping[str, safe_tree.TreeEntry], on_step: OnStep = ignore_step
) -> Compared:
    """Compare held scenes with the index, by the rule that a plan goes by too.

    Args:
        root: the mirror's folder.
        holdings: what the index remembers, of scenes that are here.
        files: the folder's listing.
        on_step: told how many of the files that have to be read have been.
    """
    result = Compared()
    with Pool(_READERS, "compare") as readers:
        reading = {}
        for held in holdings:
            states = {glance(files.get(view.path), view) for view in files_on_disk(held)}
            if not states <= {FileState.INTACT, None}:
                result.changed.add(held.id)
            elif None in states:
                reading[held.id] = readers.submit(_read_again, root, held, files, 0)
        for number, (scene_id, future) in enumerate(reading.items()):
            on_step(Step("reading files that look changed", number, len(reading), "file"))
            seen, warning = future.result()
            if seen.held is not None and seen.state is FileState.INTACT:
                result.refreshed.append(seen.held)
            else:
                result.changed.add(scene_id)
            if warning is not None:
                result.warnings.append(warning)
    return result


def _blocked(root: Path, seen: DiskState, want: DesiredScene) -> DiskState:
    """The same, or said to be in the way where the scan, which lists files, has passed over a folder."""
    if seen.state is not FileState.ABSENT or not os.path.lexists(f"{root}/{want.path}"):
        return seen
    return replace(seen, blocked=True)


def _partial_names(root: Path) -> frozenset[str]:
    try:
        return frozenset(safe_tree.names(str(root), f"{STATE}/partial"))
    except (OSError, TransferError):
        return frozenset()


_READ_HELD = "held"
"""The held file, or files of the held folder, have to be read to know."""
_READ_STRANGER = "stranger"
"""What stands where the scene belongs has to be read to know."""


def _look(
    root: Path, held: LocalScene | None, want: DesiredScene, files: Mapping[str, safe_tree.TreeEntry], partial: int
) -> DiskState | str:
    """What is known without reading; or which of the two must be read to know."""
    if (held is not None and held.files) or (want.scene.assets and (held is None or held.path not in files)):
        return _compare_folder(root, held, want, files, partial)
    seen = _compare(held, want, files, partial)
    return _blocked(root, seen, want) if isinstance(seen, DiskState) else seen


def _compare(
    held: LocalScene | None, want: DesiredScene, files: Mapping[str, safe_tree.TreeEntry], partial: int
) -> DiskState | str:
    if held is not None:
        state = glance(files.get(held.path), held)
        if state is None:
            return _READ_HELD
        if state is not FileState.ABSENT:
            return DiskState(held=held, state=state, tracked=True, partial=partial)
    stranger = files.get(want.path)
    if stranger is None:
        if held is None and not partial:
            return _NOTHING
        return DiskState(held=held, tracked=held is not None, partial=partial)
    if stranger.is_file:
        return _READ_STRANGER
    return DiskState(held=held, state=FileState.DAMAGED, tracked=False, partial=partial)


def _compare_folder(
    root: Path, held: LocalScene | None, want: DesiredScene, files: Mapping[str, safe_tree.TreeEntry], partial: int
) -> DiskState | str:
    if held is not None:
        views = tuple(files_on_disk(held))
        if all(safe_tree.untouched(files.get(view.path), view) for view in views):
            return DiskState(held=held, state=FileState.INTACT, tracked=True, partial=partial)
    theirs = [files.get(f"{want.path}/{asset.name}") for asset in want.scene.assets] or [files.get(want.path)]
    there = all(file is not None and file.is_file for file in theirs)
    if held is not None and any(view.path in files for view in files_on_disk(held)):
        # It may be in its new place already, and a kill have left some of what is in its old one.
        return _READ_STRANGER if there and held.path != want.path else _READ_HELD
    if there:
        return _READ_STRANGER
    state = FileState.DAMAGED if held is None and (any(theirs) or want.path in files) else FileState.ABSENT
    seen = DiskState(held=held, state=state, tracked=held is not None, partial=partial)
    # The folder of a scene whose files are gone is not in the way, whatever else is in it.
    emptied = held is not None and held.path == want.path and want.path not in files
    seen = seen if emptied else _blocked(root, seen, want)
    return _NOTHING if seen == _NOTHING else seen


def _read_again(
    root: Path, held: LocalScene, files: Mapping[str, safe_tree.TreeEntry], partial: int
) -> tuple[DiskState, str | None]:
    """Hash those files of a held scene whose times have changed; the others are not read."""
    fresh, intact, problem = [], True, None
    for view in files_on_disk(held):
        file = files.get(view.path)
        try:
            right = file_state(str(root), view, file) is FileState.INTACT
        except (OSError, SedasSyncError) as error:
            right, problem = False, f"{view.path}: cannot be read: {error}"
        intact = intact and right
        fresh.append(file.mtime_ns if right and file is not None else view.mtime_ns)
    state = FileState.INTACT if intact else FileState.DAMAGED
    return DiskState(held=_with_times(held, fresh), state=state, tracked=True, partial=partial), problem


def _with_times(held: LocalScene, times: list[int]) -> LocalScene:
    if not held.files:
        return replace(held, mtime_ns=times[0])
    return scene_of_files(held, [replace(file, mtime_ns=time) for file, time in zip(held.files, times, strict=True)])


def _examine(
    root: Path,
    want: DesiredScene,
    files: Mapping[str, safe_tree.TreeEntry],
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial: int,
    held: LocalScene | None,
) -> tuple[DiskState, str | None]:
    """Check what the index does not know and stands at a wanted scene's path."""
    if not want.scene.assets:
        return _examine_file(root, want, files[want.path], level, filehash, partial, held)
    wrong = DiskState(held=held, state=FileState.DAMAGED, tracked=False, partial=partial)
    try:
        found = judge_files(str(root), want.path, want, level=level, filehash=filehash.get(want.archive, "enforce"))
    except (OSError, SedasSyncError) as error:
        return wrong, f"{want.path}: cannot be read: {error}"
    if isinstance(found, str):
        return wrong, None
    return DiskState(held=found, state=FileState.INTACT, tracked=False, partial=partial), None


def judge_files(
    root: str,
    place: str,
    want: DesiredScene,
    *,
    level: Proving,
    filehash: Filehash,
    source: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> LocalScene | str:
    """Check whether a folder is a wanted scene of several files: what the index is to remember, or why it is not.

    A file is taken for what it should be where a download proved it, or where the catalogue (or the lock) states its
    size or digest and it has that.

    Args:
        root: the mirror's folder.
        place: the folder, relative to `source`.
        want: the scene.
        level: how zips among its files are checked.
        filehash: what the catalogue's digests are worth.
        source: the folder in which `place` is, where that is not the mirror.
        stopped: asked now and then whether to end.

    Raises:
        OSError: a file is missing or cannot be read. `InterruptedError`: `stopped` said so.
        TransferError: a folder on the way to one is a symbolic link.
    """
    found = []
    for asset in want.scene.assets:
        path = f"{place}/{asset.name}"
        found_there = safe_tree.stat(source or root, path)
        if found_there is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        there = safe_tree.TreeEntry.of(path, found_there)
        demanded = want.pinned.get(asset.name)
        known = proved(root, want.scene, asset, demanded=demanded) if source is None else None
        if known is not None and safe_tree.untouched(there, known):
            found.append(known)
            continue
        checked = check(
            path, root=source or root, level=level, size=asset.size, digest=asset.digest, filehash=filehash,
            sha256=demanded, stopped=stopped,
        )  # fmt: skip
        if checked.problems or checked.warnings:
            return f"{asset.name}: {'; '.join(checked.problems + checked.warnings)}"
        found.append(
            LocalFile(
                name=asset.name,
                size=checked.size,
                mtime_ns=there.mtime_ns,
                sha256=checked.sha256,
                level=checked.level,
                digest=asset.digest,
            )
        )
    held = LocalScene(
        id=want.scene.id,
        path=want.path,
        size=0,
        mtime_ns=0,
        sha256="",
        level=ProofLevel.SIZE,
        archive="",
        facts=metadata_of(want.scene),
    )
    return scene_of_files(held, found)


def _examine_file(
    root: Path,
    want: DesiredScene,
    file: safe_tree.TreeEntry,
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial: int,
    held: LocalScene | None,
) -> tuple[DiskState, str | None]:
    """Check a file the index does not know that stands at a wanted scene's path."""
    wrong = DiskState(held=held, state=FileState.DAMAGED, tracked=False, partial=partial)
    try:
        judged = judge_want(str(root), want.path, want, level=level, filehash=filehash)
    except (OSError, SedasSyncError) as error:
        return wrong, f"{want.path}: cannot be read: {error}"
    if judged.problem is not None:
        return wrong, None
    warning = f"{want.path}: {judged.warning}" if judged.warning is not None else None
    adopted = adopted_as(want, judged.checked, mtime_ns=file.mtime_ns)
    return DiskState(held=adopted, state=FileState.INTACT, tracked=False, partial=partial), warning


class FileVerdict(Struct, frozen=True):
    """What was found of a file that may be a scene."""

    checked: FileCheck
    problem: str | None
    """Why it is not the scene; None where it is taken for it."""
    warning: str | None = None


def judge_want(
    root: str,
    path: str,
    want: DesiredScene,
    *,
    level: Proving,
    filehash: Mapping[str, Filehash],
    stopped: Callable[[], bool] = lambda: False,
) -> FileVerdict:
    """Check whether a file below a folder is a wanted scene, as any archive that has it says it is.

    Raises:
        OSError: the file cannot be read. `InterruptedError`: `stopped` said so.
        TransferError: a folder on the way to it is a symbolic link.
    """
    places = [(place.archive, place.scene) for place in want.places] or [(want.archive, want.scene)]
    found = [
        judge(root, path, scene, level=level, filehash=filehash.get(key, "warn"), sha256=want.sha256, stopped=stopped)
        for key, scene in places
    ]
    return next((judged for judged in found if judged.problem is None), found[0])


def judge(
    root: str,
    path: str,
    scene: Scene,
    *,
    level: Proving,
    filehash: Filehash,
    sha256: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> FileVerdict:
    """Check whether a file that was not fetched by this program is a scene; `sha256` is what the lock demands.

    Raises:
        OSError: the file cannot be read. `InterruptedError`: `stopped` said so.
    """
    size = None if scene.nominal else scene.size
    checked = check(
        path, root=root, level=level, size=size, digest=scene.digest, filehash=filehash, sha256=sha256, stopped=stopped
    )
    if checked.problems:
        return FileVerdict(checked, "; ".join(checked.problems))
    if checked.level is ProofLevel.DIGEST:
        return FileVerdict(checked, None)
    within = folder_within(root, path)
    product = (within or "").removesuffix(".SAFE")
    if within is not None and within.endswith(".SAFE") and product != scene.id:
        return FileVerdict(checked, f"it holds {product}")
    if filehash != "ignore" and algorithm(scene.digest) is not None:
        # A digest in a catalogue may be of something else than the file; the zip's own first folder is then the
        # only witness of which product it holds.
        if product != scene.id:
            return FileVerdict(checked, "; ".join(checked.warnings))
        return FileVerdict(checked, None, "is adopted although the catalogue's Filehash differs")
    return FileVerdict(checked, None)


def adopted_as(want: DesiredScene, checked: FileCheck, *, mtime_ns: int) -> LocalScene:
    """What the index is to remember of a file that was checked and is the wanted scene."""
    return LocalScene(
        id=want.scene.id,
        path=want.path,
        size=checked.size,
        mtime_ns=mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        archive="",
        digest=want.scene.digest,
        facts=metadata_of(want.scene),
    )


def folder_within(root: str, path: str) -> str | None:
    """The name of the one folder that holds everything in a zip; None where there is no such."""
    found: str | None = None
    try:
        with os.fdopen(safe_tree.open_file(root, path, os.O_RDONLY), "rb") as file:
            for name in zip_names(file):
                first = name.partition("/")[0]
                if found not in {None, first}:
                    return None
                found = first
    except (OSError, TransferError, ValueError):
        return None
    return found
