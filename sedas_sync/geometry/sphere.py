"""Areas on the sphere."""

from math import pi, radians

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
    return km2_text(area_km2(shape))


def km2_text(area: float) -> str:
    """Return square kilometres as a text with four digits or more."""
    return f"{area:,.0f} km²" if area >= 1000 else f"{area:.4g} km²"  # noqa: PLR2004 - four digits either way


def _ring_area(ring: shapely.LinearRing) -> float:
    """Integrate the sine of latitude over longitude (Green's theorem), in closed form for each edge.

    The sine of the first latitude is subtracted, which cancels out around a ring. All differences are taken before
    anything is rounded, so that the area of a ring of a nanometre is right too.
    """
    positions = shapely.get_coordinates(ring)
    first = radians(positions[0, 1])
    longitude, latitude = np.radians(positions - positions[0]).T
    middle, half = (latitude[1:] + latitude[:-1]) / 2, np.diff(latitude) / 2
    risen = 2 * np.cos(first + middle / 2) * np.sin(middle / 2)
    heights = risen + np.sin(first + middle) * (np.sinc(half / pi) - 1)
    return abs(float(np.sum(np.diff(longitude) * heights)))
