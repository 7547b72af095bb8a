"""A local folder as an archive: files named `<id>.zip` at any depth, or another mirror.

A product that is one file, such as `<id>.nc` or `<id>.EOF`, counts if its name is that of a Sentinel product.

If the folder is a mirror, its index gives the metadata and the checksums of its scenes, and which files make up a
scene. Other files have only their names; without a footprint, they match every AOI. Symbolic links below the folder are
not followed.
"""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.archives.directory_config import DirectoryConfig
from sedas_sync.archives.opening import Opening
from sedas_sync.archives.protocol import Warn
from sedas_sync.errors import ArchiveError, ManifestError, SedasSyncError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.paths import user_path
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.local import NO_FACTS, LocalFile, LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.scene import Download, LocalSource, Query, RemoteFile, Scene, SceneId, Taking
from sedas_sync.model.text import product_id
from sedas_sync.planning.product_name import described
from sedas_sync.state.index import Index

_NOT_IN_INDEX = "differs from its mirror's index; skipped"


class _Listing(Struct):
    """The scenes in the folder."""

    scenes: dict[SceneId, Scene] = field(default_factory=dict)
    scene_paths: dict[SceneId, str] = field(default_factory=dict)
    link_paths: dict[str, str] = field(default_factory=dict)
    """The path of each file, by its link."""
    warnings: list[str] = field(default_factory=list)


class DirectoryArchive:
    """A folder of scenes. It is listed once, at the first call; later files are found by the next run.

    Args:
        root: The folder; it may be a symbolic link.
        how: How files are copied from it.
        leave_out: A folder to ignore, such as the mirror itself.
    """

    def __init__(self, root: Path, *, how: Taking = "auto", leave_out: Path | None = None) -> None:
        self._root = root.resolve()
        self._how = how
        self._left_out: str | None = None
        if leave_out is not None and leave_out.resolve().is_relative_to(self._root):
            self._left_out = leave_out.resolve().relative_to(self._root).as_posix()
        self._lock = threading.Lock()
        self._listed: _Listing | None = None
        self.identity = f"directory {self._root}"

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene acquired in the period of the query, and every scene without a time.

        Raises:
            ArchiveError: The folder does not exist or cannot be read.
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
        """Yield the scenes with these ids that are in the folder.

        Raises:
            ArchiveError: The folder does not exist or cannot be read.
        """
        del warn
        wanted = dict.fromkeys(ids)
        if wanted:
            scenes = self._listing().scenes
            by_product = {product_id(scene_id): scene for scene_id, scene in scenes.items()}
            found = (scenes.get(scene_id) or by_product.get(product_id(scene_id)) for scene_id in wanted)
            yield from (scene for scene in found if scene is not None)

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the local file of a scene.

        Raises:
            ArchiveError: The file does not exist, or was refused.
        """
        listing = self._listing()
        wanted = file or scene.files[0]
        if wanted.url not in listing.link_paths:
            # The scene may come from a lock file, which has no links.
            listed = listing.scenes.get(scene.id, scene)
            wanted = next((one for one in listed.files if one.name == wanted.name), wanted)
        path = listing.link_paths.get(wanted.url or "")
        if path is None or safe_tree.stat(str(self._root), path) is None:
            raise ArchiveError(f"{scene.id}: no longer in {self._root}")
        if refused is not None:
            raise ArchiveError(f"{self._root}/{path}: was refused, and the folder has no other file of this scene")
        return Download(
            url=(self._root / path).as_uri(),
            size=wanted.size,
            digest=wanted.digest,
            local=LocalSource(root=str(self._root), path=path, how=self._how),
        )

    def stop(self) -> None:
        """Do nothing, because no call takes long."""

    def close(self) -> None:
        """Do nothing, because nothing is open."""

    def _listing(self) -> _Listing:
        with self._lock:
            if self._listed is None:
                if not self._root.is_dir():
                    raise ArchiveError(f"{self._root}: this folder does not exist")
                try:
                    self._listed = self._list()
                except OSError as error:
                    raise ArchiveError(f"{error.filename or self._root}: cannot be read: {error.strerror}") from error
            return self._listed

    def _list(self) -> _Listing:
        listing = _Listing()
        indexed = self._indexed(listing)
        entries = {
            entry.path: entry for entry in tree_listing.scan(str(self._root)) if not self._is_ignored(entry.path)
        }
        for local in (local for local in indexed if local.is_folder):
            found = [entries.pop(path, None) for path in local.paths]
            if all(map(_same_size, found, local.files)):
                scene = _scene_of_folder(self._root, local)
                listing.scenes[scene.id], listing.scene_paths[scene.id] = scene, local.path
                for asset in scene.assets:
                    listing.link_paths[asset.url or ""] = f"{local.path}/{asset.name}"
            elif any(found):
                listing.warnings.append(f"{local.path}: {_NOT_IN_INDEX}")
        self._add_files(listing, entries.values(), {local.path: local for local in indexed if not local.is_folder})
        return listing

    def _add_files(
        self, listing: _Listing, entries: Iterable[tree_listing.TreeEntry], indexed: dict[str, LocalScene]
    ) -> None:
        links = 0
        for entry in sorted(entries, key=lambda entry: entry.path):
            path = entry.path
            if path not in indexed and not _is_product(path.rpartition("/")[2]):
                continue
            if not entry.is_file:
                links += entry.is_symlink
                continue
            local = indexed.get(path)
            if local is not None and local.size != entry.size:
                listing.warnings.append(f"{path}: {_NOT_IN_INDEX}")
                continue
            scene = _scene_of_file(self._root, entry, local)
            if scene.id in listing.scenes:
                listing.warnings.append(f"{path}: skipped; {listing.scene_paths[scene.id]} is the same scene")
                continue
            listing.scenes[scene.id], listing.scene_paths[scene.id] = scene, path
            listing.link_paths[scene.download_url or ""] = path
        if links:
            what = "1 symbolic link is" if links == 1 else f"{links} symbolic links are"
            listing.warnings.append(f"{self._root}: {what} not followed")

    def _is_ignored(self, path: str) -> bool:
        # The state folder of a mirror has partial and replaced files. A mirror may lie deeper in the folder.
        parts = path.split("/")
        return safe_tree.STATE in parts or (self._left_out is not None and path.startswith(f"{self._left_out}/"))

    def _indexed(self, listing: _Listing) -> list[LocalScene]:
        """Return the scenes in the index if the folder is a mirror."""
        try:
            with Index(self._root) as index:
                return list(index.local_scenes())
        except SedasSyncError as error:
            listing.warnings.append(f"{error}; only the names of files are used")
            return []


def _is_product(name: str) -> bool:
    """Whether a file may be a scene, by its name: other files belong to products that were unpacked."""
    return name.lower().endswith(ZIP) or bool(ending_of(name) and described(name).satellite)


def _scene_of_file(root: Path, entry: tree_listing.TreeEntry, local: LocalScene | None) -> Scene:
    name = entry.path.rpartition("/")[2]
    scene = described(product_id(name) if name.lower().endswith(ZIP) else name)
    if local is not None:
        scene = _with_metadata(local, scene)
    return replace(
        scene,
        size=entry.size,
        digest=None if local is None else local.sha256,
        download_url=(root / entry.path).as_uri(),
        assets=(),
        offline=None,
        planned=False,
    )


def _scene_of_folder(root: Path, local: LocalScene) -> Scene:
    scene = _with_metadata(local, Scene(id=local.id))
    keys = {asset.name: asset.key for asset in scene.assets}
    files = tuple(
        RemoteFile(
            name=file.name,
            key=keys.get(file.name, file.name),
            url=(root / local.path / file.name).as_uri(),
            size=file.size,
            digest=file.sha256,
        )
        for file in local.files
    )
    return replace(
        scene,
        size=local.size,
        digest=None,
        download_url=files[0].url,
        assets=files,
        offline=None,
        planned=False,
    )


def _with_metadata(local: LocalScene, plain: Scene) -> Scene:
    """Return the scene with the metadata of the index; `plain` with the index's id if it has none."""
    try:
        return scene_from_metadata(local.facts) if local.facts != NO_FACTS else replace(plain, id=local.id)
    except (ValueError, TypeError):
        return replace(plain, id=local.id)


def _same_size(entry: tree_listing.TreeEntry | None, file: LocalFile) -> bool:
    return entry is not None and entry.is_file and entry.size == file.size


def open_archive(opening: Opening) -> DirectoryArchive:
    """Open the folder that a manifest names. A relative path starts at the manifest.

    Raises:
        ManifestError: It is the mirror itself.
    """
    config = cast(DirectoryConfig, opening.config)
    root = user_path(opening.base, config.path)
    if opening.mirror is not None and opening.mirror.resolve() == root.resolve():
        raise ManifestError(f"{root}: the mirror cannot be its own archive; give [mirror] another path")
    return DirectoryArchive(root, how=config.link, leave_out=opening.mirror)
