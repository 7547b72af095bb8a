"""Areas in text."""

from sedas_sync.geometry.sphere import km2_text
from sedas_sync.model.text import count
from sedas_sync.operations.areas import AreaFacts


def aoi_line(facts: AreaFacts) -> str:
    """Return one line about an AOI: area, extent, parts, and the outlines that are searched."""
    extent = facts.extent
    longitudes = f"{_degrees(extent.west, 'EW')} to {_degrees(extent.east, 'EW')}"
    latitudes = f"{_degrees(extent.south, 'NS')} to {_degrees(extent.north, 'NS')}"
    parts, outlines = count(facts.parts, "part"), count(facts.outlines, "search outline")
    return f"aoi {facts.name}: {km2_text(facts.area_km2)}, {longitudes}, {latitudes}, {parts}, {outlines}"


def _degrees(value: float, ends: str) -> str:
    """Return degrees with the direction of a compass."""
    shown = f"{abs(value):.4f}".rstrip("0").rstrip(".")
    return f"{shown}°{'' if shown == '0' else ends[value < 0]}"
