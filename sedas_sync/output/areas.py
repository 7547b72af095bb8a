"""What a manifest's areas are, in numbers and in text: it shows if longitude and latitude were swapped."""

from sedas_sync.geometry import Aoi
from sedas_sync.geometry.geojson import box_of
from sedas_sync.geometry.polygons import polygons_of
from sedas_sync.geometry.query_polygons import query_polygons
from sedas_sync.geometry.sphere import area_km2, km2_text
from sedas_sync.model.text import count
from sedas_sync.output.documents.catalogue import AoiEntry, ExtentEntry


def aoi_entry(name: str, aoi: Aoi) -> AoiEntry:
    """Return one AOI in numbers."""
    west, south, east, north = box_of(aoi.geometry)
    return AoiEntry(
        name=name,
        area_km2=area_km2(aoi.geometry),
        extent=ExtentEntry(west=west, south=south, east=east, north=north),
        parts=sum(1 for _ in polygons_of(aoi.geometry)),
        outlines=len(query_polygons([aoi.geometry])),
    )


def aoi_line(aoi: AoiEntry) -> str:
    """Return one line about an AOI: area, extent, parts, and the outlines that are searched."""
    extent = aoi.extent
    longitudes = f"{_degrees(extent.west, 'EW')} to {_degrees(extent.east, 'EW')}"
    latitudes = f"{_degrees(extent.south, 'NS')} to {_degrees(extent.north, 'NS')}"
    parts, outlines = count(aoi.parts, "part"), count(aoi.outlines, "search outline")
    return f"aoi {aoi.name}: {km2_text(aoi.area_km2)}, {longitudes}, {latitudes}, {parts}, {outlines}"


def _degrees(value: float, ends: str) -> str:
    """Return degrees with the direction of a compass."""
    shown = f"{abs(value):.4f}".rstrip("0").rstrip(".")
    return f"{shown}°{'' if shown == '0' else ends[value < 0]}"
