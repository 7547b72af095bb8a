"""Intersection and coverage of AOIs and footprints."""

import math
import random

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box
from shapes import areas, coverage, is_in

from sedas_sync import geometry as g


def test_touching_counts_as_intersection():
    aoi = g.Aoi(box(0, 0, 1, 1))
    footprints = [box(1, 1, 2, 2), box(1, 0, 2, 1), box(0.5, 0.5, 9, 9), box(1.001, 0, 2, 1), None]
    assert aoi.intersects_each(footprints) == [True, True, True, False, False]
    assert [aoi.intersects(shape) for shape in footprints if shape] == [True, True, True, False]


def test_scene_across_the_antimeridian():
    scene = g.footprint("POLYGON((179 50,-179 50,-179 53,179 53,179 50))")
    assert g.Aoi(g.from_bbox(179.5, 51, -179.5, 52)).coverage(scene) == 100
    assert not g.Aoi(g.from_bbox(-1, 51, 1, 52)).intersects(scene)


def test_coverage_is_of_area_on_the_sphere():
    """Half of a hemisphere lies south of 30 degrees, where a third of its square degrees is."""
    assert coverage(box(-180, 0, 180, 90), box(-180, 0, 180, 30)) == pytest.approx(50)


def test_coverage_of_nothing_and_all():
    aoi = g.Aoi(box(0, 0, 1, 1))
    assert aoi.coverage(box(5, 5, 6, 6)) == 0
    assert aoi.coverage(box(1, 0, 2, 1)) == 0
    assert aoi.coverage(box(0, 0, 1, 1)) == 100
    assert aoi.coverage(box(-1, -1, 2, 2)) == 100


def test_coverage_of_a_very_small_aoi():
    aoi = g.Aoi(box(-1.3, 51.5, -1.29999, 51.50001))
    assert aoi.coverage(box(-1.3, 51.5, -1.299995, 52)) == pytest.approx(50, rel=1e-6)


@given(areas(), areas(), st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_coverage_agrees_with_sampling(aoi, scene, seed):
    """The oracle counts random points, even on the sphere, with the even-odd rule."""
    part = max(shapely.get_parts(aoi), key=lambda p: p.area)
    shift = max(shapely.get_parts(scene), key=lambda p: p.area)
    # two shapes from anywhere would hardly ever meet
    step = shapely.get_coordinates(part.centroid) - shapely.get_coordinates(shift.centroid)
    moved = shapely.transform(shift, lambda xy: xy + step).intersection(box(-180, -90, 180, 90))
    rng = random.Random(seed)
    west, south, east, north = part.bounds
    low, high = math.sin(math.radians(south)), math.sin(math.radians(north))
    darts = [(rng.uniform(west, east), math.degrees(math.asin(rng.uniform(low, high)))) for _ in range(1500)]
    hits = [dart for dart in darts if is_in(*dart, part)]
    both = [dart for dart in hits if is_in(*dart, moved)] if not moved.is_empty else []
    if len(hits) > 100:
        slack = 4 * 50 / math.sqrt(len(hits)) + 0.5
        assert coverage(part, moved) == pytest.approx(100 * len(both) / len(hits), abs=slack)


def test_equal_outlines_are_equal_aois():
    one = g.Aoi(g.from_wkt("POLYGON ((0 0, 1 0, 1 1, 0 0))"))
    other = g.Aoi(g.from_wkt("POLYGON ((1 1, 1 0, 0 0, 1 1))"))
    third = g.Aoi(g.from_wkt("POLYGON ((1 1, 1 0, 0 0.1, 1 1))"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != third
    assert "POLYGON" in repr(one)
