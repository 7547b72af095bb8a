"""Exports piece by piece: lists that other tools read, hostile scenes as STAC, and the catalogue's folder."""

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st
from stac_schemas import quick_problems

from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.scene import Scene
from sedas_sync.output.export import catalogue
from sedas_sync.output.export import stac as as_stac
from sedas_sync.output.export.inventory import ExportEntry
from sedas_sync.output.export.lists import aria2, link_problem, sha256sums
from sedas_sync.output.export.tables import LOCAL_COLUMNS, TableRow, as_csv, as_geojson

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def holding(scene_id="A", path=None, facts="{}"):
    return LocalScene(
        id=scene_id,
        path=path or f"{scene_id}.zip",
        size=0,
        mtime_ns=0,
        sha256=EMPTY,
        level=ProofLevel.CRC,
        archive="test",
        facts=facts,
    )


def write(folder, groups, content="x"):
    root, marks = str(folder.parent / "scenes"), {catalogue.MARK: content}
    return as_stac.write(folder, groups, name="m", root=root, to_mirror="../scenes", marks=marks)


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["plain.zip", "with blank", "back\\slash", "new\nline", "-n", "*", " lead", "é", "\\n"]
)
def test_sha256sum_accepts_any_name(tmp_path, name):
    (tmp_path / "sub").mkdir()
    path = f"sub/{name}"
    (tmp_path / path).touch()
    ran = subprocess.run(
        ["sha256sum", "--check", "--strict", "-"],
        cwd=tmp_path,
        input=b"".join(sha256sums([holding(path=path)])),
        capture_output=True,
    )
    assert ran.returncode == 0, ran


@pytest.mark.parametrize(
    "url",
    [
        "https://host/a?X-Amz-Signature=abc&x=1",
        "https://user:secret@host/a",
        "https://host/a?token=abcdef",
        "https://host/a\n  out=/etc/passwd",
        "https://host/a\thttps://other/a",
        "file:///etc/passwd",
        "",
    ],
)
def test_links_with_a_secret_or_an_option_are_not_written(url):
    assert link_problem(url) is not None


def test_entry_for_aria2_has_path_and_checksum():
    assert link_problem("https://host/a?id=b") is None
    assert aria2("https://host/a", "x/y.zip", EMPTY) == f"https://host/a\n  out=x/y.zip\n  checksum=sha-256={EMPTY}\n"
    assert aria2("https://host/a", "y.zip", "0" * 32) == f"https://host/a\n  out=y.zip\n  checksum=md5={'0' * 32}\n"
    named = f"sha512:{'A' * 128}"
    assert aria2("https://host/a", "y", named) == f"https://host/a\n  out=y\n  checksum=sha-512={'a' * 128}\n"
    assert aria2("https://host/a", "y.zip", f"sha3_256:{EMPTY}") == "https://host/a\n  out=y.zip\n"
    assert aria2("https://host/a", "y.zip", None) == "https://host/a\n  out=y.zip\n"


# -- hostile scenes --------------------------------------------------------------------------------------------------

odd = st.one_of(
    st.none(), st.sampled_from(["", " ", "\x00", "\n,\"'", "<script>", "\ud800", "L1C", "VV+XX", "S1"]), st.text()
)
moments = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone
scenes = st.builds(
    Scene,
    id=st.sampled_from(
        [
            "A",
            "a",
            "..",
            "x/y é",
            "S2A_MSIL1C_20190505T111625_N0207_R037_T30UXC_20190505T140416",
            "S1A_IW_GRDH_1SDV_20190502T175756_20190502T175821_027052_030DF9_07AC",
        ]
    ),
    start=moments,
    stop=moments,
    footprint=st.one_of(
        odd, st.just("POLYGON((179 -1,-179 -1,-179 1,179 1,179 -1))"), st.just("POLYGON((0 0,0 1,1 1,0 0))")
    ),
    sensor=st.sampled_from([None, "optical", "sar"]),
    satellite=odd | st.just("Sentinel-1A"),
    instrument=odd,
    mode=odd | st.just("IW"),
    product_type=odd | st.just("GRD"),
    orbit=st.none() | st.integers(-5, 5),
    orbit_direction=odd | st.just("ASCENDING"),
    relative_orbit=st.none() | st.integers(-5, 200),
    tile=odd | st.sampled_from(["01CAB", "00CAB", "60XZZ", "1CAB"]),
    polarisation=odd | st.just("VV/VH"),
    cloud_cover=st.none() | st.floats(-200, 200),
    resolution=st.none() | st.floats(-1, 10),
    extra=st.dictionaries(st.text(), st.text(), max_size=1),
)


def entries_of(some):
    unique = {scene.id: scene for scene in some}
    return [
        ExportEntry(
            local=holding(one, f"{number}.zip", metadata_of(unique[one])), datasets=("d",) if number % 2 else ()
        )
        for number, one in enumerate(sorted(unique))
    ]


@settings(max_examples=effort(12, 100), deadline=None)
@given(st.lists(scenes, max_size=4))
def test_catalogue_is_valid_for_any_metadata(tmp_path_factory, some):
    folder = tmp_path_factory.mktemp("stac")
    entries = entries_of(some)
    groups = as_stac.groups_of(entries, {"d": (0.0, 0.0, 1.0, 1.0)})
    left_out = write(folder, groups)
    assert quick_problems(folder) == []
    items = list(pystac.read_file(folder / "catalog.json").get_items(recursive=True))
    timeless = {entry.id for entry in entries if entry.scene.start is None and entry.scene.stop is None}
    assert sorted([item.id for item in items] + [failure.id for failure in left_out]) == [e.id for e in entries]
    assert {failure.id for failure in left_out} == timeless


def test_items_have_the_orbit_and_the_tile_that_the_catalogue_states(tmp_path):
    start = datetime(2019, 5, 5, tzinfo=UTC)
    some = [Scene(id="A", start=start, relative_orbit=7, tile="01CAB"), Scene(id="B", start=start, tile="EPSG:1")]
    write(tmp_path, as_stac.groups_of(entries_of(some), {"d": None}))
    items = pystac.read_file(tmp_path / "catalog.json").get_items(recursive=True)
    one, other = sorted(items, key=lambda item: item.id)
    assert one.properties["sat:relative_orbit"] == 7
    assert (one.properties["grid:code"], one.properties["proj:code"]) == ("MGRS-01CAB", "EPSG:32701")
    assert "grid:code" not in other.properties


@settings(max_examples=30, deadline=None)
@given(st.lists(scenes, max_size=4))
def test_tables_can_be_read_back_for_any_metadata(some):
    import csv
    import io

    entries = entries_of(some)
    rows = [TableRow(entry.scene, entry.datasets, entry.local) for entry in entries]
    collection = json.loads("".join(as_geojson(rows)))
    assert [feature["id"] for feature in collection["features"]] == [entry.id for entry in entries]
    table = list(csv.DictReader(io.StringIO("".join(as_csv(rows, LOCAL_COLUMNS)), newline="")))
    assert [line["id"] for line in table] == [entry.id for entry in entries]
    assert all(tuple(line) == LOCAL_COLUMNS for line in table)


def test_broken_metadata_leaves_what_the_index_knows():
    for facts in ("{", "[]", "{}", '{"id": "B", "start": "never"}', '{"id": "B"}'):
        assert ExportEntry(local=holding("A", facts=facts), datasets=()).scene.id == "A"


# -- the folder ------------------------------------------------------------------------------------------------------


def make(place, *names, content="x"):
    entries = [
        ExportEntry(
            local=holding(name, facts=metadata_of(Scene(id=name, start=datetime(2020, 1, 1, tzinfo=UTC)))),
            datasets=("d",),
        )
        for name in names
    ]
    with catalogue.written_beside(place) as beside:
        write(beside, as_stac.groups_of(entries, {"d": None}), content=content)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("exchange", [True, False])
def test_a_new_catalogue_replaces_the_old_one(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(catalogue, "_exchange", lambda *_: False)
    place = tmp_path / "stac"
    make(place, "A", "B")
    make(place, "B", "C", content="y")
    assert files(place) == ["catalog.json", "d/collection.json", "d/items/B.json", "d/items/C.json"]
    assert catalogue.content_of(place) == "y"
    assert [path.name for path in tmp_path.iterdir()] == ["stac"]


def test_a_failure_keeps_the_old_catalogue(tmp_path):
    place = tmp_path / "stac"
    make(place, "A")

    def fail():
        with catalogue.written_beside(place) as beside:
            (beside / "catalog.json").write_text("{}")
            raise OSError(28, os.strerror(28))

    with pytest.raises(SedasSyncError, match="No space left"):
        fail()
    assert files(place) == ["catalog.json", "d/collection.json", "d/items/A.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["stac"]


def test_next_export_removes_leftovers_of_a_kill_but_not_of_a_running_export(tmp_path):
    place = tmp_path / "stac"
    make(place, "A")
    script = (
        "import os, sys; from pathlib import Path; from sedas_sync.output.export import catalogue\n"
        "with catalogue.written_beside(Path(sys.argv[1])) as beside:\n"
        "    (beside / 'd' / 'items').mkdir(parents=True); (beside / 'd' / 'items' / 'A.json').write_text('{')\n"
        "    print('writing', flush=True); sys.stdin.read(); os._exit(9)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    writer.stdout.readline()
    make(place, "B")
    assert len(list(tmp_path.iterdir())) == 2, "a catalogue that is being written is left alone"
    writer.communicate("")
    assert writer.returncode == 9
    assert files(place) == ["catalog.json", "d/collection.json", "d/items/B.json"]
    make(place, "B")
    assert [path.name for path in tmp_path.iterdir()] == ["stac"]


def test_other_files_are_never_changed(tmp_path):
    mirror = tmp_path / "scenes"
    place = tmp_path / "stac"
    make(place, "A")
    catalogue.check_place(place, mirror)
    for stranger in ("notes.txt", "d/items/own.json", "d/more/own.json"):
        (place / stranger).parent.mkdir(exist_ok=True)
        (place / stranger).write_text("{}")
        with pytest.raises(ManifestError, match=stranger):
            catalogue.check_place(place, mirror)
        (place / stranger).unlink()
    other = tmp_path / "other"
    other.mkdir()
    catalogue.check_place(other, mirror)
    for content in ("{}", "[]", "{", '{"sedas_sync:content": 1}'):
        (other / "catalog.json").write_text(content)
        with pytest.raises(ManifestError, match="is not a catalogue of sedas-sync"):
            catalogue.check_place(other, mirror)
    for bad in (mirror, tmp_path, mirror / ".sedas-sync" / "stac"):
        with pytest.raises(ManifestError, match="the mirror's folder"):
            catalogue.check_place(bad, mirror)


def test_odd_ids_get_their_own_files():
    names = as_stac._names(["A", "a", "..", "x/y", "x_y", "é", "B" * 300, "\ud800"])
    assert names["A"] == "A"
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(as_stac._PLAIN.fullmatch(name.replace("~", "")) or "~" in name for name in names.values())
    assert all(not Path(name).name.startswith(".") and "/" not in name and len(name) < 220 for name in names.values())


# -- CSV for spreadsheets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3+cmd|'x'!A0", "'-2+3+cmd|'x'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "' =1"),
        ("\r=1", "' =1"),
        ("\n =1", "'  =1"),
        ("  =1", "'  =1"),
        ("-1.31", "-1.31"),
        ("+1e-3", "+1e-3"),
        ("plain - text", "plain - text"),
    ],
)
def test_a_cell_is_never_a_formula(text, cell):
    (line,) = csv.DictReader(as_csv([TableRow(Scene(id="A", product_type=text), ())], ["id", "product_type"]))
    assert line == {"id": "A", "product_type": cell}


def test_numbers_stay_numbers():
    (line,) = csv.DictReader(
        as_csv([TableRow(Scene(id="-x", cloud_cover=-1.31, orbit=-7), ())], ["id", "cloud_cover", "orbit"])
    )
    assert line == {"id": "'-x", "cloud_cover": "-1.31", "orbit": "-7"}
