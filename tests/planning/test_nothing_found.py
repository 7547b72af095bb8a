"""A dataset without scenes is named, with likely causes."""

from datetime import UTC, datetime

import pytest
from manifests import NOW, parse

from sedas_sync.model.scene import Scene
from sedas_sync.planning.select import select

HEAD = 'version = 1\n[aoi.here]\nwkt = "POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))"\n'
START = datetime(2019, 6, 1, tzinfo=UTC)
GRD = Scene(
    id="S1A_IW_GRDH_1SDV_20190601T000000_20190601T000025_027096_030DB7_D8A5",
    start=START,
    footprint="POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))",
    satellite="Sentinel-1A",
    product_type="IW_GRDH_1S",
)
FAR = Scene(id="far", start=START, footprint="POLYGON ((7 7, 8 7, 8 8, 7 8, 7 7))")


def warnings(keys, scenes, searched=True, **more):
    manifest = parse(f'{HEAD}[dataset.d]\naoi = "here"\n{keys}')
    return select(manifest, {"d": scenes} if searched else {}, NOW, **more).warnings


@pytest.mark.parametrize(
    ("keys", "scenes", "words"),
    [
        ("start = 2019-06-01", [], ["no scene from 2019-06-01 to 2019-06-15 over here"]),
        ("start = 2019-08-01\nend = 2019-09-01", [], ["starts in the future, at 2019-08-01T00:00:00Z"]),
        ("start = 2019-06-01", [FAR], ["1 scene found over here, all left out by aoi (1)"]),
        (
            'start = 2019-06-01\nproduct_type = "OL1EFR"',
            [GRD],
            [
                "left out by product_type (1)",
                "product_type of the scenes found: IW_GRDH_1S",
                'mean "OL_1_EFR"?',
            ],
        ),
        ('start = 2019-06-01\nsatellite = "Sentinel-1B"', [GRD], ["satellite of the scenes found: Sentinel-1A"]),
    ],
)
def test_likely_causes(keys, scenes, words):
    (warning,) = warnings(keys, scenes)
    assert warning.startswith("dataset d: no scene matches: ")
    assert all(word in warning for word in words), warning


@pytest.mark.parametrize("scenes", [[], [FAR]])
def test_incomplete_search_that_finds_nothing_shows_nothing(scenes):
    assert len(warnings("start = 2019-06-01", scenes, incomplete={"d"})) == len(scenes)


def test_no_warning_if_there_is_a_scene_or_no_search():
    assert warnings("start = 2019-06-01", [GRD, FAR]) == []
    assert warnings("start = 2019-06-01", [], searched=False) == []
    assert warnings('start = 2019-06-01\nproduct_type = "grdh"\nsatellite = "S1"', [GRD]) == []
