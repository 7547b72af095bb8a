"""Desired scenes without a search: those of a lock file or a saved plan, looked up by id if they must be downloaded.

A scene that is on disk is not looked up. So a mirror that has all scenes of a lock file needs neither network nor
account.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import AuthenticationError, SedasSyncError
from sedas_sync.manifest import Manifest
from sedas_sync.model.disk import NOTHING_ON_DISK, DiskState
from sedas_sync.model.events import Failure
from sedas_sync.model.files import total_size
from sedas_sync.model.local import NO_FACTS
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.scene import DesiredScene, RemoteFile, Scene, SceneId, Source
from sedas_sync.model.text import product_id
from sedas_sync.planning.compare import needs_no_archive
from sedas_sync.planning.lock import Lock, LockedScene
from sedas_sync.planning.select import paths_of
from sedas_sync.planning.sources import describe, with_sources

_IN_A_LOCK = frozenset({"id", "dataset", "archive", "start"})
"""Fields of a layout that a lock file contains."""


class SceneLookup(Struct):
    """Looks scenes up by id, each once.

    Args:
        open_archive: Returns the archive of a key; called only if there is something to look up.
        manifest: Has the archives of each dataset.
    """

    open_archive: Callable[[str], Archive]
    manifest: Manifest
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unknown: set[SceneId] = field(default_factory=set)
    """Scenes that no archive has, although all answered."""
    _known: dict[SceneId, tuple[Source, ...]] = field(default_factory=dict)

    def ask(self, keys: Mapping[SceneId, tuple[str, ...]]) -> None:
        """Look up scenes. One that is in no archive becomes a failure.

        Args:
            keys: The keys of the archives to ask, by scene.

        Raises:
            AuthenticationError: An archive rejected the credentials, or every archive the look-up; or there are none.
        """
        asked = {scene_id: names for scene_id, names in keys.items() if scene_id not in self._known}
        by_archive: dict[str, list[SceneId]] = {}
        for scene_id, names in asked.items():
            for key in names:
                by_archive.setdefault(key, []).append(scene_id)
        found, errors = self._ask_each(by_archive)
        # Each scene has its own order of archives.
        by_id = {
            key: {product_id(scene.id): scene for scene in scenes} | {scene.id: scene for scene in scenes}
            for key, scenes in found.items()
        }
        for scene_id, names in asked.items():
            product = product_id(scene_id)
            listed = ((key, by_id[key].get(scene_id) or by_id[key].get(product)) for key in names)
            sources = (Source(archive=key, scene=scene) for key, scene in listed if scene is not None)
            self._known[scene_id] = tuple(
                sorted(sources, key=lambda source: (source.scene.planned, source.scene.never))
            )
            if not self._known[scene_id]:
                self._note_missing(scene_id, names, errors)
        elsewhere = {scene_id for scene_id in asked if self._known[scene_id]}
        self.warnings.extend(
            f"archive {key}: {error}" for key, error in errors.items() if not elsewhere.isdisjoint(by_archive[key])
        )

    def _ask_each(
        self, by_archive: Mapping[str, Sequence[SceneId]]
    ) -> tuple[dict[str, list[Scene]], dict[str, SedasSyncError]]:
        """Return what each archive found, and the errors of those that failed.

        Raises:
            AuthenticationError: An archive rejected the credentials, or every archive the look-up; or there are none.
        """
        found: dict[str, list[Scene]] = {}
        errors: dict[str, SedasSyncError] = {}
        for key, ids in by_archive.items():
            found[key] = []
            try:
                found[key].extend(self.open_archive(key).look_up(ids, warn=self.warnings.append))
            except SedasSyncError as error:
                if isinstance(error, AuthenticationError) and not error.forbidden:
                    raise
                errors[key] = error
        if errors and all(isinstance(errors.get(key), AuthenticationError) for key in by_archive):
            raise next(iter(errors.values()))
        return found, errors

    def _note_missing(self, scene_id: SceneId, names: Iterable[str], errors: Mapping[str, SedasSyncError]) -> None:
        """Add the failure of a scene that no archive returned; without an error it is unknown to all of them."""
        why = next((errors[key] for key in names if key in errors), None)
        refused = isinstance(why, AuthenticationError)
        self.failures.append(Failure(id=scene_id, error=str(why or "no longer in the archive"), refused=refused))
        if why is None:
            self.unknown.add(scene_id)

    def found(self, scene_id: SceneId) -> Scene | None:
        """Return a scene as its archives describe it now; None if no archive has it or none was asked."""
        sources = self._known.get(scene_id)
        return describe(sources) if sources else None

    def sources(self, scene_id: SceneId) -> tuple[Source, ...]:
        """Return the archives that were found to have a scene."""
        return self._known.get(scene_id, ())

    def refresh(
        self, wants: Mapping[SceneId, DesiredScene], observed: Mapping[SceneId, DiskState]
    ) -> dict[SceneId, DesiredScene]:
        """Update the scenes that need their archive, and leave out those that no archive has.

        Scenes on disk are not changed. An untracked file that is right is looked up for its metadata, and adopted
        without it if no archive has the scene.

        Args:
            wants: The desired scenes.
            observed: What the folder shows of them.
        """
        asked = {}
        for scene_id, want in wants.items():
            here = observed.get(scene_id, NOTHING_ON_DISK)
            if not want.scene.planned and not (needs_no_archive(want, here) and here.tracked):
                asked[scene_id] = archives_of(self.manifest, want.datasets) or (want.archive,)
        if not asked:
            return dict(wants)
        before = len(self.failures)
        self.ask(asked)
        failed_ids = {failure.id for failure in self.failures}
        result = {}
        for scene_id, want in wants.items():
            here = observed.get(scene_id, NOTHING_ON_DISK)
            now = self.found(scene_id)
            if scene_id not in asked:
                result[scene_id] = want
            elif now is not None:
                if sources := self._with_the_files(want.scene, self._known[scene_id]):
                    first = sources[0].scene
                    scene = replace(
                        now, id=scene_id, start=want.scene.start or now.start, assets=first.assets, size=first.size
                    )
                    result[scene_id] = with_sources(replace(want, scene=scene), sources)
                else:
                    failed_ids.add(scene_id)
            elif needs_no_archive(want, here):
                result[scene_id] = want
                failed_ids.discard(scene_id)
        self.failures[before:] = [failure for failure in self.failures[before:] if failure.id in failed_ids]
        return result

    def _with_the_files(self, wanted: Scene, sources: Iterable[Source]) -> tuple[Source, ...]:
        """Return the sources that have the desired files of a scene, with only these; if there are none, a failure."""
        names = {file.name for file in wanted.assets}
        found, why = [], ""
        for source in sources:
            if source.scene.unlisted and wanted.is_folder:
                # The lock file has the names of the files, or they are listed when the scene is downloaded.
                scene = replace(source.scene, assets=wanted.assets, size=wanted.size)
                found.append(Source(archive=source.archive, scene=scene))
                continue
            files = tuple(file for file in source.scene.assets if file.name in names)
            lacking = sorted(names - {file.name for file in files})
            if lacking or source.scene.is_folder != wanted.is_folder:
                why = f"no longer has its files {', '.join(lacking)}" if lacking else "now has it as several files"
            elif len(files) == len(source.scene.assets):
                found.append(source)
            else:
                scene = replace(source.scene, assets=files)
                found.append(Source(archive=source.archive, scene=replace(scene, size=total_size(scene))))
        if not found:
            self.failures.append(Failure(id=wanted.id, error=f"the archive {why}"))
        return tuple(found)


def desired_by_lock(
    manifest: Manifest, lock: Lock, facts: Callable[[], Mapping[SceneId, str]], look_up: SceneLookup
) -> dict[SceneId, DesiredScene]:
    """Return the scenes of a lock file, each at its path and with the checksums it must have.

    If the layout needs more than a lock file contains, the index or else the archive provides it.

    Args:
        manifest: The layout and the archives; scenes of other datasets are left out.
        lock: The lock file.
        facts: Returns the metadata of the scenes of the index.
        look_up: Asks the archives.
    """
    datasets = _datasets(manifest, lock.scenes.values())
    archives = {names: archives_of(manifest, names)[0] for names in set(datasets.values())}
    scenes = {scene_id: _scene(lock.scenes[scene_id]) for scene_id in datasets}
    if not manifest.mirror.layout.fields <= _IN_A_LOCK:
        stored = facts()
        look_up.ask({key: archives_of(manifest, datasets[key]) for key in scenes if key not in stored})
        scenes = {
            scene_id: _described(scene, known)
            for scene_id, scene in scenes.items()
            if (known := stored.get(scene_id) or look_up.found(scene_id)) is not None
        }
    paths = paths_of(manifest, scenes, datasets)
    return {
        scene_id: DesiredScene(
            scene=scene,
            datasets=datasets[scene_id],
            path=paths[scene_id],
            sources=(Source(archive=archives[datasets[scene_id]], scene=scene),),
            sha256=(pin := lock.scenes[scene_id]).sha256,
            pinned=pin.pinned,
            contents=pin.contents,
        )
        for scene_id, scene in scenes.items()
    }


def archives_of(manifest: Manifest, datasets: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of the archives of some datasets in order, each once."""
    known = (manifest.datasets[name].archive for name in datasets if name in manifest.datasets)
    return tuple(dict.fromkeys(key for keys in known for key in keys))


def paths_by_lock(manifest: Manifest, lock: Lock) -> dict[SceneId, str]:
    """Return the paths of a lock file's scenes; empty if the layout needs more than a lock file contains."""
    if not manifest.mirror.layout.fields <= _IN_A_LOCK:
        return {}
    datasets = _datasets(manifest, lock.scenes.values())
    return paths_of(manifest, {scene_id: _scene(lock.scenes[scene_id]) for scene_id in datasets}, datasets)


def _datasets(manifest: Manifest, pins: Iterable[LockedScene]) -> dict[SceneId, tuple[str, ...]]:
    """Return the datasets of each scene in the order of the manifest, which decides on its path."""
    ordered: dict[tuple[str, ...], tuple[str, ...]] = {}
    datasets = {}
    for pin in pins:
        names = ordered.get(pin.datasets)
        if names is None:
            names = ordered[pin.datasets] = tuple(name for name in manifest.datasets if name in pin.datasets)
        if names:
            datasets[pin.id] = names
    return datasets


def _scene(pin: LockedScene) -> Scene:
    files = tuple(RemoteFile(name=name, size=file.size) for name, file in pin.files.items()) if pin.files else ()
    return Scene(id=pin.id, start=pin.start, size=pin.size, footprint=pin.footprint, assets=files, listing=pin.listing)


def with_metadata(want: DesiredScene, facts: str) -> DesiredScene:
    """Return a scene of a lock file with the metadata of the index; the fields of the lock file stay."""
    scene = _described(want.scene, facts)
    return replace(want, scene=scene, sources=(Source(archive=want.archive, scene=scene),))


def _described(scene: Scene, known: Scene | str) -> Scene:
    """Add the metadata of the archive or the index; the fields of the lock file stay."""
    if known == NO_FACTS:
        return scene
    known = scene_from_metadata(known) if isinstance(known, str) else known
    return replace(
        known,
        start=scene.start or known.start,
        size=scene.size,
        footprint=scene.footprint,
        download_url=None,
        assets=scene.assets,
    )
