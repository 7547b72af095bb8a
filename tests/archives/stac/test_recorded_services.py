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
            assert {warning.partition(": ")[2].partition(" cannot")[0] for warning in warnings} == {
                "its asset cloud", "its asset snow"
            }  # fmt: skip


NOTHING_TO_DOWNLOAD = {
    "earth-search": {"sentinel-2-l1c", "sentinel-1-grd", "landsat-c2-l2", "cop-dem-glo-30"},
    "umbra": {"umbra-sar"},
    "planetary-computer": {"cil-gdpcir-cc-by"},
    "cdse": {"cop-dem-glo-30-dged-cog", "opengeohub-landsat-bimonthly-mosaic-v1.0.1"},
}
"""Collections of which nothing is at an http(s) link, or is data."""


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ("fedeo", "uvt", "paituli-geoserver")])
def test_a_mirror_of_each_service(workspace, name):
    with ReplayServer(service=name) as service:
        collections = sorted({item["collection"] for item in service.items if item.get("collection")}) or ["any"]
        never = [item for item in service.items if item.get("collection") in NOTHING_TO_DOWNLOAD.get(name, ())]
        (workspace.path / "manifest.toml").write_text(
            f'version = 1\n[archive]\ntype = "stac"\nurl = "{service.url}"\ncollections = {collections}\n'
            "[aoi.world]\nbbox = [-180, -90, 180, 90]\n"
            '[dataset.all]\naoi = "world"\nstart = 1972-01-01\nend = 2030-01-01\n'
        )
        searched = workspace.run("search", "--json")
        assert (searched.code, len(searched.json["scenes"])) == (0, len(service.items)), searched.err
        planned = workspace.run("plan", "--json").json
        assert planned["summary"]["skip"] == len(never)
        assert planned["summary"]["fetch"] == len(service.items) - len(never)
        assert all(action["reason"] for action in planned["actions"])
        applied = workspace.run("apply", "--json")
        assert applied.code == 0, applied.err
        assert (applied.summary["fetched"], applied.summary["failed"]) == (len(service.items) - len(never), 0)
        again = workspace.run("apply", "--json")
        assert (again.code, again.summary["fetched"]) == (0, 0)
        assert again.summary["kept"] == len(service.items) - len(never)
        for command in ("lock", "lock --check", "plan --locked --exit-code", "apply --locked", "verify"):
            ran = workspace.run(*command.split())
            assert ran.code == 0, (command, ran.err)
