"""One scene at several archives: which descriptions are of the same product, and which archive to download from first.

Pure. The first archive of a dataset describes the scene, so that no rule depends on which archive is online. What it
does not state is taken from the next one. The bytes come from the best source there is now.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.scene import ArchiveIdentity, ArchiveKey, DesiredScene, Scene, SceneId, Source
from sedas_sync.model.text import product_id

_DELIVERY = ("size", "nominal", "digest", "download_url", "offline", "never", "assets", "unselected")
"""Fields that belong to the archive that delivers a scene."""
_DESCRIPTION = tuple(name for name in Scene.__struct_fields__ if name not in (*_DELIVERY, "id", "planned", "extra"))
"""Fields that are the same at all archives."""


def merge_sources(found: Mapping[str, Iterable[Scene]]) -> dict[SceneId, tuple[Source, ...]]:
    """Return for each product that one or more archives list its sources, in the order of the archives.

    A planned acquisition comes after a description of the product itself, and an archive that can never deliver it
    after one that can. The id is that of the first source.

    Args:
        found: The scenes of each archive by its key, in the order of the dataset's archives.
    """
    products: dict[str, list[Source]] = {}
    for key, scenes in found.items():
        for scene in scenes:
            sources = products.setdefault(product_id(scene.id), [])
            if all(source.archive != key for source in sources):
                sources.append(Source(archive=key, scene=scene))
    result = {}
    for sources in products.values():
        sources.sort(key=lambda source: (source.scene.planned, source.scene.never))
        result[sources[0].scene.id] = tuple(sources)
    return result


def describe(sources: Sequence[Source]) -> Scene:
    """Return a scene as its first source describes it, with fields from the others that the first does not state."""
    first, *others = (source.scene for source in sources)
    known = {
        name: next((value for other in others if (value := getattr(other, name)) is not None), None)
        for name in _DESCRIPTION
        if others and getattr(first, name) is None
    }
    return replace(first, **known) if known else first


def unique_sources(groups: Iterable[Iterable[Source]]) -> tuple[Source, ...]:
    """Return the sources of several descriptions of one scene, each archive once."""
    sources: dict[str, Source] = {}
    for group in groups:
        for source in group:
            sources.setdefault(source.archive, source)
    return tuple(sources.values())


def rank_sources(sources: Iterable[Source], ordered_at: str | None = None) -> tuple[Source, ...]:
    """Sort sources: online, with an order, taking orders, perhaps online later, never to be had.

    Args:
        sources: In the order of preference among equals.
        ordered_at: Key of the archive that has an order of the scene.
    """

    def rank(source: Source) -> int:
        if source.scene.online:
            return 0
        if source.archive == ordered_at:
            return 1
        return 2 if source.scene.offline is None else 3 + source.scene.never

    return tuple(sorted(sources, key=rank))


def with_sources(want: DesiredScene, sources: Iterable[Source], ordered_at: str | None = None) -> DesiredScene:
    """Return a desired scene that is downloaded from the best of these sources; its description stays.

    A folder does not replace a file, or a file a folder: the path would depend on which archive is online.
    """
    alike = [source for source in sources if source.scene.is_folder == want.scene.is_folder]
    best, *others = rank_sources(alike or want.sources, ordered_at)
    scene = replace(want.scene, **{name: getattr(best.scene, name) for name in _DELIVERY})
    return replace(
        want, scene=scene, sources=(best, *others) if others else (Source(archive=best.archive, scene=scene),)
    )


def waits_for_order(want: DesiredScene, order: Order) -> bool:
    """Return whether a desired scene needs this order to be downloaded."""
    return not want.scene.online and order.state is not OrderState.FAILED


def with_orders(
    wants: Mapping[SceneId, DesiredScene], orders: Mapping[SceneId, Order], keys: Mapping[ArchiveIdentity, ArchiveKey]
) -> tuple[Mapping[SceneId, DesiredScene], dict[SceneId, Order], list[str]]:
    """Take each scene that is on order from the archive that has the order.

    The id of an order means nothing to another archive, so an order of an archive that is not known is not used.

    Args:
        wants: The desired scenes.
        orders: By the scene's id.
        keys: Keys of the archives that may have the orders, by `Archive.identity`.

    Returns:
        The desired scenes, the orders that can be used, and a warning for each of the others.
    """
    moved: dict[SceneId, DesiredScene] = {}
    usable, warnings = dict(orders), []
    for scene_id, order in orders.items():
        want = wants.get(scene_id)
        if want is None or not waits_for_order(want, order) or not order.archive:
            continue
        key = keys.get(order.archive)
        if key is None:
            del usable[scene_id]
            warnings.append(
                f"{scene_id}: order {order.order} is not used, because it was placed with {order.archive}, which the "
                "manifest does not name for this scene"
            )
        elif [source.archive for source in want.sources] != [key]:
            moved[scene_id] = with_sources(want, _with_source(want, key), key)
    return {**wants, **moved} if moved else wants, usable, warnings


def _with_source(want: DesiredScene, key: ArchiveKey) -> tuple[Source, ...]:
    """Return the sources of a scene and this one: a search that failed does not undo an order."""
    if any(source.archive == key for source in want.sources):
        return want.sources
    scene = replace(want.scene, size=None, nominal=False, digest=None, download_url=None, offline=None, never=False)
    return (*want.sources, Source(archive=key, scene=scene))


def source_of(
    local: LocalScene, want: DesiredScene, identities: Mapping[ArchiveKey, ArchiveIdentity], *, several: bool = False
) -> Source | None:
    """Return the source that a local scene was downloaded from; None if no source is known to be it.

    Two archives pack a product differently or state other kinds of checksums. So only the archive that delivered the
    bytes shows whether they have changed.

    Args:
        local: The scene on disk.
        want: The same scene, desired.
        identities: `Archive.identity` by key, of the archives that are known.
        several: Whether the manifest has several archives, so that an unknown one can have delivered the scene.
    """
    for source in want.sources:
        if identities.get(source.archive) == local.archive:
            return source
    if len(want.sources) > 1:
        return None
    (only,) = want.sources
    from_another = several or only.archive in identities
    return None if local.archive and from_another else only
