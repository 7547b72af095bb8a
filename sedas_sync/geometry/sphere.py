"""Areas on the sphere."""

from math import pi, sin

import numpy as np
import shapely

from sedas_sync.geometry.polygons import Polygonal, polygons_of

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the earth (IUGG)."""


def area_km2(shape: Polygonal) -> float:
    """Return the area in square kilometres, exact for edges that are straight in degrees."""
    return EARTH_RADIUS_KM**2 * sum(
        _ring_area(p.exterior) - sum(map(_ring_area, p.interiors)) for p in polygons_of(shape)
    )


def area_text(shape: Polygonal) -> str:
    """Return the area as a text with its unit."""
    area = area_km2(shape)
    return f"{area:,.0f} km²" if area >= 1000 else f"{area:.4g} km²"  # noqa: PLR2004 - four digits either way


def _ring_area(ring: shapely.LinearRing) -> float:
    """Integrate the sine of latitude over longitude (Green's theorem), in closed form for each edge.

    A constant is subtracted from the sine. It cancels out around a ring, and keeps the result exact for small rings.
    """
    longitude, latitude = np.radians(shapely.get_coordinates(ring)).T
    middle, half = (latitude[1:] + latitude[:-1]) / 2, np.diff(latitude) / 2
    heights = np.sin(middle) * np.sinc(half / pi) - sin(latitude[0])
    return abs(float(np.sum(np.diff(longitude) * heights)))
