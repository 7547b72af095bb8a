"""adopt, end to end: what is taken, what is left, and where everything ends up."""

import hashlib
import shutil
import zipfile

import pytest

from sedas_sync.model.scene import DesiredScene, Scene
from sedas_sync.operations.adopt.candidates import Names
from sedas_sync.sandbox import RowCatalogue, make_row

S2 = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
S1 = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
MAY = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


@pytest.fixture
def offered(workspace, sandbox):
    """Four scenes, and what their files have to be; nothing has been fetched."""
    files = {}
    for name in (S2, S1, "A", "B"):
        file = files[name] = workspace.path / f"{len(files)}.file"
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(f"{name}.SAFE/manifest.safe", name * 50)
    rows = [make_row(name, f"2019-05-{day:02}T11:00:00Z") for day, name in enumerate(files, 1)]
    sandbox._catalogue = RowCatalogue(rows, files=files)
    workspace.write(MAY)
    return {name: file.read_bytes() for name, file in files.items()}


def put(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def results(document):
    return {file["file"]: file["result"] for file in document["files"]}


def test_zips_as_the_original_client_leaves_them(workspace, sandbox, offered):
    for name, content in offered.items():
        put(workspace.mirror, **{f"{name}.zip": content})
    ran = workspace.run("adopt", "--json")
    assert ran.code == 0, ran.err
    size = sum(map(len, offered.values()))
    assert ran.json["summary"] == {
        "adopted": 4, "held": 0, "wrong": 0, "incomplete": 0, "unwanted": 0, "failed": 0, "bytes": size,
        "bytes_by_result": {"adopted": size, "held": 0, "wrong": 0, "incomplete": 0, "unwanted": 0, "failed": 0},
    }  # fmt: skip
    assert set(ran.json["files"][0]) == {"file", "result", "id", "path", "size", "level", "detail", "added"}
    assert {file["level"] for file in ran.json["files"]} == {"crc"}
    assert sandbox.downloads == 0
    applied = workspace.run("apply", "--json")
    assert (applied.code, applied.summary["kept"], applied.summary["fetched"]) == (0, 4, 0)
    assert sandbox.downloads == 0
    again = workspace.run("adopt")
    assert (again.code, again.out) == (0, "Adopted: nothing; every file is in the index already.\n")


def test_other_names_that_carry_the_scene_id_are_moved_to_where_they_belong(workspace, sandbox, offered):
    put(workspace.mirror / "old", **{f"{S2}.SAFE.zip": offered[S2], f"copy of {S1} (1).ZIP": offered[S1]})
    ran = workspace.run("adopt", "--json")
    assert ran.code == 0
    assert {file["file"]: file["path"] for file in ran.json["files"]} == {
        f"old/{S2}.SAFE.zip": f"{S2}.zip",
        f"old/copy of {S1} (1).ZIP": f"{S1}.zip",
    }
    assert workspace.files() == {f"{name}.zip": offered[name] for name in (S1, S2)}
    assert not (workspace.mirror / "old").exists()
    assert workspace.run("plan", "--json").json["summary"]["keep"] == 2


def test_wrong_ones_are_named_and_left_where_they_are(workspace, offered):
    strangers = {
        f"{S2}.zip": offered[S2][:-30],
        f"{S1}.zip": offered[S2],
        "A.zip": b"holiday photographs",
        f"{S2}.jpg": b"a quicklook",
        "X.zip": offered["A"],
        "notes.txt": b"mine",
    }
    put(workspace.mirror, **strangers)
    ran = workspace.run("adopt", "--json")
    assert ran.code == 1
    assert results(ran.json) == {
        f"{S2}.zip": "wrong", f"{S1}.zip": "wrong", "A.zip": "wrong",
        f"{S2}.jpg": "unwanted", "X.zip": "unwanted", "notes.txt": "unwanted",
    }  # fmt: skip
    assert f"it contains {S2}" in {file["file"]: file["detail"] for file in ran.json["files"]}[f"{S1}.zip"]
    assert "A.zip" in ran.err
    for name, content in strangers.items():
        assert (workspace.mirror / name).read_bytes() == content
    assert "wrong      A.zip" in workspace.run("adopt").err


def test_what_no_dataset_wants_is_no_failure(workspace, offered):
    put(workspace.mirror, **{"unheard-of.zip": offered["A"]})
    ran = workspace.run("adopt")
    assert ran.code == 0
    assert "unwanted   unheard-of.zip" in ran.err
    assert ran.out == "Adopted: 1 unwanted (188 B).\n"


def test_size_and_digest_that_the_catalogue_states_are_checked(workspace, sandbox, offered):
    import hashlib

    right = hashlib.md5(offered["A"]).hexdigest()
    sandbox._catalogue = RowCatalogue(
        [
            make_row("A", "2019-05-01T11:00:00Z", vendorSpecific={"Filehash": right}),
            make_row("B", "2019-05-02T11:00:00Z", vendorSpecific={"Filehash": right}),
        ]
    )
    put(workspace.mirror, **{"A.zip": offered["A"], "B.zip": offered[S1]})
    ran = workspace.run("adopt", "--json")
    assert ran.code == 1
    assert results(ran.json) == {"A.zip": "adopted", "B.zip": "wrong"}
    assert ran.json["files"][0]["level"] == "digest"


@pytest.mark.parametrize("how", ["link", "copy", "move"])
def test_from_another_folder(workspace, sandbox, offered, how):
    old = workspace.path / "old" / "downloads"
    put(old, **{f"{S2}.zip": offered[S2], "A.zip": offered["A"], "B.zip": b"torn", "notes.txt": b"mine"})
    option = [] if how == "link" else [f"--{how}"]
    ran = workspace.run("adopt", "--from", "old", *option, "--json")
    assert ran.code == 1, "one is wrong"
    assert results(ran.json) == {
        f"downloads/{S2}.zip": "adopted", "downloads/A.zip": "adopted",
        "downloads/B.zip": "wrong", "downloads/notes.txt": "unwanted",
    }  # fmt: skip
    assert workspace.files() == {f"{S2}.zip": offered[S2], "A.zip": offered["A"]}
    assert (old / "B.zip").read_bytes() == b"torn"
    assert (old / "notes.txt").read_bytes() == b"mine"
    assert (old / "A.zip").exists() == (how != "move")
    if how != "move":
        assert (old / "A.zip").samefile(workspace.mirror / "A.zip") == (how == "link")
    assert not list((workspace.mirror / ".sedas-sync" / "partial").iterdir())
    assert workspace.run("plan", "--json").json["summary"]["keep"] == 2
    assert workspace.run("verify").code == 0


@pytest.mark.parametrize("options", [["--copy", "--move"], ["--move", "--copy"]])
def test_files_come_out_of_another_folder_in_one_way(workspace, offered, options):
    put(workspace.path / "old", **{"A.zip": offered["A"]})
    ran = workspace.run("adopt", "--from", "old", *options)
    assert ran.code == 2
    assert "--copy and --move exclude each other" in ran.err
    assert (workspace.path / "old" / "A.zip").exists()
    assert not workspace.mirror.exists()


def test_a_copy_is_written_to_no_file_that_has_a_second_name(workspace, offered):
    """A kill between the two halves of a rename leaves the copy's first name beside the scene's."""
    put(workspace.path / "old", **{"A.zip": offered["A"]})
    mine = workspace.path / "mine.txt"
    mine.write_bytes(b"precious")
    partial = workspace.mirror / ".sedas-sync" / "partial"
    partial.mkdir(parents=True)
    left = partial / f"{hashlib.sha256(b'A.zip').hexdigest()[:32]}.adopting"
    left.hardlink_to(mine)
    ran = workspace.run("adopt", "--from", "old", "--copy")
    assert ran.code == 0, ran.err
    assert mine.read_bytes() == b"precious"
    assert workspace.files() == {"A.zip": offered["A"]}
    assert not left.exists()


@pytest.mark.parametrize("how", ["link", "move"])
def test_across_file_systems_a_link_is_a_copy(workspace, offered, how, other_disk):
    put(other_disk, **{"A.zip": offered["A"]})
    ran = workspace.run("adopt", "--from", other_disk, *(["--move"] if how == "move" else []), "--json")
    assert ran.code == 0, ran.err
    assert workspace.files() == {"A.zip": offered["A"]}
    assert (other_disk / "A.zip").exists() == (how == "link")
    assert (workspace.mirror / "A.zip").stat().st_nlink == 1


def test_what_is_held_is_left_and_nothing_is_written_over(workspace, offered):
    workspace.run("apply")
    held = workspace.files()
    old = workspace.path / "old"
    put(old, **{"A.zip": offered["A"]})
    ran = workspace.run("adopt", "--from", "old", "--move", "--json")
    assert (ran.code, results(ran.json)) == (0, {"A.zip": "held"})
    assert (old / "A.zip").exists()
    assert workspace.files() == held
    (workspace.mirror / "A.zip").unlink()
    assert workspace.run("adopt", "--from", "old").code == 0
    assert workspace.files() == held
    assert workspace.run("verify").code == 0


def test_a_strangers_file_in_the_scenes_place_is_not_touched(workspace, offered):
    put(workspace.mirror, **{"A.zip": b"holiday photographs"})
    put(workspace.path / "old", **{"A.zip": offered["A"]})
    ran = workspace.run("adopt", "--from", "old", "--json")
    assert (ran.code, results(ran.json)) == (1, {"A.zip": "failed"})
    assert (workspace.mirror / "A.zip").read_bytes() == b"holiday photographs"


def test_of_two_files_of_one_scene_the_one_in_its_place_is_taken(workspace, offered):
    put(workspace.mirror, **{"A.zip": offered["A"], "A (copy).zip": offered["A"]})
    ran = workspace.run("adopt", "--json")
    assert results(ran.json) == {"A.zip": "adopted", "A (copy).zip": "held"}
    put(workspace.mirror, **{"B.zip": b"torn", "B (copy).zip": offered["B"]})
    assert results(workspace.run("adopt", "--json").json)["B (copy).zip"] == "failed"


def test_symbolic_links_are_not_followed(workspace, offered):
    put(workspace.path / "elsewhere", **{"A.zip": offered["A"]})
    (workspace.path / "old").mkdir()
    (workspace.path / "old" / "A.zip").symlink_to(workspace.path / "elsewhere" / "A.zip")
    ran = workspace.run("adopt", "--from", "old", "--json")
    assert ran.json["files"] == []
    assert not workspace.files()


@pytest.mark.parametrize("loss", ["deleted", "damaged"])
def test_a_lost_index_is_rebuilt_from_the_folder_without_a_download(workspace, sandbox, offered, loss):
    workspace.write(MAY, mirror='layout = "{start:%d}/{id}"')
    workspace.run("apply")
    before = {path: path.read_bytes() for path in workspace.mirror.rglob("*.zip")}
    assert len(before) == 4
    index = workspace.mirror / ".sedas-sync" / "index.db"
    index.unlink() if loss == "deleted" else index.write_bytes(b"no database" * 99)
    downloads = sandbox.downloads
    ran = workspace.run("adopt", "--json")
    assert ran.code == 0
    assert ran.json["summary"]["adopted"] == 4
    assert {path: path.read_bytes() for path in workspace.mirror.rglob("*.zip")} == before
    assert workspace.run("plan", "--exit-code").code == 0
    assert sandbox.downloads == downloads


@pytest.mark.parametrize("name", ["a/b", "L" * 300])
def test_a_file_whose_name_was_made_safe_is_known_by_its_place(workspace, sandbox, offered, name):
    with zipfile.ZipFile(workspace.path / "scene.file", "w") as made:
        made.writestr("band.bin", b"bytes")
    made_of = {name: workspace.path / "scene.file"}
    sandbox._catalogue = RowCatalogue([make_row(name, "2019-05-01T11:00:00Z")], files=made_of)
    workspace.write(MAY)
    assert workspace.run("apply").code == 0
    (file,) = workspace.mirror.glob("*.zip")
    assert name not in file.name
    shutil.rmtree(workspace.mirror / ".sedas-sync")
    ran = workspace.run("adopt", "--json").json
    assert results(ran) == {file.name: "adopted"}
    assert ran["files"][0]["id"] == name


def test_an_order_of_what_is_adopted_is_forgotten(workspace, sandbox, offered):
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z", online=False)])
    assert workspace.run("apply", "--no-wait").code == 3
    put(workspace.mirror, **{"A.zip": offered["A"]})
    assert workspace.run("adopt").code == 0
    assert workspace.run("orders", "--json").json == []
    assert workspace.run("apply", "--no-wait").code == 0


@pytest.mark.parametrize("arguments", [("--from", "nowhere"), ("--copy",), ("--move",)])
def test_usage_errors(workspace, offered, arguments):
    assert workspace.run("adopt", *arguments).code == 2


def test_a_name_that_is_not_unicode_is_not_looked_up(workspace, offered):
    put(workspace.mirror, **{"A.zip": offered["A"], "unknown-\udcff.zip": offered["B"]})
    workspace.write(MAY)
    ran = workspace.run("adopt", "--all", "--json")
    assert ran.code == 0
    results = {file["file"]: file["result"] for file in ran.json["files"]}
    assert results == {"A.zip": "adopted", "unknown-?.zip": "unwanted"}


@pytest.mark.parametrize("option", ["--dry-run", "--all"])
def test_a_failed_search_blames_no_file(workspace, sandbox, offered, option):
    from sedas_sync.sandbox import Faults, Rule
    from sedas_sync.sandbox.faults import fail

    put(workspace.mirror, **{"A.zip": offered["A"]})
    workspace.write(MAY, transfer="retries = 0")
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    ran = workspace.run("adopt", option, "--json")
    assert ran.code == 1
    assert ran.json["search_complete"] is False
    assert ran.json["files"] == []
    assert [failure["id"] for failure in ran.json["failures"]] == ["d"]
    ran = workspace.run("adopt", option)
    assert (ran.code, "A.zip" in ran.err) == (1, False)
    assert "a search failed" in ran.out
    assert workspace.run("adopt", option, SEDAS_PASSWORD="wrong").code == 4


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"{S2}.zip", S2), (f"{S2}.SAFE.zip", S2), (f"my_{S2}-copy.zip", S2), (f"{S2}0.zip", None),
        ("A.zip", "A"), ("AA.zip", None), ("a A (2).zip", "A"), ("AB.zip", "AB"), ("BANANA.zip", None), ("", None),
    ],
)  # fmt: skip
def test_ids_in_names(name, found):
    wants = {
        scene_id: DesiredScene.of("archive", Scene(id=scene_id), datasets=("d",), path=f"{scene_id}.zip")
        for scene_id in (S2, S1, "A", "AB")
    }
    assert Names(wants).find(name) == found


def test_files_taken_in_are_written_some_at_a_time_and_never_lost(tmp_path, monkeypatch):
    """A commit for each file took longer than reading it; one that took long to read is written at once."""
    from datetime import UTC, datetime

    from sedas_sync.model.local import LocalScene, ProofLevel
    from sedas_sync.state import index as module

    def held(number):
        return LocalScene(
            id=f"S{number}", path=f"S{number}.zip", size=1, mtime_ns=1, sha256="", level=ProofLevel.CRC, archive=""
        )

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    (tmp_path / ".sedas-sync").mkdir()
    with module.WritableIndex(tmp_path) as written:
        seen = []
        with module.BatchWriter(written, lambda: datetime.now(UTC)) as ledger:
            for number in range(450):
                now[0] += 2.0 if number == 5 else 0.0
                ledger.add(held(number))
                seen.append(written.count())
        assert written.count() == 450
    assert list(dict.fromkeys(seen)) == [0, 6, 206, 406]
