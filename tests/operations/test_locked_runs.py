"""The lock, end to end: each sentence of what it promises has a test that names it."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile

import pytest
from filelock import FileLock

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail
from sedas_sync.state.index import Index

DATASET = '[dataset.optical]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
HARWELL = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
NOBODY = {"SEDAS_USERNAME": "", "SEDAS_PASSWORD": ""}


def rows(*names, **more):
    return [make_row(name, f"2019-05-{1 + ord(name[0]) % 26:02}T11:00:00Z", **more) for name in names]


def zipped(folder, name, version=1):
    """A zip whose bytes depend on nothing but its name and version."""
    target = folder / f".{name}-{version}"
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(zipfile.ZipInfo("noise.bin"), hashlib.sha256(f"{name}{version}".encode()).digest() * 500)
    return target.read_bytes()


class Offer:
    """What the sandbox offers, and what it may be changed to."""

    def __init__(self, workspace, sandbox):
        self.workspace, self.sandbox = workspace, sandbox
        self.bytes = {}

    def __call__(self, *names, version=1, **more):
        self.bytes |= {name: zipped(self.workspace.path, name, version) for name in names}
        self.put(rows(*names, **more))

    def put(self, offered):
        self.sandbox._catalogue = RowCatalogue(offered, files=self.bytes)


@pytest.fixture
def offer(workspace, sandbox):
    offered = Offer(workspace, sandbox)
    offered(*"ABCD")
    workspace.write(DATASET)
    return offered


def lock_of(workspace):
    return workspace.path / "manifest.lock"


def lines(workspace):
    return [json.loads(line) for line in lock_of(workspace).read_text().splitlines()]


def searches_of(sandbox):
    return sum(entry.endpoint == "search" for entry in sandbox.log)


def git(workspace, *arguments):
    ran = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=workspace.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout


def test_it_stands_beside_the_manifest_under_its_stem(workspace, offer):
    """`fields.toml` → `fields.lock`, beside it."""
    folder = workspace.path / "sub"
    folder.mkdir()
    workspace.write(DATASET, name="sub/fields.toml")
    assert workspace.run("lock", "sub/fields.toml").code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["fields.lock", "fields.toml"]


def test_the_first_line_is_the_head_and_then_comes_one_scene_a_line_sorted_by_id(workspace, offer):
    """First line the head: format version, archive, the datasets as they were resolved; then one scene a line."""
    offer(*"DBCA")
    assert workspace.run("lock").code == 0
    head, *scenes = lines(workspace)
    assert head["version"] == 1
    assert head["archives"] == {"archive": {"type": "sedas", "url": workspace.url}}
    assert head["aois"]["harwell"].startswith("POLYGON ((-1.3")
    assert head["datasets"]["optical"] == {
        "aoi": ["harwell"], "archive": ["archive"], "end": "2019-05-31", "start": "2019-05-01",
        "interval": ["2019-05-01T00:00:00Z", "2019-05-31T23:59:59Z"],
    }  # fmt: skip
    assert [scene["id"] for scene in scenes] == ["A", "B", "C", "D"]
    assert list(scenes[0]) == ["id", "datasets", "start", "footprint"]
    assert scenes[0]["datasets"] == ["optical"]
    assert not workspace.mirror.exists(), "a lock makes no mirror"


def test_relative_dates_are_made_absolute_and_still_equal_themselves(workspace, offer):
    """Relative dates made absolute; and a relative date still equals itself."""
    workspace.write('[dataset.optical]\naoi = "harwell"\nstart = "-20000d"\n')
    assert workspace.run("lock").code == 0
    optical = lines(workspace)[0]["datasets"]["optical"]
    assert (optical["start"], optical["end"]) == ("-20000d", "now")
    assert optical["interval"][1].startswith("20")
    before = lock_of(workspace).read_bytes()
    assert workspace.run("lock").code == 0
    assert lock_of(workspace).read_bytes() == before, "time alone is no news"
    assert workspace.run("lock", "--check").code == 0
    assert workspace.run("apply", "--locked").code == 0


def test_the_same_bytes_for_the_same_content_and_no_time_of_writing(workspace, offer):
    """The same bytes for the same content on any machine, no time of writing in it."""
    workspace.run("lock")
    first = lock_of(workspace).read_bytes()
    lock_of(workspace).unlink()
    offer(*"CADB")
    os.utime(workspace.path / "manifest.toml", (1, 1))
    workspace.run("lock", TZ="Asia/Tokyo", PYTHONHASHSEED="7", LC_ALL="C")
    assert lock_of(workspace).read_bytes() == first


def test_one_scene_more_is_one_line_of_diff(workspace, offer):
    """One scene more is one line of diff."""
    workspace.run("apply", "--update-lock")
    git(workspace, "init", "-q")
    git(workspace, "add", "manifest.lock")
    git(workspace, "commit", "-qm", "lock")
    offer(*"ABBCCD", "BEE")
    assert workspace.run("lock").code == 0
    assert git(workspace, "diff", "--numstat").split() == ["1", "0", "manifest.lock"]
    assert "1 insertion(+)" in git(workspace, "diff", "--stat")


def test_lock_pins_digests_of_scenes_that_are_in_the_mirror(workspace, offer):
    """`lock` writes it (digests of scenes that are in the mirror included)."""
    workspace.run("apply")
    (workspace.mirror / "B.zip").unlink()
    damaged = workspace.mirror / "C.zip"
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    ran = workspace.run("lock", "--json")
    assert ran.code == 0
    assert ran.json["digests"] == 2
    scenes = {scene["id"]: scene for scene in lines(workspace)[1:]}
    assert scenes["A"]["sha256"] == hashlib.sha256(offer.bytes["A"]).hexdigest()
    assert scenes["A"]["size"] == len(offer.bytes["A"])
    assert "sha256" in scenes["D"]
    assert not {"sha256", "size"} & (scenes["B"].keys() | scenes["C"].keys())


def test_whoever_locks_without_the_mirror_loses_no_digest(workspace, offer):
    workspace.run("apply", "--update-lock")
    before = lock_of(workspace).read_bytes()
    shutil.rmtree(workspace.mirror)
    assert workspace.run("lock", "--check").code == 0
    assert workspace.run("lock").code == 0
    assert lock_of(workspace).read_bytes() == before


def test_update_lock_brings_it_up_to_date_after_the_run_digests_too(workspace, offer):
    """`apply --update-lock` brings it up to date after the run, digests too."""
    workspace.run("lock")
    offer(*"BCDE")
    ran = workspace.run("apply", "--update-lock", "--json")
    assert ran.code == 0
    assert ran.summary["fetched"] == 4
    assert {scene["id"]: scene["sha256"] for scene in lines(workspace)[1:]} == {
        name: hashlib.sha256(offer.bytes[name]).hexdigest() for name in "BCDE"
    }
    assert workspace.run("lock", "--check").code == 0


def test_update_lock_pins_only_what_arrived(workspace, offer, sandbox):
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"B"}),))
    assert workspace.run("apply", "--update-lock").code == 1
    assert [scene["id"] for scene in lines(workspace)[1:] if "sha256" not in scene] == ["B"]


def test_after_a_failed_search_the_old_lock_is_untouched(workspace, offer, sandbox):
    """… unless the search failed."""
    workspace.write(DATASET, transfer="retries = 0")
    workspace.run("lock")
    before = lock_of(workspace).read_bytes()
    offer(*"ABCDE")
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    for command in (("lock",), ("lock", "--check"), ("apply", "--update-lock")):
        ran = workspace.run(*command)
        assert ran.code == 1, command
        assert "the search failed or is incomplete" in ran.err
        assert "failed: optical: " in ran.err
    assert lock_of(workspace).read_bytes() == before


def test_check_says_what_would_change_and_writes_nothing(workspace, offer):
    none = workspace.run("lock", "--check")
    assert none.code == 10
    assert not lock_of(workspace).exists()
    workspace.run("lock")
    before = lock_of(workspace).read_bytes()
    assert workspace.run("lock", "--check").code == 0
    offer(*"BCDE")
    offer.put([*rows("B", "C", "E"), make_row("D", "2019-05-20T11:00:00Z")])
    ran = workspace.run("lock", "--check")
    assert ran.code == 10
    assert "  + E" in ran.out
    assert "  - A" in ran.out
    assert "  ~ D  (start was 2019-05-17T11:00:00Z, is 2019-05-20T11:00:00Z)" in ran.out
    found = workspace.run("lock", "--check", "--json").json
    assert (found["added"], found["removed"], [one["id"] for one in found["changed"]]) == (["E"], ["A"], ["D"])
    assert found["up_to_date"] is False
    assert lock_of(workspace).read_bytes() == before
    assert workspace.run("lock", "--json").json["added"] == ["E"]
    assert workspace.run("lock", "--check").code == 0


def test_check_names_a_changed_rule_too(workspace, offer):
    workspace.run("lock")
    workspace.write(DATASET.replace("2019-05-01", "2019-04-30"))
    ran = workspace.run("lock", "--check", "--json")
    assert ran.code == 10
    assert ran.json["differences"] == ["dataset.optical.start is 2019-04-30, the lock file has 2019-05-01"]


def test_locked_does_not_search_and_fetches_exactly_the_locked_scenes(workspace, offer, sandbox):
    """`apply --locked` does not search: it looks the locked scenes up by id and fetches exactly those."""
    workspace.run("lock")
    offer(*"ABCDEFG")
    searches = searches_of(sandbox)
    plan = workspace.run("plan", "--locked", "--json", "--exit-code")
    assert plan.code == 10
    assert [action["id"] for action in plan.json["actions"]] == list("ABCD")
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 0
    assert set(workspace.files()) == {"A.zip", "B.zip", "C.zip", "D.zip"}
    assert searches_of(sandbox) == searches
    assert workspace.run("plan", "--locked", "--exit-code").code == 0
    assert workspace.run("plan", "--exit-code").code == 10


def test_locked_orders_from_the_long_term_archive(workspace, offer, sandbox):
    workspace.run("lock")
    offer.put([*rows("A", "B"), *rows("C", "D", online=False)])
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 0
    assert (ran.summary["fetched"], ran.summary["ordered"]) == (4, 2)


def test_where_everything_is_held_no_network_and_no_account_is_needed(workspace, offer, sandbox):
    workspace.run("apply", "--update-lock")
    sandbox.close()
    for command in (("apply", "--locked", "--json"), ("plan", "--locked", "--exit-code")):
        ran = workspace.run(*command, **NOBODY)
        assert ran.code == 0, ran.err
    assert workspace.run("apply", "--locked", "--json", **NOBODY).summary["kept"] == 4
    (workspace.mirror / "A.zip").unlink()
    assert workspace.run("apply", "--locked", **NOBODY).code == 4


def test_a_second_locked_run_reports_the_same_and_asks_no_server(workspace, offer, sandbox):
    (workspace.path / "a.wkt").write_text(HARWELL)
    workspace.write(DATASET, aoi='file = "a.wkt"', mirror='layout = "{satellite}/{id}"')
    workspace.run("apply", "--update-lock")
    first = workspace.run("apply", "--locked", "--json")
    assert first.code == 0
    asked = len(sandbox.log)
    second = workspace.run("apply", "--locked", "--json", **NOBODY)
    assert [event["event"] for event in first.events] == ["start", "summary"]
    for one, other in zip(second.events, first.events, strict=True):
        assert one.keys() == other.keys()
        same = one.keys() - {"time", "seconds", "free"}
        assert {key: one[key] for key in same} == {key: other[key] for key in same}
    assert len(sandbox.log) == asked
    assert workspace.run("apply", "--locked").out == "Applied: 4 kept.\n"


@pytest.mark.parametrize("what", ["gone", "damaged", "link", "folder", "aoi", "manifest", "lock", "index", "owner"])
def test_a_locked_run_finds_whatever_changed(workspace, offer, sandbox, what):
    aoi, folder = workspace.path / "a.wkt", workspace.mirror / "Sentinel-2A"
    aoi.write_text(HARWELL)
    workspace.write(DATASET, aoi='file = "a.wkt"', mirror='layout = "{satellite}/{id}"')
    workspace.run("apply", "--update-lock")
    assert workspace.run("apply", "--locked").code == 0
    file = folder / "B.zip"
    right = file.read_bytes()
    if what == "gone":
        file.unlink()
    elif what == "damaged":
        file.write_bytes(bytes(len(right)))
    elif what == "link":
        file.rename(workspace.path / "B.zip")
        file.symlink_to(workspace.path / "B.zip")
    elif what == "folder":
        folder.rename(workspace.path / "aside")
        folder.symlink_to(workspace.path / "aside")
    elif what == "aoi":
        aoi.write_text("POLYGON ((0 50, 1 50, 1 51, 0 51, 0 50))")
    elif what == "manifest":
        workspace.write(DATASET + "latest = 1\n", aoi='file = "a.wkt"', mirror='layout = "{satellite}/{id}"')
    elif what == "lock":
        lock_of(workspace).write_text("".join(lock_of(workspace).read_text().splitlines(keepends=True)[:-1]))
    elif what == "index":
        (workspace.mirror / ".sedas-sync" / "index.db").unlink()
    else:
        (workspace.path / "manifest.toml").rename(workspace.path / "other.toml")
        lock_of(workspace).rename(workspace.path / "other.lock")
    ran = workspace.run("apply", "--locked", "--json", *(["other.toml"] if what == "owner" else []))
    if what in ("aoi", "manifest", "owner"):
        assert ran.code == 2
        return
    if what == "folder":
        assert ran.code == 1, "nothing is written through a link"
        return
    assert ran.code == 0, ran.err
    assert (ran.summary["kept"], ran.summary["fetched"], ran.summary["adopted"]) == {
        "lock": (3, 0, 0), "index": (0, 0, 4)
    }.get(what, (3, 1, 0))  # fmt: skip
    assert file.read_bytes() == right
    assert not file.is_symlink()


def test_a_locked_run_respects_the_process_lock(workspace, offer):
    workspace.run("apply", "--update-lock")
    workspace.run("apply", "--locked")
    with FileLock(workspace.mirror / ".sedas-sync" / "apply.lock"):
        assert workspace.run("apply", "--locked").code == 5


def test_a_mismatch_names_each_difference(workspace, offer, sandbox):
    """Exit 2 where the manifest no longer says what the lock was made from, naming each difference."""
    workspace.run("lock")
    workspace.write(
        DATASET.replace("2019-05-01", "2019-05-02") + 'max_cloud_cover = 50\n[dataset.radar]\nproducts = ["A"]\n'
    )
    asked = len(sandbox.log)
    for command in ("apply", "plan"):
        ran = workspace.run(command, "--locked")
        assert ran.code == 2
        assert ran.err.splitlines() == [
            "error: manifest.lock: dataset.optical.max_cloud_cover is 50, the lock file has none",
            "error: manifest.lock: dataset.optical.start is 2019-05-02, the lock file has 2019-05-01",
            "error: manifest.lock: dataset.radar is not in the lock file",
            "next: run `sedas-sync lock --check` to see what would change, or `sedas-sync lock` to update it",
        ]
    assert len(sandbox.log) == asked
    assert not workspace.mirror.exists()


def test_what_is_no_difference(workspace, offer):
    """Compared by meaning, so comments, key order, new defaults, mirror and transfer settings do not count."""
    workspace.run("lock")
    workspace.write(
        '[dataset.optical]\n# a comment\nsensor = "ALL"\nend = 2019-05-31T23:59:59Z\nstart = "2019-05-01"\n'
        'reprocessed = "all"\nexclude = []\naoi = ["harwell"]\n',
        aoi='wkt = "POLYGON ((-1.3013 51.5872, -1.3295 51.5881, -1.33 51.5622, -1.302 51.5621, -1.3013 51.5872))"',
        transfer="jobs = 2",
        mirror='path = "elsewhere"\nlayout = "{satellite}/{id}"',
    )
    ran = workspace.run("apply", "--locked")
    assert ran.code == 0, ran.err
    assert len(list((workspace.path / "elsewhere" / "Sentinel-2A").iterdir())) == 4
    assert workspace.run("lock", "--check", "--json").json["differences"] == []


def test_there_has_to_be_a_lock_and_it_has_to_be_one(workspace, offer):
    ran = workspace.run("apply", "--locked")
    assert ran.code == 2
    assert "there is no lock file" in ran.err
    for text, said in (
        ("", "not JSON"),
        ('{"version": 2}\n', "newer sedas-sync"),
        ("[]\n", "not a lock file header"),
        ('{"version":1,"archives":{},"aois":{},"datasets":{}}\n<<<<<<< HEAD\n', "line 2: not JSON (a merge"),
    ):
        lock_of(workspace).write_text(text)
        for command in (("apply", "--locked"), ("lock", "--check")):
            ran = workspace.run(*command)
            assert ran.code == 2
            assert said in ran.err


def test_a_scene_with_other_bytes_is_tried_once_more_then_fails_and_is_not_put_in_place(workspace, offer, sandbox):
    """A scene whose bytes do not have the locked sha256 is tried once more, then fails and is not put in place."""
    workspace.run("apply", "--update-lock")
    shutil.rmtree(workspace.mirror)
    offer(*"ABCD", version=2)
    offer.bytes |= {name: zipped(workspace.path, name) for name in "ABD"}
    offer.put(rows(*"ABCD"))
    before = sandbox.downloads
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["C"]
    assert "sha256" in ran.summary["failures"][0]["error"]
    assert set(workspace.files()) == {"A.zip", "B.zip", "D.zip"}
    assert sandbox.downloads == before + 5, "once more, and no more"


def test_a_held_file_that_differs_from_the_lock_is_replaced(workspace, offer):
    workspace.run("apply", "--update-lock")
    locked = lock_of(workspace).read_bytes()
    right = workspace.files()
    shutil.rmtree(workspace.mirror)
    offer(*"ABCD", version=2)
    workspace.run("apply")
    assert workspace.files()["B.zip"] != right["B.zip"]
    offer(*"ABCD")
    plan = workspace.run("plan", "--locked", "--json").json
    assert plan["summary"]["replace"] == 4
    assert all("differs from the lock" in action["reason"] for action in plan["actions"])
    assert workspace.run("apply", "--locked").code == 0
    assert workspace.files() == right
    assert lock_of(workspace).read_bytes() == locked


def test_a_locked_scene_the_archive_has_forgotten_is_kept_if_held_else_a_failure(workspace, offer):
    workspace.run("apply", "--update-lock")
    offer.put(rows("C", "D"))
    (workspace.mirror / "B.zip").unlink()
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 1
    assert ran.summary["failures"] == [{"id": "B", "error": "no longer in the archive"}]
    assert ran.summary["kept"] == 3
    assert set(workspace.files()) == {"A.zip", "C.zip", "D.zip"}


def test_untracked_files_with_the_locked_bytes_are_adopted(workspace, offer, sandbox):
    workspace.run("apply", "--update-lock")
    (workspace.mirror / "A.zip").write_bytes(zipped(workspace.path, "A", version=2))
    shutil.rmtree(workspace.mirror / ".sedas-sync")
    downloads = sandbox.downloads
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 0
    assert (ran.summary["adopted"], ran.summary["fetched"]) == (3, 1)
    assert sandbox.downloads == downloads + 1


def test_a_lock_reproduces_its_mirror_bit_for_bit_in_an_empty_folder(workspace, offer, sandbox):
    """After the catalogue has gained, lost and changed scenes: what is still there is the same, the rest is named."""
    layout = 'layout = "{satellite}/{start:%Y-%m}/{id}"'
    workspace.write(DATASET, mirror=layout)
    assert workspace.run("apply", "--update-lock").code == 0
    folder = workspace.mirror / "Sentinel-2A" / "2019-05"
    right = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert set(right) == {"A.zip", "B.zip", "C.zip", "D.zip"}

    # Gained: E and F. Changed: A lies elsewhere now, B is cloudy and of another day. Lost from searches: C, which is
    # known by its id alone.
    moved = "POLYGON((10 10,11 10,11 11,10 11,10 10))"
    offer.bytes |= {name: zipped(workspace.path, name) for name in "EF"}
    offer.put(
        [
            *rows("A", footprint=moved),
            make_row("B", "2019-06-30T11:00:00Z", cloudCoveragePercent=100.0),
            {**rows("C")[0], "start": None},
            *rows("D", "E", "F"),
        ]
    )
    shutil.rmtree(workspace.mirror)
    found = {action["id"] for action in workspace.run("plan", "--json").json["actions"]}
    assert found == {"D", "E", "F"}, "a search finds something else by now"
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 0, ran.err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == right
    assert workspace.run("apply", "--locked", "--json", **NOBODY).summary["kept"] == 4


def test_datasets_by_themselves(workspace, offer):
    workspace.write(DATASET + '[dataset.named]\nproducts = ["A", "D"]\n')
    workspace.run("lock")
    assert lines(workspace)[1]["datasets"] == ["named", "optical"]
    assert workspace.run("apply", "--locked", "--dataset", "named").code == 0
    assert set(workspace.files()) == {"A.zip", "D.zip"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--update-lock", "--locked"),
        ("--update-lock", "--dataset", "optical"),
        ("--plan", "p.json", "--locked"),
        ("--plan", "p.json", "--dataset", "optical"),
        ("--plan", "nowhere.json"),
    ],
)
def test_options_that_do_not_go_together(workspace, offer, arguments):
    ran = workspace.run("apply", *arguments)
    assert ran.code == 2
    assert not workspace.mirror.exists()


# -- saved plans -----------------------------------------------------------------------------------------------------


def test_apply_plan_does_exactly_that_plan(workspace, offer, sandbox):
    offer.put([*rows("A", "B"), *rows("C", online=False)])
    made = workspace.run("plan", "--out", "p.json", "--json")
    assert made.code == 0
    assert not workspace.mirror.exists()
    saved = (workspace.path / "p.json").read_text()
    for secret in ("downloadUrl", "getProduct", *sandbox._tokens):
        assert secret not in saved
    offer(*"ABCDE")
    searches = searches_of(sandbox)
    ran = workspace.run("apply", "--plan", "p.json", "--json")
    assert ran.code == 0, ran.err
    assert set(workspace.files()) == {"A.zip", "B.zip", "C.zip"}
    assert searches_of(sandbox) == searches


def test_a_plan_is_refused_when_the_manifest_has_moved_on(workspace, offer):
    workspace.run("plan", "--out", "p.json")
    workspace.write(DATASET + "max_cloud_cover = 20\n", mirror='layout = "x-{id}"')
    ran = workspace.run("apply", "--plan", "p.json")
    assert ran.code == 2
    assert "dataset.optical.max_cloud_cover is 20, the plan has none" in ran.err
    assert "mirror.layout is x-{id}, the plan has {id}" in ran.err
    assert not workspace.files()
    workspace.write("# the same\n" + DATASET, transfer="jobs = 2")
    assert workspace.run("apply", "--plan", "p.json").code == 0


def test_a_plan_is_refused_when_the_mirror_has_moved_on(workspace, offer, sandbox):
    sandbox.order_delay = 3600
    offer.put([*rows("A", "B"), *rows("C", online=False)])
    workspace.run("plan", "--out", "p.json")
    workspace.run("apply", "--no-wait")
    ran = workspace.run("apply", "--plan", "p.json")
    assert ran.code == 2
    assert "A: the plan has fetch (not in mirror), now it would be keep (unchanged)" in ran.err
    assert "C: the plan has order" in ran.err
    workspace.run("plan", "--out", "p.json")
    (workspace.mirror / "B.zip").unlink()
    ran = workspace.run("apply", "--plan", "p.json")
    assert ran.code == 2
    assert "B: the plan has keep (unchanged), now it would be fetch" in ran.err
    workspace.run("plan", "--out", "p.json")
    workspace.run("orders", "--forget", "C")
    assert "C: the plan has wait" in workspace.run("apply", "--plan", "p.json").err


def test_a_plan_that_was_begun_goes_on(workspace, offer, sandbox):
    workspace.run("plan", "--out", "p.json")
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"B"}),))
    assert workspace.run("apply", "--plan", "p.json").code == 1
    assert set(workspace.files()) == {"A.zip", "C.zip", "D.zip"}
    sandbox.faults = Faults()
    offer(*"ABCDE")
    again = workspace.run("apply", "--plan", "p.json", "--json")
    assert again.code == 0, again.err
    assert (again.summary["kept"], again.summary["fetched"]) == (3, 1)
    workspace.run("apply")
    (workspace.mirror / "B.zip").unlink()
    assert workspace.run("apply", "--plan", "p.json").code == 2, "something else came after it"


def test_a_plan_of_a_lock_demands_its_digests(workspace, offer):
    workspace.run("apply", "--update-lock")
    shutil.rmtree(workspace.mirror)
    workspace.run("plan", "--locked", "--out", "p.json")
    offer(*"ABCD", version=2)
    ran = workspace.run("apply", "--plan", "p.json", "--json")
    assert ran.code == 1
    assert ran.summary["failed"] == 4
    assert not workspace.files()


def test_a_file_that_is_no_plan(workspace, offer):
    for text, said in (
        ("", "not JSON"),
        ("{}", "not a saved plan"),
        ('{"kind": "saved_plan", "schema": 99}', "newer"),
        ('{"kind": "saved_plan", "schema": 1}', "older"),
        ('{"kind": "saved_plan", "schema": 5}', "damaged"),
    ):
        (workspace.path / "p.json").write_text(text)
        ran = workspace.run("apply", "--plan", "p.json")
        assert ran.code == 2
        assert said in ran.err


def test_a_refused_plan_makes_no_mirror(workspace, offer):
    """Exit 2: nothing was touched."""
    workspace.run("apply")
    workspace.run("plan", "--out", "kept.json")
    shutil.rmtree(workspace.mirror)
    ran = workspace.run("apply", "--plan", "kept.json")
    assert ran.code == 2
    assert "A: the plan has keep" in ran.err
    assert not workspace.mirror.exists()
    workspace.run("plan", "--out", "p.json")
    workspace.write(DATASET + "max_cloud_cover = 20\n")
    assert workspace.run("apply", "--plan", "p.json").code == 2
    assert workspace.run("apply", "--dataset", "no-such").code == 2
    assert not workspace.mirror.exists()


def test_a_summary_is_written_wherever_it_is_asked_for(workspace, offer):
    ran = workspace.run("plan", "--summary", "plan.md", "--exit-code")
    assert ran.code == 10
    text = (workspace.path / "plan.md").read_text()
    assert text.startswith("### <code>manifest.toml</code>\n\nPlan: 4 to fetch")
    assert "<code>sedas-sync apply</code>" in text
    assert workspace.own_process.run("plan", "--summary", "/dev/stdout", "-q").out == text
    assert workspace.run("plan", "--summary", "no/such/folder").code == 2


@pytest.mark.parametrize("unpack", [False, True])
def test_a_locked_run_keeps_the_metadata_of_the_index(workspace, sandbox, unpack):
    """A lock file has little of it."""
    workspace.write()
    assert workspace.run("apply", "--update-lock").code == 0
    with Index(workspace.mirror) as index:
        before = index.facts()
    if unpack:
        workspace.write(mirror="unpack = true")
    else:
        # A warning of the index is no reason to write it again.
        with (workspace.mirror / ".sedas-sync/orders.jsonl").open("a") as journal:
            journal.write("damaged\n")
    ran = workspace.run("apply", "--locked", "--json")
    assert (ran.code, ran.summary["adopted"] > 0) == (0, unpack), ran.err
    with Index(workspace.mirror) as index:
        after = index.facts()
    assert {key: json.loads(text).get("cloud_cover") for key, text in after.items()} == {
        key: json.loads(text).get("cloud_cover") for key, text in before.items()
    }
    assert any("cloud_cover" in text for text in before.values())
