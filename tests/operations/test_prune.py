"""apply --prune, end to end: what goes, what stays and is said, and when nothing is removed at all."""

import os
import re
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from terminal import answered

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import error, fail

NAMES = "ABCDEFGH"


def manifest(rules="", start="2019-05-01", end="2019-05-31", name="d"):
    return f'[dataset.{name}]\naoi = "harwell"\nstart = {start}\nend = {end}\n{rules}'


def row(name, day, **more):
    return make_row(name, f"2019-05-{day:02}T11:00:00Z", **more)


@pytest.fixture
def workspace(workspace):
    return workspace


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
    assert "acquired 2019-05-01T11:00:00Z" in plan.json["actions"][0]["reason"]
    shown = filled.run("plan", "--prune").out
    assert re.search(
        r"^  prune 2, .*\n    - .* A  \(no longer matches: d: acquired 2019-05-01T11:00:00Z", shown, re.MULTILINE
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
    assert "no longer in the catalogue" in b["reason"]
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
    assert any("are kept" in event["message"] for event in ran.events if event["event"] == "warning")
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
    """Beyond `--max-prune` (default 10%, at least 5 files) it asks; without a terminal only the oldest go."""
    sandbox._catalogue = RowCatalogue([*(row(name, day) for day, name in enumerate(NAMES, 1)), row("NEW", 20)])
    filled.write(manifest(start="2019-05-07"))
    ran = filled.run("apply", "--prune", "--json")
    assert ran.code == 1
    assert (ran.summary["fetched"], ran.summary["pruned"], ran.summary["exit_code"]) == (1, 5, 1)
    (failure,) = ran.summary["failures"]
    assert failure["id"] == "prune"
    assert "refused to remove 1 of 8 files; only the oldest 5 may be removed" in failure["error"]
    assert left(filled) == "FGH" + "NEW", "the oldest go first"
    (shown,) = filled.run("status", "--json").json["failures"]
    assert shown == failure
    assert filled.run("apply", "--prune", "--json").code == 0, "the rest goes the next time"
    assert filled.run("status", "--json").json["failures"] == []


def test_a_plan_warns_of_removals_beyond_the_limit(filled):
    filled.write(manifest(start="2019-05-06"))
    assert "the limit is" not in filled.run("plan", "--prune").err, "five are within it"
    filled.write(manifest(start="2019-05-07"))
    assert (
        "6 of 8 files would be removed, and the limit is 5: `apply --prune` asks" in filled.run("plan", "--prune").err
    )
    assert filled.run("apply", "--prune", "--max-prune", "6", "--json").summary["warnings"] == 0


@pytest.mark.parametrize("limit", ["0", "0%"])
def test_a_refusal_is_printed_by_quiet_runs(filled, limit):
    filled.write(manifest(start="2019-05-07"))
    ran = filled.run("apply", "--prune", "-q", "--max-prune", limit)
    assert (ran.code, left(filled)) == (1, NAMES)
    assert ran.err.startswith("failed: prune: refused to remove 6 of 8 files; 6 no longer match, and the limit is 0"), (
        ran.err
    )


@pytest.mark.parametrize("limit", ["75%", "6"])
def test_max_prune_may_be_a_number_or_a_share(filled, limit):
    filled.write(manifest(start="2019-05-07"))
    assert filled.run("apply", "--prune", "--max-prune", limit, "--json").summary["pruned"] == 6


def test_yes_answers_the_question(filled):
    filled.write(manifest(start="2019-05-07"))
    ran = filled.run("apply", "--prune", "--yes", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 6)


@pytest.mark.parametrize(("answer", "code", "stays"), [("y\n", 0, "GH"), ("n\n", 1, NAMES)])
def test_on_a_terminal_it_asks_once(filled, answer, code, stays):
    filled.write(manifest(start="2019-05-07"), transfer="confirm = false")
    ended, shown = answered(filled, "apply", "--prune", "--no-progress", answer=answer)
    assert "Applied:" in shown, "the rest is done"
    assert shown.count("Remove 6 of the 8 files") == 1, shown
    assert ended == code
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
    assert grown.run("apply", "--locked").code == 0
    assert "2 files not in the lock file: `apply --locked --prune` removes" in grown.run("status").out
    plan = grown.run("plan", "--locked", "--prune", "--json")
    assert [(action["action"], action["id"]) for action in plan.json["actions"]] == [("prune", "X"), ("prune", "Y")]
    assert "not in the lock file" in plan.json["actions"][0]["reason"]
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
    assert said.startswith("Y.zip: kept although it is not in the lock file")


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
    grown.write(manifest(), transfer="retries = 0")
    assert grown.run("apply", "--locked", "--prune").code in (0, 1)
    assert (grown.mirror / "X.zip").read_bytes() == b"my own work under a scene's name"


def test_why_knows_what_a_prune_would_do(filled, sandbox):
    filled.write(manifest(start="2019-05-04"))
    sandbox._catalogue = RowCatalogue([row(name, day) for day, name in enumerate(NAMES, 1) if name != "H"])
    (filled.mirror / "B.zip").write_bytes(b"my own work under a scene's name")
    gone = filled.run("why", "A", "--json").json
    assert gone["prune"]["removes"] is True
    assert "acquired 2019-05-01T11:00:00Z" in gone["prune"]["reason"]
    assert gone["next"].endswith("`apply --prune` removes it")
    assert "`apply --prune` would remove the file" in filled.run("why", "A").out
    changed = filled.run("why", "B", "--json").json["prune"]
    assert changed["removes"] is False
    assert "was changed" in changed["reason"]
    lost = filled.run("why", "H", "--json").json["prune"]
    assert lost["removes"] is False
    assert "no longer in the catalogue" in lost["reason"]
    assert filled.run("why", "D", "--json").json["prune"] is None
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    filled.write(manifest(start="2019-05-04"), transfer="retries = 0")
    assert filled.run("why", "A", "--json").json["prune"]["removes"] is False


# -- superseded scenes -----------------------------------------------------------------------------------------------

OLD = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
NEW = "S2A_MSIL1C_20190506T110621_N0500_R137_T30UXC_20230401T120000"
NEWEST = 'reprocessed = "newest"\n'


@pytest.fixture
def superseded(workspace, sandbox):
    """A mirror with an old baseline; the new one is in the long-term archive by now."""
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue([row(OLD, 6)])
    workspace.write(manifest(NEWEST), transfer="retries = 0")
    assert workspace.run("apply").code == 0
    sandbox._catalogue = RowCatalogue([row(OLD, 6), row(NEW, 6, online=False)])
    return workspace


def kept_until(ran):
    return [
        e["message"]
        for e in ran.events
        if e["event"] == "warning" and f"kept until {NEW} is downloaded" in e["message"]
    ]


def test_the_only_copy_stays_until_its_successor_is_here(superseded, sandbox):
    """An order that is pending blocks the prune as a failure does, and so does one that failed."""
    plan = superseded.run("plan", "--prune", "--json", "--all").json
    assert plan["summary"]["prune"] == 0
    (old,) = (action for action in plan["actions"] if action["id"] == OLD)
    assert (old["action"], old["datasets"]) == ("keep", [])
    assert f"kept until {NEW} is downloaded" in old["reason"]
    why = superseded.run("why", OLD, "--json").json["prune"]
    assert why["removes"] is False
    assert f"kept until {NEW} is downloaded" in why["reason"]
    for _ in range(2):
        ran = superseded.run("apply", "--prune", "--no-wait", "--json")
        assert (ran.code, ran.summary["pruned"], ran.summary["pending"]) == (3, 0, 1)
        assert kept_until(ran)
        assert left(superseded) == OLD
    sandbox.faults = Faults(rules=(Rule("download", fail(404)), Rule("order", fail(400)), Rule("poll", fail(404))))
    ran = superseded.run("apply", "--prune", "--no-wait", "--json")
    assert ran.summary["pruned"] == 0
    assert left(superseded) == OLD
    sandbox.faults = Faults()
    sandbox._catalogue = RowCatalogue([row(OLD, 6), row(NEW, 6)])
    plan = superseded.run("plan", "--prune", "--json").json
    assert {action["id"]: action["action"] for action in plan["actions"]} == {NEW: "fetch", OLD: "prune"}
    ran = superseded.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["pruned"]) == (0, 1, 1)
    order = [event["event"] for event in ran.events if event["event"] in ("fetched", "pruned")]
    assert order == ["fetched", "pruned"]
    assert left(superseded) == NEW
    assert superseded.run("plan", "--prune", "--exit-code").code == 0


def test_a_successor_that_leaves_the_archive_while_it_is_fetched_does_not_cost_the_old_file(superseded, sandbox):
    """The plan fetches it and removes the old one; what happens to the order decides at the moment of removal."""
    sandbox._catalogue = RowCatalogue([row(OLD, 6), row(NEW, 6)])
    assert superseded.run("plan", "--prune", "--out", "saved.json").code == 0
    sandbox._catalogue = RowCatalogue([row(OLD, 6), row(NEW, 6, online=False)])
    sandbox.order_delay = 3600
    ran = superseded.run("apply", "--plan", "saved.json", "--no-wait", "--json")
    print(ran)
    assert (ran.code, ran.summary["pruned"], ran.summary["pending"]) == (3, 0, 1)
    assert kept_until(ran)
    assert left(superseded) == OLD


def test_a_planned_successor_never_costs_the_old_file(superseded, sandbox):
    sandbox._catalogue = RowCatalogue([row(OLD, 6), row(NEW, 6, online=False, type="PLANNED")])
    ran = superseded.run("apply", "--prune", "--no-wait", "--json")
    assert ran.summary["pruned"] == 0
    assert left(superseded) == OLD


def test_a_saved_plan_keeps_what_it_said_it_would_keep(superseded, sandbox):
    assert superseded.run("plan", "--prune", "--out", "saved.json").code == 0
    ran = superseded.run("apply", "--plan", "saved.json", "--no-wait", "--json")
    assert (ran.code, ran.summary["pruned"]) == (3, 0)
    assert left(superseded) == OLD


def test_the_newest_few_replace_older_ones_only_when_they_are_here(filled, sandbox):
    """`latest = 3`: two of the newest are ordered, and none of the three older files goes before both are here."""
    sandbox.order_delay = 3600
    filled.write(manifest("latest = 3\n"))
    assert filled.run("apply", "--prune", "--yes").code == 0
    assert left(filled) == "FGH"
    newer = [row("X", 20, online=False), row("Y", 21, online=False), row("Z", 22)]
    sandbox._catalogue = RowCatalogue([*(row(name, day) for day, name in enumerate(NAMES, 1)), *newer])
    plan = filled.run("plan", "--prune", "--json").json
    assert plan["summary"]["prune"] == 0
    assert any("kept until Y, X are downloaded" in said for said in plan["warnings"])
    ran = filled.run("apply", "--prune", "--yes", "--no-wait", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["pruned"]) == (3, 1, 0)
    assert left(filled) == "FGHZ"
    newer = [row("X", 20), row("Y", 21), row("Z", 22)]
    sandbox._catalogue = RowCatalogue([*(row(name, day) for day, name in enumerate(NAMES, 1)), *newer])
    assert filled.run("apply", "--prune", "--yes", "--json").summary["pruned"] == 3
    assert left(filled) == "XYZ"


def test_a_successor_that_is_superseded_itself_is_not_waited_for(filled, sandbox):
    """The old baseline waits for the scenes that are wanted, not for one that never comes."""
    sandbox._catalogue = RowCatalogue([row(OLD, 6)])
    filled.write(manifest())
    assert filled.run("apply").code == 0
    sandbox._catalogue = RowCatalogue([row(OLD, 6), row(NEW, 6, online=False), row("H", 8)])
    filled.write(manifest(NEWEST + 'latest = 1\nexclude = ["?"]\n') + manifest("latest = 1\n" + NEWEST, name="e"))
    ran = filled.run("apply", "--prune", "--yes", "--no-wait", "--json")
    assert OLD in left(filled), "the first dataset wants the new baseline, which is ordered"
    filled.write(manifest(NEWEST + "latest = 1\n"))
    ran = filled.run("apply", "--prune", "--yes", "--no-wait", "--json")
    assert ran.code == 0
    assert left(filled) == "H"


# -- clocks ----------------------------------------------------------------------------------------------------------

LAST_DAYS = "-20d"


def recent(name, days, **more):
    day = datetime.now(UTC) - timedelta(days=days)
    return make_row(name, f"{day:%Y-%m-%dT%H:%M:%SZ}", **more)


@pytest.fixture
def window(workspace, sandbox):
    """A mirror of the last twenty days, one of whose scenes has become older."""
    sandbox._catalogue = RowCatalogue([recent("A", 25), recent("B", 10), recent("C", 5)])
    workspace.write(manifest(start='"-30d"', end='"now"'))
    assert workspace.run("apply").code == 0
    workspace.write(manifest(start=f'"{LAST_DAYS}"', end='"now"'))
    return workspace


def dated(hours):
    def act(request, answer):
        made = answer(request)
        made.headers["Date"] = formatdate(time.time() + 3600 * hours, usegmt=True)
        return made

    return Faults(rules=tuple(Rule(endpoint, act) for endpoint in ("login", "search", "look_up", "sensors")))


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_relative_date_removes_nothing_where_the_clocks_differ(window, sandbox, hours):
    """A machine whose clock is wrong would count thirty days from another day."""
    sandbox.faults = dated(hours)
    plan = window.run("plan", "--prune", "--json")
    assert (plan.code, plan.json["summary"]["prune"]) == (1, 0)
    assert any("this machine's clock shows" in failure["error"] for failure in plan.json["failures"])
    why = window.run("why", "A", "--json").json["prune"]
    assert why["removes"] is False
    assert "this machine's clock shows" in why["reason"]
    ran = window.run("apply", "--prune", "--yes", "--json")
    assert (ran.code, ran.summary["pruned"]) == (1, 0)
    (failure,) = ran.summary["failures"]
    assert failure["id"] == "prune"
    assert failure["error"].startswith("A: ")
    assert left(window) == "ABC"
    window.run("plan", "--prune", "--out", "saved.json")
    sandbox.faults = Faults()
    saved = window.run("apply", "--plan", "saved.json", "--json")
    assert (saved.code, saved.summary["pruned"]) == (1, 0), "what was refused when it was made stays refused"
    ran = window.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1)
    assert left(window) == "BC"


def test_an_hour_is_no_reason(window, sandbox):
    sandbox.faults = dated(0.9)
    assert window.run("apply", "--prune", "--json").summary["pruned"] == 1


def test_an_absolute_date_removes_as_always_whatever_the_clocks_show(window, sandbox):
    sandbox.faults = dated(48)
    day = datetime.now(UTC) - timedelta(days=20)
    window.write(manifest(start=f"{day:%Y-%m-%d}", end='"now"'))
    ran = window.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1), "the end of the interval has removed nothing"
    assert left(window) == "BC"


def test_a_relative_date_removes_nothing_before_the_time_of_the_last_run(window):
    """Without a clock of the archive's the mirror's own memory tells that this machine's was set back."""
    later = datetime.now(UTC) + timedelta(minutes=10)
    with sqlite3.connect(window.mirror / ".sedas-sync" / "index.db") as index:
        index.execute("UPDATE runs SET started = ?, ended = ?", (later.isoformat(), later.isoformat()))
    ran = window.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (1, 0)
    assert any("a run of this mirror was at" in failure["error"] for failure in ran.summary["failures"])
    assert left(window) == "ABC"
    ran = window.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1), "the last run is one of now, and the archive's clock agrees"


def test_a_folder_offers_no_clock_and_an_older_run_counts(window, tmp_path):
    """A clock that is wrong for long has dated the last run as well."""
    source = tmp_path / "source"
    shutil.copytree(window.mirror, source)
    window.write(manifest(start=f'"{LAST_DAYS}"', end='"now"'))
    text = (window.path / "manifest.toml").read_text()
    text = text.replace(f'type = "sedas"\nurl = "{window.url}"', f'type = "directory"\npath = "{source}"')
    (window.path / "manifest.toml").write_text(text)
    later = datetime.now(UTC) + timedelta(minutes=10)
    with sqlite3.connect(window.mirror / ".sedas-sync" / "index.db") as index:
        index.execute("INSERT INTO runs (command, started) VALUES ('apply', ?)", (later.isoformat(),))
    for _ in range(2):
        ran = window.run("apply", "--prune", "--json")
        assert (ran.code, ran.summary["pruned"]) == (1, 0)
    with sqlite3.connect(window.mirror / ".sedas-sync" / "index.db") as index:
        index.execute("DELETE FROM runs WHERE started = ?", (later.isoformat(),))
    assert window.run("apply", "--prune", "--json").summary["pruned"] == 1


def test_with_a_lock_the_clocks_are_heard_too(window, sandbox):
    sandbox._catalogue = RowCatalogue([recent("A", 25), recent("B", 10), recent("C", 5)])
    assert window.run("lock").code == 0
    sandbox.faults = dated(2)
    ran = window.run("apply", "--locked", "--prune", "--json")
    assert (ran.code, ran.summary["pruned"]) == (1, 0)
    sandbox.faults = Faults()
    assert window.run("apply", "--locked", "--prune", "--json").summary["pruned"] == 1
