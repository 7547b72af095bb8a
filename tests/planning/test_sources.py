"""One scene in several archives: which descriptions belong together, and where a scene is taken from first."""

from datetime import UTC, datetime

import pytest
from manifests import read_area
from msgspec.structs import replace

from sedas_sync.archives.registry import TYPES
from sedas_sync.manifest import parse
from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, Scene, Source
from sedas_sync.model.text import product_id
from sedas_sync.planning.compare import Comparison, choose_actions
from sedas_sync.planning.lock import head_of, lock_scenes
from sedas_sync.planning.lock_text import dumps, loads
from sedas_sync.planning.select import select
from sedas_sync.planning.sources import describe, merge_sources, rank_sources, unique_sources, with_sources

START = datetime(2019, 5, 1, tzinfo=UTC)
ONLINE = Scene(id="X", start=START, download_url="https://a/X", size=10, cloud_cover=5.0)
OFFLINE = Scene(id="X", start=START, size=20)
UNORDERABLE = Scene(id="X", start=START, offline="order it by hand")


@pytest.mark.parametrize(
    ("name", "product"),
    [("X", "X"), ("X.SAFE", "X"), ("X.zip", "X"), ("X.SAFE.zip", "X"), ("X.safe", "X"), ("x", "x"), (".SAFE", ".SAFE")],
)
def test_a_product_is_the_same_with_and_without_its_ending(name, product):
    assert product_id(name) == product


def test_descriptions_of_one_product_are_put_together_in_the_order_of_the_archives():
    other = Scene(id="Y")
    safe = replace(OFFLINE, id="X.SAFE")
    found = merge_sources({"one": [ONLINE], "two": [other, safe]})
    assert found == {"X": (Source(archive="one", scene=ONLINE), Source(archive="two", scene=safe)),
                     "Y": (Source(archive="two", scene=other),)}  # fmt: skip


def test_what_the_first_archive_does_not_say_is_taken_from_the_next():
    one = Scene(id="X", start=START, cloud_cover=80.0, size=1)
    two = Scene(id="X", footprint="POLYGON((0 0,1 0,1 1,0 0))", cloud_cover=5.0, digest="aa", offline="not now")
    whole = describe([Source(archive="one", scene=one), Source(archive="two", scene=two)])
    assert (whole.footprint, whole.cloud_cover, whole.start) == (two.footprint, 80.0, START)
    assert (whole.size, whole.digest, whole.offline) == (1, None, None)


def test_a_planned_acquisition_gives_way_to_the_product():
    planned = Scene(id="X", planned=True)
    (places,) = merge_sources({"one": [planned], "two": [ONLINE]}).values()
    assert [place.archive for place in places] == ["two", "one"]


def test_an_archive_that_can_never_deliver_gives_way():
    never = Scene(id="X", start=START, offline="it has no data", never=True)
    (sources,) = merge_sources({"one": [never], "two": [ONLINE]}).values()
    assert [source.archive for source in sources] == ["two", "one"]
    ranked = rank_sources((Source(archive="one", scene=never), Source(archive="two", scene=UNORDERABLE)))
    assert [source.archive for source in ranked] == ["two", "one"]


def test_each_archive_is_one_place():
    one, two = Source(archive="one", scene=ONLINE), Source(archive="two", scene=OFFLINE)
    assert unique_sources([(one,), (two, one)]) == (one, two)


@pytest.mark.parametrize(
    ("scenes", "ordered_at", "first"),
    [
        ([ONLINE, ONLINE], None, 0),
        ([OFFLINE, ONLINE], None, 1),
        ([OFFLINE, ONLINE], "0", 1),
        ([OFFLINE, OFFLINE], None, 0),
        ([OFFLINE, OFFLINE], "1", 1),
        ([UNORDERABLE, OFFLINE], None, 1),
        ([UNORDERABLE, ONLINE], None, 1),
        ([UNORDERABLE, UNORDERABLE], None, 0),
    ],
)
def test_where_a_scene_is_taken_from(scenes, ordered_at, first):
    places = [Source(archive=str(number), scene=scene) for number, scene in enumerate(scenes)]
    assert rank_sources(places, ordered_at)[0] is places[first]


def test_the_first_archive_describes_and_the_best_one_gives():
    want = DesiredScene.of("one", OFFLINE, datasets=("d",), path="X.zip")
    placed = with_sources(want, [Source(archive="one", scene=OFFLINE), Source(archive="two", scene=ONLINE)])
    assert placed.archive == "two"
    assert (placed.scene.download_url, placed.scene.size) == ("https://a/X", 10)
    assert placed.scene.cloud_cover is None, "what is not of the bytes stays"
    assert [source.archive for source in placed.sources] == ["two", "one"]


# -- datasets --------------------------------------------------------------------------------------------------------

HEAD = (
    'version = 1\n[archives.one]\ntype = "sedas"\n[archives.two]\ntype = "sandbox"\n'
    '[aoi.here]\nbbox = [0, 0, 1, 1]\n[mirror]\nlayout = "{archive}/{id}"\n'
)
RULES = 'aoi = "here"\nstart = 2019-01-01\n'


def read(text):
    return parse(text, source="m.toml", read_area=read_area, types=TYPES, now=START)


def test_two_datasets_of_two_archives_want_one_scene_once():
    manifest = read(f'{HEAD}[dataset.a]\narchive = "one"\n{RULES}[dataset.b]\narchive = "two"\n{RULES}')
    chosen = select(manifest, {"a": [OFFLINE], "b": [replace(ONLINE, id="X.SAFE")]}, START)
    (want,) = chosen.wants.values()
    assert want.scene.id == "X"
    assert want.datasets == ("a", "b")
    assert want.path == "one/X.zip", "a path does not move with who is online"
    assert want.archive == "two"


def test_a_dataset_of_two_archives_judges_by_the_first():
    manifest = read(f'{HEAD}[dataset.a]\narchive = ["one", "two"]\nmax_cloud_cover = 50\n{RULES}')
    cloudy = replace(OFFLINE, cloud_cover=80.0)
    places = merge_sources({"one": [cloudy], "two": [ONLINE]})
    found = {"a": [here[0].scene for here in places.values()]}
    assert not select(manifest, found, START, sources={"a": places}).wants


# -- plans -----------------------------------------------------------------------------------------------------------


def held(archive, size):
    return LocalScene(
        id="X", path="X.zip", size=size, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC, archive=archive
    )


@pytest.mark.parametrize(
    ("archive", "size", "kind"),
    [
        ("first", 10, ActionKind.KEEP),
        ("first", 11, ActionKind.REPLACE),
        ("second", 20, ActionKind.KEEP),
        ("second", 10, ActionKind.REPLACE),
        ("somewhere else", 99, ActionKind.KEEP),
        ("", 99, ActionKind.KEEP),
    ],
)
def test_a_file_is_measured_by_the_archive_that_gave_it(archive, size, kind):
    places = (Source(archive="one", scene=ONLINE), Source(archive="two", scene=OFFLINE))
    want = DesiredScene(scene=ONLINE, datasets=("d",), path="X.zip", sources=places)
    here = DiskState(local=held(archive, size), state=FileState.INTACT, tracked=True)
    (action,) = choose_actions({"X": want}, {"X": here}, {}, Comparison(identities={"one": "first", "two": "second"}))
    assert action.kind is kind


def test_a_file_of_another_archive_is_not_measured_by_this_one():
    want = DesiredScene.of("one", ONLINE, datasets=("d",), path="X.zip")
    here = DiskState(local=held("second", 99), state=FileState.INTACT, tracked=True)
    (action,) = choose_actions({"X": want}, {"X": here}, {}, Comparison(identities={"one": "first", "two": "second"}))
    assert action.kind is ActionKind.KEEP
    (action,) = choose_actions({"X": want}, {"X": here}, {}, Comparison(identities={"one": "first"}))
    assert action.kind is ActionKind.KEEP, "the other has left the manifest"
    (action,) = choose_actions({"X": want}, {"X": here}, {}, Comparison(identities={}))
    assert action.kind is ActionKind.REPLACE, "nobody knows who it is that says so"


# -- the lock --------------------------------------------------------------------------------------------------------


def locked(manifest, want):
    """Return the text of a lock file with one scene that is to be downloaded."""
    fetch = Action(
        kind=ActionKind.FETCH,
        id="X",
        datasets=("a",),
        path="X.zip",
        size=None,
        reason=Reason(ReasonCode.UNCHANGED),
        wanted=want,
    )
    return dumps(lock_scenes(head_of(manifest, START), [fetch], {}, None))


def test_a_lock_keeps_all_places_and_does_not_change_with_who_is_online():
    manifest = read(f'{HEAD}[dataset.a]\narchive = ["one", "two"]\n{RULES}')
    locks = []
    for online, offline in (("one", "two"), ("two", "one")):
        want = DesiredScene.of("one", OFFLINE, datasets=("a",), path="X.zip")
        want = with_sources(want, [Source(archive=offline, scene=OFFLINE), Source(archive=online, scene=ONLINE)])
        locks.append(locked(manifest, want))
    assert locks[0] == locks[1]
    assert loads(locks[0], "m.lock").scenes["X"].archives == ("one", "two")


def test_a_lock_of_one_archive_says_nothing_of_places():
    manifest = read("version = 1\n[aoi.here]\nbbox = [0, 0, 1, 1]\n[dataset.a]\n" + RULES)
    want = DesiredScene.of("archive", ONLINE, datasets=("a",), path="X.zip")
    assert '"archives"' not in locked(manifest, want).splitlines()[1]
