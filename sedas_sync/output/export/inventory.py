"""The scenes of a mirror that an export is made of."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.files import tree_listing
from sedas_sync.model.events import Failure
from sedas_sync.model.history import SceneState
from sedas_sync.model.local import LocalFile, LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.state.history import departed
from sedas_sync.state.index import Index


class ExportEntry(Struct, frozen=True, kw_only=True):
    """A scene on disk."""

    local: LocalScene
    datasets: tuple[str, ...]
    """Datasets that wanted it when they were last applied, in the order of the manifest."""
    state: SceneState = SceneState.LISTED
    """What became of it in the catalogue, as the last search saw it."""

    @property
    def id(self) -> SceneId:
        """Return the scene's id."""
        return self.local.id

    @property
    def scene(self) -> Scene:
        """Return the scene as it was last seen in the catalogue. It is decoded on every access."""
        try:
            scene = scene_from_metadata(self.local.facts)
        except (TypeError, ValueError):
            return Scene(id=self.id)
        return scene if scene.id == self.id else replace(scene, id=self.id)


class Inventory(Struct, frozen=True, kw_only=True):
    """The scenes of a mirror."""

    local_scenes: tuple[LocalScene, ...]
    """Every scene of the index, by id."""
    wanted: Mapping[SceneId, tuple[str, ...]]
    """For each scene, the datasets that match it, in the order of the manifest. A scene may have no file."""
    absent: tuple[Failure, ...]
    """Scenes whose files are not on disk as in the index."""
    left: Mapping[SceneId, SceneState]
    """What became of scenes that no dataset wants any more."""

    def entries(self) -> Iterator[ExportEntry]:
        """Yield the scenes whose files are on disk, by id."""
        absent = {failure.id for failure in self.absent}
        for local in self.local_scenes:
            if local.id not in absent:
                datasets = self.wanted.get(local.id, ())
                state = SceneState.LISTED if datasets else self.left.get(local.id, SceneState.UNMATCHED)
                yield ExportEntry(local=local, datasets=datasets, state=state)


def take_inventory(root: Path, index: Index, datasets: Iterable[str]) -> Inventory:
    """Read the index and, for names and sizes alone, the folder.

    Args:
        root: The mirror's folder; it may not exist.
        index: Open for reading.
        datasets: The names of the manifest's datasets, in its order.
    """
    by_dataset = index.wanted()
    wanted: dict[SceneId, tuple[str, ...]] = {}
    for name in datasets:
        for scene_id in by_dataset.get(name, ()):
            wanted[scene_id] = (*wanted.get(scene_id, ()), name)
    local_scenes = tuple(sorted(index.local_scenes(), key=lambda local: local.id))
    unreadable: tree_listing.Unreadable = {}
    sizes = {entry.path: entry.size for entry in tree_listing.scan(str(root), unreadable=unreadable) if entry.is_file}
    absent = tuple(_absent(local_scenes, sizes, unreadable))
    return Inventory(local_scenes=local_scenes, wanted=wanted, absent=absent, left=departed(index))


def _absent(
    local_scenes: Iterable[LocalScene], sizes: Mapping[str, int], unreadable: tree_listing.Unreadable
) -> Iterator[Failure]:
    for local in local_scenes:
        # One reason is enough for a scene, however many of its files are gone.
        why = next((why for file in local.files if (why := _missing(file, sizes, unreadable)) is not None), None)
        if why is not None:
            yield Failure(id=local.id, error=why)


def _missing(file: LocalFile, sizes: Mapping[str, int], unreadable: tree_listing.Unreadable) -> str | None:
    size = sizes.get(file.path)
    if size is None and (hidden := tree_listing.hidden_by(file.path, unreadable)):
        return f"{hidden[0]} cannot be read: {hidden[1].strerror}"
    if size is None:
        return f"its file {file.path} is gone; apply downloads it again"
    if size != file.size:
        return f"its file {file.path} has {size} bytes, in the index it has {file.size}; apply checks it"
    return None
