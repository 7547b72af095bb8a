"""What the folder holds, compared with what the index remembers of it. Reads, and changes nothing.

Files whose size and time are those of the index are not read. One whose time differs is hashed; an untracked file that
stands where a wanted scene belongs is checked.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync import folder
from sedas_sync.assets import held_files, held_paths, wanted_paths, with_files
from sedas_sync.bundle import proved, under_way
from sedas_sync.errors import SedasSyncError
from sedas_sync.events import Step, Watcher, nobody
from sedas_sync.facts import facts_of
from sedas_sync.integrity import Checked, Filehash, Proving, algorithm, check, zip_names
from sedas_sync.memory import STATE
from sedas_sync.model import HeldFile, Holding, Level, Scene, SceneId, Want
from sedas_sync.plan import FileState, Observed
from sedas_sync.threads import Pool

_READERS = 4


class Survey(Struct):
    """What was seen for every wanted scene that has anything here."""

    observed: dict[SceneId, Observed] = field(default_factory=dict)
    refreshed: list[Holding] = field(default_factory=list)
    """Held files whose time changed and whose bytes did not."""
    warnings: list[str] = field(default_factory=list)


def survey(
    root: Path,
    wants: Mapping[SceneId, Want],
    holdings: Iterable[Holding],
    *,
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial_path: Callable[[Want], str],
    on_step: Watcher = nobody,
) -> Survey:
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
    result = Survey()
    held = {holding.id: holding for holding in holdings if holding.id in wants}
    if not root.is_dir():
        result.observed = {scene_id: Observed(held=item, tracked=True) for scene_id, item in held.items()}
        return result
    expected = [item.path for item in held.values() if not item.files]
    expected += [want.path for want in wants.values() if not want.scene.assets]
    expected += [path for item in held.values() if item.files for path in held_paths(item)]
    expected += [path for want in wants.values() if want.scene.assets for path in wanted_paths(want)]
    files = folder.listing(str(root), expected)
    for item in held.values():
        if item.path.startswith(f"{STATE}/"):
            files |= _between_places(str(root), item)
    partials = _partial_names(root)
    with Pool(_READERS, "survey") as readers:
        reading = {}
        for scene_id, want in wants.items():
            partial = 0
            # Making a safe name of each of a hundred thousand scenes takes longer than all else that is done here.
            name = partial_path(want) if partials else ""
            if name and name.rpartition("/")[2] in partials:
                partial = under_way(str(root), name)
            mine = held.get(scene_id)
            seen = _look(root, mine, want, files, partial)
            if isinstance(seen, Observed):
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


def _between_places(root: str, held: Holding) -> dict[str, folder.Entry]:
    """The files of a scene that was on its way from one path to another when something was killed."""
    found = {view.path: folder.stat(root, view.path) for view in held_files(held)}
    return {
        path: folder.Entry(path, there.st_size, there.st_mtime_ns, is_symlink=False, is_file=True)
        for path, there in found.items()
        if there is not None and stat.S_ISREG(there.st_mode)
    }


_NOTHING = Observed()


def is_folder_of(root: Path, want: Want) -> bool:
    """Whether every file of a scene of several stands where it belongs."""
    return bool(want.scene.assets) and all((root / path).is_file() for path in wanted_paths(want))


def state_of(root: Path, held: Holding, stopped: Callable[[], bool] = lambda: False) -> FileState:
    """Compare a scene with what the index remembers of it; a file is read only where its time differs.

    A folder of which some files are gone and the others are right is intact: what is there is the scene's.

    Raises:
        OSError: a file cannot be read. `InterruptedError`: `stopped` said so.
        TransferError: a folder on the way to it is a symbolic link or no folder.
    """
    states = {_state_of(root, file, stopped) for file in held_files(held)}
    for state in (FileState.DAMAGED, FileState.INTACT):
        if state in states:
            return state
    return FileState.ABSENT


def _state_of(root: Path, held: Holding, stopped: Callable[[], bool]) -> FileState:
    found = folder.stat(str(root), held.path)
    if found is None:
        return FileState.ABSENT
    if not stat.S_ISREG(found.st_mode) or found.st_size != held.size:
        return FileState.DAMAGED
    if found.st_mtime_ns == held.mtime_ns:
        return FileState.INTACT
    if check(str(root / held.path), level="size", stopped=stopped).sha256 == held.sha256:
        return FileState.INTACT
    return FileState.DAMAGED


def _blocked(root: Path, seen: Observed, want: Want) -> Observed:
    """The same, or said to be in the way where the scan, which lists files, has passed over a folder."""
    if seen.state is not FileState.ABSENT or not os.path.lexists(f"{root}/{want.path}"):
        return seen
    return replace(seen, blocked=True)


def _partial_names(root: Path) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in (root / STATE / "partial").iterdir())
    except OSError:
        return frozenset()


_READ_HELD = "held"
"""The held file, or files of the held folder, have to be read to know."""
_READ_STRANGER = "stranger"
"""What stands where the scene belongs has to be read to know."""


def _look(
    root: Path, held: Holding | None, want: Want, files: Mapping[str, folder.Entry], partial: int
) -> Observed | str:
    """What is known without reading; or which of the two must be read to know."""
    if (held is not None and held.files) or (want.scene.assets and (held is None or held.path not in files)):
        return _compare_folder(root, held, want, files, partial)
    seen = _compare(held, want, files, partial)
    return _blocked(root, seen, want) if isinstance(seen, Observed) else seen


def _compare(held: Holding | None, want: Want, files: Mapping[str, folder.Entry], partial: int) -> Observed | str:
    if held is not None:
        file = files.get(held.path)
        if file is not None and file.is_file:
            if (file.size, file.mtime_ns) == (held.size, held.mtime_ns):
                return Observed(held=held, state=FileState.INTACT, tracked=True, partial=partial)
            if file.size == held.size:
                return _READ_HELD
            return Observed(held=held, state=FileState.DAMAGED, tracked=True, partial=partial)
        if file is not None:
            return Observed(held=held, state=FileState.DAMAGED, tracked=True, partial=partial)
    stranger = files.get(want.path)
    if stranger is None:
        if held is None and not partial:
            return _NOTHING
        return Observed(held=held, tracked=held is not None, partial=partial)
    if stranger.is_file:
        return _READ_STRANGER
    return Observed(held=held, state=FileState.DAMAGED, tracked=False, partial=partial)


def _compare_folder(
    root: Path, held: Holding | None, want: Want, files: Mapping[str, folder.Entry], partial: int
) -> Observed | str:
    if held is not None:
        views = tuple(held_files(held))
        if all(_is(files.get(view.path), view) for view in views):
            return Observed(held=held, state=FileState.INTACT, tracked=True, partial=partial)
    theirs = [files.get(f"{want.path}/{asset.name}") for asset in want.scene.assets] or [files.get(want.path)]
    there = all(file is not None and file.is_file for file in theirs)
    if held is not None and any(view.path in files for view in held_files(held)):
        # It may be in its new place already, and a kill have left some of what is in its old one.
        return _READ_STRANGER if there and held.path != want.path else _READ_HELD
    if there:
        return _READ_STRANGER
    state = FileState.DAMAGED if held is None and (any(theirs) or want.path in files) else FileState.ABSENT
    seen = Observed(held=held, state=state, tracked=held is not None, partial=partial)
    # The folder of a scene whose files are gone is not in the way, whatever else is in it.
    emptied = held is not None and held.path == want.path and want.path not in files
    seen = seen if emptied else _blocked(root, seen, want)
    return _NOTHING if seen == _NOTHING else seen


def _is(file: folder.Entry | None, held: Holding) -> bool:
    return file is not None and file.is_file and (file.size, file.mtime_ns) == (held.size, held.mtime_ns)


def _read_again(
    root: Path, held: Holding, files: Mapping[str, folder.Entry], partial: int
) -> tuple[Observed, str | None]:
    """Hash those files of a held scene whose times have changed; the others are not read."""
    fresh, intact, problem = [], True, None
    for view in held_files(held):
        file = files.get(view.path)
        right = _is(file, view)
        if not right and file is not None and file.is_file and file.size == view.size:
            try:
                right = check(str(root / view.path), level="size").sha256 == view.sha256
            except (OSError, SedasSyncError) as error:
                problem = f"{view.path}: cannot be read: {error}"
        intact = intact and right
        fresh.append(file.mtime_ns if right and file is not None else view.mtime_ns)
    state = FileState.INTACT if intact else FileState.DAMAGED
    return Observed(held=_with_times(held, fresh), state=state, tracked=True, partial=partial), problem


def _with_times(held: Holding, times: list[int]) -> Holding:
    if not held.files:
        return replace(held, mtime_ns=times[0])
    return with_files(held, [replace(file, mtime_ns=time) for file, time in zip(held.files, times, strict=True)])


def _examine(
    root: Path,
    want: Want,
    files: Mapping[str, folder.Entry],
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial: int,
    held: Holding | None,
) -> tuple[Observed, str | None]:
    """Check what the index does not know and stands at a wanted scene's path."""
    if not want.scene.assets:
        return _examine_file(root, want, files[want.path], level, filehash, partial, held)
    wrong = Observed(held=held, state=FileState.DAMAGED, tracked=False, partial=partial)
    try:
        found = judge_files(str(root), want.path, want, level=level, filehash=filehash.get(want.archive, "enforce"))
    except (OSError, SedasSyncError) as error:
        return wrong, f"{want.path}: cannot be read: {error}"
    if isinstance(found, str):
        return wrong, None
    return Observed(held=found, state=FileState.INTACT, tracked=False, partial=partial), None


def judge_files(
    root: str,
    place: str,
    want: Want,
    *,
    level: Proving,
    filehash: Filehash,
    source: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Holding | str:
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
    """
    found = []
    for asset in want.scene.assets:
        path = f"{source or root}/{place}/{asset.name}"
        there = os.lstat(path)
        demanded = want.pinned.get(asset.name)
        known = proved(root, want.scene, asset, demanded=demanded) if source is None else None
        if known is not None and (known.size, known.mtime_ns) == (there.st_size, there.st_mtime_ns):
            found.append(known)
            continue
        checked = check(
            path, level=level, size=asset.size, digest=asset.digest, filehash=filehash, sha256=demanded, stopped=stopped
        )
        if checked.problems or checked.warnings:
            return f"{asset.name}: {'; '.join(checked.problems + checked.warnings)}"
        found.append(
            HeldFile(
                name=asset.name,
                size=checked.size,
                mtime_ns=there.st_mtime_ns,
                sha256=checked.sha256,
                level=checked.level,
                digest=asset.digest,
            )
        )
    held = Holding(
        id=want.scene.id,
        path=want.path,
        size=0,
        mtime_ns=0,
        sha256="",
        level=Level.SIZE,
        archive="",
        facts=facts_of(want.scene),
    )
    return with_files(held, found)


def _examine_file(
    root: Path,
    want: Want,
    file: folder.Entry,
    level: Proving,
    filehash: Mapping[str, Filehash],
    partial: int,
    held: Holding | None,
) -> tuple[Observed, str | None]:
    """Check a file the index does not know that stands at a wanted scene's path."""
    wrong = Observed(held=held, state=FileState.DAMAGED, tracked=False, partial=partial)
    try:
        judged = judge_want(str(root / want.path), want, level=level, filehash=filehash)
    except (OSError, SedasSyncError) as error:
        return wrong, f"{want.path}: cannot be read: {error}"
    if judged.problem is not None:
        return wrong, None
    warning = f"{want.path}: {judged.warning}" if judged.warning is not None else None
    adopted = adopted_as(want, judged.checked, mtime_ns=file.mtime_ns)
    return Observed(held=adopted, state=FileState.INTACT, tracked=False, partial=partial), warning


class Judged(Struct, frozen=True):
    """What was found of a file that may be a scene."""

    checked: Checked
    problem: str | None
    """Why it is not the scene; None where it is taken for it."""
    warning: str | None = None


def judge_want(
    path: str,
    want: Want,
    *,
    level: Proving,
    filehash: Mapping[str, Filehash],
    stopped: Callable[[], bool] = lambda: False,
) -> Judged:
    """Check whether a file is a wanted scene, as any archive that has it says it is.

    Raises:
        OSError: the file cannot be read. `InterruptedError`: `stopped` said so.
    """
    places = [(place.archive, place.scene) for place in want.places] or [(want.archive, want.scene)]
    found = [
        judge(path, scene, level=level, filehash=filehash.get(key, "warn"), sha256=want.sha256, stopped=stopped)
        for key, scene in places
    ]
    return next((judged for judged in found if judged.problem is None), found[0])


def judge(
    path: str,
    scene: Scene,
    *,
    level: Proving,
    filehash: Filehash,
    sha256: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Judged:
    """Check whether a file that was not fetched by this program is a scene; `sha256` is what the lock demands.

    Raises:
        OSError: the file cannot be read. `InterruptedError`: `stopped` said so.
    """
    size = None if scene.nominal else scene.size
    checked = check(
        path, level=level, size=size, digest=scene.digest, filehash=filehash, sha256=sha256, stopped=stopped
    )
    if checked.problems:
        return Judged(checked, "; ".join(checked.problems))
    if checked.level is Level.DIGEST:
        return Judged(checked, None)
    within = folder_within(path)
    product = (within or "").removesuffix(".SAFE")
    if within is not None and within.endswith(".SAFE") and product != scene.id:
        return Judged(checked, f"it holds {product}")
    if filehash != "ignore" and algorithm(scene.digest) is not None:
        # A digest in a catalogue may be of something else than the file; the zip's own first folder is then the
        # only witness of which product it holds.
        if product != scene.id:
            return Judged(checked, "; ".join(checked.warnings))
        return Judged(checked, None, "is adopted although the catalogue's Filehash differs")
    return Judged(checked, None)


def adopted_as(want: Want, checked: Checked, *, mtime_ns: int) -> Holding:
    """What the index is to remember of a file that was checked and is the wanted scene."""
    return Holding(
        id=want.scene.id,
        path=want.path,
        size=checked.size,
        mtime_ns=mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        archive="",
        digest=want.scene.digest,
        facts=facts_of(want.scene),
    )


def folder_within(path: str) -> str | None:
    """The name of the one folder that holds everything in a zip; None where there is no such."""
    found: str | None = None
    try:
        for name in zip_names(path):
            first = name.partition("/")[0]
            if found not in {None, first}:
                return None
            found = first
    except (OSError, ValueError):
        return None
    return found
