"""What a manifest's areas are, in numbers: whoever confused longitude and latitude sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from sedas_sync.geometry import Aoi
from sedas_sync.geometry.geojson import box_of
from sedas_sync.geometry.polygons import polygons_of
from sedas_sync.geometry.query_polygons import query_polygons
from sedas_sync.geometry.sphere import area_km2


@dataclass(frozen=True, slots=True)
class Extent:
    """A bounding box in degrees; if west is greater than east, it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class AreaFacts:
    """One AOI in numbers."""

    name: str
    area_km2: float
    extent: Extent
    parts: int
    """Polygons; one that crosses the antimeridian counts on both sides."""
    outlines: int
    """Outlines that an archive is searched with, for this AOI alone."""


def area_facts(aois: Mapping[str, Aoi]) -> tuple[AreaFacts, ...]:
    """Return the facts of each AOI, in the order of the manifest."""
    return tuple(
        AreaFacts(
            name=name,
            area_km2=area_km2(aoi.geometry),
            extent=Extent(*box_of(aoi.geometry)),
            parts=sum(1 for _ in polygons_of(aoi.geometry)),
            outlines=len(query_polygons([aoi.geometry])),
        )
        for name, aoi in aois.items()
    )
