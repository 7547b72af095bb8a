"""Why scenes that were wanted at the last search are not wanted now. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

from sedas_sync.manifest import Manifest
from sedas_sync.model.history import Departure, SceneState
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.planning.match import exclusion
from sedas_sync.planning.supersede import superseded


def departures(
    manifest: Manifest,
    wants: Mapping[SceneId, DesiredScene],
    gone: Mapping[SceneId, Scene | None],
    listed: AbstractSet[SceneId],
    now: datetime,
) -> Iterator[Departure]:
    """Yield what became of scenes.

    Args:
        manifest: The rules.
        wants: The scenes of a complete search that match.
        gone: Scenes that matched before and do not now; None if nothing is known of a scene.
        listed: Scenes that the search returned.
        now: The time that relative dates count from.
    """
    known = [scene for scene in gone.values() if scene is not None]
    newer = _successors(manifest, wants, known)
    for scene_id, scene in gone.items():
        if scene_id in newer:
            yield Departure(scene_id, SceneState.SUPERSEDED, newer[scene_id])
        elif scene is None or scene_id in listed or not matches(manifest, scene, now):
            yield Departure(scene_id, SceneState.UNMATCHED)
        else:
            yield Departure(scene_id, SceneState.WITHDRAWN)


def matches(manifest: Manifest, scene: Scene, now: datetime) -> bool:
    """Return whether a scene matches a dataset, judged by the scene alone."""
    return any(exclusion(dataset, manifest.aois, scene, now) is None for dataset in manifest.datasets.values())


def _successors(
    manifest: Manifest, wants: Mapping[SceneId, DesiredScene], gone: Iterable[Scene]
) -> dict[SceneId, tuple[SceneId, ...]]:
    """Return the desired scenes that are later processings of others, whether or not a dataset asks for the newest."""
    days = {scene.start.date() for scene in gone if scene.start is not None}
    found: dict[SceneId, tuple[SceneId, ...]] = {}
    for name, dataset in manifest.datasets.items() if days else ():
        here = [
            want.scene
            for want in wants.values()
            if name in want.datasets and want.scene.start is not None and want.scene.start.date() in days
        ]
        newest = dataset.model_copy(update={"reprocessed": "newest"})
        for scene_id, why in superseded(newest, [*here, *gone]).items():
            # A scene that is gone supersedes nothing.
            by = tuple(other for other in why.by if other in wants)
            if by and scene_id not in wants:
                found.setdefault(scene_id, by)
    return found
