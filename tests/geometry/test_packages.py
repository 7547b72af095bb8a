"""Outlines of public packages, compared with what shapely and `antimeridian` read, on the sandbox's footprints."""

import json
import warnings

import antimeridian
import numpy as np
import pytest
import shapely
from effort import effort
from outlines import countries_of_topology, npm_package, oracle, python_package, scenes, tried
from shapely.geometry import mapping, shape

from sedas_sync import geometry as g

pytestmark = pytest.mark.slow
PARTS = effort(1, 6)


def read(geojson):
    """Return an AOI, and its mistakes if it had to be repaired."""
    try:
        return g.Aoi(g.from_geojson(geojson)), ""
    except ValueError as error:
        repairs = []
        area = g.from_geojson(geojson, on_repair=repairs.append)
        assert repairs
        return g.Aoi(area), str(error)


def assert_same(name, geojson, expected):
    aoi, mistakes = read(geojson)
    shapely.prepare(expected)
    found, right = np.array(aoi.intersects_each(scenes())), shapely.intersects(expected, scenes())
    assert found.tolist() == right.tolist(), (name, mistakes)


@pytest.mark.parametrize("part", range(PARTS))
def test_countries_of_world_geojson(part):
    folder = npm_package("world-geojson", "3.5.3") / "countries"
    names = sorted(file.stem for file in folder.glob("*.json"))
    assert len(names) > 190
    for name in tried(names)[part::PARTS]:
        geojson = json.loads((folder / f"{name}.json").read_text())
        assert_same(name, geojson, oracle(geojson))


@pytest.mark.parametrize(
    ("scale", "part", "parts"), [("110m", 0, 1), ("50m", 0, 1), *(("10m", part, PARTS) for part in range(PARTS))]
)
def test_countries_of_world_atlas(scale, part, parts):
    """Rings in it cross the antimeridian, and Antarctica goes around its pole."""
    countries = countries_of_topology(npm_package("world-atlas", "2.0.2") / f"countries-{scale}.json")
    assert len(countries) > 170
    for name in (list(countries) if scale == "110m" else tried(countries))[part::parts]:
        geojson = countries[name]
        if name.endswith("Vatican") and scale == "10m":
            with pytest.raises(ValueError, match="it has no area"):  # its ring is a point
                read(geojson)
        elif not name.endswith("Antarctica"):
            assert_same(f"{scale}: {name}", geojson, oracle(geojson))


@pytest.mark.parametrize("scale", ["110m", "50m", "10m"])
def test_antarctica_of_world_atlas_is_that_of_natural_earth(scale):
    """It is made from Natural Earth, where it is drawn on a map with an edge along the pole."""
    countries = countries_of_topology(npm_package("world-atlas", "2.0.2") / f"countries-{scale}.json")
    aoi, _ = read(next(geojson for name, geojson in countries.items() if name.endswith("Antarctica")))
    expected = natural_earth()["Antarctica"]
    assert aoi.coverage(expected) > 97
    assert g.Aoi(expected).coverage(aoi.geometry) > 97
    assert aoi.intersects_each([shapely.Point(x, -89.5) for x in range(-179, 180)]) == [True] * 359


def natural_earth():
    raw = pytest.importorskip("pyogrio.raw")
    folder = python_package("eodag", "4.10.1") / "eodag" / "resources" / "shp"
    _, _, shapes, (names,) = raw.read(folder / "ne_110m_admin_0_map_units.shp", columns=["NAME_LONG"])
    return dict(zip(names, shapely.from_wkb(shapes), strict=True))


def test_natural_earth():
    countries = natural_earth()
    assert len(countries) > 170
    for name, outline in countries.items():
        assert_same(name, mapping(outline), shapely.make_valid(outline))
        assert read(mapping(outline))[0].geometry.area == pytest.approx(shapely.make_valid(outline).area)


# -- the cases of `antimeridian` ---------------------------------------------------------------------------------------

CASES = {
    "almost-180": "",
    "both-poles": "",
    "complex-split": "",
    "crossing-latitude": "",
    "cw-only": "",
    "cw-split": "has two readings",
    "extra-crossing": "",
    "force-north-pole": "",
    "great-circle": "",
    "issues-124": "",
    "issues-164": "",
    "issues-174": "has two readings",
    "issues-187": "a ring is open",
    "issues-201": "",
    "issues-230": "",
    "issues-81": "",
    "latitude-band": "",
    "multi-no-antimeridian": "",
    "multi-split": "",
    "north-pole": "",
    "one-ccw-hole": "",
    "one-hole": "",
    "over-180": "",
    "overlap": "crosses or touches itself",
    "point-on-antimeridian": "",
    "simple": "",
    "simple-with-ccw-hole": "",
    "south-pole": "",
    "split": "",
    "two-holes": "",
}
"""The inputs of its tests, and the mistake of those that need a repair."""
POLE = {"force-north-pole": {"force_north_pole": True}}
"""Its algorithm has to be told that these enclose the north pole."""


@pytest.mark.parametrize("name", CASES)
def test_cases_of_the_antimeridian_package(name):
    folder = python_package("antimeridian", "0.4.9", source=True) / "tests" / "data"
    geojson = json.loads((folder / "input" / f"{name}.json").read_text())
    aoi, mistakes = read(geojson)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fixed = antimeridian.fix_shape(geojson, great_circle=False, **POLE.get(name, {"fix_winding": True}))
    assert CASES[name] in mistakes
    assert bool(mistakes) == bool(CASES[name])
    assert shapely.symmetric_difference(shapely.make_valid(shape(fixed)), aoi.geometry).area < 1e-5


def test_holes_around_a_pole_are_kept():
    """One of the package's cases has two holes, and its result one."""
    folder = python_package("antimeridian", "0.4.9", source=True) / "tests" / "data" / "input"
    aoi, _ = read(json.loads((folder / "issues-171.json").read_text()))
    assert aoi.geometry.area == pytest.approx(360 * 10 - 2 * 2)


def test_outline_that_touches_itself():
    folder = python_package("antimeridian", "0.4.9", source=True) / "tests" / "data" / "input"
    geojson = json.loads((folder / "issues-182.json").read_text())
    aoi, mistakes = read(geojson)
    assert "near longitude 41.6771, latitude 27.5565" in mistakes
    assert aoi.geometry.equals(shapely.make_valid(shape(geojson)))
