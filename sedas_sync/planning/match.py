"""Decide whether one scene matches a dataset's rules.

Pure. A rule that names a scene's facts uses the catalogue, or else the scene's name.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from msgspec import Struct

from sedas_sync.geometry import Aoi, Polygonal, footprint, footprints
from sedas_sync.manifest import Dataset
from sedas_sync.model.satellites import is_known_group, same_satellite, spelled
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.model.text import product_id
from sedas_sync.planning.orbits import is_auxiliary, is_auxiliary_type
from sedas_sync.planning.product_name import described, parse_name

UNREADABLE = "footprint"
_COG = "-cog"
"""The end of the types of Sentinel-1 products that are cloud-optimised GeoTIFFs."""
_PARTS = re.compile("[_-]+")
_LEAST_PART = 3
"""Shorter parts of a type are modes and levels."""
_FOOTPRINTS_AT_ONCE = 5_000
_FACT_KEYS = (
    "satellite",
    "product_type",
    "orbit_direction",
    "relative_orbit",
    "tile",
    "source_group",
    "polarisation",
)
"""The rules of `_fact_rules`."""


class Refusal(Struct, frozen=True):
    """Why a scene does not match a dataset."""

    rule: str
    """`date`, `aoi`, `coverage`, `cloud`, `exclude`, `latest`, `reprocessed`, `footprint`, or the dataset's key."""
    detail: str
    """One clause with the numbers."""
    by: tuple[SceneId, ...] = ()
    """The scenes that supersede it, if that is the only reason."""


UNDATED = Refusal("date", "the catalogue gives no sensing time")


def refusal(dataset: Dataset, aois: Mapping[str, Aoi], scene: Scene, now: datetime) -> Refusal | None:
    """Return the first rule of a dataset that a scene does not match, judged by the scene alone; None if it matches."""
    return fact_rule(dataset, now)(scene) or footprint_refusals(dataset, aois, [scene])[0]


def fact_rule(dataset: Dataset, now: datetime) -> Callable[[Scene], Refusal | None]:
    """Return a function that applies a dataset's rules except those of footprints and returns the first refusal."""
    named = {product_id(product) for product in dataset.products}
    interval = None if named else dataset.interval(now)
    # Names are parsed only if a rule needs it: catalogues are long.
    narrows = any(getattr(dataset, key) not in (None, ()) for key in _FACT_KEYS)

    # Nobody who asks for the scenes of an area means the calibration files of a satellite.
    auxiliary_too = is_auxiliary_type(dataset.product_type or "")

    def rule(scene: Scene) -> Refusal | None:
        if why := excluded(dataset, scene):
            return why
        if interval is None:
            return None if product_id(scene.id) in named else Refusal("products", "not among the products named")
        if not auxiliary_too and is_auxiliary(scene):
            return Refusal("product_type", "an auxiliary file, which neither product_type nor orbits asks for")
        return (
            _date_rule(interval, scene)
            or _sensor_rule(dataset, scene)
            or (_fact_rules(dataset, scene) if narrows else None)
            or _cloud_rule(dataset, scene)
        )

    return rule


def excluded(dataset: Dataset, scene: Scene) -> Refusal | None:
    """Return the refusal if `exclude` names the scene; else None."""
    for pattern in dataset.exclude:
        if fnmatchcase(scene.id, pattern):
            return Refusal("exclude", f"excluded by {pattern!r}")
    return None


def _date_rule(interval: tuple[datetime, datetime], scene: Scene) -> Refusal | None:
    if scene.start is None:
        return UNDATED
    start, stop = interval
    if start <= scene.start <= stop:
        return None
    return Refusal(
        "date",
        f"sensed {scene.start:%Y-%m-%dT%H:%M:%SZ}, wanted {start:%Y-%m-%dT%H:%M:%SZ} to {stop:%Y-%m-%dT%H:%M:%SZ}",
    )


def _sensor_rule(dataset: Dataset, scene: Scene) -> Refusal | None:
    if dataset.sensor == "all" or scene.sensor is None or scene.sensor == dataset.sensor:
        return None
    return Refusal("sensor", f"sensor is {scene.sensor}, wanted {dataset.sensor}")


def _fact_rules(dataset: Dataset, scene: Scene) -> Refusal | None:
    name = parse_name(scene.id)
    if dataset.satellite is not None:
        satellite = scene.satellite or described(scene.id).satellite
        if not same_satellite(dataset.satellite, satellite):
            shown = as_archives_spell(satellite) or "unknown"
            return Refusal("satellite", f"satellite is {shown}, wanted {as_archives_spell(dataset.satellite)}")
    if dataset.product_type is not None and not _same_type(dataset.product_type, scene, name.product_type):
        known = scene.product_type or name.product_type or "unknown"
        return Refusal("product_type", f"product_type is {known}, wanted {dataset.product_type}")
    checks = (
        ("orbit_direction", dataset.orbit_direction, scene.orbit_direction),
        ("relative_orbit", dataset.relative_orbit, scene.relative_orbit or name.relative_orbit),
    )
    for key, wanted, stated in checks:
        if wanted is not None and not _same(wanted, stated):
            return Refusal(key, f"{key} is {'unknown' if stated is None else stated}, wanted {wanted}")
    tile = scene.tile or name.tile
    if dataset.tile and tile not in dataset.tile:
        return Refusal("tile", f"tile is {tile or 'unknown'}, wanted {' or '.join(dataset.tile)}")
    group, stated = dataset.source_group, scene.source_group
    # Archives derive the group from the satellite, so only well-known groups can contradict the manifest.
    if (
        group is not None
        and stated is not None
        and not _same(group, stated)
        and is_known_group(group)
        and is_known_group(stated)
    ):
        return Refusal("source_group", f"source_group is {stated}, wanted {group}")
    if dataset.polarisation:
        channels = polarisations(scene)
        if not set(dataset.polarisation) <= set(channels):
            shown = "+".join(channels) or "unknown"
            return Refusal("polarisation", f"polarisation is {shown}, wanted {'+'.join(dataset.polarisation)}")
    return None


def _same_type(wanted: str, scene: Scene, named: str | None) -> bool:
    """Whether a scene is of a product type, by the type that the archive states or the one in its name.

    Archives have their own names of types (`S2MSI1C` for `L1C`, `IW_GRDH_1S` for `GRD`), and a manifest can use either,
    or a part such as `GRDH` or `NO2`.
    """
    plain = wanted.casefold()
    if plain.endswith(_COG):
        plain = plain.removesuffix(_COG)
        if not is_cog(scene):
            return False
    for own in (scene.product_type, named):
        text = (own or "").casefold().removesuffix(_COG)
        if plain.rstrip("_") == text.rstrip("_") or (len(plain) >= _LEAST_PART and plain in _PARTS.split(text)):
            return bool(text)
    return False


def is_cog(scene: Scene) -> bool:
    """Whether a Sentinel-1 product is one of cloud-optimised GeoTIFFs, by its name (Copernicus Data Space)."""
    return scene.id.startswith("S1") and scene.id.removesuffix(".SAFE").endswith("_COG")


def wants_cog(dataset: Dataset) -> bool:
    """Whether a dataset asks for such products."""
    return (dataset.product_type or "").casefold().endswith(_COG)


def polarisations(scene: Scene) -> tuple[str, ...]:
    """Return the channels of a SAR scene, from the catalogue or else from its name."""
    if scene.polarisation is None:
        return parse_name(scene.id).polarisation
    text = scene.polarisation.upper()
    for separator in "+/,;_":
        text = text.replace(separator, " ")
    return tuple(text.split())


def _cloud_rule(dataset: Dataset, scene: Scene) -> Refusal | None:
    limit = dataset.max_cloud_cover
    if limit is None or scene.cloud_cover is None or scene.sensor == "sar" or scene.cloud_cover <= limit:
        return None
    return Refusal("cloud", f"cloud cover is {scene.cloud_cover:g} %, at most {limit:g} % wanted")


def footprint_refusals(dataset: Dataset, aois: Mapping[str, Aoi], scenes: Sequence[Scene]) -> list[Refusal | None]:
    """Return for each scene the refusal by its footprint or None; many scenes at once are much faster."""
    if not dataset.aoi:
        return [None] * len(scenes)
    # Not all at once: the geometries of 100,000 footprints need as much memory as the scenes themselves.
    return [
        why
        for first in range(0, len(scenes), _FOOTPRINTS_AT_ONCE)
        for why in _batch_of_refusals(dataset, aois, scenes[first : first + _FOOTPRINTS_AT_ONCE])
    ]


def _batch_of_refusals(dataset: Dataset, aois: Mapping[str, Aoi], scenes: Sequence[Scene]) -> list[Refusal | None]:
    shapes = footprints([scene.footprint for scene in scenes])
    meeting = [aois[name].intersects_each(shapes) for name in dataset.aoi]
    return [
        _one_footprint(dataset, aois, scene, shape, met=any(met))
        for scene, shape, *met in zip(scenes, shapes, *meeting, strict=True)
    ]


def _one_footprint(
    dataset: Dataset, aois: Mapping[str, Aoi], scene: Scene, shape: Polygonal | None, *, met: bool
) -> Refusal | None:
    least = dataset.min_aoi_coverage
    if scene.footprint is None:
        if least is None:
            return None
        return Refusal("coverage", f"the catalogue gives no footprint to measure, at least {least:g} % wanted")
    if shape is None:
        return Refusal(UNREADABLE, _why_unreadable(scene.footprint))
    names = ", ".join(dataset.aoi)
    if not met:
        return Refusal("aoi", f"the footprint does not meet {names}")
    if least is None:
        return None
    best = max(aois[name].coverage(shape) for name in dataset.aoi)
    if best >= least:
        return None
    return Refusal("coverage", f"the footprint covers {best:.1f} % of {names}, at least {least:g} % wanted")


def _why_unreadable(wkt: str) -> str:
    try:
        footprint(wkt)
    except ValueError as error:
        return str(error)
    return "its footprint makes no sense"


def as_archives_spell(name: str | None) -> str | None:
    """Return a satellite or group in the archives' spelling; None for None."""
    return None if name is None else spelled(name)


def _same(wanted: object, stated: object) -> bool:
    if isinstance(wanted, str) and isinstance(stated, str):
        return wanted.casefold() == stated.casefold()
    return wanted == stated
