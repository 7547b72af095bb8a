"""The filters of a dataset: each key of a manifest that is compared with what a scene states.

Pure. The rules, the queries, replayed records and lock files follow from `FILTERS`.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.manifest import Dataset
from sedas_sync.model.product_types import is_of_type
from sedas_sync.model.reason import RuleName
from sedas_sync.model.satellites import instruments, is_known_group, same_satellite, spelled
from sedas_sync.model.scene import Query, Scene
from sedas_sync.planning.product_name import described, parse_name, relative_orbit_of, tile_of

_COG = "-cog"
"""The end of the types of Sentinel-1 products that are cloud-optimised GeoTIFFs."""


class Difference(Struct, frozen=True):
    """Why a scene does not match a filter."""

    detail: str
    """One clause with the values."""
    unknown: bool = False
    """Whether the scene states no value, so that it might match."""


def _as_it_is(value: Any) -> Any:
    return value


def _any_case(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


class Filter(Struct, frozen=True, kw_only=True):
    """A key of a dataset that is compared with what a scene states."""

    key: str
    """The key in the manifest, and the field of `Query` if archives can search by it."""
    differs: Callable[[Any, Scene], Difference | None]
    """Takes the value in the manifest and a scene; returns None if the scene matches."""
    includes: Callable[[Any, Any], bool]
    """Whether a search for one value finds all scenes of a search for another. Neither is the default."""
    meaning: Callable[[Any], Any] = _any_case
    """Returns equal results for values that mean the same. The values are those of a lock file, so of any JSON type."""
    spelling: Callable[[Any], Any] = _as_it_is
    """Returns the value as archives write it."""

    @property
    def rule(self) -> RuleName:
        """The rule in explanations."""
        return RuleName.CLOUD if self.key == "max_cloud_cover" else RuleName(self.key)

    @property
    def default(self) -> Any:
        """The value of a dataset that does not filter by this key."""
        return Dataset.model_fields[self.key].default

    @property
    def is_queried(self) -> bool:
        """Whether archives can search by it."""
        return self.key in Query.__struct_fields__


def given_filters(dataset: Dataset) -> list[tuple[Filter, Any]]:
    """Return the filters that a dataset has, each with its value."""
    values = ((one, getattr(dataset, one.key)) for one in FILTERS)
    return [(one, value) for one, value in values if value != one.default]


def query_values(dataset: Dataset) -> dict[str, Any]:
    """Return the fields of a `Query` by which archives filter scenes."""
    return {one.key: one.spelling(value) for one, value in given_filters(dataset) if one.is_queried}


def search_includes(recorded: Query, query: Query) -> bool:
    """Return whether a search with the filters of one query finds all scenes that match those of another."""
    for one in FILTERS:
        before = getattr(recorded, one.key, one.default)
        if before == one.default:
            continue
        now = getattr(query, one.key)
        if now == one.default or not one.includes(before, now):
            return False
    return True


def _sensor(wanted: str, scene: Scene) -> Difference | None:
    if scene.sensor is None or scene.sensor == wanted:
        return None
    return Difference(f"sensor is {scene.sensor}, wanted {wanted}")


def _equal(
    key: str,
    stated_by: Callable[[Scene, Any], Any],
    *,
    spelling: Callable[[Any], Any] = _as_it_is,
) -> Filter:
    """Return a filter that a scene matches if its value is the one in the manifest, in any letter case."""

    def meaning(value: Any) -> Any:
        return _any_case(spelling(value) if isinstance(value, str) else value)

    def differs(wanted: Any, scene: Scene) -> Difference | None:
        stated = stated_by(scene, wanted)
        if stated is None:
            return Difference(f"{key} is unknown, wanted {spelling(wanted)}", unknown=True)
        if meaning(stated) == meaning(wanted):
            return None
        return Difference(f"{key} is {spelling(stated)}, wanted {spelling(wanted)}")

    def includes(recorded: Any, asked: Any) -> bool:
        return bool(meaning(recorded) == meaning(asked))

    return Filter(key=key, differs=differs, includes=includes, meaning=meaning, spelling=spelling)


def _satellite(wanted: str, scene: Scene) -> Difference | None:
    stated = scene.satellite or described(scene.id).satellite
    if same_satellite(wanted, stated):
        return None
    shown = "unknown" if stated is None else spelled(stated)
    return Difference(f"satellite is {shown}, wanted {spelled(wanted)}", unknown=stated is None)


def _product_type(wanted: str, scene: Scene) -> Difference | None:
    """Compare with the type that the archive states, or the one in the scene's name.

    Archives have their own names of types (`S2MSI1C` for `L1C`, `IW_GRDH_1S` for `GRD`), and a manifest can use either,
    or a part such as `GRDH` or `NO2`.
    """
    stated, named = scene.product_type, parse_name(scene.id).product_type
    plain = wanted.casefold().removesuffix(_COG)
    alike = any(is_of_type(plain, own.casefold().removesuffix(_COG)) for own in (stated, named) if own)
    if alike and (is_cog(scene) or not wants_cog(wanted)):
        return None
    known = stated or named
    return Difference(f"product_type is {known or 'unknown'}, wanted {wanted}", unknown=known is None)


def is_cog(scene: Scene) -> bool:
    """Return whether a Sentinel-1 product has cloud-optimised GeoTIFFs, by its name (Copernicus Data Space)."""
    return scene.id.startswith("S1") and scene.id.removesuffix(".SAFE").endswith("_COG")


def wants_cog(product_type: str | None) -> bool:
    """Return whether a product type of a manifest means such products."""
    return (product_type or "").casefold().endswith(_COG)


def _instrument(wanted: str, scene: Scene) -> Difference | None:
    stated = instruments(scene.instrument or "")
    if instruments(wanted) <= stated:
        return None
    return Difference(f"instrument is {scene.instrument or 'unknown'}, wanted {wanted}", unknown=not stated)


def _tile(wanted: tuple[str, ...], scene: Scene) -> Difference | None:
    tile = tile_of(scene)
    if tile in wanted:
        return None
    return Difference(f"tile is {tile or 'unknown'}, wanted {' or '.join(wanted)}", unknown=tile is None)


def _source_group(wanted: str, scene: Scene) -> Difference | None:
    # Archives derive the group from the satellite, so only well-known groups can contradict the manifest.
    group = scene.source_group
    if group is None or _any_case(group) == _any_case(wanted) or not (is_known_group(group) and is_known_group(wanted)):
        return None
    return Difference(f"source_group is {group}, wanted {wanted}")


def _polarisation(wanted: tuple[str, ...], scene: Scene) -> Difference | None:
    channels = polarisations(scene)
    if set(wanted) <= set(channels):
        return None
    shown = "+".join(channels) or "unknown"
    return Difference(f"polarisation is {shown}, wanted {'+'.join(wanted)}", unknown=not channels)


def polarisations(scene: Scene) -> tuple[str, ...]:
    """Return the channels of a SAR scene, from the catalogue or else from its name."""
    if scene.polarisation is None:
        return parse_name(scene.id).polarisation
    text = scene.polarisation.upper()
    for separator in "+/,;_":
        text = text.replace(separator, " ")
    return tuple(text.split())


def _cloud_cover(limit: float, scene: Scene) -> Difference | None:
    if scene.cloud_cover is None or scene.sensor == "sar" or scene.cloud_cover <= limit:
        return None
    return Difference(f"cloud cover is {scene.cloud_cover:g} %, at most {limit:g} % wanted")


def _instrument_meaning(value: Any) -> Any:
    return instruments(value) if isinstance(value, str) else value


def _satellite_meaning(value: Any) -> Any:
    return _any_case(spelled(value)) if isinstance(value, str) else value


def _set_meaning(value: Any) -> Any:
    return frozenset(map(str, value)) if isinstance(value, list | tuple) else value


FILTERS: tuple[Filter, ...] = (
    Filter(key="sensor", differs=_sensor, includes=operator.eq),
    Filter(
        key="satellite",
        differs=_satellite,
        includes=same_satellite,
        meaning=_satellite_meaning,
        spelling=spelled,
    ),
    Filter(key="product_type", differs=_product_type, includes=lambda one, other: _any_case(one) == _any_case(other)),
    _equal("orbit_direction", lambda scene, _: scene.orbit_direction),
    _equal("relative_orbit", lambda scene, _: relative_orbit_of(scene)),
    Filter(
        key="instrument",
        differs=_instrument,
        includes=lambda recorded, asked: instruments(recorded) <= instruments(asked),
        meaning=_instrument_meaning,
    ),
    Filter(
        key="tile",
        differs=_tile,
        includes=lambda recorded, asked: set(asked) <= set(recorded),
        meaning=_set_meaning,
    ),
    replace(
        _equal("source_group", lambda scene, _: scene.source_group, spelling=spelled),
        differs=_source_group,
    ),
    Filter(
        key="polarisation",
        differs=_polarisation,
        includes=lambda recorded, asked: set(recorded) <= set(asked),
        meaning=_set_meaning,
    ),
    Filter(
        key="max_cloud_cover",
        differs=_cloud_cover,
        includes=lambda recorded, asked: bool(asked <= recorded),
    ),
)
"""In the order in which they are applied."""

MEANINGS: Mapping[str, Callable[[Any], Any]] = {one.key: one.meaning for one in FILTERS}
"""By key."""
