"""A folder of this machine as an archive: scenes named `<id>.zip` at any depth, or another mirror.

What another mirror's index remembers of a file (its facts, and the digest of its bytes) is taken from there, and so is
which files make up a scene of several. Of other files their names say what they can; nobody knows their footprints
then, and rules on AOIs let them pass. Symbolic links below the folder are not followed.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from sedas_sync.archives import Orders, Warn
from sedas_sync.errors import ArchiveError, ManifestError, SedasSyncError
from sedas_sync.files import safe_tree
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.scene import (
    Download,
    LocalFile,
    LocalScene,
    LocalSource,
    Query,
    RemoteFile,
    Scene,
    SceneId,
    Taking,
)
from sedas_sync.model.text import product_id
from sedas_sync.planning.product_name import described
from sedas_sync.state.index import Index

if TYPE_CHECKING:
    from sedas_sync.archives.registry import Opening

_ENDING = ".zip"
_NOT_AS_REMEMBERED = "is not what its mirror's index says; it is passed over"


@dataclass(frozen=True, slots=True)
class _Listing:
    """What the folder held when it was looked through."""

    scenes: Mapping[SceneId, Scene]
    paths: Mapping[str, str]
    """Of every file of theirs, by its link."""
    warnings: tuple[str, ...]


class DirectoryArchive:
    """A folder of scenes.

    It is looked through once, when it is first asked; what comes later is found by the next run.

    Args:
        root: the folder; it may be a symbolic link itself.
        how: how files are taken from it.
        leave_out: a folder below it that is none of it, such as the mirror that is filled.
    """

    orders: Orders | None = None

    def __init__(self, root: Path, *, how: Taking = "auto", leave_out: Path | None = None) -> None:
        self._root = root.resolve()
        self._how = how
        self._leave_out = _below(self._root, leave_out)
        self._lock = threading.Lock()
        self._listed: _Listing | None = None
        self.identity = f"directory {self._root}"

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene sensed in the time asked for, and those whose time is not known.

        Raises:
            ArchiveError: the folder is not there, or cannot be read.
        """
        listing = self._listing()
        for warning in listing.warnings:
            warn(warning)
        for scene in listing.scenes.values():
            if scene.start is not None and not query.start <= scene.start <= query.stop:
                continue
            if query.sensor != "all" and scene.sensor not in (None, query.sensor):
                continue
            yield scene

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes of these ids that are in the folder.

        Raises:
            ArchiveError: the folder is not there, or cannot be read.
        """
        del warn
        asked = dict.fromkeys(ids)
        if asked:
            scenes = self._listing().scenes
            yield from (scenes[scene_id] for scene_id in asked if scene_id in scenes)

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say which file it is.

        Raises:
            ArchiveError: it is not there (any more), or was refused.
        """
        listing = self._listing()
        known = scene
        if scene.download_url not in listing.paths:
            known = listing.scenes.get(scene.id, scene)
        # Which file of several is meant, the link alone can tell.
        path = None if known.assets else listing.paths.get(known.download_url or "")
        if path is None or safe_tree.stat(str(self._root), path) is None:
            raise ArchiveError(f"{scene.id}: is not in {self._root} any more")
        if refused is not None:
            raise ArchiveError(f"{self._root}/{path}: was refused, and there is no other file of it")
        return Download(
            url=(self._root / path).as_uri(),
            size=known.size,
            digest=known.digest,
            local=LocalSource(root=str(self._root), path=path, how=self._how),
        )

    def stop(self) -> None:
        """Nothing is under way for long."""

    def close(self) -> None:
        """Nothing is open."""

    def _listing(self) -> _Listing:
        with self._lock:
            if self._listed is None:
                if not self._root.is_dir():
                    raise ArchiveError(f"{self._root}: there is no such folder")
                try:
                    self._listed = self._look_through()
                except OSError as error:
                    raise ArchiveError(f"{error.filename or self._root}: cannot be read: {error.strerror}") from error
            return self._listed

    def _look_through(self) -> _Listing:
        held, warnings = self._remembered()
        entries = {entry.path: entry for entry in safe_tree.scan(str(self._root)) if not self._is_left_out(entry.path)}
        scenes: dict[SceneId, Scene] = {}
        places: dict[SceneId, str] = {}
        paths: dict[str, str] = {}
        for holding in (one for one in held if one.is_folder):
            found = [entries.pop(path, None) for path in holding.paths]
            if not all(map(_is_as_remembered, found, holding.files)):
                if any(found):
                    warnings.append(f"{holding.path}: {_NOT_AS_REMEMBERED}")
                continue
            scene = _folder_scene(self._root, holding)
            scenes[scene.id], places[scene.id] = scene, holding.path
            paths.update((asset.url or "", f"{holding.path}/{asset.name}") for asset in scene.assets)
        known = {one.path: one for one in held if not one.is_folder}
        links = 0
        for path, entry in sorted(entries.items()):
            if not path.lower().endswith(_ENDING):
                continue
            if not entry.is_file:
                links += entry.is_symlink
                continue
            remembered = known.get(path)
            if remembered is not None and remembered.size != entry.size:
                warnings.append(f"{path}: {_NOT_AS_REMEMBERED}")
                continue
            scene = _scene(self._root, entry, remembered)
            if scene.id in scenes:
                warnings.append(f"{path}: {places[scene.id]} is the same scene, and is the one that is taken")
                continue
            scenes[scene.id], places[scene.id] = scene, path
            paths[scene.download_url or ""] = path
        if links:
            what = "1 symbolic link is" if links == 1 else f"{links} symbolic links are"
            warnings.append(f"{self._root}: {what} not followed")
        return _Listing(scenes, paths, tuple(warnings))

    def _is_left_out(self, path: str) -> bool:
        # The state of a mirror that lies deeper holds partial and replaced files, which are nobody's scenes.
        parts = path.split("/")
        return safe_tree.STATE in parts or (self._leave_out is not None and path.startswith(f"{self._leave_out}/"))

    def _remembered(self) -> tuple[list[LocalScene], list[str]]:
        """What the index knows, where the folder is a mirror."""
        try:
            with Index(self._root, write=False) as index:
                return list(index.holdings()), []
        except SedasSyncError as error:
            return [], [f"{error}; scenes are told by their names alone"]


def _scene(root: Path, entry: safe_tree.TreeEntry, holding: LocalScene | None) -> Scene:
    scene = described(product_id(entry.path.rpartition("/")[2]))
    if holding is not None:
        scene = _by_facts(holding, scene)
    return replace(
        scene,
        size=entry.size,
        digest=None if holding is None else holding.sha256,
        download_url=(root / entry.path).as_uri(),
        assets=(),
        offline=None,
        planned=False,
    )


def _folder_scene(root: Path, holding: LocalScene) -> Scene:
    scene = _by_facts(holding, Scene(id=holding.id))
    keys = {asset.name: asset.key for asset in scene.assets}
    files = tuple(
        RemoteFile(
            name=file.name,
            key=keys.get(file.name, file.name),
            url=(root / holding.path / file.name).as_uri(),
            size=file.size,
            digest=file.sha256,
        )
        for file in holding.files
    )
    return replace(
        scene,
        size=holding.size,
        digest=None,
        download_url=files[0].url,
        assets=files,
        offline=None,
        planned=False,
    )


def _by_facts(holding: LocalScene, plain: Scene) -> Scene:
    try:
        return scene_from_metadata(holding.facts) if holding.facts != "{}" else replace(plain, id=holding.id)
    except (ValueError, TypeError):
        return replace(plain, id=holding.id)


def _is_as_remembered(entry: safe_tree.TreeEntry | None, file: LocalFile) -> bool:
    return entry is not None and entry.is_file and entry.size == file.size


def _below(root: Path, inner: Path | None) -> str | None:
    if inner is None or not inner.resolve().is_relative_to(root):
        return None
    return inner.resolve().relative_to(root).as_posix()


def open_archive(opening: "Opening") -> DirectoryArchive:
    """Open the folder that a manifest names; a relative one is found from the manifest.

    Raises:
        ManifestError: it is the mirror itself.
    """
    root = opening.base / str(opening.config.options["path"])
    if opening.mirror is not None and opening.mirror.resolve() == root.resolve():
        raise ManifestError(f"{root}: the mirror cannot be its own archive; give [mirror] another path")
    how = cast(Taking, opening.config.options["link"])
    return DirectoryArchive(root, how=how, leave_out=opening.mirror)
