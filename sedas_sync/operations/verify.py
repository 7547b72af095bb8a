"""Read a mirror's files again and compare them with the index and the lock file.

Verifying changes nothing. A repair is a plan like any other, made from the findings by
`sedas_sync.planning.compare.choose_actions` and carried out by `sedas_sync.operations.apply.run`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from sedas_sync.archives.lookup import paths_by_lock
from sedas_sync.errors import TransferError
from sedas_sync.files import tree_listing
from sedas_sync.files.integrity import Filehash, check
from sedas_sync.files.threads import Pool, readers
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.manifest import Manifest
from sedas_sync.model.arguments import Jobs
from sedas_sync.model.events import OnStep, Step
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.files import below, meets_lock
from sedas_sync.model.local import LocalFile, LocalScene, ProofLevel
from sedas_sync.model.order import OrderState
from sedas_sync.model.results import Finding, VerifiedFile, VerifyReport
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import count
from sedas_sync.operations.context import MirrorContext, filehash_of
from sedas_sync.operations.lock_file import lock_path, matching_lock_or_warning, wanted_scenes
from sedas_sync.planning.lock import Lock, LockedFile, LockedScene


class _Task(NamedTuple):
    """One file to read."""

    id: SceneId | None
    path: str
    recorded: LocalFile | None
    locked: LockedFile | None
    name: str = ""
    remedy: str = ""
    """What to do if it is damaged, of a file outside the index."""


def verify_mirror(
    context: MirrorContext,
    *,
    jobs: Jobs | None = None,
    on_file: Callable[[int, int, int, int], None] | None = None,
) -> VerifyReport:
    """Read all files of the mirror and compare them with the index, and with the lock file if there is one.

    Works offline and changes nothing. A lock file that does not match the manifest is ignored with a warning. The lock
    file decides what has to be there if the last apply was a locked one, or if there was none. Otherwise it only adds
    checksums: what an apply has downloaded again or removed since is right.

    Args:
        context: The mirror.
        jobs: Number of files that are read at once.
        on_file: Called with the files and bytes that have been read, and the totals of both.

    Raises:
        ManifestError: The mirror belongs to another manifest, or the lock file cannot be read.
    """
    manifest, state = context.manifest, context.state
    with state.index(write=False) as index:
        warnings = index.warnings
        state.check_owner(index)
        scenes = {scene.id: scene for scene in index.local_scenes()}
        ordered = {order.id for order in index.orders() if order.state is OrderState.PENDING}
        damaged = bool(warnings)
        lock = matching_lock_or_warning(manifest, warnings)
        lock_decides = lock is not None and index.lock_decides
        wanted = {scene_id for ids in wanted_scenes(manifest, index, lock).values() for scene_id in ids}
    pins, places = _locked_scenes(manifest, lock)
    if not lock_decides:
        pins = _still_valid(pins, scenes, wanted, str(lock_path(manifest.name)), warnings)
    entries, unreadable = _files_on_disk(state.root, scenes, pins, places)
    tasks, done, others = _sort_files(scenes, pins, places, entries, ordered=ordered, wanted=wanted)
    done += _read(
        state.root,
        tasks,
        entries,
        jobs or readers(),
        "ignore" if all(policy == "ignore" for policy in filehash_of(manifest).values()) else "warn",
        on_file or _steps_of_reading(state.on_step),
    )
    done = [_if_missing(file, ordered, unreadable) if file.is_missing else file for file in done]
    named = {place for file in done if (place := tree_listing.hidden_by(file.path, unreadable))}
    warnings += tree_listing.left_out({path: error for path, error in unreadable.items() if (path, error) not in named})
    return VerifyReport(
        manifest=manifest.name,
        mirror=str(state.root),
        files=tuple(sorted(done, key=lambda file: (file.path in others, file.path, file.id or ""))),
        lock=None if lock is None else str(lock_path(manifest.name)),
        lock_decides=lock_decides,
        warnings=tuple(warnings),
        damaged_index=damaged,
    )


def _locked_scenes(manifest: Manifest, lock: Lock | None) -> tuple[dict[SceneId, LockedScene], Mapping[SceneId, str]]:
    """Return the scenes of the lock file that belong to the manifest's datasets, and the paths that it shows."""
    if lock is None:
        return {}, {}
    pins = {pin.id: pin for pin in lock.scenes.values() if not manifest.datasets.keys().isdisjoint(pin.datasets)}
    return pins, paths_by_lock(manifest, lock)


def _files_on_disk(
    root: Path,
    scenes: Mapping[SceneId, LocalScene],
    pins: Mapping[SceneId, LockedScene],
    places: Mapping[SceneId, str],
) -> tuple[Mapping[str, TreeEntry], tree_listing.Unreadable]:
    """Return the files of the mirror by path, and what cannot be read."""
    expected = [path for scene in scenes.values() for path in scene.paths]
    expected += [path for pin in pins.values() for path in _paths(pin, places.get(pin.id))]
    unreadable: tree_listing.Unreadable = {}
    entries = tree_listing.listing(str(root), expected, unreadable=unreadable) if root.is_dir() else {}
    return entries, unreadable


def _sort_files(
    scenes: Mapping[SceneId, LocalScene],
    pins: Mapping[SceneId, LockedScene],
    places: Mapping[SceneId, str],
    entries: Mapping[str, TreeEntry],
    *,
    ordered: AbstractSet[SceneId],
    wanted: AbstractSet[SceneId],
) -> tuple[list[_Task], list[VerifiedFile], AbstractSet[str]]:
    """Return the files to read, what is known of others without reading them, and the paths that nothing requires.

    Args:
        scenes: Of the index.
        pins: The scenes of the lock file.
        places: Their paths, as far as the layout needs no more than the lock file has.
        entries: The files on disk.
        ordered: Scenes whose orders are pending.
        wanted: Scenes that have to be on disk.
    """
    tasks = [task for scene in scenes.values() for task in _tasks(scene, pins.get(scene.id))]
    not_indexed = [pin for pin in pins.values() if pin.id not in scenes]
    more, known = _not_indexed(not_indexed, places, entries, {task.path for task in tasks}, ordered)
    tasks += more
    known += _other_zips(scenes, pins)
    others = entries.keys() - {task.path for task in tasks} - {item.path for item in known}
    zips = list(_zips_outside(entries, others, wanted - scenes.keys() - pins.keys()))
    known += [_unknown(entries[path]) for path in others - {task.path for task in zips}]
    return sorted((*tasks, *zips), key=lambda task: task.path), known, others


def _steps_of_reading(on_step: OnStep) -> Callable[[int, int, int, int], None]:
    """Return a function that reports as a step how much has been read."""

    def on_read(done: int, read: int, files: int, total: int) -> None:
        on_step(Step("reading files", read, total, "bytes", f"{done:,}/{files:,}"))

    return on_read


def _if_missing(file: VerifiedFile, ordered: AbstractSet[SceneId], unreadable: tree_listing.Unreadable) -> VerifiedFile:
    """Return a file that is not in the listing as pending, unreadable or missing."""
    if hidden := tree_listing.hidden_by(file.path, unreadable):
        detail = f"{hidden[0]} cannot be read: {hidden[1].strerror}"
        return replace(file, finding=Finding.UNREADABLE, detail=detail)
    return replace(file, pending=file.id in ordered)


def _still_valid(
    pins: Mapping[SceneId, LockedScene],
    scenes: Mapping[SceneId, LocalScene],
    wanted: AbstractSet[SceneId],
    lock: str,
    warnings: list[str],
) -> dict[SceneId, LockedScene]:
    """Return the scenes of a lock file without those that a later apply has downloaded again or no longer wants."""
    current = {pin.id: pin for pin in pins.values() if not _is_outdated(pin, scenes.get(pin.id), wanted)}
    if outdated := len(pins) - len(current):
        warnings.append(
            f"{lock}: {count(outdated, 'scene')} changed or removed by an apply since; `sedas-sync lock` updates the "
            "file, and `apply --locked` returns to it"
        )
    return current


def _is_outdated(pin: LockedScene, scene: LocalScene | None, wanted: AbstractSet[SceneId]) -> bool:
    """Return whether an apply has downloaded or removed a scene of the lock file since the file was written."""
    if scene is None:
        return pin.id not in wanted
    here = scene.delivered.sha256
    return None not in (pin.sha256, here) and pin.sha256 != here


def _paths(pin: LockedScene, place: str | None) -> tuple[str, ...]:
    """Return the paths of a scene of the lock file, if its place is known."""
    if place is None:
        return ()
    return tuple(below(place, name) for name in pin.files) or (place,)


def _required(scene: LocalScene, pin: LockedScene | None) -> dict[str, LockedFile]:
    """Return what the lock file requires of the files of a scene, by their names."""
    if pin is None:
        return {}
    if scene.packed is not None:
        return dict(pin.unpacked)
    if scene.is_folder and pin.files:
        return dict(pin.files)
    return {file.name: LockedFile(pin.size, pin.sha256) for file in scene.files}


def _other_zips(scenes: Mapping[SceneId, LocalScene], pins: Mapping[SceneId, LockedScene]) -> Iterator[VerifiedFile]:
    """Yield unpacked scenes whose zips are not those of the lock file, unless it has each of their files."""
    for scene in scenes.values():
        pin = pins.get(scene.id)
        if scene.packed is None or pin is None or pin.unpacked or meets_lock(scene, pin) is not False:
            continue
        here = scene.packed.sha256
        was = "it was not unpacked here" if here is None else f"the sha256 of its zip was {here}"
        yield VerifiedFile(
            path=scene.path,
            size=scene.size,
            id=scene.id,
            locked_sha256=pin.sha256,
            finding=Finding.CHANGED,
            detail=f"{was}, the lock file has the zip with {pin.sha256}",
        )


def _tasks(scene: LocalScene, pin: LockedScene | None) -> Iterator[_Task]:
    """Yield the files to read of a scene in the index, including those that only the lock file has."""
    required = _required(scene, pin)
    for file in scene.files:
        yield _Task(scene.id, file.path, file, required.pop(file.name, None), file.name)
    for name, lacking in required.items():
        yield _Task(scene.id, below(scene.path, name), None, lacking, name)


def _not_indexed(
    pins: Iterable[LockedScene],
    places: Mapping[SceneId, str],
    entries: Mapping[str, TreeEntry],
    tracked: AbstractSet[str],
    ordered: AbstractSet[SceneId],
) -> tuple[list[_Task], list[VerifiedFile]]:
    """Return the files to read of scenes that are in the lock file and not in the index, and what is known of others.

    Args:
        pins: The scenes of the lock file.
        places: Their paths, as far as the layout needs no more than the lock file has.
        entries: The files on disk.
        tracked: Paths of the index.
        ordered: Scenes whose orders are pending.
    """
    named = {path.rpartition("/")[2]: path for path in sorted(entries.keys() - tracked, reverse=True)}
    tasks: list[_Task] = []
    known: list[VerifiedFile] = []
    for pin in pins:
        place = places.get(pin.id)
        paths = _paths(pin, place)
        if pin.files and paths and all(path in entries for path in paths):
            files = zip(paths, pin.files.items(), strict=True)
            tasks += (_Task(pin.id, path, None, file, name) for path, (name, file) in files)
            continue
        path = named.get(pin.id if ending_of(pin.id) else pin.id + ZIP, "") if place is None else place
        if path not in entries or path in tracked:
            pending = " yet: its order from the long-term archive is pending" if pin.id in ordered else ""
            known.append(
                VerifiedFile(
                    path=place or "",
                    size=0,
                    id=pin.id,
                    locked_sha256=pin.sha256,
                    finding=Finding.MISSING,
                    detail=f"it is in the lock file and not on disk{pending}",
                )
            )
        elif pin.sha256 is not None:
            tasks.append(_Task(pin.id, path, None, LockedFile(pin.size, pin.sha256)))
        else:
            known.append(_unknown(entries[path], pin.id))
    return tasks, known


def _zips_outside(
    entries: Mapping[str, TreeEntry], paths: Iterable[str], lacking: AbstractSet[SceneId]
) -> Iterator[_Task]:
    """Yield the zips among files that are not in the index.

    Args:
        entries: The files on disk.
        paths: Of the files.
        lacking: Wanted scenes that are not in the index: a zip with the name of one is meant to be it.
    """
    for path in paths:
        if entries[path].is_file and path.lower().endswith(ZIP):
            name = path.rpartition("/")[2]
            scene_id = next((stem for stem in (name, name[: -len(ZIP)]) if stem in lacking), None)
            remedy = "" if scene_id is None else "; it is not in the index: `verify --repair` downloads the scene"
            yield _Task(scene_id, path, None, None, remedy=remedy)


def _unknown(entry: TreeEntry, scene_id: SceneId | None = None) -> VerifiedFile:
    detail = "not in the index" + (", and the lock file has no checksum to identify it" if scene_id else "")
    return VerifiedFile(path=entry.path, size=entry.size, id=scene_id, finding=Finding.UNKNOWN, detail=detail)


def _read(
    root: Path,
    tasks: list[_Task],
    entries: Mapping[str, TreeEntry],
    jobs: int,
    filehash: Filehash,
    on_file: Callable[[int, int, int, int], None],
) -> list[VerifiedFile]:
    total = sum(entries[task.path].size for task in tasks if task.path in entries)
    done: list[VerifiedFile] = []
    bytes_read = 0
    on_file(0, 0, len(tasks), total)
    with Pool(jobs) as pool:
        reading = (pool.submit(_verify_one, root, task, entries.get(task.path), filehash) for task in tasks)
        # Few files are read ahead: a mirror of folders can have a million.
        ahead = deque(islice(reading, 4 * jobs))
        while ahead:
            done.append(ahead.popleft().result())
            bytes_read += done[-1].size
            on_file(len(done), bytes_read, len(tasks), total)
            ahead.extend(islice(reading, 1))
    return done


def _verify_one(root: Path, task: _Task, entry: TreeEntry | None, filehash: Filehash) -> VerifiedFile:
    recorded, locked = task.recorded, task.locked
    locked_sha256 = None if locked is None else locked.sha256

    def found(finding: Finding | None, detail: str = "", level: ProofLevel | None = None) -> VerifiedFile:
        return VerifiedFile(
            path=task.path,
            size=0 if entry is None else entry.size,
            recorded=recorded,
            id=task.id,
            name=task.name,
            locked_sha256=locked_sha256,
            finding=finding,
            detail=detail,
            level=level,
        )

    if entry is None:
        return found(Finding.MISSING, "it is not on disk")
    if not entry.is_file:
        return found(Finding.CHANGED, "a symbolic link or a special file is in its place")
    stated = None if recorded is None else recorded.digest
    size = recorded.size if recorded is not None else None if locked is None else locked.size
    try:
        checked = check(
            task.path, root=str(root), level="crc", size=size, digest=stated,
            filehash=filehash,
        )  # fmt: skip
        if recorded is not None and recorded.sha256 not in (None, checked.sha256):
            return found(*_damage_or_change(root, recorded, entry))
    except FileNotFoundError:
        return found(Finding.MISSING, "it was deleted while it was verified")
    except OSError as error:
        return found(Finding.UNREADABLE, f"it cannot be read: {error.strerror}")
    except TransferError as error:
        return found(Finding.CORRUPT, f"it cannot be read: {error}")
    if checked.problems:
        return found(*_damage(task, checked.problems))
    if recorded is None and locked is None:
        return _unknown(entry)
    if locked is not None and (difference := _difference_from_lock(locked, checked.sha256, checked.size)):
        return found(Finding.CHANGED, difference)
    levels = [ProofLevel.DIGEST if locked_sha256 is not None else checked.level]
    if recorded is not None and recorded.sha256 is not None:
        # The same bytes were proved before: as a part of the zip that they were unpacked from, for example.
        levels.append(recorded.level)
    return found(None, level=min(levels, key=list(ProofLevel).index))


def _damage(task: _Task, problems: Iterable[str]) -> tuple[Finding, str]:
    """Return what a damaged file is: no failure of the mirror if it is somebody else's."""
    if task.id is None:
        return Finding.UNKNOWN, f"not in the index, and damaged: {'; '.join(problems)}"
    return Finding.CORRUPT, "; ".join(problems) + task.remedy


def _difference_from_lock(locked: LockedFile, sha256: str | None, size: int) -> str | None:
    """Return how a file differs from the lock file; None if it does not."""
    if locked.sha256 is not None:
        return None if sha256 == locked.sha256 else f"its sha256 is {sha256}, the lock file has {locked.sha256}"
    if locked.size not in (None, size):
        return f"it has {size} bytes, the lock file has {locked.size}"
    return None


def _damage_or_change(root: Path, recorded: LocalFile, entry: TreeEntry) -> tuple[Finding, str]:
    """Return whether a file is damaged or another whole file, with the reason."""
    # The first check compared it with the index, and does not look into a zip of another size.
    zipped = recorded.path.lower().endswith(ZIP)
    if zipped and (problems := check(recorded.path, root=str(root), level="crc").problems):
        return Finding.CORRUPT, "; ".join(problems)
    if tree_listing.untouched(entry, recorded):
        return Finding.CORRUPT, "contents changed but size and mtime did not"
    return Finding.CHANGED, "the file was replaced or edited after download"
