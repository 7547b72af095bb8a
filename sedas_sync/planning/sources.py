"""One scene in several archives: which descriptions are of the same product, and where to take it from first.

Pure. The first archive that a dataset lists describes the scene, so that no rule's verdict depends on who happens to
be online; what it does not say is taken from the next. Its bytes come from the best place there is now.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from sedas_sync.model.scene import DesiredScene, Scene, SceneId, Source

_FACTS = (
    "start", "stop", "footprint", "sensor", "satellite", "instrument", "mode", "source_group", "product_type", "orbit",
    "orbit_direction", "relative_orbit", "tile", "polarisation", "cloud_cover", "resolution", "quicklook_url",
    "thumbnail_url",
)  # fmt: skip
"""What is the same of a product wherever it is, unlike sizes, digests and links."""
_ENDING = re.compile(r"(?:\.SAFE|\.zip)+$", re.IGNORECASE)


def product_id(scene_id: SceneId) -> str:
    """The product's name, the same whether an archive writes it with `.SAFE` or `.zip` or without.

    Letter case is kept: names are as the field writes them.

    >>> product_of("S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117.SAFE")[-4:]
    '2117'
    """
    return _ENDING.sub("", scene_id) or scene_id


def merge_sources(found: Mapping[str, Iterable[Scene]]) -> dict[SceneId, tuple[Source, ...]]:
    """Put together what several archives list, as a scene's id and its places in the order of the archives.

    A planned acquisition gives way to a description of the product itself. The id is that of the first place.

    Args:
        found: for each archive's key its scenes, in the order of the dataset's list.
    """
    products: dict[str, list[Source]] = {}
    for key, scenes in found.items():
        for scene in scenes:
            places = products.setdefault(product_id(scene.id), [])
            if all(place.archive != key for place in places):
                places.append(Source(archive=key, scene=scene))
    result = {}
    for places in products.values():
        places.sort(key=lambda place: place.scene.planned)
        result[places[0].scene.id] = tuple(places)
    return result


def described(places: Sequence[Source]) -> Scene:
    """A scene as its first place describes it, with what others know besides: a folder knows no footprints."""
    first, *others = (place.scene for place in places)
    known = {
        name: next((value for other in others if (value := getattr(other, name)) is not None), None)
        for name in _FACTS
        if others and getattr(first, name) is None
    }
    return replace(first, **known) if known else first


def unique_sources(groups: Iterable[Iterable[Source]]) -> tuple[Source, ...]:
    """The places of several datasets' descriptions of one scene, each archive once, first come first."""
    places: dict[str, Source] = {}
    for group in groups:
        for place in group:
            places.setdefault(place.archive, place)
    return tuple(places.values())


def rank_sources(places: Iterable[Source], ordered_at: str | None = None) -> tuple[Source, ...]:
    """Sort places: online first, then where it is on order, then where it can be ordered; else as they are listed.

    Args:
        places: in the order of preference among equals.
        ordered_at: key of the archive that has an order of it.
    """

    def rank(place: Source) -> int:
        if place.scene.online:
            return 0
        if place.archive == ordered_at:
            return 1
        return 2 if place.scene.offline is None else 3

    return tuple(sorted(places, key=rank))


def with_sources(want: DesiredScene, places: Iterable[Source], ordered_at: str | None = None) -> DesiredScene:
    """A want whose scene is had from the best of these places; what describes it stays.

    A folder of files is no substitute for a file, nor the other way round: its path would change with who has it.
    """
    alike = [place for place in places if bool(place.scene.assets) == bool(want.scene.assets)]
    best, *others = rank_sources(alike or (Source(archive=want.archive, scene=want.scene),), ordered_at)
    scene = replace(
        want.scene,
        size=best.scene.size,
        nominal=best.scene.nominal,
        digest=best.scene.digest,
        download_url=best.scene.download_url,
        offline=best.scene.offline,
        assets=best.scene.assets,
    )
    return replace(want, scene=scene, archive=best.archive, places=(best, *others) if others else ())
