"""Paths in the mirror: templates that are refused, and names that are safe whatever a catalogue says."""

import re
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sedas_sync.model.path_template import FIELDS, Layout, collisions
from sedas_sync.model.scene import Scene

ID = "S2A_MSIL1C_20190430T110621_N0207_R137_T30UXC_20190430T131232"
SCENE = Scene(
    id=ID,
    start=datetime(2019, 4, 30, 11, 6, 21, tzinfo=UTC),
    stop=datetime(2019, 4, 30, 11, 6, 24, tzinfo=UTC),
    sensor="optical",
    satellite="Sentinel-2A",
    source_group="S2",
    product_type="L1C",
)
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.IGNORECASE)


def path(template, scene=SCENE, **options):
    return Layout.parse(template).path(scene, **{"dataset": "fields", "archive": "sedas", **options})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{id}", f"{ID}.zip"),
        ("{satellite}/{start:%Y/%m}/{id}", f"Sentinel-2A/2019/04/{ID}.zip"),
        ("{archive}/{dataset}/{sensor}/{id}", f"sedas/fields/optical/{ID}.zip"),
        ("{source_group}_{product_type}/{start:%Y-%m-%d}/{id}", f"S2_L1C/2019-04-30/{ID}.zip"),
        ("{start}-{stop}/{id}", f"20190430T110621-20190430T110624/{ID}.zip"),
        ("{start:%Y}/x/{stop:%j}/{id}", f"2019/x/120/{ID}.zip"),
        ("{start:%Y/raw/%m}/{id}", f"2019/raw/04/{ID}.zip"),
        ("{{{id}}}", f"{{{ID}}}.zip"),
        ("a b/100% {id} done", f"a b/100% {ID} done.zip"),
        ("{start:%Y%%}{id}", f"2019%{ID}.zip"),
        ("-{id}", f"-{ID}.zip"),
    ],
)
def test_a_template_becomes_a_path(template, expected):
    assert path(template) == expected


def test_what_the_catalogue_does_not_say_is_unknown():
    bare = Scene(id="x")
    assert path("{satellite}/{start:%Y/%m}/{sensor}-{id}", bare) == "unknown/unknown/unknown/unknown-x.zip"


def test_the_extension_is_the_callers():
    assert path("{id}", extension=".tar.gz") == f"{ID}.tar.gz"
    assert path("{id}", extension="") == ID
    for wrong in ("zip", "./x", ".a/b", ".zip "):
        with pytest.raises(ValueError, match="not a file name extension"):
            path("{id}", extension=wrong)


def test_a_layout_knows_its_template():
    assert str(Layout.parse("{id}")) == "{id}"
    assert Layout.parse("{id}") == Layout.parse("{id}") != Layout.parse("x{id}")


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("/scenes/{id}", "absolute path"),
        ("C:/scenes/{id}", "absolute path"),
        ("c:{id}", "absolute path"),
        ("~/{id}", "not expanded"),
        ("../{id}", r"leaves the mirror with '\.\.'"),
        ("a/../{id}", r"leaves the mirror with '\.\.'"),
        ("./{id}", "begins with a dot"),
        (".sedas-sync/{id}", r"'\.sedas-sync' begins with a dot"),
        (".{id}", "begins with a dot"),
        ("a\\{id}", r"the character '\\\\' in"),
        ("a//{id}", "empty folder"),
        ("{id}/", "empty folder or file name"),
        ("ab:c/{id}", "the character ':' in 'ab:c'"),
        ("a\n{id}", r"the character '\\n'"),
        ("a\u202e{id}", "cannot be in a file name"),
        ("{start:%Y:%m}/{id}", "the character ':'"),
        (" a/{id}", "begins with a space"),
        ("a./{id}", "ends in a space or dot"),
        ("{dataset} /{id}", "ends in a space or dot"),
        ("con/{id}", "'con' is reserved on Windows"),
        ("Lpt1.x/{id}", "reserved on Windows"),
        ("e\u0301/{id}", "composed form"),
        ("x" * 240 + "/{id}", "too long"),
        ("a/" * 16 + "{id}", "17 folders"),
        ("{satellite}/{start:%Y}", "must contain {id}"),
        ("plain", "must contain {id}"),
        ("{idd}", r"unknown field {idd} \(did you mean {id}\?\); the fields are id, dataset, archive"),
        ("{zzz}", "unknown field {zzz}; the fields are"),
        ("{}", "unknown field {}"),
        ("{0}", "unknown field {0}"),
        ("{id.real}", "unknown field {id.real}"),
        ("{id[0]}", r"unknown field {id\[0\]}"),
        ("{id!r}", "conversion"),
        ("{id:>9}", "takes no format"),
        ("{start:Y}/{id}", "no directive"),
        ("{start:%c}/{id}", "has %c"),
        ("{start:%D}/{id}", "has %D"),
        ("{start:%}/{id}", "has %,"),
        ("{start:%Y/../%m}/{id}", r"leaves the mirror with '\.\.'"),
        ("{start:%Y//%m}/{id}", "empty folder"),
        ("{id", "braces do not match"),
        ("id}", "braces do not match"),
    ],
)
def test_a_template_that_leads_elsewhere_is_refused(template, sentence):
    with pytest.raises(ValueError, match=sentence):
        Layout.parse(template)


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("../../etc/passwd", "_._.._etc_passwd~"),
        ("/etc/passwd", "_etc_passwd~"),
        ("..", "__~"),
        (".", "_~"),
        ("", "_~"),
        (".sedas-sync", "_sedas-sync~"),
        ("a\\b", "a_b~"),
        ("a\x00b\nc", "a_b_c~"),
        ("evil\u202egpj", "evil_gpj~"),
        ("a\u200bb", "a_b~"),
        ("a\ufe0fb", "a_b~"),
        ("a\u3164b", "a_b~"),
        ("a\ud800b", "a_b~"),
        ("a b. ", "a b._~"),
        ("con", "_con~"),
        ("COM1.SAFE", "_COM1.SAFE~"),
        ("lpt\u00b9", "_lpt\u00b9~"),
        ('<>:"|?*', "_______~"),
        ("a~b", "a_b~"),
        ("e\u0301", "\u00e9~"),
    ],
)
def test_a_hostile_id_is_made_harmless(value, start):
    name = path("{id}", Scene(id=value))
    assert re.fullmatch(re.escape(start) + r"[0-9a-f]{12}\.zip", name)
    assert path("{id}", Scene(id=value)) == name


def test_an_overlong_id_is_cut_at_a_character_and_stays_its_own():
    one, other = path("{id}", Scene(id="ü" * 400 + "1")), path("{id}", Scene(id="ü" * 400 + "2"))
    assert one != other
    assert len(one.encode()) <= 235
    assert one.startswith("üüü")


def test_a_changed_name_never_falls_on_an_unchanged_one():
    changed = path("{id}", Scene(id="a/b"))
    assert path("{id}", Scene(id=changed.removesuffix(".zip"))) != changed


def test_a_reserved_name_that_a_template_puts_together_is_noticed():
    assert path("CO{satellite}/{id}", Scene(id="x", satellite="N")).startswith("_CON~")


HOSTILE = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="./\\ ~:-_\u202e\u200d\u0301aeCON1\x00\ud800\uff0e", max_size=30),
    st.sampled_from(["..", ".", "", "con", "NUL.zip", "/", "\u2024\u2024", "a\u037eb", "x" * 300]),
)


def is_safe(name: str) -> bool:
    """Written without a look at how the code decides."""
    return (
        0 < len(name.encode()) <= 235
        and name not in {".", ".."}
        and name[0] not in ". "
        and name[-1] not in ". "
        and not set(name) & set('/\\<>:"|?*')
        and all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in name)
        and unicodedata.normalize("NFC", name) == name
        and not RESERVED.fullmatch(name)
    )


@given(
    st.sampled_from(
        [
            "{id}",
            "{satellite}/{start:%Y/%m}/{id}",
            "{source_group}{product_type}/x{satellite}y/{id}{sensor}",
            "{archive}/{dataset}/" + "{satellite}/" * 13 + "{id}",
            "e{satellite}/n{id}",
        ]
    ),
    st.dictionaries(st.sampled_from(["id", "satellite", "source_group", "product_type"]), HOSTILE),
)
@example("e{satellite}/n{id}", {"id": "\u0303", "satellite": "\u0301"})
def test_a_path_is_safe_and_has_the_segments_of_its_template(template, values):
    scene = Scene(**{"id": "x", **values})
    found = path(template, scene)
    names = found.split("/")
    assert len(names) == len(Layout.parse(template).path(Scene(id="x"), dataset="a", archive="b").split("/"))
    assert all(map(is_safe, names)), found
    assert len(found.encode()) + 20 <= 1000
    assert found.endswith(".zip")
    assert path(template, scene) == found


@given(st.lists(HOSTILE, min_size=2, max_size=6, unique=True))
def test_different_ids_never_have_the_same_path(ids):
    assert len({path("{id}", Scene(id=value)) for value in ids}) == len(ids)


@given(
    st.text(alphabet="ABCSabcxyz0123456789_-+", min_size=1, max_size=100).filter(lambda s: not RESERVED.fullmatch(s))
)
def test_a_plain_id_stays_as_it_is(value):
    assert path("{id}", Scene(id=value)) == f"{value}.zip"


def test_collisions_are_found_as_forgetful_file_systems_have_them():
    paths = {
        "a": "x/A.zip",
        "b": "x/b.zip",
        "A": "X/a.zip",
        "c": "\u00e9.zip",
        "d": "e\u0301.zip",
        "e": "ss.zip",
    }
    assert collisions(paths) == {"x/A.zip": ("a", "A"), "\u00e9.zip": ("c", "d")}
    assert collisions({}) == {}


def test_every_field_of_the_contract_is_there():
    assert set(FIELDS) == {
        "id", "dataset", "archive", "sensor", "satellite", "source_group", "product_type", "start", "stop",
    }  # fmt: skip
    for field in FIELDS:
        assert path(f"{{{field}}}/{{id}}").endswith(f"/{ID}.zip")
