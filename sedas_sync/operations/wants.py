"""What a plan is made for: the scenes of a search, a lock file, a saved plan, a list or a verification."""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.lookup import SceneLookup, archives_of, desired_by_lock
from sedas_sync.model.events import Failure
from sedas_sync.model.plan import Plan
from sedas_sync.model.results import Finding, VerifyReport
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.lock import matching_lock
from sedas_sync.operations.lock_file import matching_lock_or_warning, wanted_scenes
from sedas_sync.operations.saved_plan import SavedPlan
from sedas_sync.operations.search import SearchResult
from sedas_sync.planning.sources import with_sources

_UNKNOWN = "no longer in the archive; local files are left unchanged"
_REFUSED = "this plan omits removals that were not confirmed; create a new plan to include them"


class Wants(Struct, frozen=True, kw_only=True):
    """Desired scenes and where they come from."""

    scenes: Mapping[SceneId, DesiredScene]
    complete: bool = True
    """Whether these are all scenes that match."""
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    look_up: SceneLookup | None = None
    """Looks up the scenes that are not on disk, because they do not come from a search."""
    saved: Plan | None = None
    """The plan that is repeated."""
    locked: bool = False
    """Whether they are those of a lock file, which has little metadata."""


def wants_from_search(found: SearchResult) -> Wants:
    """Return the scenes of a search."""
    return Wants(scenes=found.wants, complete=found.complete, failures=found.failures, warnings=found.warnings)


def wants_from_lock(context: MirrorContext, datasets: Iterable[str]) -> Wants:
    """Return the scenes of the lock file.

    Raises:
        LockMismatch: The lock file does not match the manifest.
        ManifestError: There is no lock file, or a dataset is not in the manifest.
    """
    manifest, lock = context.narrowed(datasets), matching_lock(context)
    look_up = context.look_up()
    context.step("looking up the lock file's scenes", len(lock.scenes))
    with context.state.index(write=False) as index:
        wants = desired_by_lock(manifest, lock, index.facts, look_up)
    return Wants(scenes=wants, look_up=look_up, locked=True)


def wants_from_saved_plan(context: MirrorContext, saved: SavedPlan) -> Wants:
    """Return the scenes of a saved plan."""
    return Wants(
        scenes=saved.wants,
        complete=saved.plan.search_complete,
        failures=saved.plan.failures,
        warnings=(_REFUSED,) if saved.plan.refusals else (),
        look_up=context.look_up(),
        saved=saved.plan,
    )


def wants_from_scenes(context: MirrorContext, scenes: Iterable[Scene]) -> Wants:
    """Return these scenes, whatever the manifest's rules are."""
    dataset = next(iter(context.manifest.datasets))
    key = next(iter(context.manifest.archives))
    return Wants(scenes={scene.id: at_layout(context, scene, key, (dataset,)) for scene in scenes})


def wants_from_findings(context: MirrorContext, report: VerifyReport) -> Wants:
    """Return the scenes that `verify` found missing, changed or corrupt.

    Raises:
        AuthenticationError: An archive rejected the credentials, or there are none.
    """
    bad = {item.id: item for item in report.repairable if item.id is not None}
    warnings: list[str] = []
    lock = None if report.lock is None else matching_lock_or_warning(context.manifest, warnings)
    pins = lock.scenes if lock is not None and report.lock_decides else {}
    with context.state.index(write=False) as index:
        wanted = wanted_scenes(context.manifest, index, lock)
    datasets: dict[SceneId, list[str]] = {}
    for name, ids in wanted.items():
        for scene_id in ids:
            if scene_id in bad:
                datasets.setdefault(scene_id, []).append(name)
    look_up = context.look_up()
    everywhere = archives_of(context.manifest, context.manifest.datasets)
    context.step("looking up scenes", len(bad))
    look_up.ask(dict.fromkeys(bad, everywhere))
    wants = {}
    for scene_id, item in bad.items():
        if (scene := look_up.found(scene_id)) is not None:
            names, pin = tuple(datasets.get(scene_id, ())), pins.get(scene_id)
            want = at_layout(context, replace(scene, id=scene_id), everywhere[0], names)
            # A file in the folder of an unpacked product does not show where the product's zip would be. Nor does a
            # damaged zip outside the index, which may be in a folder of the user: only one in its place is replaced.
            outside = item.finding is Finding.CORRUPT and item.recorded is None and item.locked_sha256 is None
            path = want.path if (item.name or outside) and not scene.is_folder else item.scene_path or want.path
            want = replace(want, path=path)
            if pin is not None:
                want = replace(want, sha256=pin.sha256, pinned=pin.pinned, contents=pin.contents)
            wants[scene_id] = with_sources(want, look_up.sources(scene_id))
    return Wants(
        scenes=wants,
        failures=tuple(
            replace(failure, error=_UNKNOWN) if failure.id in look_up.unknown else failure
            for failure in look_up.failures
        ),
        warnings=(*warnings, *look_up.warnings),
    )


def at_layout(context: MirrorContext, scene: Scene, key: str, datasets: tuple[str, ...]) -> DesiredScene:
    """Return a scene at the path that the layout gives it, in the manifest's first dataset if it has none."""
    dataset = next(iter(datasets or context.manifest.datasets))
    layout = context.manifest.mirror.layout
    path = layout.path(scene, dataset=dataset, archive=key, extension=scene.ending)
    return DesiredScene.of(key, scene, datasets=datasets, path=path)
