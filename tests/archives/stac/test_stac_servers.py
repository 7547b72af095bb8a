"""Other STAC servers, rustac's and stac-fastapi, with items from public catalogues.

The items are in the source distribution of `stac-geoparquet`, which `make test` fetches; 4 real ones become 12,000.
"""

import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.archives.stac.items import item_of, scene_of_item
from sedas_sync.geometry import footprint
from sedas_sync.model.scene import Query
from sedas_sync.testing import no_warning

ITEMS = Path(sys.prefix) / "stac-items"
WORLD = "POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))"
FIRST, STEP = datetime(2023, 1, 1, tzinfo=UTC), timedelta(minutes=10)
COUNT = 2_500


def public(name):
    """The items of one public collection."""
    found = sorted(ITEMS.glob("stac_geoparquet-*.tar.gz"))
    if not found:
        pytest.skip("the items are fetched by `make test`")
    with tarfile.open(found[-1]) as archive:
        member = next(member for member in archive.getmembers() if member.name.endswith(f"/tests/data/{name}.json"))
        answer = json.load(archive.extractfile(member))
    return answer["features"] if isinstance(answer, dict) else answer


@pytest.mark.parametrize(
    ("name", "sensor", "group", "keys"),
    [
        ("sentinel-2-l2a-pc", "optical", "S2", {"B04", "visual", "SCL"}),
        ("sentinel-1-rtc-pc", "sar", "S1", {"vv", "vh"}),
        ("landsat-c2-l2-pc", "optical", None, {"red", "qa"}),
        ("naip-pc", None, None, {"image"}),
        ("cop-dem-glo-30-pc", "sar", None, {"data"}),
    ],
)
def test_items_of_public_catalogues_are_read(name, sensor, group, keys):
    for feature in public(name):
        scene = scene_of_item(item_of(feature), "https://example.org/", (), no_warning)
        assert (scene.sensor, scene.source_group) == (sensor, group)
        assert keys <= {asset.key for asset in scene.assets}
        assert not {asset.key for asset in scene.assets} & {"tilejson", "rendered_preview", "preview", "thumbnail"}
        assert scene.online
        assert scene.start
        assert footprint(scene.footprint).area > 0
        assert all(asset.digest for asset in scene.assets) == (name == "sentinel-1-rtc-pc")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """A file of real items, each repeated with different ids and times, with some of their assets."""
    real = public("sentinel-2-l2a-pc")
    path = tmp_path_factory.mktemp("items") / "items.ndjson"
    with path.open("w") as out:
        for number in range(COUNT):
            item = dict(real[number % len(real)])
            item["id"] = f"{item['id'][:26]}_{number:05d}"
            item["properties"] = {**item["properties"], "datetime": (FIRST + number * STEP).isoformat()}
            item["assets"] = {key: item["assets"][key] for key in ("B04", "visual", "preview")}
            item["geometry"] = {"type": "Polygon", "coordinates": [[[0, 51], [1, 51], [1, 52], [0, 52], [0, 51]]]}
            item["bbox"], item["links"] = [0, 51, 1, 52], []
            out.write(json.dumps(item) + "\n")
    return path


@contextmanager
def running(command, path, **environ):
    """Run a server and return its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = path.with_suffix(".log").open("wb")
    line = [part.format(port=port) for part in command]
    with log, subprocess.Popen(line, env={**os.environ, **environ}, stdout=log, stderr=log) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    urllib.request.urlopen(url, timeout=10).close()
                    break
                except OSError:
                    assert server.poll() is None, path.with_suffix(".log").read_text()
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()


def query(**changes):
    return Query(**{"aoi": WORLD, "start": FIRST, "stop": FIRST + COUNT * STEP, **changes})


def test_every_item_of_a_large_catalogue_is_found(items):
    """The server of rustac, which knows neither filters nor the number of matches."""
    rustac = str(Path(sys.executable).parent / "rustac")
    command = [rustac, "serve", "-i", "ndjson", "--create-collections", "-a", "127.0.0.1:{port}", str(items)]
    with running(command, items) as url, StacArchive(url, ["sentinel-2-l2a"], assets=["B04"]) as archive:
        found = {scene.id: scene for scene in archive.find(query(), warn=no_warning)}
        assert len(found) == COUNT
        assert sorted(scene.start for scene in found.values()) == [FIRST + number * STEP for number in range(COUNT)]
        some = sorted(found)[::60]
        assert {scene.id: scene for scene in archive.look_up([*some, "none"], warn=no_warning)} == {
            scene_id: found[scene_id] for scene_id in some
        }


def test_stac_fastapi_understands_the_requests(items):
    """stac-fastapi, which validates every request and evaluates CQL2 with the `cql2` package."""
    few = items.with_name("few.ndjson")
    few.write_text("".join(items.read_text().splitlines(keepends=True)[:400]))
    real = public("sentinel-2-l2a-pc")
    covers = [item["properties"]["eo:cloud_cover"] for item in real]
    tile = real[0]["properties"]["s2:mgrs_tile"]
    command = [sys.executable, "-m", "uvicorn", "stac_fastapi_app:app", "--port", "{port}", "--log-level", "warning"]
    environ = {
        "STAC_ITEMS": str(few),
        "PYTHONPATH": f"{Path(__file__).parents[2] / 'support'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    with running(command, few, **environ) as url, StacArchive(url, ["sentinel-2-l2a"]) as archive:

        def count(**changes):
            return len(list(archive.find(query(**changes), warn=no_warning)))

        assert count() == 400
        assert count(stop=FIRST + 9 * STEP) == 10
        assert count(aoi="POLYGON((2 51,3 51,3 52,2 52,2 51))") == 0
        assert count(max_cloud_cover=min(covers)) == 100 * covers.count(min(covers))
        same = sum(item["properties"]["s2:mgrs_tile"] == tile for item in real)
        assert count(filters={"s2:mgrs_tile": tile}) == 100 * same
        assert count(filters={"s2:mgrs_tile": (tile, "31UXC"), "eo:cloud_cover": {"gte": 0}}) == 100 * same
        ids = [scene.id for scene in archive.find(query(), warn=no_warning)]
        assert len(list(archive.look_up(ids, warn=no_warning))) == 400
