"""Scenes of STAC servers: a month over Harwell, and single items."""

from datetime import UTC, datetime

from sedas_sync.archives.stac.items import item_of, scene_of_item
from sedas_sync.model.scene import Query
from sedas_sync.testing import no_warning

AOI = "POLYGON((-1.4 51.5,-1.2 51.5,-1.2 51.6,-1.4 51.6,-1.4 51.5))"
MAY = Query(aoi=AOI, start=datetime(2023, 5, 1, tzinfo=UTC), stop=datetime(2023, 5, 31, 23, 59, 59, tzinfo=UTC))


def found(archive, query=MAY, warn=no_warning):
    return sorted(scene.id for scene in archive.find(query, warn=warn))


def filled(server, count=25):
    for number in range(count):
        server.add(f"S{number:03d}", day=1 + number % 28, files={"B04": b"x"})
    return [f"S{number:03d}" for number in range(count)]


def read(assets=None, patterns=(), geometry=None, warn=no_warning, **properties):
    item = {
        "id": "X", "collection": "c", "geometry": geometry, "links": [{"rel": "self", "href": "https://e.org/a/b/X.json"}],
        "properties": {"datetime": "2023-05-03T11:00:00Z", **properties},
        "assets": assets or {"B04": {"href": "./B04.tif", "roles": ["data"]}},
    }  # fmt: skip
    return scene_of_item(item_of(item), "https://e.org/", patterns, warn)
