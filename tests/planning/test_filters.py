"""Every key of a dataset that filters scenes is a filter: for the rules, the queries, records and lock files."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from sedas_sync.archives.replay import Recorder, read_record, write_head
from sedas_sync.errors import IncompleteSearch
from sedas_sync.manifest import Dataset
from sedas_sync.model.scene import Query, Scene
from sedas_sync.planning.filters import FILTERS, MEANINGS, given_filters, query_values, search_includes

NOT_FILTERS = {
    "name", "archive", "aoi", "start", "end", "products",  # which scenes there are
    "min_aoi_coverage",  # judged by the AOI
    "exclude", "latest", "orbits", "reprocessed",  # judged by ids, and by all scenes of the search
    "filters",  # the archive's own
    "recheck",  # when to search
}  # fmt: skip
"""Keys of a dataset that are not compared with what a scene states."""

NOW = datetime(2019, 5, 6, tzinfo=UTC)
QUERY = Query(aoi="POLYGON((0 0,1 0,1 1,0 0))", start=NOW, stop=NOW)

# for each filter: a value, another one, and one that a search for the first finds all scenes of
VALUES = {
    "sensor": ("sar", "optical", "sar"),
    "satellite": ("Sentinel-2A", "Sentinel-2B", "s2a"),
    "product_type": ("L1C", "L2A", "l1c"),
    "orbit_direction": ("ASCENDING", "DESCENDING", "ASCENDING"),
    "relative_orbit": (94, 137, 94),
    "instrument": ("SAR-C SAR", "MSI", "c-sar"),
    "tile": (("30UXC", "30UWC"), ("31UCT",), ("30UXC",)),
    "source_group": ("S1", "S2", "s1"),
    "polarisation": (("VV",), ("HH",), ("VV", "VH")),
    "max_cloud_cover": (50.0, 60.0, 40.0),
}
QUERIED = [one.key for one in FILTERS if one.is_queried]


def test_every_key_of_a_dataset_is_a_filter_or_is_known_not_to_be_one():
    assert {one.key for one in FILTERS} | NOT_FILTERS == set(Dataset.model_fields)
    assert list(VALUES) == [one.key for one in FILTERS]


def test_every_field_of_a_query_is_a_filter_or_compared_by_a_record():
    assert {*QUERIED, "aoi", "start", "stop", "min_aoi_coverage", "filters"} == set(Query.__struct_fields__)
    assert all(getattr(QUERY, one.key) == one.default for one in FILTERS if one.is_queried)


@pytest.mark.parametrize("key", VALUES)
def test_each_filter_is_given_to_the_rules_and_to_the_query(key):
    value = VALUES[key][0]
    dataset = Dataset(name="d").model_copy(update={key: value})
    ((one, given),) = given_filters(dataset)
    assert (one.key, given) == (key, value)
    assert query_values(dataset) == ({key: value} if key in QUERIED else {})


@pytest.mark.parametrize("key", VALUES)
def test_each_filter_tells_other_values_apart(key):
    value, other, _ = VALUES[key]
    assert MEANINGS[key](value) != MEANINGS[key](other)
    (one,) = (one for one in FILTERS if one.key == key)
    scene_value = "/".join(other) if key == "polarisation" else other[0] if key == "tile" else other
    scene = Scene(id="S", **{key.removeprefix("max_"): scene_value})
    assert one.differs(value, scene).unknown is False


@pytest.mark.parametrize("key", QUERIED)
def test_a_recorded_search_is_used_only_for_a_search_that_it_includes(key):
    value, other, narrower = VALUES[key]
    recorded = replace(QUERY, **{key: value})
    assert search_includes(QUERY, recorded)
    assert search_includes(recorded, replace(QUERY, **{key: narrower}))
    assert not search_includes(recorded, replace(QUERY, **{key: other}))
    assert not search_includes(recorded, QUERY)


class Empty:
    """An archive without scenes."""

    identity = "empty"
    orders = None

    def find(self, query, *, warn):
        return iter(())


@pytest.mark.parametrize("key", QUERIED)
def test_a_record_does_not_answer_a_search_without_one_of_its_filters(tmp_path, key):
    with (tmp_path / "record.jsonl").open("w") as out:
        write_head(out, NOW)
        assert list(Recorder(Empty(), "archive", out).find(replace(QUERY, **{key: VALUES[key][0]}), warn=print)) == []
    archive = read_record((tmp_path / "record.jsonl").read_text().splitlines(), "record.jsonl").archive("archive")
    assert list(archive.find(replace(QUERY, **{key: VALUES[key][2]}), warn=print)) == []
    with pytest.raises(IncompleteSearch):
        list(archive.find(QUERY, warn=print))


@pytest.mark.parametrize("value", [None, 5, True, "x", ["x", 5], {"a": 1}])
@pytest.mark.parametrize("key", VALUES)
def test_any_value_of_a_lock_file_has_a_meaning(key, value):
    assert MEANINGS[key](value) == MEANINGS[key](value)
