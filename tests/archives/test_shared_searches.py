"""Datasets that differ in nothing but overlapping dates are asked for in one search."""

import pytest

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail


def dataset(name, start, end, rules=""):
    return f'[dataset.{name}]\naoi = "harwell"\nstart = {start}\nend = {end}\n{rules}'


@pytest.fixture
def counted(workspace, sandbox):
    """Return the scenes of each dataset and the number of searches that a plan of some datasets takes."""
    sandbox._catalogue = RowCatalogue([make_row(f"D{day:02}", f"2019-05-{day:02}T11:00:00Z") for day in range(1, 29)])

    def plan(*datasets):
        workspace.write("".join(datasets), transfer="retries = 0")
        before = sandbox.searches
        ran = workspace.run("plan", "--json")
        found = {}
        for action in ran.json["actions"]:
            for name in action["datasets"]:
                found.setdefault(name, set()).add(action["id"])
        return ran, found, sandbox.searches - before

    return plan


def test_overlapping_dates_take_one_search(counted):
    _, found, one = counted(dataset("a", "2019-05-01", "2019-05-20"))
    datasets = (
        dataset("a", "2019-05-01", "2019-05-12"),
        dataset("b", "2019-05-05", "2019-05-20"),
        dataset("c", "2019-05-10", "2019-05-10"),
    )
    _, shared, searches = counted(*datasets)
    assert searches == one
    assert shared["a"] | shared["b"] == found["a"]
    assert (len(shared["a"]), len(shared["b"]), shared["c"]) == (12, 16, {"D10"})


@pytest.mark.parametrize(
    "other",
    [
        dataset("b", "2019-05-20", "2019-05-25"),
        dataset("b", "2019-05-05", "2019-05-08", "max_cloud_cover = 50\n"),
        dataset("b", "2019-05-05", "2019-05-08", 'sensor = "sar"\n'),
    ],
)
def test_other_searches_are_made_for_themselves(counted, other):
    _, _, one = counted(dataset("a", "2019-05-01", "2019-05-12"))
    _, _, alone = counted(other)
    assert counted(dataset("a", "2019-05-01", "2019-05-12"), other)[2] == one + alone


def test_a_shared_search_that_fails_is_a_failure_of_each_dataset(counted, sandbox):
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    ran, _, _ = counted(dataset("a", "2019-05-01", "2019-05-12"), dataset("b", "2019-05-05", "2019-05-20"))
    assert [failure["id"] for failure in ran.json["failures"]] == ["a", "b"]
