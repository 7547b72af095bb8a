"""Read a manifest that is a text or a dict of a program, with areas that may be geometries."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shapely

from sedas_sync.errors import ManifestError
from sedas_sync.geometry import from_geojson
from sedas_sync.manifest import Manifest
from sedas_sync.model.arguments import checked
from sedas_sync.operations.load import check_manifest


@checked
def parse_manifest(
    text: str | Mapping[str, Any], *, base: str | os.PathLike[str] = ".", name: str = "manifest.toml"
) -> Manifest:
    """Read and check a manifest that is not in a file, offline.

    Args:
        text: TOML; or the tables as a dict, where an area may also be a geometry: a GeoJSON object, or an object with
            `__geo_interface__` such as a shapely geometry or a row of a GeoDataFrame, in degrees.
        base: The folder that paths in it are relative to. The lock file and the mirror are found from it.
        name: The file in `base` that the manifest would be in. It need not exist.

    Raises:
        ManifestError: The manifest has mistakes; all of them are listed.

    Example:
        import sedas_sync as ss

        tables = {
            "version": 1,
            "archive": {"type": "sandbox"},
            "mirror": {"path": "fields"},
            "aoi": {"field": {"bbox": [-1.33, 51.56, -1.30, 51.59]}},
            "dataset": {"radar": {"aoi": "field", "start": "2019-05-01", "end": "2019-05-04", "sensor": "sar"}},
        }
        with ss.Mirror(ss.parse_manifest(tables, base=".")) as mirror:
            mirror.sync().raise_for_failures()
    """
    file = Path(base, name)
    if isinstance(text, str):
        return check_manifest(text, file, name)
    aois = text.get("aoi", {})
    if isinstance(aois, Mapping):
        text = {**text, "aoi": {key: _area_table(value, f"{name}: aoi.{key}") for key, value in aois.items()}}
    return check_manifest(text, file, name)


def _area_table(value: Any, path: str) -> Any:
    """Return the table of an area that may be a geometry.

    Raises:
        ManifestError: The geometry has no area.
    """
    geometry = getattr(value, "__geo_interface__", value)
    if not isinstance(geometry, Mapping) or not ({"coordinates", "geometry", "features"} & geometry.keys()):
        return value
    try:
        return {"wkt": shapely.to_wkt(from_geojson(json.loads(json.dumps(geometry))), rounding_precision=-1)}
    except (ValueError, TypeError) as error:
        raise ManifestError(f"{path}: {error}") from None
