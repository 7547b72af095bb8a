"""Scenes for Python's geographic libraries: GeoJSON and GeoDataFrames."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from shapely.geometry import shape

from sedas_sync.files.extras import load_extra
from sedas_sync.geometry.geojson import outlines
from sedas_sync.model.arguments import checked
from sedas_sync.model.scene import FEATURE_PROPERTIES, Scene
from sedas_sync.planning.product_name import relative_orbit_of, tile_of

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


@checked
def to_geojson(scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return the footprints of scenes as a GeoJSON FeatureCollection (RFC 7946), for folium, leaflet, QGIS and others.

    A footprint across the antimeridian is cut there. The geometry is null if the footprint is not known or cannot be
    read. Properties are what the catalogue states of a scene, without links.

    Args:
        scenes: From a search, for instance `mirror.search().scenes`.

    Example:
        import json
        from pathlib import Path

        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            scenes = mirror.search().scenes
        Path("scenes.geojson").write_text(json.dumps(ss.to_geojson(scenes)))
    """
    scenes = _with_names(scenes)
    features = []
    for scene, outline in zip(scenes, outlines([scene.footprint for scene in scenes]), strict=True):
        place = {"geometry": None} if outline is None else {"bbox": list(outline.bbox), "geometry": outline.geometry}
        features.append({**scene.__geo_interface__, **place})
    return {"type": "FeatureCollection", "features": features}


@checked
def to_geodataframe(scenes: Iterable[Scene]) -> "GeoDataFrame":
    """Return scenes as a GeoDataFrame in longitude and latitude (EPSG:4326), one row a scene; needs geopandas.

    Its columns are `id`, what the catalogue states of a scene, and `geometry`. Times are UTC. A footprint across the
    antimeridian is cut there.

    Args:
        scenes: From a search, for instance `mirror.search().scenes`.

    Raises:
        ManifestError: The extra `geopandas` is not installed.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            frame = ss.to_geodataframe(mirror.search().scenes)
        print(frame[frame.cloud_cover < 50].id)
    """
    geopandas = load_extra("geopandas", "geopandas", "to_geodataframe")
    scenes = _with_names(scenes)
    shapes = [
        None if outline is None else shape(outline.geometry)
        for outline in outlines([scene.footprint for scene in scenes])
    ]
    columns = {name: [getattr(scene, name) for scene in scenes] for name in ("id", *FEATURE_PROPERTIES)}
    frame: GeoDataFrame = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326")
    return frame.astype(dict.fromkeys(("start", "stop", "processed"), "datetime64[us, UTC]"))


def _with_names(scenes: Iterable[Scene]) -> list[Scene]:
    """Return scenes with what the names of their products state."""
    return [replace(scene, relative_orbit=relative_orbit_of(scene), tile=tile_of(scene)) for scene in scenes]
