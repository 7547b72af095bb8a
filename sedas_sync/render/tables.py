"""Scenes for other tools: JSON, GeoJSON, CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sedas_sync.events import iso
from sedas_sync.model import Scene

COLUMNS = (
    "id",
    "datasets",
    "start",
    "stop",
    "sensor",
    "satellite",
    "instrument",
    "mode",
    "source_group",
    "product_type",
    "orbit",
    "orbit_direction",
    "polarisation",
    "cloud_cover",
    "resolution",
    "size",
    "digest",
    "online",
    "planned",
    "footprint",
    "download_url",
    "quicklook_url",
    "thumbnail_url",
)
"""The facts of a scene that every format shows, in this order."""


def facts(scene: Scene, datasets: Sequence[str] = ()) -> dict[str, Any]:
    """A scene as JSON data: every column of `COLUMNS`, null where the catalogue is silent, and `extra`."""
    values: dict[str, Any] = {}
    for column in COLUMNS:
        value: Any = list(datasets) if column == "datasets" else getattr(scene, column)
        values[column] = iso(value) if column in ("start", "stop") and value is not None else value
    values["extra"] = dict(scene.extra)
    return values


def as_geojson(scenes: Sequence[Scene], datasets: Mapping[str, Sequence[str]]) -> str:
    """A FeatureCollection of footprints; geometry null where there is none that can be read."""
    from shapely.geometry import mapping  # noqa: PLC0415  # slow to import, and only this format needs it

    from sedas_sync.geometry import footprint  # noqa: PLC0415  # as above

    features = []
    for scene in scenes:
        properties = facts(scene, datasets.get(scene.id, ()))
        text = properties.pop("footprint")
        try:
            geometry = mapping(footprint(text)) if text is not None else None
        except ValueError:
            geometry = None
        features.append({"type": "Feature", "id": scene.id, "geometry": geometry, "properties": properties})
    return json.dumps({"type": "FeatureCollection", "features": features})


def as_csv(scenes: Sequence[Scene], datasets: Mapping[str, Sequence[str]]) -> str:
    """A header and one line a scene; several datasets are separated by spaces."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for scene in scenes:
        writer.writerow({**facts(scene), "datasets": " ".join(datasets.get(scene.id, ()))})
    return out.getvalue()
