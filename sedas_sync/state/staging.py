"""A scene of several files on its way into the mirror: assembled below `partial/`, then renamed as one folder.

`.sedas-sync/partial/<scene>.scene/` contains, until the scene is complete::

    new/<file>      files that are complete and checked
    <hash>.done     for each of them, the result of the check
    <hash>.part     partial downloads, as for any scene
    old/            the folder that is replaced, between two renames
    commit.json     the id of the scene and the path of its folder

Each file is downloaded like a scene of one file (`sedas_sync.transfer.fetch`). When all files are there, `new` is
renamed to the scene's path: the folder appears complete or not at all. The notes stay until the index has its row. So a
kill in between loses nothing: the next inspection finds the folder, and the notes prove its files.
"""

import hashlib
import json
import os
import stat as modes
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import asdict

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.file_kind import ZIP
from sedas_sync.model.files import file_differs
from sedas_sync.model.local import LocalFile, LocalScene, ProofLevel
from sedas_sync.model.path_template import Layout
from sedas_sync.model.scene import Download, RemoteFile, Scene, SceneId
from sedas_sync.transfer.job import FetchJob, FetchResult, Policy
from sedas_sync.transfer.partial import identity, note_name, partial_of

SUFFIX = ".scene"
_PARTIAL = f"{STATE}/partial"
_COMMIT = "commit.json"
_PLAIN = Layout.parse("{id}")


def partial_path(scene: Scene) -> str:
    """Return the path of a scene's partial download, relative to the mirror: a file, or a folder for several files.

    No two scenes share a path, even if the file system ignores letter case: an id that is not in capitals gets a mark.
    """
    name = _PLAIN.path(scene, dataset="", archive="", extension="" if scene.is_folder else ZIP)
    mark = ""
    if scene.id != scene.id.upper():
        mark = "." + hashlib.sha256(scene.id.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{_PARTIAL}/{name}{mark}{SUFFIX if scene.is_folder else '.part'}"


def folder_place(scene_id: SceneId) -> str:
    """Return the folder in which the folder of a scene is made, relative to the mirror."""
    return partial_path(Scene(id=scene_id, assets=(RemoteFile(),)))


def partial_names(root: str) -> list[str]:
    """Return the names of the partial downloads, sorted; none if their folder cannot be read."""
    try:
        return [name for name in safe_tree.names(root, _PARTIAL) if name.endswith((".part", SUFFIX))]
    except (OSError, TransferError):
        return []


def bytes_downloaded(root: str, name: str) -> int:
    """Return how many bytes of a partial download exist, given its `partial_path`; 0 if it cannot be resumed."""
    if not name.endswith(SUFFIX):
        found = partial_of(root, name)
        return 0 if found is None else found.bytes
    total = 0
    for entry in tree_listing.scan(root, name):
        if entry.path.startswith("new/"):
            total += entry.size if entry.is_file else 0
        elif entry.path.endswith(".part"):
            found = partial_of(root, f"{name}/{entry.path}")
            total += 0 if found is None else found.bytes
    return total


def proved(root: str, scene: Scene, file: RemoteFile, *, demanded: str | None = None) -> LocalFile | None:
    """Return a downloaded file of a scene as it was checked, whether or not it has been renamed into place.

    Args:
        root: The mirror's folder.
        scene: Its scene.
        file: The file as the catalogue describes it now.
        demanded: The sha256 that a lock requires.

    Returns:
        None if it was not checked, or another version of it was.
    """
    try:
        values = _read(root, f"{partial_path(scene)}/{_short(file.name)}.done")
        known = values.pop("identity")
        found = LocalFile(**{**values, "level": ProofLevel(values["level"])})
    except (OSError, TransferError, ValueError, TypeError, KeyError):
        return None
    if found.name != file.name or found.digest != file.digest or file.size not in (None, found.size):
        return None
    if file.url is not None and known != identity(scene.id, file.url):
        return None
    return found if demanded in (None, found.sha256) else None


def downloaded(result: FetchResult, name: str, digest: str | None) -> LocalFile:
    """Return a file that was just downloaded.

    Args:
        result: Of the download.
        name: Its path below the scene's folder; empty if the scene is one file.
        digest: The catalogue's checksum.
    """
    return LocalFile(
        name=name,
        size=result.size,
        mtime_ns=result.mtime_ns,
        sha256=result.sha256,
        level=result.level,
        digest=digest,
    )


def _short(name: str) -> str:
    """Return a short plain name for the notes of a file, because its own can be long and contain folders."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class StagedScene:
    """A scene of several files that is being assembled.

    Args:
        root: The mirror's folder.
        scene: The scene with its files.
        path: The path of its folder, relative to the root.
        pinned: The sha256 that a lock requires of each file.
        local: The scene in the index.
    """

    def __init__(
        self, root: str, scene: Scene, path: str, *, pinned: Mapping[str, str], local: LocalScene | None = None
    ) -> None:
        self.scene = scene
        self.path = path
        self.files: dict[str, LocalFile] = {}
        """The files that are complete and checked, by name."""
        self.bytes = 0
        """The size of these files."""
        self.received = 0
        """The size of the files that were completed in this run."""
        self.transferred = 0
        """The bytes that were transferred for them."""
        self._root = root
        self._pinned = pinned
        self._local = local
        self._place = partial_path(scene)

    def begin(self) -> tuple[RemoteFile, ...]:
        """Take the files of an earlier run and the right files of the local folder; returns the missing files.

        Raises:
            OSError, TransferError: the folders cannot be written.
        """
        earlier = safe_tree.stat(self._root, self._place) is not None
        for remote in self.scene.files:
            file = (self._from_earlier_run(remote) if earlier else None) or self._from_held(remote)
            if file is not None:
                self._add(file)
        for entry in list(tree_listing.scan(self._root, f"{self._place}/new")):
            if entry.path not in self.files:
                safe_tree.remove(self._root, f"{self._place}/new/{entry.path}")
        return tuple(file for file in self.scene.files if file.name not in self.files)

    def _add(self, file: LocalFile) -> None:
        self.files[file.name] = file
        self.bytes += file.size

    @property
    def complete(self) -> bool:
        """Whether every file is complete."""
        return len(self.files) == len(self.scene.files)

    @property
    def in_the_way(self) -> bool:
        """Whether something else than the folder of the index is at the scene's path."""
        return is_in_the_way(self._root, self.path, self._local)

    def job(self, file: RemoteFile, download: Download, policy: Policy) -> FetchJob:
        """Return the download of one file."""
        return FetchJob(
            id=f"{self.scene.id}/{file.name}",
            download=download,
            root=self._root,
            path=f"{self._place}/new/{file.name}",
            partial=f"{self._place}/{_short(file.name)}.part",
            policy=policy,
            sha256=self._pinned.get(file.name),
            replace=True,
        )

    def take(self, remote: RemoteFile, result: FetchResult) -> None:
        """Record that a file is complete."""
        file = downloaded(result, remote.name, remote.digest)
        self._note(remote, file)
        self._add(file)
        self.received += result.size
        self.transferred += result.received

    def commit(self) -> list[str]:
        """Rename the folder into place; see `put_in_place`."""
        return put_in_place(self._root, self._place, {"id": self.scene.id, "path": self.path}, self._local)

    def clean(self) -> None:
        """Remove the notes of a scene that has its row in the index."""
        with suppress(OSError, TransferError):
            safe_tree.discard(self._root, self._place)

    def _from_earlier_run(self, remote: RemoteFile) -> LocalFile | None:
        """Return a file that an earlier run completed."""
        file = proved(self._root, self.scene, remote, demanded=self._pinned.get(remote.name))
        there = tree_listing.look(self._root, f"{self._place}/new/{remote.name}")
        return file if file is not None and tree_listing.untouched(there, file) else None

    def _from_held(self, remote: RemoteFile) -> LocalFile | None:
        """Link a file of the local folder that is right, and return it."""
        if self._local is None:
            return None
        file = next((file for file in self._local.files if file.name == remote.name), None)
        if file is None or self._pinned.get(remote.name, file.sha256) != file.sha256:
            return None
        if file_differs(file, remote, trust_digest=True):
            return None
        with suppress(OSError, TransferError):
            if tree_listing.untouched(tree_listing.look(self._root, file.path), file):
                safe_tree.link(self._root, file.path, f"{self._place}/new/{remote.name}")
                self._note(remote, file)
                return file
        return None

    def _note(self, remote: RemoteFile, file: LocalFile) -> None:
        values = {**asdict(file), "digest": remote.digest, "identity": identity(self.scene.id, remote.url or "")}
        del values["path"]
        _write(self._root, f"{self._place}/{_short(remote.name)}.done", values)


def is_in_the_way(root: str, path: str, local: LocalScene | None) -> bool:
    """Return whether something else than the folder of the index is at the path of a folder."""
    there = safe_tree.stat(root, path)
    return there is not None and not (_is_ours(path, local) and modes.S_ISDIR(there.st_mode))


def _is_ours(path: str, local: LocalScene | None) -> bool:
    """Return whether the folder of the index is at this path or below it."""
    return local is not None and local.is_folder and _within(local.path, path) is not None


def put_in_place(root: str, place: str, note: Mapping[str, Any], local: LocalScene | None) -> list[str]:
    """Rename the folder `new` to the path of its scene; returns warnings about the folder that was replaced.

    Unchanged files of the old folder are removed. Untracked files in it move to the new folder.

    Args:
        root: The mirror's folder.
        place: The folder of the scene below `partial/`.
        note: What `commit.json` will contain: `id` and `path` of the scene, and what else a later run needs.
        local: The scene in the index.

    Raises:
        TransferError: Something is in the way, or a folder is a symbolic link.
        OSError: The folders cannot be written.
    """
    new, old, path = f"{place}/new", f"{place}/old", str(note["path"])
    safe_tree.sync(root, f"{new}/-")
    _write(root, f"{place}/{_COMMIT}", note)
    if _is_ours(path, local) and safe_tree.stat(root, path) is not None:
        safe_tree.move_folder(root, path, old)
    try:
        safe_tree.move_folder(root, new, path)
    except FileExistsError as error:
        raise TransferError(f"{path}: another file appeared at the scene's path during the download") from error
    return _retire(root, place, path, local)


def note_of(root: str, place: str) -> dict[str, Any]:
    """Return what `put_in_place` wrote into the folder of a scene; empty if there is no such note."""
    try:
        note = _read(root, f"{place}/{_COMMIT}")
        return note if isinstance(note, dict) and isinstance(note["id"], str) and isinstance(note["path"], str) else {}
    except (OSError, TransferError, ValueError, KeyError):
        return {}


# -- of scenes that no longer match --------------------------------------------------------------------------------


def unwanted_downloads(root: str, wanted: Iterable[Scene]) -> tuple[tuple[str, ...], int]:
    """Return the paths of partial downloads of other scenes than these, and their size.

    A replaced folder whose scene is unknown is not one of them.
    """
    names = set(partial_names(root))
    if names:
        for scene in wanted:
            names -= {partial_path(scene).rpartition("/")[2], folder_place(scene.id).rpartition("/")[2]}
    found = tuple(
        f"{_PARTIAL}/{name}"
        for name in sorted(names)
        if not (name.endswith(SUFFIX) and safe_tree.stat(root, f"{_PARTIAL}/{name}/old") is not None)
    )
    return found, sum(bytes_downloaded(root, path) for path in found)


def forget(root: str, path: str) -> None:
    """Remove a partial download.

    Raises:
        TransferError: A folder of its path is a symbolic link.
        OSError: It cannot be removed.
    """
    if path.endswith(SUFFIX):
        safe_tree.discard(root, path)
        return
    for name in (path, note_name(path)):
        with suppress(FileNotFoundError):
            safe_tree.remove(root, name)


# -- after a kill ----------------------------------------------------------------------------------------------------


def left_over(root: str) -> frozenset[str]:
    """Return the paths of scenes of several files that are being assembled or whose run was killed."""
    return frozenset(f"{_PARTIAL}/{name}" for name in partial_names(root) if name.endswith(SUFFIX))


def recover(root: str, place: str, local_of: Callable[[SceneId], LocalScene | None]) -> list[str]:
    """Finish a replacement that was killed between its renames; returns warnings.

    Args:
        root: The mirror's folder.
        place: One of `left_over`.
        local_of: Returns the scene in the index.
    """
    old = f"{place}/old"
    if safe_tree.stat(root, old) is None:
        return []
    note = note_of(root, place)
    if not note:
        return [f"{old}: is kept, because its scene is unknown; move its files where they belong"]
    path = note["path"]
    if safe_tree.stat(root, path) is None:
        safe_tree.move_folder(root, old, path)
        return []
    return _retire(root, place, path, local_of(note["id"]))


def _retire(root: str, place: str, path: str, local: LocalScene | None) -> list[str]:
    """Empty the folder that was replaced: only files of the scene are removed."""
    old = f"{place}/old"
    inner = None if local is None or not local.is_folder else _within(local.path, path)
    known = {} if local is None or inner is None else {f"{inner}{file.name}": file for file in local.files}
    warnings = []
    for entry in sorted(tree_listing.scan(root, old)):
        at, shown = f"{old}/{entry.path}", f"{path}/{entry.path}"
        file = known.get(entry.path)
        if file is not None and tree_listing.untouched(tree_listing.look(root, at), file):
            safe_tree.remove(root, at)
        elif file is not None or not entry.is_file or safe_tree.stat(root, shown) is not None:
            kept = safe_tree.set_aside(root, at, of=path.rpartition("/")[2])
            warnings.append(f"{shown}: something else stood in the scene's place; it is now {kept}")
        else:
            safe_tree.move(root, at, shown)
    safe_tree.discard(root, old)
    return warnings


def _within(inner: str, path: str) -> str | None:
    """Return the prefix of names in the folder `inner` as seen from the folder `path`; None if it is not inside."""
    return f"{inner}/".removeprefix(f"{path}/") if f"{inner}/".startswith(f"{path}/") else None


def _write(root: str, path: str, values: Mapping[str, Any]) -> None:
    with safe_tree.parent(root, path, create=True) as (here, name):
        file = safe_tree.create(here, name)
    with os.fdopen(file, "w", encoding="ascii") as out:
        # Not `json.dump`, which encodes each value in Python.
        out.write(json.dumps(values))


def _read(root: str, path: str) -> dict[str, Any]:
    with os.fdopen(safe_tree.open_file(root, path, os.O_RDONLY), encoding="ascii") as opened:
        values: dict[str, Any] = json.load(opened)
        return values
