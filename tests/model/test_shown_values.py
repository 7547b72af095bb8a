"""How values look in a notebook, a log and other libraries."""

import json
import pickle
from datetime import UTC, datetime

import pytest
from shapely.geometry import shape
from shapely.wkt import loads

from sedas_sync.errors import AuthenticationError, IncompleteSearch, StoppedError, TransferError
from sedas_sync.model.events import Failure, Summary
from sedas_sync.model.order import Order
from sedas_sync.model.plan import Plan
from sedas_sync.model.scene import DesiredScene, Download, RemoteFile, Scene

SIGNED = "https://me:pw-in-link@example.org/a.zip?sig=sig-in-link&token=token-in-link"
NOW = datetime(2019, 4, 30, 11, 6, tzinfo=UTC)
SECRETS = ("pw-in-link", "sig-in-link", "token-in-link", "token-in-header")


@pytest.mark.parametrize(
    "value",
    [
        Scene(id="A", download_url=SIGNED, quicklook_url=SIGNED, assets=(RemoteFile(name="b", url=SIGNED),)),
        DesiredScene.of("archive", Scene(id="A", download_url=SIGNED), datasets=("d",), path="A.zip"),
        Order(order="1", id="A", placed=NOW, download_url=SIGNED),
        Download(url=SIGNED, headers={"Authorization": "Bearer token-in-header"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_repr_shows_no_secret(value):
    text = repr([value])
    assert "https://example.org/a.zip" in text
    assert not [secret for secret in SECRETS if secret in text]
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    "wkt",
    [
        "POLYGON((0 0,1 0,1 1,0 0))",
        "POLYGON ((0 0, 4 0, 4 4, 0 0), (1 0.5, 2 0.5, 2 1, 1 0.5))",
        "SRID=4326;POLYGON Z ((0 0 5,1 0 5,1 1 5,0 0 5))",
        "MULTIPOLYGON (((0 0,1 0,1 1,0 0)),((-5.5e0 5,-4 5,-4 6,-5.5 5)))",
        "POINT (1 2)",
        "LINESTRING (0 0, 1 1)",
    ],
)
def test_scene_is_a_geojson_feature(wkt):
    feature = Scene(id="A", start=NOW, cloud_cover=3.5, footprint=wkt, download_url=SIGNED).__geo_interface__
    assert shape(feature["geometry"]).equals(loads(wkt.removeprefix("SRID=4326;")))
    assert feature["id"] == "A"
    assert feature["properties"] == {"start": "2019-04-30T11:06:00Z", "cloud_cover": 3.5, "online": True}


def test_zeros_and_times_are_properties():
    scene = Scene(id="A", processed=NOW, cloud_cover=0.0, orbit=0, planned=True)
    assert json.loads(json.dumps(scene.__geo_interface__))["properties"] == {
        "processed": "2019-04-30T11:06:00Z",
        "cloud_cover": 0.0,
        "orbit": 0,
    }


@pytest.mark.parametrize("wkt", [None, "POLYGON EMPTY", "nothing", "POLYGON((0 0"])
def test_scene_without_a_usable_footprint_has_no_geometry(wkt):
    assert Scene(id="A", footprint=wkt).__geo_interface__["geometry"] is None


def test_summary_raises_for_failures_only():
    failed = (Failure(id="A", error="gone"), Failure(id="B", error="damaged"))
    Summary(time=NOW).raise_for_failures()
    Summary(time=NOW, pending=2, exit_code=3).raise_for_failures()
    with pytest.raises(TransferError, match="2 failed:\nA: gone\nB: damaged"):
        Summary(time=NOW, failed=2, failures=failed, exit_code=1).raise_for_failures()
    with pytest.raises(AuthenticationError, match="A: gone"):
        Summary(time=NOW, failed=2, failures=failed, exit_code=4).raise_for_failures()
    with pytest.raises(StoppedError):
        Summary(time=NOW, exit_code=130).raise_for_failures()
    assert [Summary(time=NOW, exit_code=code).ok for code in (0, 1, 3, 130)] == [True, False, False, False]
    assert [Summary(time=NOW, exit_code=code).interrupted for code in (0, 1, 3, 130, 143)] == [0, 0, 0, 1, 1]


def plan(**values):
    return Plan(manifest="m", mirror="/m", archive={}, actions=(), **values)


def test_plan_raises_if_it_may_lack_scenes():
    plan().raise_if_incomplete()
    with pytest.raises(IncompleteSearch, match="optical: no answer"):
        plan(search_complete=False, failures=(Failure(id="optical", error="no answer"),)).raise_if_incomplete()


def test_html_is_escaped():
    html = plan(failures=(Failure(id="<b>", error="<script>"),))._repr_html_()
    assert "&lt;b&gt;: &lt;script&gt;" in html
    assert "<script>" not in html
    assert "&lt;b&gt;" in Summary(time=NOW, failures=(Failure(id="<b>", error="x"),), exit_code=1)._repr_html_()
