"""Wants without a search: the scenes of a lock, or of a saved plan, looked up by id where something is to be fetched.

What is in place is asked of nobody, so that a mirror which holds all that a lock names needs neither network nor
account.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import AuthenticationError, SedasSyncError
from sedas_sync.manifest import Manifest
from sedas_sync.model.assets import total_size
from sedas_sync.model.events import Failure
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.scene import DesiredScene, LocalScene, RemoteFile, Scene, SceneId, Source
from sedas_sync.planning.compare import NOTHING_ON_DISK, DiskState, in_place
from sedas_sync.planning.lock import Lock, LockedScene
from sedas_sync.planning.select import paths_of
from sedas_sync.planning.sources import described, product_id, with_sources

UNKNOWN = "the archive does not know this scene any more"

_IN_A_LOCK = frozenset({"id", "dataset", "archive", "start"})
"""Fields of a layout for which a lock is enough."""


@dataclass(slots=True)
class SceneLookup:
    """Looks scenes up by id, each once.

    Args:
        archive: gives the archive of a key; asked for only when there is something to look up.
        manifest: says which archives a dataset takes scenes from.
    """

    archive: Callable[[str], Archive]
    manifest: Manifest
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _known: dict[SceneId, tuple[Source, ...]] = field(default_factory=dict)

    def ask(self, keys: Mapping[SceneId, tuple[str, ...]]) -> None:
        """Look up scenes, given with the keys of their archives. One that no archive tells of is a failure.

        Raises:
            AuthenticationError: an archive refused the credentials, or every archive the look-up; or there are none.
        """
        asked = {scene_id: names for scene_id, names in keys.items() if scene_id not in self._known}
        by_archive: dict[str, list[SceneId]] = {}
        for scene_id, names in asked.items():
            for key in names:
                by_archive.setdefault(key, []).append(scene_id)
        troubles: dict[str, SedasSyncError] = {}
        found: dict[str, list[Scene]] = {}
        for key, ids in by_archive.items():
            found[key] = []
            try:
                found[key].extend(self.archive(key).look_up(ids, warn=self.warnings.append))
            except SedasSyncError as error:
                if isinstance(error, AuthenticationError) and not error.forbidden:
                    raise
                troubles[key] = error
        if troubles and all(isinstance(troubles.get(key), AuthenticationError) for key in by_archive):
            raise next(iter(troubles.values()))
        # In the order of each scene's own list, which need not be that of the next one.
        of = {key: {product_id(scene.id): scene for scene in scenes} for key, scenes in found.items()}
        for scene_id, names in asked.items():
            product = product_id(scene_id)
            paths_by_lock = (Source(archive=key, scene=of[key][product]) for key in names if product in of[key])
            self._known[scene_id] = tuple(sorted(paths_by_lock, key=lambda place: place.scene.planned))
            if not self._known[scene_id]:
                trouble = next((troubles[key] for key in names if key in troubles), None)
                refused = isinstance(trouble, AuthenticationError)
                self.failures.append(Failure(id=scene_id, error=str(trouble or UNKNOWN), refused=refused))
        unsaid = {scene_id for scene_id in asked if self._known[scene_id]}
        self.warnings.extend(
            f"archive {key}: {said}" for key, said in troubles.items() if not unsaid.isdisjoint(by_archive[key])
        )

    def found(self, scene_id: SceneId) -> Scene | None:
        """The scene as its archives have it now; None where none knows it, or none was asked."""
        paths_by_lock = self._known.get(scene_id)
        return described(paths_by_lock) if paths_by_lock else None

    def placed(self, want: DesiredScene) -> DesiredScene:
        """A want with all archives that have its scene."""
        return with_sources(want, self._known[want.scene.id])

    def refresh(
        self, wants: Mapping[SceneId, DesiredScene], observed: Mapping[SceneId, DiskState]
    ) -> dict[SceneId, DesiredScene]:
        """Give wants that need their archive what it says now, and leave out those that it does not know.

        What is in place stays as it is. An untracked file that is right is looked up for its facts, and taken without
        them where the archive has none.
        """
        asked = {}
        for scene_id, want in wants.items():
            here = observed.get(scene_id, NOTHING_ON_DISK)
            if not want.scene.planned and not (in_place(want, here) and here.tracked):
                asked[scene_id] = archives_of(self.manifest, want.datasets) or (want.archive,)
        if not asked:
            return dict(wants)
        before = len(self.failures)
        self.ask(asked)
        lost = {failure.id for failure in self.failures}
        result = {}
        for scene_id, want in wants.items():
            here = observed.get(scene_id, NOTHING_ON_DISK)
            now = self.found(scene_id)
            if scene_id not in asked:
                result[scene_id] = want
            elif now is not None:
                current = replace(now, id=scene_id, start=want.scene.start or now.start)
                if paths_by_lock := self._with_the_files(want.scene, self._known[scene_id]):
                    scene = replace(current, assets=paths_by_lock[0].scene.assets, size=paths_by_lock[0].scene.size)
                    result[scene_id] = with_sources(replace(want, scene=scene), paths_by_lock)
                else:
                    lost.add(scene_id)
            elif in_place(want, here):
                result[scene_id] = want
                lost.discard(scene_id)
        self.failures[before:] = [failure for failure in self.failures[before:] if failure.id in lost]
        return result

    def _with_the_files(self, wanted: Scene, paths_by_lock: Iterable[Source]) -> tuple[Source, ...]:
        """Those places that have the files that were wanted of a scene, with just these; else none, and a failure."""
        names = {asset.name for asset in wanted.assets}
        found, why = [], ""
        for place in paths_by_lock:
            assets = tuple(asset for asset in place.scene.assets if asset.name in names)
            lacking = sorted(names - {asset.name for asset in assets})
            if lacking or bool(place.scene.assets) != bool(names):
                why = f"does not have {', '.join(lacking)} of it any more" if lacking else "has it as several files now"
            elif len(assets) == len(place.scene.assets):
                found.append(place)
            else:
                scene = replace(place.scene, assets=assets)
                found.append(Source(archive=place.archive, scene=replace(scene, size=total_size(scene))))
        if not found:
            self.failures.append(Failure(id=wanted.id, error=f"the archive {why}"))
        return tuple(found)


def desired_by_lock(
    manifest: Manifest, lock: Lock, held: Mapping[SceneId, LocalScene], look_up: SceneLookup
) -> dict[SceneId, DesiredScene]:
    """The wants of a lock: each of its scenes at its path, with the digest it must have.

    Where the layout needs more than a lock says, it comes from the index, or else from the archive.

    Args:
        manifest: says layout and archives; scenes of datasets that it does not have are left out.
        lock: the scenes.
        held: what the index remembers.
        look_up: asks the archive.
    """
    takers = _takers(manifest, lock.scenes.values())
    archives = {names: archives_of(manifest, names) for names in set(takers.values())}
    scenes = {scene_id: _scene(lock.scenes[scene_id]) for scene_id in takers}
    if not manifest.mirror.layout.fields <= _IN_A_LOCK:
        look_up.ask({scene_id: archives[takers[scene_id]] for scene_id in scenes if scene_id not in held})
        scenes = {
            scene_id: _described(scene, held.get(scene_id), look_up.found(scene_id))
            for scene_id, scene in scenes.items()
            if scene_id in held or look_up.found(scene_id) is not None
        }
    paths = paths_of(manifest, scenes, takers)
    return {
        scene_id: DesiredScene(
            scene=_remembered(scene, held.get(scene_id), paths[scene_id]),
            datasets=takers[scene_id],
            archive=archives[takers[scene_id]][0],
            path=paths[scene_id],
            sha256=lock.scenes[scene_id].sha256,
            pinned={file.name: file.sha256 for file in lock.scenes[scene_id].files if file.sha256 is not None},
        )
        for scene_id, scene in scenes.items()
    }


def archives_of(manifest: Manifest, datasets: Iterable[str]) -> tuple[str, ...]:
    """The archives that some datasets take scenes from, in their order; each once."""
    known = (manifest.datasets[name].archive for name in datasets if name in manifest.datasets)
    return tuple(dict.fromkeys(key for keys in known for key in keys))


def paths_by_lock(manifest: Manifest, lock: Lock) -> dict[SceneId, str]:
    """Where the scenes of a lock belong, as far as that follows from the manifest and the lock alone."""
    if not manifest.mirror.layout.fields <= _IN_A_LOCK:
        return {}
    takers = _takers(manifest, lock.scenes.values())
    return paths_of(manifest, {scene_id: _scene(lock.scenes[scene_id]) for scene_id in takers}, takers)


def _takers(manifest: Manifest, pins: Iterable[LockedScene]) -> dict[SceneId, tuple[str, ...]]:
    """For each scene its datasets in the order of the manifest, which decides on its path."""
    ordered: dict[tuple[str, ...], tuple[str, ...]] = {}
    takers = {}
    for pin in pins:
        names = ordered.get(pin.datasets)
        if names is None:
            names = ordered[pin.datasets] = tuple(name for name in manifest.datasets if name in pin.datasets)
        if names:
            takers[pin.id] = names
    return takers


def _scene(pin: LockedScene) -> Scene:
    assets = tuple(RemoteFile(name=file.name, key="", size=file.size) for file in pin.files)
    return Scene(id=pin.id, start=pin.start, size=pin.size, footprint=pin.footprint, assets=assets)


def _remembered(scene: Scene, held: LocalScene | None, path: str) -> Scene:
    """With the facts of the index where its file is to be moved, since they are then written anew."""
    if held is None or held.path == path:
        return scene
    return _described(scene, held, None)


def _described(scene: Scene, held: LocalScene | None, found: Scene | None) -> Scene:
    """With the facts that the index or the archive has; what the lock says stays."""
    known = found if held is None else scene_from_metadata(held.facts) if held.facts != "{}" else None
    if known is None:
        return scene
    return replace(
        known,
        start=scene.start or known.start,
        size=scene.size,
        footprint=scene.footprint,
        download_url=None,
        assets=scene.assets,
    )
