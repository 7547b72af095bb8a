"""Decide whether one scene matches a dataset's rules.

Pure. A rule that names a scene's facts uses the catalogue, or else the scene's name.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from sedas_sync.geometry import Aoi, Footprint, footprint, footprints
from sedas_sync.manifest import Dataset
from sedas_sync.model.reason import RuleName
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.model.text import product_id
from sedas_sync.planning.filters import Filter, given_filters
from sedas_sync.planning.orbits import is_auxiliary, is_auxiliary_type

_FOOTPRINTS_AT_ONCE = 5_000


class Exclusion(Struct, frozen=True):
    """Why a scene does not match a dataset."""

    rule: RuleName
    detail: str
    """One clause with the numbers."""
    by: tuple[SceneId, ...] = ()
    """The scenes that supersede it, if that is the only reason."""
    unknown: bool = False
    """Whether the rule cannot be judged, because the scene does not state what it needs."""


UNDATED = Exclusion(RuleName.DATE, "the catalogue has no acquisition time for it", unknown=True)


def exclusion(dataset: Dataset, aois: Mapping[str, Aoi], scene: Scene, now: datetime) -> Exclusion | None:
    """Return the first rule of a dataset that a scene does not match, judged by the scene alone; None if it matches."""
    return fact_rule(dataset, now)(scene) or footprint_exclusions(dataset, aois, [scene])[0]


def fact_rule(dataset: Dataset, now: datetime) -> Callable[[Scene], Exclusion | None]:
    """Return a function that applies a dataset's rules except those of footprints and returns the first exclusion."""
    named = {product_id(product) for product in dataset.products}
    interval = None if named else dataset.interval(now)
    filters = given_filters(dataset)

    # A search for the scenes of an area does not mean the calibration files of a satellite.
    auxiliary_too = is_auxiliary_type(dataset.product_type or "")

    def rule(scene: Scene) -> Exclusion | None:
        if why := excluded_by_id(dataset, scene):
            return why
        if interval is None:
            return (
                None if product_id(scene.id) in named else Exclusion(RuleName.PRODUCTS, "not among the products named")
            )
        if not auxiliary_too and is_auxiliary(scene):
            return Exclusion(RuleName.AUXILIARY, "an auxiliary file, which neither product_type nor orbits asks for")
        return _date_rule(interval, scene) or _filter_rule(filters, scene)

    return rule


def excluded_by_id(dataset: Dataset, scene: Scene) -> Exclusion | None:
    """Return the exclusion if `exclude` names the scene; else None."""
    for pattern in dataset.exclude:
        if fnmatchcase(scene.id, pattern):
            return Exclusion(RuleName.EXCLUDE, f"excluded by {pattern!r}")
    return None


def _date_rule(interval: tuple[datetime, datetime], scene: Scene) -> Exclusion | None:
    if scene.start is None:
        return UNDATED
    start, stop = interval
    if start <= scene.start <= stop:
        return None
    return Exclusion(
        RuleName.DATE,
        f"acquired {scene.start:%Y-%m-%dT%H:%M:%SZ}, wanted {start:%Y-%m-%dT%H:%M:%SZ} to {stop:%Y-%m-%dT%H:%M:%SZ}",
    )


def _filter_rule(filters: Sequence[tuple[Filter, Any]], scene: Scene) -> Exclusion | None:
    """Return the first filter that a scene does not match for certain, or else the first that cannot be judged."""
    doubt = None
    for one, wanted in filters:
        if (difference := one.differs(wanted, scene)) is None:
            continue
        found = Exclusion(one.rule, difference.detail, unknown=difference.unknown)
        if not found.unknown:
            return found
        doubt = doubt or found
    return doubt


def footprint_exclusions(dataset: Dataset, aois: Mapping[str, Aoi], scenes: Sequence[Scene]) -> list[Exclusion | None]:
    """Return for each scene the exclusion by its footprint or None; many scenes at once are much faster."""
    if not dataset.aoi:
        return [None] * len(scenes)
    # Not all at once: the geometries of 100,000 footprints need as much memory as the scenes themselves.
    return [
        why
        for first in range(0, len(scenes), _FOOTPRINTS_AT_ONCE)
        for why in _batch_of_exclusions(dataset, aois, scenes[first : first + _FOOTPRINTS_AT_ONCE])
    ]


def _batch_of_exclusions(dataset: Dataset, aois: Mapping[str, Aoi], scenes: Sequence[Scene]) -> list[Exclusion | None]:
    shapes = footprints([scene.footprint for scene in scenes])
    met = map(any, zip(*(aois[name].intersects_each(shapes) for name in dataset.aoi), strict=True))
    suffices = dataset.min_aoi_coverage is None
    return [
        None if meets and suffices else _one_footprint(dataset, aois, scene, shape, met=meets)
        for scene, shape, meets in zip(scenes, shapes, met, strict=True)
    ]


def _one_footprint(
    dataset: Dataset, aois: Mapping[str, Aoi], scene: Scene, shape: Footprint | None, *, met: bool
) -> Exclusion | None:
    least = dataset.min_aoi_coverage
    if scene.footprint is None:
        if least is None:
            return None
        why = f"the catalogue has no footprint to measure, at least {least:g} % wanted"
        return Exclusion(RuleName.COVERAGE, why, unknown=True)
    if shape is None:
        return Exclusion(RuleName.FOOTPRINT, _why_unreadable(scene.footprint), unknown=True)
    names = ", ".join(dataset.aoi)
    if not met:
        return Exclusion(RuleName.AOI, f"the footprint does not meet {names}")
    if least is None:
        return None
    best = max(aois[name].coverage(shape) for name in dataset.aoi)
    if best >= least:
        return None
    return Exclusion(RuleName.COVERAGE, f"the footprint covers {best:.1f} % of {names}, at least {least:g} % wanted")


def _why_unreadable(wkt: str) -> str:
    try:
        footprint(wkt)
    except ValueError as error:
        return str(error)
    return "its footprint is not valid WKT"
