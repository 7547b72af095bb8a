"""Digests that a catalogue states anew, end to end, and replacements of much of a mirror at once."""

import hashlib
import os
import sqlite3
from contextlib import closing

import pytest
from terminal import answered

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row

COUNT = 25
NAMES = [f"S{number:02}" for number in range(COUNT)]
MANIFEST = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


def rows(files, digest, *, online=True):
    return [
        make_row(name, f"2019-05-{day:02}T11:00:00Z", filehash=digest(files[f"{name}.zip"]), online=online)
        for day, name in enumerate(NAMES, 1)
    ]


def hashed(name):
    return lambda content: hashlib.new(name, content).hexdigest()


def other(name):
    return lambda content: hashlib.new(name, b"other" + content).hexdigest()


def remembered(workspace):
    with closing(sqlite3.connect(workspace.mirror / ".sedas-sync" / "index.db")) as index:
        return dict(index.execute("SELECT id, digest FROM files"))


@pytest.fixture
def filled(workspace, sandbox):
    """A mirror of twenty-five scenes whose catalogue states MD5."""
    sandbox._catalogue = RowCatalogue([make_row(n, f"2019-05-{d:02}T11:00:00Z") for d, n in enumerate(NAMES, 1)])
    workspace.write(MANIFEST)
    assert workspace.run("apply").code == 0
    files = workspace.files()
    workspace.right = files
    sandbox._catalogue = RowCatalogue(rows(files, hashed("md5")))
    (workspace.mirror / ".sedas-sync" / "index.db").unlink()
    assert workspace.run("apply").code == 0
    assert remembered(workspace) == {name: hashed("md5")(files[f"{name}.zip"]) for name in NAMES}
    return workspace


@pytest.mark.parametrize("name", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("online", [True, False])
def test_the_same_bytes_by_another_algorithm_are_kept_and_remembered(filled, sandbox, name, online):
    """A catalogue that moves from MD5 to SHA-256 costs no download and no order; each file is read once."""
    sandbox._catalogue = RowCatalogue(rows(filled.right, hashed(name), online=online))
    downloads = sandbox.downloads
    plan = filled.run("plan", "--json", "--exit-code")
    assert (plan.code, plan.json["summary"]["keep"], plan.json["warnings"]) == (0, COUNT, [])
    assert filled.run("plan", "--out", "saved.json").code == 0
    ran = filled.run("apply", "--plan", "saved.json", "--json")
    assert (ran.code, ran.summary["kept"], ran.summary["ordered"]) == (0, COUNT, 0), ran.err
    assert sandbox.downloads == downloads
    assert remembered(filled) == {key: hashed(name)(filled.right[f"{key}.zip"]) for key in NAMES}
    for file in filled.mirror.glob("*.zip"):
        # What was read once need not be read again: other bytes of the same size and time are for `verify` to find.
        before = file.stat()
        file.write_bytes(bytes(before.st_size))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert filled.run("plan", "--exit-code").code == 0


def test_another_spelling_of_a_digest_is_the_same_digest(filled, sandbox):
    sandbox._catalogue = RowCatalogue(rows(filled.right, lambda content: hashed("md5")(content).upper()))
    assert filled.run("plan", "--exit-code").code == 0


def test_a_scene_whose_bytes_changed_with_the_algorithm_is_replaced(filled, sandbox):
    """Only what the new digest is not of is fetched anew."""
    new = rows(filled.right, hashed("sha256"))
    new[3] = make_row(NAMES[3], "2019-05-04T11:00:00Z", filehash="0" * 64)
    sandbox._catalogue = RowCatalogue(new)
    plan = filled.run("plan", "--json").json
    assert [(action["action"], action["id"]) for action in plan["actions"]] == [("replace", NAMES[3])]
    ran = filled.run("apply", "--json")
    assert (ran.summary["fetched"], ran.summary["kept"]) == (1, COUNT - 1)


@pytest.mark.parametrize("before", ["intact", "damaged"])
def test_what_is_written_while_a_scene_is_replaced_is_not_written_over(filled, sandbox, before):
    """The download takes its time, and the file that was looked at before it may be another one after it."""
    new = rows(filled.right, hashed("sha256"))
    new[3] = make_row(NAMES[3], "2019-05-04T11:00:00Z", filehash="0" * 64)
    sandbox._catalogue = RowCatalogue(new)
    file = filled.mirror / f"{NAMES[3]}.zip"
    if before == "damaged":
        file.write_bytes(b"mine, of before")

    def work(request, answer):
        file.write_bytes(b"mine")
        return answer(request)

    sandbox.faults = Faults(rules=(Rule("download", work, times=1),))
    ran = filled.run("apply", "--json")
    assert ran.code == 1
    assert "another file appeared at this path meanwhile" in ran.summary["failures"][0]["error"]
    assert file.read_bytes() == b"mine"
    downloads = sandbox.downloads
    assert filled.run("apply", "--json").code == 0
    assert sandbox.downloads <= downloads + 1
    kept = filled.mirror / ".sedas-sync" / "replaced"
    assert b"mine" in [one.read_bytes() for one in kept.iterdir()]


def test_a_file_that_was_touched_is_compared_by_the_new_digest_too(filled, sandbox):
    sandbox._catalogue = RowCatalogue(rows(filled.right, hashed("sha1")))
    for file in filled.mirror.glob("*.zip"):
        os.utime(file, ns=(1, 1))
    assert filled.run("apply", "--json").summary["kept"] == COUNT
    assert filled.run("status", "--json").json["summary"]["refreshed"] == 0


@pytest.mark.parametrize("online", [True, False])
def test_much_of_a_mirror_is_not_replaced_without_a_question(filled, sandbox, online):
    """More than a fifth of twenty scenes or more: without a terminal it is a refusal, and the rest is done."""
    fresh = make_row("FRESH", "2019-05-30T11:00:00Z")
    changed = rows(filled.right, other("sha256"), online=online)
    sandbox._catalogue = RowCatalogue([*changed, fresh])
    plan = filled.run("plan", "--json")
    assert (plan.code, plan.json["summary"]["replace" if online else "order"]) == (0, COUNT)
    assert any("25 of 25 scenes would be replaced at once" in said for said in plan.json["warnings"])
    assert filled.run("plan", "--out", "saved.json").code == 0
    for number, arguments in enumerate((("--plan", "saved.json"), ())):
        ran = filled.run("apply", "--no-wait", "--json", *arguments)
        assert (ran.code, ran.summary["kept"], ran.summary["ordered"]) == (1, COUNT + number, 0)
        assert filled.files().items() >= filled.right.items()
    (failure,) = ran.summary["failures"]
    assert failure["id"] == "replace"
    assert "none was replaced" in failure["error"]
    assert "--yes" in failure["error"]
    assert (filled.mirror / "FRESH.zip").exists(), "the rest is done"
    ran = filled.run("apply", "--no-wait", "--yes", "--json")
    assert ran.summary["fetched" if online else "pending"] == COUNT


def test_a_fifth_is_not_much(filled, sandbox):
    changed = [*rows(filled.right, other("sha256"))[:5], *rows(filled.right, hashed("md5"))[5:]]
    sandbox._catalogue = RowCatalogue(changed)
    ran = filled.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 5)


def test_damaged_files_are_mended_without_a_question(filled, sandbox):
    """Nothing that is right gives way to what is fetched for them."""
    for name in NAMES[:20]:
        (filled.mirror / f"{name}.zip").write_bytes(b"damaged")
    ran = filled.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 20)


@pytest.mark.parametrize(("answer", "code", "fetched"), [("y\n", 0, True), ("n\n", 1, False)])
def test_on_a_terminal_it_is_asked(filled, sandbox, answer, code, fetched):
    sandbox._catalogue = RowCatalogue(rows(filled.right, other("sha256")))
    sandbox.faults = Faults()
    downloads = sandbox.downloads
    ended, shown = answered(filled, "apply", "--no-progress", answer=answer)
    assert "Carry out this plan, which replaces 25 scenes?" in shown
    assert shown.count("[y/N]") == 1, shown
    assert ended == code
    assert (sandbox.downloads > downloads) is fetched
