"""Scenes from rows of SeDAS."""

import copy
import json
import pickle
import tracemalloc
from datetime import UTC, datetime

import pytest
from scripted_sedas import NAME, UNUSABLE, WHOLE

from sedas_sync.archives.sedas.rows import to_scene


def test_row_becomes_a_scene():
    found = to_scene(copy.deepcopy(WHOLE))
    assert found.start == datetime(2019, 9, 25, 7, 16, 29, tzinfo=UTC)
    assert (found.sensor, found.satellite, found.source_group) == ("optical", "Sentinel-2B", "S2")
    assert (found.orbit, found.orbit_direction, found.cloud_cover) == (13330, "DESCENDING", 42.0)
    assert found.digest == "95" * 16
    assert found.online
    assert not found.planned
    assert dict(found.extra) == {
        "productId": WHOLE["productId"],
        "type": "ARCHIVE",
        "area": WHOLE["area"],
        "aoiCoveragePercent": 1.0,
        "usefulAreaPercent": 5.0,
        "latency": "Standard",
        "vendorSpecific": {"property": "vendorSpecific", "other": 1},
        "acqMode": "new",
    }
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("missing", sorted(set(WHOLE) - {"supplierId"}))
def test_every_field_but_the_id_may_be_missing_or_null(missing):
    for row in ({k: v for k, v in WHOLE.items() if k != missing}, {**WHOLE, missing: None}):
        assert to_scene(row).id == NAME


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sensorType": "SAR"}, {"sensor": "sar"}),
        ({"sensorType": "optical"}, {"sensor": "optical"}),
        ({"sensorType": "sonar"}, {"sensor": None}),
        ({"start": "2019-09-25T07:16:29.250Z"}, {"start": datetime(2019, 9, 25, 7, 16, 29, 250000, UTC)}),
        ({"start": "2019-09-25T08:16:29+01:00"}, {"start": datetime(2019, 9, 25, 7, 16, 29, tzinfo=UTC)}),
        ({"start": "2019-09-25T07:16:29"}, {"start": datetime(2019, 9, 25, 7, 16, 29, tzinfo=UTC)}),
        ({"satelliteName": "NovaSAR-1"}, {"source_group": "NovaSAR"}),
        ({"satelliteName": "Sentinel-1A"}, {"source_group": "S1"}),
        ({"satelliteName": "Unheard-Of"}, {"source_group": None}),
        ({"sourceGroup": "X"}, {"source_group": "X"}),
        ({"downloadUrl": ""}, {"download_url": None, "online": False}),
        ({"vendorSpecific": {"Filehash": "AB" * 20}}, {"digest": "ab" * 20}),
        ({"vendorSpecific": {"Filehash": "abc"}}, {"digest": None}),
        ({"vendorSpecific": {"Filehash": "zz" * 16}}, {"digest": None}),
        ({"vendorSpecific": "text"}, {"digest": None}),
        ({"cloudCoveragePercent": "42.5"}, {"cloud_cover": 42.5}),
        ({"cloudCoveragePercent": float("nan")}, {"cloud_cover": None}),
        ({"polarisation": ["VV", "VH"]}, {"polarisation": "VV/VH"}),
        ({"type": "PLANNEDACQ"}, {"planned": True}),
        ({"acqPlanId": "plan-7"}, {"planned": True, "id": NAME}),
        ({"acqPlanId": 77, "supplierId": None}, {"planned": True, "id": "77"}),
    ],
)
def test_variants_of_a_row(change, expected):
    found = to_scene({**WHOLE, **change})
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("row", UNUSABLE)
def test_row_that_cannot_be_used_is_refused_with_a_reason(row):
    with pytest.raises(ValueError, match=r"not |it "):
        to_scene(row)


def test_scenes_take_little_memory():
    rows = [
        {**WHOLE, "supplierId": f"{NAME}_{n}", "downloadUrl": f"{WHOLE['downloadUrl']}{n}", "ql": f"{WHOLE['ql']}{n}"}
        for n in range(1000)
    ]
    texts = [json.dumps(row) for row in rows]
    tracemalloc.start()
    scenes = [to_scene(json.loads(text)) for text in texts]
    size = tracemalloc.get_traced_memory()[0] / len(scenes)
    tracemalloc.stop()
    assert size < 1800
