"""Run an export: choose the writer and the target."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, locate_file
from sedas_sync.errors import IncompleteSearch, ManifestError, SedasSyncError
from sedas_sync.files.atomic import writing_whole
from sedas_sync.files.extras import load_extra
from sedas_sync.geometry.geojson import bounding_box, box_of
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import Failure
from sedas_sync.model.local import LocalScene
from sedas_sync.model.scene import ArchiveKey, Scene, SceneId
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.lock_file import beside, matching_lock_or_warning
from sedas_sync.operations.outputs import check_output
from sedas_sync.operations.search import search_archives
from sedas_sync.output.export import Exported, Format, LinkKind, catalogue
from sedas_sync.output.export.inventory import Inventory, take_inventory
from sedas_sync.output.export.lists import aria2, link_problem, sha256sums
from sedas_sync.output.export.tables import LOCAL_COLUMNS, TableRow, Tally, as_csv, as_geojson
from sedas_sync.planning.select import paths_of

_BEST = 3
"""The score of a link that cannot be better."""
_CATALOGUE = "a STAC catalogue"
"""What needs the extra `stac`, in errors."""
_CATALOGUE_FORMAT = 3
"""Increase it when the same scenes give another catalogue than before."""


def export(
    context: MirrorContext,
    how: Format,
    out: str | os.PathLike[str] | IO[bytes] | None = None,
    *,
    unless_fresh: bool = False,
    self_contained: bool = False,
    links: LinkKind = "hard",
) -> Exported:
    """Export the index of the mirror for other tools; works while another process works in the mirror.

    Args:
        context: The mirror.
        how: `stac` writes a folder; `geoparquet` (the same items), `geojson`, `csv`, `sha256sums` (for
            `sha256sum --check` inside the mirror) and `urls` (for aria2) write a file. Only `urls` asks the archives,
            because links expire; before the first apply it takes the scenes of the lock file, or searches.
        out: The folder or file, which is written completely or not at all; a file can also be an open binary file. For
            STAC, `stac` next to the manifest if None.
        unless_fresh: Leave a STAC catalogue as it is if it is up to date.
        self_contained: The STAC catalogue has the scenes' files below its own folder. One that has them keeps them,
            with links of the same kind, if this is False.
        links: How it has them.

    Raises:
        ManifestError: The mirror belongs to another manifest, `out` cannot be written or must not be replaced, or the
            extra `stac` is not installed.
        SedasSyncError: The index is damaged.
    """
    if self_contained and how != "stac":
        raise ManifestError(f"a self-contained catalogue is --format stac, not {how}")
    with context.state.index(write=False) as index:
        context.state.check_owner(index)
        inventory = take_inventory(context.state.root, index, context.manifest.datasets)
        if index.damaged:
            raise SedasSyncError(index.warnings[0])
    if how == "urls" and not inventory.wanted:
        inventory = replace(inventory, wanted=_wanted_before_the_first_apply(context))
    job = ExportJob(context, inventory)
    if how == "stac":
        folder = catalogue_folder(context, out)
        kept = catalogue.links_of(folder)
        return job.to_catalogue(folder, unless_fresh=unless_fresh, links=links if self_contained else kept)
    if how == "geoparquet":
        if not isinstance(out, str | os.PathLike):
            raise ManifestError("--format geoparquet writes a file: name it with --out")
        return job.to_geoparquet(Path(out))
    if out is None:
        raise ManifestError(f"an export as {how} needs a file to go to")
    return job.to_path(how, Path(out)) if isinstance(out, str | os.PathLike) else job.to_file(how, out)


def _wanted_before_the_first_apply(context: MirrorContext) -> Mapping[SceneId, tuple[str, ...]]:
    """Return the datasets of each scene of the lock file or, without one, of a search.

    Raises:
        IncompleteSearch: A search failed or is incomplete.
    """
    lock = matching_lock_or_warning(context.manifest, [])
    if lock is not None:
        return {scene_id: scene.datasets for scene_id, scene in lock.scenes.items()}
    found = search_archives(context)
    if not found.complete:
        raise IncompleteSearch("; ".join(f"{failure.id}: {failure.error}" for failure in found.failures))
    return {scene_id: want.datasets for scene_id, want in found.wants.items()}


def catalogue_folder(context: MirrorContext, out: str | os.PathLike[str] | IO[bytes] | None = None) -> Path:
    """Return the folder of a STAC catalogue after checking that it can be written.

    Args:
        context: The mirror.
        out: The folder; `stac` next to the manifest if None.

    Raises:
        ManifestError: Something else is at its path, or the extra `stac` is not installed.
    """
    if out is not None and not isinstance(out, str | os.PathLike):
        raise ManifestError("a STAC catalogue is a folder, not a file")
    folder = beside(context.manifest, "stac") if out is None else Path(out)
    check_stac(folder, context.state.root)
    return folder


class ExportJob(Struct, frozen=True):
    """An export of one mirror."""

    context: MirrorContext
    inventory: Inventory

    def to_file(self, how: Format, file: IO[bytes], out: str | None = None) -> Exported:
        """Write a list to an open file."""
        if how == "sha256sums":
            file.writelines(sha256sums(self.inventory.local_scenes))
            return self._exported(how, out, ())
        if how == "urls":
            links = LinkList(self.context.manifest, self.inventory, self.context.archives.__getitem__)
            file.writelines(line.encode() for line in links.lines())
            return self._exported(how, out, links.left_out, scenes=links.count, failures=tuple(links.failures))
        tally = Tally("writing scenes", len(self.inventory.local_scenes), self.context.state.on_step)
        rows = (
            TableRow(entry.scene, entry.datasets, entry.local, entry.state) for entry in tally(self.inventory.entries())
        )
        lines = as_csv(rows, LOCAL_COLUMNS) if how == "csv" else as_geojson(rows)
        file.writelines(line.encode("utf-8", "replace") for line in lines)
        return self._exported(how, out, self.inventory.absent)

    def to_path(self, how: Format, out: Path) -> Exported:
        """Write a list to a file, which is written as a whole or not at all."""
        if out.exists() and not out.is_file():
            if out.is_dir():
                raise ManifestError(f"{out}: is a folder; --format {how} writes a file")
            with out.open("wb") as stream:
                return self.to_file(how, stream, str(out))
        check_output(out, self.context.manifest)
        with writing_whole(out) as file:
            return self.to_file(how, file, str(out))

    def to_geoparquet(self, out: Path) -> Exported:
        """Write the items of all scenes to a STAC GeoParquet file, which is written as a whole or not at all."""
        check_output(out, self.context.manifest)
        for module in ("pystac", "rustac"):
            load_extra(module, "stac-geoparquet", "a GeoParquet file")
        to_mirror = Path(os.path.relpath(self.context.state.root, os.path.realpath(out.parent))).as_posix()
        with writing_whole(out) as file, tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "items.parquet"
            left_out = self._write_stac(made, f"./{to_mirror}", marks=None)
            with made.open("rb") as content:
                shutil.copyfileobj(content, file)
        return self._exported("geoparquet", str(out), [*self.inventory.absent, *left_out])

    def to_catalogue(self, out: Path, *, unless_fresh: bool, links: LinkKind | None) -> Exported:
        """Write a STAC catalogue. It replaces an old one.

        Args:
            out: Its folder.
            unless_fresh: Do nothing if the old one was made from the same scenes.
            links: Put the scenes' files below it, as links of this kind; None to refer to the mirror.
        """
        place = Path(os.path.realpath(out))
        root = os.path.realpath(self.context.state.root)
        if links is not None and place.is_relative_to(root):
            raise ManifestError(
                f"{out}: is in the mirror; a self-contained catalogue needs a folder outside it (--out)"
            )
        to_mirror = Path(os.path.relpath(root, place)).as_posix() if links is None else catalogue.FILES
        marks = {catalogue.MARK: self._content(to_mirror, links)}
        left_out = list(self.inventory.absent)
        if unless_fresh and catalogue.content_of(place) == marks[catalogue.MARK] and catalogue.is_whole(place):
            return self._exported("stac", str(out), left_out, written=False)
        with catalogue.written_beside(place) as beside:
            if links is not None:
                marks[catalogue.LINKS] = links
                paths = (file.path for entry in self.inventory.entries() for file in entry.local.files)
                catalogue.link_files(beside, place, root, paths, links)
            left_out += self._write_stac(beside, to_mirror, marks=marks)
        return self._exported("stac", str(out), left_out)

    def _write_stac(self, out: Path, to_mirror: str, *, marks: Mapping[str, str] | None) -> list[Failure]:
        """Write a catalogue with these marks or, without marks, a table; return the scenes that are not in it."""
        stac = load_extra("sedas_sync.output.export.stac", "stac", _CATALOGUE)
        root, on_step = str(self.context.state.root), self.context.state.on_step
        groups = stac.groups_of(self.inventory.entries(), self._boxes(), self._areas())
        left_out: list[Failure]
        if marks is None:
            left_out = stac.write_geoparquet(out, groups, root=root, to_mirror=to_mirror, on_step=on_step)
        else:
            name = Path(self.context.manifest.source).stem
            left_out = stac.write(out, groups, name=name, root=root, to_mirror=to_mirror, marks=marks, on_step=on_step)
        return left_out

    def _exported(self, how: Format, out: str | None, left_out: Iterable[Failure], **more: Any) -> Exported:
        left_out = tuple(left_out)
        values = {"scenes": len(self.inventory.local_scenes) - len(left_out), "written": True, **more}
        return Exported(manifest=self.context.manifest.name, format=how, out=out, left_out=left_out, **values)

    def _boxes(self) -> dict[str, tuple[float, float, float, float] | None]:
        """Return the bounding box of each dataset's areas."""
        return {
            name: bounding_box(box_of(self.context.manifest.aois[aoi].geometry) for aoi in dataset.aoi)
            for name, dataset in self.context.manifest.datasets.items()
        }

    def _areas(self) -> dict[str, tuple[str, ...]]:
        """Return the names of each dataset's areas."""
        return {name: tuple(dataset.aoi) for name, dataset in self.context.manifest.datasets.items()}

    def _content(self, to_mirror: str, links: LinkKind | None) -> str:
        """Return a digest of everything that a catalogue is made from."""
        made_from = [self._boxes(), self._areas(), links]
        head = [_CATALOGUE_FORMAT, Path(self.context.manifest.source).stem, to_mirror, made_from]
        digest = hashlib.sha256(json.dumps(head).encode())
        for entry in self.inventory.entries():
            local = entry.local
            line = [local.id, local.path, local.size, local.sha256, local.level, local.facts, entry.datasets]
            digest.update(json.dumps(line).encode())
        return digest.hexdigest()


def check_stac(out: Path, root: Path) -> None:
    """Check that a STAC catalogue can be written, before a long run begins.

    Raises:
        ManifestError: The extra `stac` is not installed, or the folder has other files.
    """
    load_extra("pystac", "stac", _CATALOGUE)
    if out.exists() and not out.is_dir():
        raise ManifestError(f"{out}: is a file; --format stac writes a folder")
    catalogue.check_place(Path(os.path.realpath(out)), root)


class LinkList:
    """The links of a mirror's scenes, as an input file for aria2.

    Links expire and are not stored, so the archives are queried for the links of every scene that is on disk or wanted.
    No token and no secret is written.
    """

    def __init__(self, manifest: Manifest, inventory: Inventory, archive: Callable[[str], Archive]) -> None:
        self._manifest = manifest
        self._local = {local.id: local for local in inventory.local_scenes}
        self._wanted = inventory.wanted
        self._archive = archive
        self.count = 0
        self.left_out: list[Failure] = []
        self.failures: list[Failure] = []

    def lines(self) -> Iterator[str]:
        """Yield the entries by id, and a comment for each scene that has none.

        Raises:
            AuthenticationError: An archive refused the credentials, or there are none.
        """
        ids = sorted({*self._local, *self._wanted})
        found = self._look_up(ids)
        # The link of an unpacked scene is that of its zip.
        files = {local.id for local in self._local.values() if local.packed is None}
        to_come = {scene_id: scene for scene_id, (_, scene) in found.items() if scene_id not in files}
        datasets = {scene_id: self._wanted.get(scene_id) or tuple(self._manifest.datasets) for scene_id in to_come}
        paths = paths_of(self._manifest, to_come, datasets)
        for scene_id in ids:
            if scene_id in found:
                yield from self._entry(*found[scene_id], paths)
            elif not self.failures:
                yield self._none(scene_id, "no longer in the archive")

    def _entry(self, key: ArchiveKey, scene: Scene, paths: Mapping[SceneId, str]) -> Iterator[str]:
        if scene.download_url is None:
            yield self._none(scene.id, scene.offline or "in the long-term archive: it must be ordered")
            return
        local = self._local.get(scene.id)
        place = paths[scene.id] if local is None or local.packed is not None else local.path
        known = {}
        if local is not None and self._came_from(key, local):
            # A file of one archive says nothing about the bytes behind another one's link.
            known = {place: local.packed.sha256} if local.packed else {file.path: file.sha256 for file in local.files}
        lines = []
        needs_token = False
        for file in scene.files:
            link = file.url or ""
            problem = link_problem(link)
            try:
                if problem is None and not needs_token:
                    needs_token = bool(locate_file(self._archive(key), scene, file).headers)
            except SedasSyncError as error:
                if error.exit_code != SedasSyncError.exit_code:
                    raise
                problem = str(error)
            if problem is not None:
                yield self._none(scene.id, problem)
                return
            path = f"{place}/{file.name}" if file.name else place
            lines.append(aria2(link, path, known.get(path, file.digest)))
        if needs_token:
            yield f"# {scene.id}: needs a token\n"
        self.count += 1
        yield from lines

    def _none(self, scene_id: SceneId, why: str) -> str:
        self.left_out.append(Failure(id=scene_id, error=why))
        return f"# {' '.join(f'{scene_id}: {why}'.split())}\n"

    def _came_from(self, key: ArchiveKey, local: LocalScene) -> bool:
        """Return whether a file came from an archive. With one archive it did, whatever its address was then."""
        return len(self._manifest.archives) == 1 or self._archive(key).identity == local.archive

    def _look_up(self, ids: Iterable[SceneId]) -> Mapping[SceneId, tuple[str, Scene]]:
        """Return each scene from the archive its file came from if it is online there, else from one where it is."""
        found: dict[SceneId, tuple[str, Scene]] = {}

        def score(key: str, scene: Scene) -> int:
            local = self._local.get(scene.id)
            return 2 * scene.online + (local is None or self._came_from(key, local))

        for key in self._manifest.archives:
            unfound = [one for one in ids if one not in found or score(*found[one]) < _BEST]
            if not unfound:
                break
            try:
                for scene in self._archive(key).look_up(unfound, warn=lambda _: None):
                    if scene.id not in found or score(key, scene) > score(*found[scene.id]):
                        found[scene.id] = key, scene
            except SedasSyncError as error:
                if error.exit_code != SedasSyncError.exit_code:
                    raise
                self.failures.append(Failure(id=key, error=str(error)))
        return found
