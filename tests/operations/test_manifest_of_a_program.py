"""Manifests that a program makes: from text, from a dict, and wherever the program runs."""

import pickle

import pytest
import shapely

import sedas_sync as ss

BOX = shapely.box(-1.33, 51.56, -1.3, 51.59)
TABLES = {
    "version": 1,
    "mirror": {"path": "scenes"},
    "archive": {"type": "sandbox"},
    "dataset": {"optical": {"aoi": "field", "start": "2019-05-01", "end": "2019-05-04", "sensor": "optical"}},
}
TEXT = """
version = 1
[mirror]
path = "scenes"
[archive]
type = "sandbox"
[aoi.field]
bbox = [-1.33, 51.56, -1.3, 51.59]
[dataset.optical]
aoi = "field"
start = "2019-05-01"
end = "2019-05-04"
sensor = "optical"
"""


class Row:
    """Like a row of a GeoDataFrame."""

    __geo_interface__ = {  # noqa: RUF012
        "type": "Feature",
        "properties": {"crop": "wheat"},
        "geometry": BOX.__geo_interface__,
    }


@pytest.mark.parametrize(
    "area",
    [
        {"bbox": [-1.33, 51.56, -1.3, 51.59]},
        BOX,
        BOX.__geo_interface__,
        {"type": "FeatureCollection", "features": [Row.__geo_interface__]},
        Row(),
    ],
    ids=["table", "shapely", "geojson", "collection", "row"],
)
def test_dict_means_what_the_text_means(tmp_path, area):
    made = ss.parse_manifest({**TABLES, "aoi": {"field": area}}, base=tmp_path)
    read = ss.parse_manifest(TEXT, base=tmp_path)
    assert made.datasets == read.datasets
    assert made.aois["field"].geometry.equals(read.aois["field"].geometry)
    assert made.source == str(tmp_path / "manifest.toml")
    with ss.Mirror(made) as mirror:
        assert mirror.root == tmp_path / "scenes"
        assert mirror.sync().ok
        assert list((tmp_path / "scenes").iterdir())
    with ss.Mirror(read) as mirror:
        assert mirror.plan().changes == 0


def test_mistakes_are_reported_like_those_of_a_file(tmp_path):
    tables = {**TABLES, "aoi": {"field": BOX}, "dataset": {"optical": {"aoi": "fild", "start": "2019-05-01"}}}
    with pytest.raises(ss.ManifestError, match=r"manifest.toml: dataset.optical.aoi: .*fild"):
        ss.parse_manifest(tables, base=tmp_path)
    with pytest.raises(ss.ManifestError, match=r"manifest.toml: aoi.field: "):
        ss.parse_manifest({**TABLES, "aoi": {"field": shapely.Point(1, 2)}}, base=tmp_path)
    with pytest.raises(ss.ManifestError, match="not TOML"):
        ss.parse_manifest("version = ", base=tmp_path)


def test_manifest_that_was_loaded_by_a_relative_path_stays_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "m.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path / "a")
    manifest = ss.load_manifest("m.toml")
    assert (manifest.source, manifest.name) == (str(tmp_path / "a" / "m.toml"), "m.toml")
    monkeypatch.chdir(tmp_path)
    with ss.Mirror(manifest) as mirror:
        assert mirror.sync().ok
    assert (tmp_path / "a" / "scenes").is_dir()
    assert not (tmp_path / "scenes").exists()


def test_manifest_pickles(tmp_path):
    manifest = ss.parse_manifest({**TABLES, "aoi": {"field": BOX}}, base=tmp_path)
    copy = pickle.loads(pickle.dumps(manifest))
    assert copy == manifest
    assert copy.aois["field"].geometry.equals(BOX)
