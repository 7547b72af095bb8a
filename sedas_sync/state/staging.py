"""A scene of several files on its way into the mirror: gathered below `partial/`, then renamed as one folder.

`.sedas-sync/partial/<scene>.scene/` holds while it is gathered::

    new/<file>      files that are complete and proved
    <hash>.done     for each of them, what was proved of it
    <hash>.part     downloads under way, as for any scene
    old/            the folder that gives way, for the moment between two renames
    commit.json     of which scene they are, and where its folder belongs

Each file is an ordinary `sedas_sync.transfer.Job`. When all are there, `new` is renamed to the scene's path: the folder
appears whole or not at all. The notes outlive that rename and go when the index has its row, so that a kill in between
loses nothing: the survey finds the folder and knows from the notes that it is proved.
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
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.assets import file_differs, files_on_disk
from sedas_sync.model.path_template import Layout
from sedas_sync.model.scene import Download, LocalFile, LocalScene, ProofLevel, RemoteFile, Scene, SceneId
from sedas_sync.transfer import FetchJob, FetchResult, Policy, partial_of
from sedas_sync.transfer.partial import identity, note_name

SUFFIX = ".scene"
_COMMIT = "commit.json"
_PLAIN = Layout.parse("{id}")


def partial_path(scene: Scene) -> str:
    """Where a download under way of this scene is kept, relative to the mirror: a file, or a folder for several.

    No two scenes share one, even where `a` is not told from `A`: only an id in capitals is a name as it is.
    """
    name = _PLAIN.path(scene, dataset="", archive="", extension="" if scene.assets else ".zip")
    mark = ""
    if scene.id != scene.id.upper():
        mark = "." + hashlib.sha256(scene.id.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{STATE}/partial/{name}{mark}{SUFFIX if scene.assets else '.part'}"


def bytes_downloaded(root: str, name: str) -> int:
    """Bytes that are here of a download under way, given its `partial_path`; 0 where there is none to go on with."""
    if not name.endswith(SUFFIX):
        found = partial_of(root, name)
        return 0 if found is None else found.bytes
    total = 0
    for entry in safe_tree.scan(root, name):
        if entry.path.startswith("new/"):
            total += entry.size if entry.is_file else 0
        elif entry.path.endswith(".part"):
            found = partial_of(root, f"{name}/{entry.path}")
            total += 0 if found is None else found.bytes
    return total


def proved(root: str, scene: Scene, asset: RemoteFile, *, demanded: str | None = None) -> LocalFile | None:
    """What was proved of a file that was fetched, whether it has been renamed into place or not.

    Args:
        root: the mirror's folder.
        scene: the file is of.
        asset: the file as the catalogue has it now.
        demanded: the sha256 that a lock demands of it.

    Returns:
        None where nothing was, or where it was another file's.
    """
    try:
        values = _read(root, f"{partial_path(scene)}/{_short(asset.name)}.done")
        known = values.pop("identity")
        file = LocalFile(**{**values, "level": ProofLevel(values["level"])})
    except (OSError, TransferError, ValueError, TypeError, KeyError):
        return None
    if file.name != asset.name or file.digest != asset.digest or asset.size not in (None, file.size):
        return None
    if asset.url is not None and known != identity(scene.id, asset.url):
        return None
    return file if demanded in (None, file.sha256) else None


def _short(name: str) -> str:
    """A plain name for what belongs to a file, however long its own is and whatever folders it has."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class StagedScene:
    """One scene of several files that is being gathered.

    Args:
        root: the mirror's folder.
        scene: with its files.
        path: where its folder belongs, relative to the root.
        pinned: the sha256 that a lock demands of each file.
        held: what the index remembers of the scene.
    """

    def __init__(
        self, root: str, scene: Scene, path: str, *, pinned: Mapping[str, str], held: LocalScene | None = None
    ) -> None:
        self.scene = scene
        self.path = path
        self.files: dict[str, LocalFile] = {}
        """Those that are complete and proved, by name."""
        self.bytes = 0
        """Of those files."""
        self.received = 0
        """Bytes of files that were completed in this run."""
        self.transferred = 0
        """Bytes that came over the wire for them."""
        self._root = root
        self._pinned = pinned
        self._held = held
        self._place = partial_path(scene)

    def begin(self) -> tuple[RemoteFile, ...]:
        """Take up what an earlier run left and what the held folder has right; returns the files that are lacking.

        Raises:
            OSError, TransferError: the folders cannot be written.
        """
        for asset in self.scene.assets:
            file = self._gathered(asset) or self._from_held(asset)
            if file is not None:
                self._have(file)
        for entry in list(safe_tree.scan(self._root, f"{self._place}/new")):
            if entry.path not in self.files:
                safe_tree.remove(self._root, f"{self._place}/new/{entry.path}")
        return tuple(asset for asset in self.scene.assets if asset.name not in self.files)

    def _have(self, file: LocalFile) -> None:
        self.files[file.name] = file
        self.bytes += file.size

    @property
    def complete(self) -> bool:
        """Whether every file is here."""
        return len(self.files) == len(self.scene.assets)

    @property
    def in_the_way(self) -> bool:
        """Whether something stands at the scene's path that is not the folder the index remembers there."""
        there = safe_tree.stat(self._root, self.path)
        return there is not None and not (self._ours_there and modes.S_ISDIR(there.st_mode))

    @property
    def _ours_there(self) -> bool:
        """Whether the folder that the index remembers is there, or somewhere in what is there."""
        return self._held is not None and bool(self._held.files) and _within(self._held.path, self.path) is not None

    def job(self, asset: RemoteFile, download: Download, policy: Policy) -> FetchJob:
        """What is to be fetched of one file."""
        return FetchJob(
            id=f"{self.scene.id}/{asset.name}",
            download=download,
            root=self._root,
            path=f"{self._place}/new/{asset.name}",
            partial=f"{self._place}/{_short(asset.name)}.part",
            policy=policy,
            sha256=self._pinned.get(asset.name),
            replace=True,
        )

    def take(self, asset: RemoteFile, got: FetchResult) -> None:
        """Note that a file is complete."""
        file = LocalFile(
            name=asset.name,
            size=got.size,
            mtime_ns=got.mtime_ns,
            sha256=got.sha256,
            level=got.level,
            digest=asset.digest,
        )
        self._note(asset, file)
        self._have(file)
        self.received += got.size
        self.transferred += got.received

    def commit(self) -> list[str]:
        """Put the folder in its place as a whole; returns what there is to be said of the one that gave way.

        Files of the old folder that still are what the index remembers go; a stranger's file in it moves along.

        Raises:
            TransferError: something stands in the way, or a folder is a symbolic link.
            OSError: the folders cannot be written.
        """
        new, old = f"{self._place}/new", f"{self._place}/old"
        safe_tree.sync(self._root, f"{new}/-")
        _write(self._root, f"{self._place}/{_COMMIT}", {"id": self.scene.id, "path": self.path})
        if self._ours_there and safe_tree.stat(self._root, self.path) is not None:
            safe_tree.move_folder(self._root, self.path, old)
        try:
            safe_tree.move_folder(self._root, new, self.path)
        except FileExistsError as error:
            raise TransferError(f"{self.path}: something has taken the scene's place meanwhile") from error
        return _retire(self._root, self._place, self.path, self._held)

    def clean(self) -> None:
        """Take away what was needed only while the scene was gathered; the index has its row."""
        with suppress(OSError, TransferError):
            safe_tree.discard(self._root, self._place)

    def _gathered(self, asset: RemoteFile) -> LocalFile | None:
        """A file that an earlier run completed."""
        file = proved(self._root, self.scene, asset, demanded=self._pinned.get(asset.name))
        there = safe_tree.look(self._root, f"{self._place}/new/{asset.name}")
        return file if file is not None and safe_tree.untouched(there, file) else None

    def _from_held(self, asset: RemoteFile) -> LocalFile | None:
        """A file of the held folder that is right, given a second name here."""
        if self._held is None:
            return None
        file = next((file for file in self._held.files if file.name == asset.name), None)
        if file is None or self._pinned.get(asset.name, file.sha256) != file.sha256:
            return None
        if file_differs(file, asset, trust_digest=True):
            return None
        view = next(one for one in files_on_disk(self._held) if one.path == f"{self._held.path}/{asset.name}")
        with suppress(OSError, TransferError):
            if safe_tree.untouched(safe_tree.look(self._root, view.path), file):
                safe_tree.link(self._root, view.path, f"{self._place}/new/{asset.name}")
                self._note(asset, file)
                return file
        return None

    def _note(self, asset: RemoteFile, file: LocalFile) -> None:
        values = {**asdict(file), "digest": asset.digest, "identity": identity(self.scene.id, asset.url or "")}
        _write(self._root, f"{self._place}/{_short(asset.name)}.done", values)


# -- of scenes that nothing wants any more ---------------------------------------------------------------------------


def unwanted_downloads(root: str, wanted: Iterable[Scene]) -> tuple[tuple[str, ...], int]:
    """Downloads under way of other scenes than these: where they are, and how many bytes.

    A folder that gave way and could not be told where it belongs is none of them.
    """
    place = f"{STATE}/partial"
    try:
        names = {name for name in safe_tree.names(root, place) if name.endswith((".part", SUFFIX))}
    except (OSError, TransferError):
        return (), 0
    if names:
        names.difference_update(partial_path(scene).rpartition("/")[2] for scene in wanted)
    found = tuple(
        f"{place}/{name}"
        for name in sorted(names)
        if not (name.endswith(SUFFIX) and safe_tree.stat(root, f"{place}/{name}/old") is not None)
    )
    return found, sum(bytes_downloaded(root, path) for path in found)


def forget(root: str, path: str) -> None:
    """Remove a download under way.

    Raises:
        TransferError: a folder on the way is a symbolic link.
        OSError: it cannot be removed.
    """
    if path.endswith(SUFFIX):
        safe_tree.discard(root, path)
        return
    for name in (path, note_name(path)):
        with suppress(FileNotFoundError):
            safe_tree.remove(root, name)


# -- after a kill ----------------------------------------------------------------------------------------------------


def left_over(root: str) -> frozenset[str]:
    """Where scenes of several files are being gathered, or were when something was killed."""
    place = f"{STATE}/partial"
    try:
        return frozenset(f"{place}/{name}" for name in safe_tree.names(root, place) if name.endswith(SUFFIX))
    except (OSError, TransferError):
        return frozenset()


def recover(root: str, place: str, held: Callable[[SceneId], LocalScene | None]) -> list[str]:
    """Finish a replacement that was killed between its renames; returns what there is to be said of it.

    Args:
        root: the mirror's folder.
        place: one of `left_over`.
        held: gives what the index remembers of a scene.
    """
    old = f"{place}/old"
    if safe_tree.stat(root, old) is None:
        return []
    try:
        values = _read(root, f"{place}/{_COMMIT}")
        scene_id, path = str(values["id"]), str(values["path"])
    except (OSError, TransferError, ValueError, TypeError, KeyError):
        return [f"{old}: is kept, since it cannot be told where it belongs"]
    if safe_tree.stat(root, path) is None:
        safe_tree.move_folder(root, old, path)
        return []
    return _retire(root, place, path, held(scene_id))


def _retire(root: str, place: str, path: str, held: LocalScene | None) -> list[str]:
    """Empty the folder that gave way: what is ours goes, and nothing else."""
    old = f"{place}/old"
    inner = None if held is None else _within(held.path, path)
    known = {} if held is None or inner is None else {f"{inner}{file.name}": file for file in held.files}
    said = []
    for entry in sorted(safe_tree.scan(root, old)):
        at, shown = f"{old}/{entry.path}", f"{path}/{entry.path}"
        file = known.get(entry.path)
        if file is not None and safe_tree.untouched(safe_tree.look(root, at), file):
            safe_tree.remove(root, at)
        elif file is not None or not entry.is_file or safe_tree.stat(root, shown) is not None:
            kept = safe_tree.set_aside(root, at, of=path.rpartition("/")[2])
            said.append(f"{shown}: something else stood in the scene's place; it is now {kept}")
        else:
            safe_tree.move(root, at, shown)
    safe_tree.discard(root, old)
    return said


def _within(inner: str, path: str) -> str | None:
    """What goes before a name in the folder `inner` to make it one in the folder `path`; None if it is not in there."""
    return f"{inner}/".removeprefix(f"{path}/") if f"{inner}/".startswith(f"{path}/") else None


def _write(root: str, path: str, values: dict[str, Any]) -> None:
    with safe_tree.parent(root, path, create=True) as (here, name):
        file = safe_tree.anew(here, name)
    with os.fdopen(file, "w", encoding="ascii") as out:
        json.dump(values, out)


def _read(root: str, path: str) -> dict[str, Any]:
    with os.fdopen(safe_tree.open_file(root, path, os.O_RDONLY), encoding="ascii") as opened:
        values: dict[str, Any] = json.load(opened)
        return values
