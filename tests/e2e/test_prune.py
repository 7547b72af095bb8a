"""apply --prune, end to end: what goes, what stays and is said, and when nothing is removed at all."""

import os
import pty
import re
import select
import sqlite3
import subprocess

import pytest

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import error, fail

NAMES = "ABCDEFGH"


def manifest(rules="", start="2019-05-01", end="2019-05-31", name="d"):
    return f'[dataset.{name}]\naoi = "harwell"\nstart = {start}\nend = {end}\n{rules}'


def row(name, day, **more):
    return make_row(name, f"2019-05-{day:02}T11:00:00Z", **more)


@pytest.fixture
def workspace(quick_workspace):
    return quick_workspace


@pytest.fixture
def filled(workspace, sandbox):
    """A mirror of eight scenes, one a day from the first of May 2019."""
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES, 1)])
    workspace.write(manifest())
    assert workspace.run("apply").code == 0
    return workspace


def left(workspace):
    return "".join(sorted(name.removesuffix(".zip") for name in workspace.files()))


def test_prune_removes_what_the_rules_no_longer_admit(filled, sandbox):
    """`--prune` removes files of scenes that the manifest's rules no longer admit."""
    filled.write(manifest(start="2019-05-03"))
    assert filled.run("plan", "--exit-code").code == 0, "without --prune nothing is in the way of being up to date"
    plan = filled.run("plan", "--prune", "--json", "--exit-code")
    assert plan.code == 10
    assert plan.json["summary"]["prune"] == 2
    assert [(a["action"], a["id"], a["datasets"], a["path"]) for a in plan.json["actions"]] == [
        ("prune", "A", [], "A.zip"),
        ("prune", "B", [], "B.zip"),
    ]
    assert "sensed 2019-05-01T11:00:00Z" in plan.json["actions"][0]["reason"]
    shown = filled.run("plan", "--prune").out
    assert re.search(
        r"^  prune 2, .*\n    - .* A  \(no longer wanted: d: sensed 2019-05-01T11:00:00Z", shown, re.MULTILINE
    )
    assert "apply --prune" in shown
    assert left(filled) == NAMES, "a plan removes nothing"
    downloads = sandbox.downloads
    ran = filled.run("apply", "--prune", "--json")
    assert ran.code == 0, ran.err
    assert (ran.summary["pruned"], ran.summary["kept"], ran.summary["failed"]) == (2, 6, 0)
    pruned = [event for event in ran.events if event["event"] == "pruned"]
    assert [(event["id"], event["path"]) for event in pruned] == [("A", "A.zip"), ("B", "B.zip")]
    assert all(event["size"] > 0 for event in pruned)
    assert left(filled) == "CDEFGH"
    again = filled.run("apply", "--prune", "--json")
    assert (again.code, again.summary["pruned"], again.summary["kept"]) == (0, 0, 6)
    assert sandbox.downloads == downloads


def test_without_prune_nothing_is_removed(filled):
    filled.write(manifest(start="2019-05-03"))
    ran = filled.run("apply", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 0)
    assert left(filled) == NAMES


@pytest.mark.parametrize(
    ("rules", "stays"),
    [
        ("latest = 6\n", "CDEFGH"),
        ('exclude = ["D*", "E"]\n', "ABCFGH"),
        ('sensor = "optical"\nmax_cloud_cover = 50\n', "ABCDEFGH"),
    ],
)
def test_every_rule_counts(filled, rules, stays):
    filled.write(manifest(rules))
    assert filled.run("apply", "--prune").code == 0
    assert left(filled) == stays


def test_a_superseded_baseline_goes_when_the_newest_is_wanted(workspace, sandbox):
    old = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
    new = "S2A_MSIL1C_20190506T110621_N0500_R137_T30UXC_20230401T120000"
    sandbox._catalogue = RowCatalogue([row(old, 6), row(new, 6), row("OTHER", 7)])
    workspace.write(manifest())
    workspace.run("apply")
    assert len(workspace.files()) == 3
    workspace.write(manifest('reprocessed = "newest"\n'))
    ran = workspace.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1)
    assert set(workspace.files()) == {f"{new}.zip", "OTHER.zip"}


def test_a_scene_that_vanished_from_the_catalogue_and_still_fits_is_kept_and_said(filled, sandbox):
    """A scene that still fits but has vanished from the catalogue is kept, and said so."""
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES, 1) if name not in "BG"])
    plan = filled.run("plan", "--prune", "--json", "--all")
    assert plan.json["summary"]["prune"] == 0
    (b,) = [action for action in plan.json["actions"] if action["id"] == "B"]
    assert b["action"] == "keep"
    assert "does not list it" in b["reason"]
    ran = filled.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"], ran.summary["kept"]) == (0, 0, 8)
    (warning,) = [event["message"] for event in ran.events if event["event"] == "warning"]
    assert "B, G" in warning
    assert left(filled) == NAMES


def test_a_scene_that_vanished_is_judged_by_the_facts_stored_with_it(filled, sandbox):
    """Judged from the facts stored with them."""
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES, 1) if name not in "AH"])
    filled.write(manifest(start="2019-05-03"))
    ran = filled.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 2)
    assert left(filled) == "CDEFGH", "A and B are before the start; H has vanished and fits"
    filled.write(manifest("latest = 3\n", start="2019-05-03"))
    assert filled.run("apply", "--prune", "--json").summary["pruned"] == 2
    assert left(filled) == "EFGH", "the catalogue's newest three, and the one that only the mirror knows"


def test_never_after_a_search_that_failed(filled, sandbox):
    """Never after a search that failed or came back incomplete."""
    sandbox._catalogue = RowCatalogue([*(row(name, day) for day, name in enumerate(NAMES, 1)), row("NEW", 20)])
    broken = manifest(start="2019-05-03") + manifest('satellite = "No such"\n', name="broken")

    def refuse(request, answer):
        return error(500, "trouble") if "satelliteName" in (request.json or {}) else answer(request)

    filled.write(broken, transfer="retries = 0")
    sandbox.faults = Faults(rules=(Rule("search", refuse),))
    plan = filled.run("plan", "--prune", "--json")
    assert plan.code == 1
    assert plan.json["summary"]["prune"] == 0
    ran = filled.run("apply", "--prune", "--json")
    assert ran.code == 1
    assert (ran.summary["fetched"], ran.summary["pruned"]) == (1, 0), "the rest is done"
    assert [failure["id"] for failure in ran.summary["failures"]] == ["broken"]
    assert any("nothing is removed" in event["message"] for event in ran.events if event["event"] == "warning")
    assert set(left(filled)) == set(NAMES) | set("NEW")


def test_never_after_a_search_that_came_back_incomplete(filled, sandbox):
    """Never after a search that failed or came back incomplete."""
    crowd = [make_row(f"X{n}", "2019-05-20T11:00:00Z") for n in range(6)]
    sandbox._catalogue = RowCatalogue([*(row(name, day) for day, name in enumerate(NAMES, 1)), *crowd])
    sandbox.faults = Faults(cap=3)
    filled.write(manifest(start="2019-05-03"))
    ran = filled.run("apply", "--prune", "--json")
    assert ran.code == 1
    assert ran.summary["fetched"] >= 3
    assert ran.summary["pruned"] == 0
    assert set(NAMES) < set(left(filled))


def test_removals_happen_last_and_only_if_nothing_failed(filled, sandbox):
    rows = [row(name, day) for day, name in enumerate(NAMES, 1)]
    sandbox._catalogue = RowCatalogue([*rows, row("NEW", 20)])
    filled.write(manifest(start="2019-05-03"), transfer="retries = 0")
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"NEW"}),))
    ran = filled.run("apply", "--prune", "--json")
    assert ran.code == 1
    assert ran.summary["pruned"] == 0
    assert any("stay" in event["message"] for event in ran.events if event["event"] == "warning")
    assert left(filled) == NAMES
    sandbox.faults = Faults()
    ran = filled.run("apply", "--prune", "--json")
    order = [event["event"] for event in ran.events if event["event"] in ("fetched", "pruned")]
    assert order == ["fetched", "pruned", "pruned"]


def test_a_file_changed_since_it_was_fetched_is_never_deleted(filled):
    (filled.mirror / "A.zip").write_bytes(b"my own work under a scene's name")
    os.utime(filled.mirror / "B.zip")
    (filled.mirror / "C.zip").unlink()
    (filled.mirror / "C.zip").symlink_to(filled.path / "manifest.toml")
    filled.write(manifest(start="2019-05-04"))
    ran = filled.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1), "B was only touched"
    assert (filled.mirror / "A.zip").read_bytes() == b"my own work under a scene's name"
    assert (filled.mirror / "C.zip").is_symlink()
    assert not (filled.mirror / "B.zip").exists()
    said = " ".join(event["message"] for event in ran.events if event["event"] == "warning")
    assert "A.zip" in said
    assert "C.zip" in said


def test_files_that_were_only_touched_are_read_once_and_keep_their_facts(filled, sandbox):
    """Rules are judged from the facts stored with a file, which a look at its bytes must not lose."""
    for name in NAMES:
        os.utime(filled.mirror / f"{name}.zip")
    assert filled.run("apply", "--json").summary["kept"] == len(NAMES)
    with sqlite3.connect(filled.mirror / ".sedas-sync" / "index.db") as index:
        times = dict(index.execute("SELECT path, mtime_ns FROM files"))
    assert times == {f"{name}.zip": (filled.mirror / f"{name}.zip").stat().st_mtime_ns for name in NAMES}
    sandbox._catalogue = RowCatalogue([])
    filled.write(manifest(start="2019-05-03"))
    assert filled.run("apply", "--prune", "--json").summary["pruned"] == 2
    assert left(filled) == "CDEFGH"


def test_nothing_that_the_index_does_not_know_is_ever_deleted(filled):
    """Nothing that the index does not know is ever deleted."""
    strangers = {"notes.txt": b"mine", "Z.zip": b"also mine", "sub/A.zip": b"and this"}
    (filled.mirror / "sub").mkdir()
    for name, content in strangers.items():
        (filled.mirror / name).write_bytes(content)
    (filled.mirror / ".sedas-sync" / "index.db").unlink()
    filled.write(manifest(start="2019-05-20"))
    ran = filled.run("apply", "--prune", "--yes", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 0), "an empty index knows nothing that could go"
    assert set(left(filled)) == {*NAMES, "Z"}
    for name, content in strangers.items():
        assert (filled.mirror / name).read_bytes() == content


def test_beyond_max_prune_it_is_a_refusal_without_a_terminal(filled, sandbox):
    """Beyond `--max-prune` (default 10%, at least 5 files) it asks; without a terminal it is a refusal."""
    sandbox._catalogue = RowCatalogue([*(row(name, day) for day, name in enumerate(NAMES, 1)), row("NEW", 20)])
    filled.write(manifest(start="2019-05-07"))
    ran = filled.run("apply", "--prune", "--json")
    assert ran.code == 1
    assert (ran.summary["fetched"], ran.summary["pruned"]) == (1, 0), "the rest is done"
    assert (ran.summary["failed"], ran.summary["failures"], ran.summary["exit_code"]) == (0, [], 1), "no scene failed"
    (warning,) = (event for event in ran.events if event["event"] == "warning")
    assert "6 of 8 files" in warning["message"]
    for limit in ("5", "50%"):
        assert filled.run("apply", "--prune", "--max-prune", limit).code == 1
    assert filled.run("apply", "--prune", "--max-prune", "6", "--json").summary["pruned"] == 6


@pytest.mark.parametrize("limit", ["75%", "6"])
def test_max_prune_may_be_a_number_or_a_share(filled, limit):
    filled.write(manifest(start="2019-05-07"))
    assert filled.run("apply", "--prune", "--max-prune", limit, "--json").summary["pruned"] == 6


def test_yes_answers_the_question(filled):
    filled.write(manifest(start="2019-05-07"))
    ran = filled.run("apply", "--prune", "--yes", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 6)


@pytest.mark.parametrize(("answer", "code", "stays"), [("y\n", 0, "GH"), ("n\n", 1, NAMES), ("\x04", 1, NAMES)])
def test_on_a_terminal_it_asks_once(filled, answer, code, stays):
    filled.write(manifest(start="2019-05-07"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        filled.command("apply", "--prune", "--no-progress"),
        cwd=filled.path, env=filled.environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    answered = False
    while select.select([ours], [], [], 30)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        shown += piece
        if b"[y/N]" in shown and not answered:
            os.write(ours, answer.encode())
            answered = True
    out, _ = process.communicate(timeout=20)
    os.close(ours)
    assert b"Applied:" in out, "the rest is done"
    assert shown.count(b"Remove 6 of the 8 files") == 1, shown
    assert process.returncode == code
    assert left(filled) == stays


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "--prune", "--dataset", "d"),
        ("plan", "--prune", "--dataset", "d"),
        ("apply", "--prune", "--max-prune", "many"),
        ("apply", "--prune", "--max-prune", "150%"),
        ("apply", "--prune", "--max-prune", "-1"),
    ],
)
def test_usage_errors(filled, sandbox, arguments):
    asked = sandbox.searches
    ran = filled.run(*arguments)
    assert ran.code == 2
    assert sandbox.searches == asked
    assert left(filled) == NAMES


def test_a_file_that_is_gone_already_is_only_forgotten(filled):
    (filled.mirror / "A.zip").unlink()
    filled.write(manifest(start="2019-05-02"))
    assert filled.run("apply", "--prune", "--json").summary["pruned"] == 1
    assert filled.run("verify").code == 0
    assert filled.run("plan", "--prune", "--exit-code").code == 0


def test_a_pruned_scene_in_a_folder_takes_the_empty_folder_with_it(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([row("A", 1), row("B", 2)])
    workspace.write(manifest(), mirror='layout = "{start:%d}/{id}"')
    workspace.run("apply")
    workspace.write(manifest(start="2019-05-02"), mirror='layout = "{start:%d}/{id}"')
    assert workspace.run("apply", "--prune").code == 0
    assert [path.name for path in workspace.mirror.iterdir() if path.name != ".sedas-sync"] == ["02"]


# -- with a lock -----------------------------------------------------------------------------------------------------


@pytest.fixture
def grown(filled, sandbox):
    """A lock of eight scenes, and a mirror that has fetched two more since."""
    assert filled.run("lock").code == 0
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES + "XY", 1)])
    assert filled.run("apply").code == 0
    assert left(filled) == NAMES + "XY"
    return filled


def test_with_a_lock_the_mirror_becomes_what_the_lock_names(grown, sandbox):
    searches = sandbox.searches
    plan = grown.run("plan", "--locked", "--prune", "--json")
    assert [(action["action"], action["id"]) for action in plan.json["actions"]] == [("prune", "X"), ("prune", "Y")]
    assert "not in the lock" in plan.json["actions"][0]["reason"]
    ran = grown.run("apply", "--locked", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"], ran.summary["kept"]) == (0, 2, 8)
    assert left(grown) == NAMES
    assert sandbox.searches == searches, "nothing is searched for"
    again = grown.run("apply", "--locked", "--prune", "--json", SEDAS_USERNAME="", SEDAS_PASSWORD="")
    assert (again.code, again.summary["pruned"]) == (0, 0), "where all is as it should be, no account is needed"


def test_with_a_lock_what_nobody_could_fetch_again_stays(grown, sandbox):
    """A scene that still fits but has vanished from the catalogue is kept, and said so."""
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES + "X", 1)])
    ran = grown.run("apply", "--locked", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1)
    assert left(grown) == NAMES + "Y"
    (said,) = [event["message"] for event in ran.events if event["event"] == "warning"]
    assert said.startswith("Y.zip: is not in the lock, and is kept all the same")


def test_with_a_lock_the_same_guards_hold(grown, sandbox):
    (grown.mirror / "X.zip").write_bytes(b"my own work under a scene's name")
    (grown.mirror / "stranger.zip").write_bytes(b"mine")
    refused = grown.run("apply", "--locked", "--prune", "--max-prune", "0", "--json")
    assert (refused.code, refused.summary["pruned"]) == (1, 0)
    (grown.mirror / "A.zip").unlink()
    sandbox.faults = Faults(rules=(Rule("download", fail(404)),))
    failed = grown.run("apply", "--locked", "--prune", "--json")
    assert (failed.code, failed.summary["pruned"]) == (1, 0), "last, and only if nothing failed"
    sandbox.faults = Faults()
    ran = grown.run("apply", "--locked", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"], ran.summary["fetched"]) == (0, 1, 1)
    assert set(grown.files()) == {f"{name}.zip" for name in (*NAMES, "X", "stranger")}
    sandbox.close()
    assert grown.run("apply", "--locked", "--prune").code in (0, 1)
    assert (grown.mirror / "X.zip").read_bytes() == b"my own work under a scene's name"


def test_why_knows_what_a_prune_would_do(filled, sandbox):
    filled.write(manifest(start="2019-05-04"))
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES, 1) if name != "H"])
    (filled.mirror / "B.zip").write_bytes(b"my own work under a scene's name")
    gone = filled.run("why", "A", "--json").json
    assert gone["prune"]["removes"] is True
    assert "sensed 2019-05-01T11:00:00Z" in gone["prune"]["reason"]
    assert gone["next"].endswith("`apply --prune` removes it")
    assert "`apply --prune` would remove the file" in filled.run("why", "A").out
    changed = filled.run("why", "B", "--json").json["prune"]
    assert changed["removes"] is False
    assert "has been changed" in changed["reason"]
    lost = filled.run("why", "H", "--json").json["prune"]
    assert lost["removes"] is False
    assert "does not list it" in lost["reason"]
    assert filled.run("why", "D", "--json").json["prune"] is None
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    filled.write(manifest(start="2019-05-04"), transfer="retries = 0")
    assert filled.run("why", "A", "--json").json["prune"]["removes"] is False
