"""Files that nobody hashed: `integrity = "size"`, and no checksum in the catalogue."""

import hashlib
import json
import os

import pytest
from stac_server import StacServer

MANIFEST = """
version = 1
[aoi.harwell]
point = [-1.31, 51.57]
radius_km = 5
[archive]
type = "stac"
url = "{url}"
collections = "s2"
[transfer]
integrity = "{integrity}"
[dataset.d]
aoi = "harwell"
start = 2023-05-01
end = 2023-05-09
"""
BAND = b"II*\0" + b"B04" * 1000


@pytest.fixture
def mirror(workspace):
    with StacServer() as stac:
        stac.add("one", files={"B04": BAND}, properties={"datetime": "2023-05-03T11:00:00Z"}, checksums=False)
        files = {"B02": BAND + b"2", "B04": BAND + b"4"}
        stac.add("two", files=files, properties={"datetime": "2023-05-04T11:00:00Z"}, checksums=False)

        def write(integrity):
            text = MANIFEST.format(url=stac.url, integrity=integrity)
            (workspace.path / "manifest.toml").write_text(text)

        workspace.write = write
        write("size")
        yield workspace


def recorded(workspace):
    """Return the checksum of each scene in the index."""
    ran = workspace.run("export", "--format", "geojson")
    return {feature["id"]: feature["properties"]["sha256"] for feature in json.loads(ran.out)["features"]}


def test_nothing_is_hashed_until_a_lock_needs_it(mirror):
    ran = mirror.run("apply", "--json")
    assert ran.code == 0, ran.err
    fetched = [event for event in ran.events if event["event"] == "fetched"]
    assert [(event["sha256"], event["level"]) for event in fetched] == [(None, "size")] * 2
    assert set(recorded(mirror).values()) == {None}
    assert mirror.run("lock").code == 0
    known = recorded(mirror)
    path = next(path for path in mirror.mirror.rglob("*.tif") if path.read_bytes() == BAND)
    lines = f"{hashlib.sha256(BAND).hexdigest()}  {path.name}\n"
    assert known["one"] in (hashlib.sha256(BAND).hexdigest(), hashlib.sha256(lines.encode()).hexdigest())
    assert None not in known.values()
    assert mirror.run("lock", "--check").code == 0
    ran = mirror.run("apply", "--locked", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["kept"]) == (0, 0, 2)


def test_lock_of_another_checkout_is_compared_by_reading_the_files(mirror):
    mirror.write("crc")
    assert mirror.run("apply").code == 0
    assert mirror.run("lock").code == 0
    lock = (mirror.path / "manifest.lock").read_bytes()
    (mirror.path / "manifest.lock").unlink()
    mirror.mirror.rename(mirror.path / "away")
    mirror.write("size")
    assert mirror.run("apply").code == 0
    assert set(recorded(mirror).values()) == {None}
    (mirror.path / "manifest.lock").write_bytes(lock)
    ran = mirror.run("apply", "--locked", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["kept"]) == (0, 0, 2)
    assert None not in recorded(mirror).values()


def test_verify_and_touched_files_need_no_recorded_checksum(mirror):
    assert mirror.run("apply").code == 0
    for path in mirror.mirror.rglob("*.tif"):
        os.utime(path, (1, 1))
    ran = mirror.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["kept"]) == (0, 0, 2)
    assert mirror.run("verify").code == 0
    path = next(mirror.mirror.rglob("*.tif"))
    path.write_bytes(path.read_bytes()[:-1])
    assert mirror.run("verify").code == 1
    assert mirror.run("export", "--format", "sha256sums").code == 0
