"""Recorded answers of real STAC services: every service is searched, and every item is read."""

from datetime import UTC, datetime

import pytest
from replay_server import SERVICES, ReplayServer

from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.model.scene import Query

WORLD = "POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))"
EVER = Query(aoi=WORLD, start=datetime(1972, 1, 1, tzinfo=UTC), stop=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", SERVICES)
def test_every_item_of_a_service_is_found(name):
    with ReplayServer(service=name) as service:
        collections = {item["collection"] for item in service.items if item.get("collection")}
        warnings = []
        with StacArchive(service.url, sorted(collections)) as archive:
            found = {scene.id: scene for scene in archive.find(EVER, warn=warnings.append)}
        assert found.keys() == {item["id"] for item in service.items}
        if name != "earth-search":
            assert not warnings
        else:
            assert {warning.partition(": ")[2].partition(" is only")[0] for warning in warnings} == {
                "its asset cloud", "its asset snow"
            }  # fmt: skip
