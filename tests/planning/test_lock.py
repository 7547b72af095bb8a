"""The lock: what it holds, how it is written, and what counts as a difference."""
# ruff: noqa: E501 - a table reads best with one case a line

import json
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import read_area
from msgspec.structs import replace

from sedas_sync.archives.registry import TYPES
from sedas_sync.errors import ManifestError
from sedas_sync.geometry import Aoi, from_wkt
from sedas_sync.manifest import parse
from sedas_sync.model.files import listing_digest, with_files
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, Scene
from sedas_sync.planning.lock import Lock, LockedFile, LockedScene, LockHead, head_of, lock_scenes
from sedas_sync.planning.lock_changes import changes, differences, mismatches
from sedas_sync.planning.lock_text import dumps, head_from, head_json, loads

NOW = datetime(2019, 6, 15, 13, 30, 45, tzinfo=UTC)
SQUARE = 'wkt = "POLYGON ((0 50, 1 50, 1 51, 0 51, 0 50))"'
HEAD = 'version = 1\n[aoi.a]\nwkt = "POLYGON ((0 50, 1 50, 1 51, 0 51, 0 50))"\n[aoi.b]\nbbox = [10, 50, 11, 51]\n'
BASE = HEAD + '[dataset.d]\naoi = "a"\nstart = 2019-05-01\nend = 2019-05-31\n'


def area(given):
    return (
        Aoi(from_wkt("POLYGON ((0 50, 1 50, 1 51, 0 51, 0 50))")) if getattr(given, "file", None) else read_area(given)
    )


def manifest(text):
    return parse(
        text,
        source="m.toml",
        read_area=area,
        types=TYPES,
        now=NOW,
    )


def lock_of(text, scenes=()):
    return Lock(head=head_of(manifest(text), NOW), scenes={pin.id: pin for pin in scenes})


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        (BASE.replace("-01\n", "-02\n"), BASE, ["dataset.d.start is 2019-05-02, the lock file has 2019-05-01"]),
        (BASE.replace("end = 2019-05-31", 'end = "now"'), BASE, ["dataset.d.end is now, the lock file has 2019-05-31"]),
        (BASE.replace("end = 2019-05-31", ""), BASE, ["dataset.d.end is now, the lock file has 2019-05-31"]),
        (BASE, BASE + "max_cloud_cover = 50\n", ["dataset.d.max_cloud_cover is not set, the lock file has 50"]),
        (BASE + "max_cloud_cover = 50.5\n", BASE, ["dataset.d.max_cloud_cover is 50.5, the lock file has none"]),
        (BASE + 'sensor = "sar"\n', BASE, ["dataset.d.sensor is sar, the lock file has all"]),
        (BASE + 'polarisation = "VV"\n', BASE + 'polarisation = "VH+VV"\n', ["dataset.d.polarisation is VV, the lock file has VH, VV"]),
        (BASE + 'exclude = ["X*"]\n', BASE, ["dataset.d.exclude is X*, the lock file has none"]),
        (BASE + "latest = 3\n", BASE + "latest = 4\n", ["dataset.d.latest is 3, the lock file has 4"]),
        (BASE + "filters = { maxCloudPercent = 3 }\n", BASE + "filters = { maxCloudPercent = 4, x = true }\n",
         ["dataset.d.filters.maxCloudPercent is 3, the lock file has 4", "dataset.d.filters.x is not set, the lock file has true"]),
        (BASE.replace('aoi = "a"', 'aoi = "b"'), BASE, ["dataset.d.aoi is b, the lock file has a"]),
        (BASE.replace('aoi = "a"', 'aoi = ["b", "a"]'), BASE, ["dataset.d.aoi is a, b, the lock file has a"]),
        (BASE.replace("1 51, 0 51", "1 52, 0 52"), BASE,
         ["aoi.a is POLYGON ((0 50, 0 52, 1 52, 1 50, 0 50)), the lock file has POLYGON ((0 50, 0 51, 1 51, 1 50, 0 50))"]),
        (BASE + '[dataset.e]\nproducts = ["P"]\n', BASE, ["dataset.e is not in the lock file"]),
        (BASE, BASE + '[dataset.e]\nproducts = ["P"]\n', ["dataset.e is in the lock file and not in the manifest"]),
        (BASE + '[archive]\ntype = "sandbox"\n', BASE,
         ["archive.type is sandbox, the lock file has sedas", "archive.url is not set, the lock file has https://geobrowser.satapps.org/api/"]),
        (BASE + '[archive]\nurl = "https://example.org/api/"\n', BASE,
         ["archive.url is https://example.org/api/, the lock file has https://geobrowser.satapps.org/api/"]),
        (HEAD + '[dataset.d]\nproducts = ["A", "B"]\n', HEAD + '[dataset.d]\nproducts = ["A"]\n', ["dataset.d.products is A, B, the lock file has A"]),
        (HEAD + '[dataset.d]\nproducts = ["A", "B", "C", "D", "E", "F", "G"]\n', HEAD + '[dataset.d]\nproducts = ["A", "B", "C", "D", "E", "F", "H"]\n',
         ["dataset.d.products: added G, removed H (compared with the lock file)"]),
    ],
)  # fmt: skip
def test_each_difference_is_named(mine, other, said):
    assert list(mismatches(manifest(mine), lock_of(other))) == said
    assert not mismatches(manifest(mine), lock_of(mine))
    paths = {sentence.split()[0] for sentence in said}
    back = mismatches(manifest(other), lock_of(mine))
    assert {sentence.split()[0] for sentence in back} == paths, "the same things, whichever way one looks"


@pytest.mark.parametrize(
    "other",
    [
        "# a comment\n" + BASE,
        HEAD + '[dataset.d]\nend = 2019-05-31\nstart = 2019-05-01\naoi = ["a"]\n',
        BASE + 'sensor = "ALL"\nreprocessed = "all"\nexclude = []\nfilters = {}\n',
        BASE + '[mirror]\npath = "x"\nlayout = "{satellite}/{id}"\n[transfer]\njobs = 9\nintegrity = "size"\n',
        BASE.replace("2019-05-01", "2019-05-01T01:00:00+01:00").replace("2019-05-31", "2019-05-31T23:59:59Z"),
        BASE + '[archive]\ntype = "sedas"\nurl = "https://geobrowser.satapps.org/api"\nfilehash = "enforce"\n',
        BASE.replace("POLYGON ((0 50, 1 50, 1 51, 0 51, 0 50))", "POLYGON ((1 51, 1 50, 0 50, 0 51, 1 51))"),
        BASE.replace(SQUARE, 'file = "a.geojson"'),
        BASE.replace(SQUARE, "bbox = [0, 50, 1, 51]"),
        BASE.replace("[aoi.a]", "[aoi.c]").replace('"a"', '"c"'),
        BASE + "[aoi.unused]\npoint = [1, 1]\nradius_km = 3\n",
        "version = 1\n[archives.main]\n[archives.spare]\ntype = 'sandbox'\n" + BASE.removeprefix("version = 1\n") + 'archive = "main"\n',
    ],
)  # fmt: skip
def test_what_means_the_same_is_the_same(other):
    assert not mismatches(manifest(other), lock_of(BASE))
    assert not mismatches(manifest(BASE), lock_of(other))


def test_rules_whose_order_or_case_means_nothing():
    one = BASE + 'polarisation = "VV+VH"\nsatellite = "Sentinel-1A"\nexclude = ["b", "a"]\n'
    two = BASE + 'polarisation = "VH VV"\nsatellite = "sentinel-1a"\nexclude = ["a", "b"]\n'
    assert not mismatches(manifest(one), lock_of(two))
    radar = BASE + 'instrument = "SAR-C SAR"\n'
    assert not mismatches(manifest(BASE + 'instrument = "c-sar"\n'), lock_of(radar))
    assert mismatches(manifest(BASE + 'instrument = "MSI"\n'), lock_of(radar))
    tiles = BASE + 'tile = ["30UXC", "30UWC"]\n'
    assert dumps(lock_of(tiles)) == dumps(lock_of(BASE + 'tile = ["T30UWC", "30UXC"]\n'))


def test_a_relative_date_equals_itself_whenever_it_was_made_absolute():
    text = BASE.replace("2019-05-01", '"-30d"').replace("end = 2019-05-31", "")
    early = Lock(head=head_of(manifest(text), NOW - timedelta(days=9)), scenes={})
    assert early.head.intervals["d"] == ("2019-05-07T13:30:45Z", "2019-06-06T13:30:45Z")
    assert not mismatches(manifest(text), early)
    assert not mismatches(manifest(text.replace("-30d", "-720h")), early)
    assert mismatches(manifest(text.replace("-30d", "-31d")), early)


def test_a_key_that_a_later_version_knows_is_a_difference_and_no_crash():
    lock = lock_of(BASE)
    datasets = {"d": {**lock.head.datasets["d"], "max_wind": 5}}
    newer = LockHead(archives=lock.head.archives, aois=lock.head.aois, datasets=datasets)
    assert differences(head_of(manifest(BASE), NOW), newer) == ("dataset.d.max_wind is not set, the lock file has 5",)


def test_how_it_is_written():
    pins = (
        LockedScene("B", ("d",), datetime(2019, 5, 2, 11, tzinfo=timezone(timedelta(hours=1)))),
        LockedScene("A", ("d", "e"), datetime(2019, 5, 1, 10, 0, 0, 500000, tzinfo=UTC), 7, "a" * 64, "POINT (0 0)"),
        LockedScene("Ä\u2028", ("d",)),
    )
    head, *scenes = dumps(lock_of(BASE, pins)).split("\n")
    assert json.loads(head) == {
        "version": 1,
        "archives": {"archive": {"type": "sedas", "url": "https://geobrowser.satapps.org/api/"}},
        "aois": {"a": "POLYGON ((0 50, 0 51, 1 51, 1 50, 0 50))"},
        "datasets": {
            "d": {
                "aoi": ["a"], "archive": ["archive"], "end": "2019-05-31", "start": "2019-05-01",
                "interval": ["2019-05-01T00:00:00Z", "2019-05-31T23:59:59Z"],
            },
        },
    }  # fmt: skip
    assert scenes == [
        '{"id": "A", "datasets": ["d", "e"], "start": "2019-05-01T10:00:00.500000Z", "size": 7, "sha256": "'
        + "a" * 64 + '", "footprint": "POINT (0 0)"}',
        '{"id": "B", "datasets": ["d"], "start": "2019-05-02T10:00:00Z"}',
        '{"id": "Ä\u2028", "datasets": ["d"]}',
        "",
    ]  # fmt: skip


def test_windows_line_ends_are_read_too():
    lock = lock_of(BASE, [LockedScene("A", ("d",))])
    assert loads(dumps(lock).replace("\n", "\r\n"), "x") == lock


def test_spaces_at_the_ends_of_lines_are_read_too():
    assert loads(GOOD.replace("\n", " \n"), "x") == loads(GOOD, "x")


GOOD = dumps(lock_of(BASE, [LockedScene("A", ("d",)), LockedScene("B", ("d",))]))
TWO_ON_ONE_LINE = '{"id": "C", "datasets": ["d"]} {"id": "D", "datasets": ["d"]}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "m.lock: line 1: not JSON"),
        ("version = 1\n", "m.lock: line 1: not JSON"),
        ("null\n", "m.lock: line 1: not a lock file header"),
        ('{"version": true}\n', "m.lock: line 1: not a lock file header"),
        ('{"version": 1}\n', "m.lock: line 1: not a lock file header"),
        ('{"version": 1, "archives": 3, "aois": {}, "datasets": {}}\n', "m.lock: line 1: not a lock file header"),
        (GOOD.replace('"version": 1', '"version": 2'), "m.lock: written by a newer sedas-sync (lock format 2, this program reads 1)"),
        (GOOD + "{\n", "m.lock: line 4: not JSON"),
        (GOOD + "=======\n", "line 4: not JSON (a merge that was not resolved?)"),
        (GOOD + "3\n", "m.lock: line 4: not a valid scene entry"),
        (GOOD + '{"datasets": ["d"]}\n', "line 4: not a valid scene entry"),
        (GOOD + '{"id": "C", "datasets": "d"}\n', "line 4: not a valid scene entry"),
        (GOOD + '{"id": "C", "datasets": ["d"], "start": "soon"}\n', "line 4: not a valid scene entry"),
        (GOOD + '{"id": "C", "datasets": ["d"], "start": "2019-05-01T00:00:00"}\n', "line 4: not a valid scene entry"),
        (GOOD + '{"id": "C", "datasets": ["d"], "size": -1}\n', "line 4: not a valid scene entry"),
        (GOOD + '{"id": "C", "datasets": ["d"], "sha256": "abc"}\n', "line 4: not a valid scene entry"),
        (GOOD + f'{{"id": "C", "datasets": ["d"], "sha256": "{64 * "g"}"}}\n', "line 4: not a valid scene entry"),
        (GOOD + f'{{"id": "C", "datasets": ["d"], "contents": "{64 * "A"}"}}\n', "line 4: not a valid scene entry"),
        (GOOD + f'{{"id": "C", "datasets": [], "files": {{"a": {{"sha256": "{64 * " "}"}}}}}}\n', "line 4: not a valid scene"),
        (GOOD + "\n" + '{"id": "C", "datasets": ["d"]}\n', "line 4: not JSON"),
        (GOOD + '{"id": "A", "datasets": ["d"]}\n', "m.lock: line 4: duplicate entry for scene A"),
        (GOOD + '1, {"id": "C", "datasets": ["d"]}\n', "line 4: not JSON"),
        (GOOD + "[" * 100_000 + "\n", "line 4: not JSON"),
        (GOOD + TWO_ON_ONE_LINE + "\n", "m.lock: line 4: not JSON; `sedas-sync lock` writes a new one"),
        (GOOD + TWO_ON_ONE_LINE + "\n\n", "line 4: not JSON"),
        (GOOD + "\n" + TWO_ON_ONE_LINE, "line 4: not JSON"),
        (GOOD + TWO_ON_ONE_LINE.replace('"C",', '"C",\n'), "line 4: not JSON"),
        (GOOD + TWO_ON_ONE_LINE.replace("} {", "}\r{") + "\n\n", "line 4: not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_lock(text, said):
    with pytest.raises(ManifestError) as caught:
        loads(text, "m.lock")
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


TEXTS = st.text(st.characters(), min_size=1, max_size=20)
INSTANTS = st.datetimes(
    NOW.replace(tzinfo=None, year=1990), NOW.replace(tzinfo=None, year=2100), timezones=st.just(UTC)
)
SIZES = st.none() | st.integers(0, 2**50)
SHA256 = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)
FILES = st.dictionaries(
    st.sampled_from(["B04.tif", "B08.tif", "GRANULE/é.jp2"]), st.builds(LockedFile, size=SIZES, sha256=SHA256)
)
PINS = st.builds(
    LockedScene,
    id=TEXTS,
    datasets=st.lists(st.sampled_from("abc"), unique=True).map(lambda names: tuple(sorted(names))),
    start=st.none() | INSTANTS,
    size=SIZES,
    sha256=SHA256,
    footprint=st.none() | TEXTS,
    files=FILES,
).map(lambda pin: replace(pin, sha256=whole(pin)))
LOCKS = st.lists(PINS, unique_by=lambda pin: pin.id, max_size=8).map(
    lambda pins: Lock(head=lock_of(BASE + 'filters = { z = 1, a = [1, "x"] }\n').head, scenes={pin.id: pin for pin in pins})
)  # fmt: skip


def whole(pin):
    """The digest that a pin may have: of a scene of several files that of their listing, where all are known."""
    digests = [(name, file.sha256) for name, file in pin.files.items()]
    if not digests:
        return pin.sha256
    return None if pin.sha256 is None or None in dict(digests).values() else listing_digest(digests)


@given(LOCKS)
def test_what_is_written_is_what_is_read(lock):
    text = dumps(lock)
    assert loads(text, "m.lock") == lock
    assert loads(text.encode().decode(), "m.lock") == lock, "it is UTF-8"
    assert dumps(loads(text, "m.lock")) == text
    assert text.count("\n") == len(lock.scenes) + 1
    assert head_from(head_json(lock.head)) == lock.head


@given(LOCKS, st.randoms(use_true_random=False))
def test_the_same_bytes_in_whatever_order_it_was_put_together(lock, chance: random.Random):
    def shuffled(values):
        items = list(values.items())
        chance.shuffle(items)
        return dict(items)

    head = LockHead(
        archives=shuffled({key: shuffled(value) for key, value in lock.head.archives.items()}),
        aois=shuffled(lock.head.aois),
        datasets=shuffled({key: shuffled(value) for key, value in lock.head.datasets.items()}),
        intervals=lock.head.intervals,
    )
    assert dumps(Lock(head=head, scenes=shuffled(lock.scenes))) == dumps(lock)


@given(LOCKS, LOCKS)
def test_changes_add_up(old, new):
    said = changes(old, new)
    assert set(said.added) == new.scenes.keys() - old.scenes.keys()
    assert set(said.removed) == old.scenes.keys() - new.scenes.keys()
    assert {scene_id for scene_id, _ in said.changed} == {
        key for key in old.scenes.keys() & new.scenes.keys() if old.scenes[key] != new.scenes[key]
    }
    assert all(what for _, what in said.changed)
    assert bool(said) == (old.scenes != new.scenes)


def action(name, kind=ActionKind.FETCH, *, size=None):
    scene = Scene(id=name, start=NOW, size=size, footprint="POINT (0 0)")
    return Action(
        kind=kind, id=name, datasets=("z", "a"), path=f"{name}.zip", size=None, reason=Reason(ReasonCode.UNCHANGED),
        wanted=None if kind is ActionKind.PRUNE else DesiredScene.of("archive", scene, datasets=("z", "a"), path=f"{name}.zip"),
    )  # fmt: skip


def held(name, digest="b"):
    return LocalScene(
        id=name, path=f"{name}.zip", size=9, mtime_ns=1, sha256=digest * 64, level=ProofLevel.CRC, archive="x"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("of", "file", "before", "pin"),
    [
        (action("A"), None, None, (None, None)),
        (action("A", size=5), None, None, (5, None)),
        (action("A", ActionKind.KEEP), held("A"), None, (9, "b" * 64)),
        (action("A", ActionKind.KEEP), held("A"), LockedScene("A", (), NOW, 7, "c" * 64), (9, "b" * 64)),
        (action("A"), None, LockedScene("A", (), NOW, 7, "c" * 64), (7, "c" * 64)),
        (action("A", size=7), None, LockedScene("A", (), NOW, 7, "c" * 64), (7, "c" * 64)),
        (action("A", size=5), None, LockedScene("A", (), NOW, 7, "c" * 64), (5, None)),
    ],
)
def test_where_a_digest_comes_from(of, file, before, pin):
    head = lock_of(BASE).head
    old = None if before is None else Lock(head=head, scenes={before.id: before})
    made = lock_scenes(head, [of], {} if file is None else {"A": file}, old)
    assert made.scenes == {"A": LockedScene("A", ("a", "z"), NOW, *pin, "POINT (0 0)")}


def unpacked(name, packed, digest="1"):
    file = LocalFile(name="a.jp2", size=4, mtime_ns=1, sha256=digest * 64, level=ProofLevel.CRC)
    return replace(with_files(replace(held(name), path=f"{name}.SAFE"), [file]), packed=packed)


def test_of_an_unpacked_folder_the_zip_and_each_file_are_pinned():
    head, keep = lock_of(BASE).head, [action("A", ActionKind.KEEP)]
    zips = lock_scenes(head, keep, {"A": held("A")})
    folder = unpacked("A", PackedFile(size=9, sha256="b" * 64))
    lock = lock_scenes(head, keep, {"A": folder}, zips)
    files = {"a.jp2": LockedFile(4, "1" * 64)}
    assert lock.scenes["A"] == replace(zips.scenes["A"], unpacked=files)
    assert loads(dumps(lock), "m.lock") == lock
    assert (lock.scenes["A"].sha256, lock.scenes["A"].pinned) == ("b" * 64, {"a.jp2": "1" * 64})
    assert not changes(zips, lock), "a lock of zips is right for their folders"
    assert lock_scenes(head, keep, {"A": held("A")}, lock) == lock, "packed again, the files are still known"
    assert lock_scenes(head, [action("A")], {}, lock) == lock, "not on disk"
    assert not lock_scenes(head, keep, {"A": held("A", "c")}, lock).scenes["A"].unpacked, "another zip"


def test_of_an_adopted_folder_each_file_is_pinned():
    head, keep = lock_of(BASE).head, [action("A", ActionKind.KEEP, size=9)]
    lock = lock_scenes(head, keep, {"A": unpacked("A", PackedFile())})
    assert (lock.scenes["A"].size, lock.scenes["A"].sha256) == (9, None)
    other = lock_scenes(head, keep, {"A": unpacked("A", PackedFile(), "2")})
    assert changes(lock, other).changed == (("A", "checksums of its files changed"),)
    fetched = lock_scenes(head, keep, {"A": unpacked("A", PackedFile(size=9, sha256="b" * 64))})
    assert lock_scenes(head, keep, {"A": unpacked("A", PackedFile())}, fetched) == fetched, "the files are the same"


def test_of_many_files_those_that_differ_are_named():
    def lock(numbers):
        files = {f"B{number:03}.tif": LockedFile() for number in numbers}
        return Lock(head=lock_of(BASE).head, scenes={"A": LockedScene("A", ("a",), files=files)})

    ((_, said),) = changes(lock(range(500)), lock([*range(1, 500), 700])).changed
    assert said == "files: added B700.tif, removed B000.tif"
    ((_, said),) = changes(lock(()), lock(range(500))).changed
    assert said == "files: added B000.tif, B001.tif, B002.tif, B003.tif, B004.tif and 495 more"


def test_what_cannot_be_had_or_is_not_wanted_is_not_pinned():
    head = lock_of(BASE).head
    assert not lock_scenes(head, [action("A", ActionKind.SKIP), action("B", ActionKind.PRUNE)], {}).scenes


@pytest.mark.parametrize(
    "scene",
    [
        '{"id":"A","datasets":[],"files":{"B04.tif":{"size":-1}}}',
        '{"id":"A","datasets":[],"files":{"a//b":{}}}',
        '{"id":"A","datasets":[],"files":{"B04.tif":{"sha256":"0"}}}',
        '{"id":"A","datasets":[],"files":["B04.tif"]}',
        '{"id":"A","datasets":[],"files":{"../B04.tif":{}}}',
        f'{{"id":"A","datasets":[],"sha256":"{64 * "0"}","files":{{"B04.tif":{{"sha256":"{64 * "1"}"}}}}}}',
    ],
)
def test_files_that_make_no_sense_are_no_scene(scene):
    head = dumps(Lock(head=lock_of(BASE).head, scenes={}))
    with pytest.raises(ManifestError, match="line 2: not a valid scene entry"):
        loads(f"{head}{scene}\n", "m.lock")
