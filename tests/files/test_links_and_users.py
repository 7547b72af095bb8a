"""Links below a mirror lead nowhere, and several users of one machine share a folder."""

import json
import os
import stat

import pytest
from noise_scenes import MAY, offer
from other_users import ALICE, BOB, COMMAND, COMMANDS, STAFF, as_root, as_user, common  # noqa: F401  # a fixture
from products import over_harwell, unzip
from workspaces import OPTICAL, Ran

from sedas_sync.sandbox import Faults, Rule
from sedas_sync.sandbox.faults import slow

OWN = {
    "": "folder", "partial": "folder", "replaced": "folder", "workers": "folder", "index.db": "file",
    "index.db-wal": "file", "index.db-shm": "file", "index.db-journal": "file", "apply.lock": "file",
    "orders.jsonl": "file",
}  # fmt: skip
HASH = "0123456789abcdef" * 2


def contents(place):
    return {
        str(path.relative_to(place)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime_ns)
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def led_outside(mirror, name, precious):
    """Put a link in the place of something of the state folder; what it leads to looks like the real thing."""
    here = mirror / ".sedas-sync" / name
    there = precious / (name or "state")
    if os.path.lexists(here):
        here.rename(there)
    elif OWN[name] == "file":
        there.write_bytes(b"precious")
    else:
        there.mkdir()
    if OWN[name] == "folder":
        for file in (HASH, f"{HASH}.lock", f"{HASH}.1", "X.part", "X.meta", "Y.mnew", "Z.zip"):
            (there / file).write_text("precious")
        (there / "X.scene" / "new").mkdir(parents=True)
        (there / "X.scene" / "new" / "B04.tif").write_text("precious")
    here.symlink_to(os.path.relpath(there, here.parent))


@pytest.mark.parametrize("name", OWN)
def test_no_command_writes_or_deletes_through_a_link(workspace, sandbox, name):
    place = workspace
    offer(sandbox, place.path, online=2, archived=1, size=1000)
    place.write(MAY)
    precious = place.path / "precious"
    precious.mkdir()
    assert place.run("apply").code == 0
    assert place.run("lock").code == 0
    assert place.run("apply", "--locked").code == 0
    led_outside(place.mirror, name, precious)
    before = contents(precious)
    for command in (["apply"], ["apply", "--locked"], ["apply", "--prune", "--yes"], ["verify", "--repair"], ["adopt"]):
        ran = place.run(*command)
        assert contents(precious) == before, command
        assert ran.code == 2, (command, ran)
        assert f".sedas-sync/{name}".removesuffix("/") in ran.err, command
        assert "is a symbolic link" in ran.err, command
        assert "move it away" in ran.err, command
    for command in (["plan"], ["status"], ["orders"], ["verify"], ["report"], ["why", "ON000"], ["lock", "--check"]):
        place.run(*command)
        assert contents(precious) == before, command
    assert len(place.files()) == 3


def test_a_link_in_the_place_of_the_workers_folder_costs_nobody_a_file(workspace, sandbox):
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    workspace.write(MAY)
    assert workspace.run("apply").code == 0
    (workspace.path / "precious").mkdir()
    (workspace.path / "precious" / "thesis.tex").write_text("years of work")
    (workspace.mirror / ".sedas-sync" / "workers").symlink_to("../../precious")
    ran = workspace.run("apply")
    assert (ran.code, "workers: is a symbolic link" in ran.err) == (2, True), ran.err
    assert (workspace.path / "precious" / "thesis.tex").read_text() == "years of work"
    (workspace.mirror / ".sedas-sync" / "workers").unlink()
    assert workspace.run("apply").code == 0


@pytest.mark.parametrize("inner", ["", "/ON000"])
def test_a_link_in_the_place_of_a_folder_of_scenes(workspace, sandbox, inner):
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    workspace.write(MAY, mirror='layout = "x/{id}/{id}"')
    assert workspace.run("apply").code == 0
    precious = workspace.path / "precious"
    place = workspace.mirror / f"x{inner}"
    place.rename(precious)
    place.symlink_to(precious)
    before = contents(precious)
    workspace.write(MAY.replace("31", "02").replace("05-01", "05-02"), mirror='layout = "y/{id}"')
    for command in (["verify"], ["adopt"], ["apply", "--prune", "--yes"], ["verify", "--repair"]):
        workspace.run(*command)
        assert contents(precious) == before, command


def test_a_damaged_index_is_put_aside_and_a_link_beside_it_is_left(workspace, sandbox):
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    workspace.write(MAY)
    assert workspace.run("apply").code == 0
    index = workspace.mirror / ".sedas-sync" / "index.db"
    index.write_bytes(b"no database" * 1000)
    (workspace.path / "precious").write_text("mine")
    (index.parent / "index.db.damaged-1").symlink_to(workspace.path / "precious")
    assert workspace.run("apply").code == 0
    assert (index.parent / "index.db.damaged-2").read_bytes() == b"no database" * 1000
    assert (workspace.path / "precious").read_text() == "mine"


# -- several users ---------------------------------------------------------------------------------------------------


def ran_as(uid, place, *arguments, umask=0o022, gid=None):
    ran = as_user(uid, COMMAND, *arguments, cwd=place.path, env=place.environment(), umask=umask, gid=gid)
    assert "Traceback" not in ran.err, ran.err
    return ran


def all_as(uid, place, *lines):
    """Run several command lines in one process."""
    done = as_user(uid, COMMANDS, *lines, cwd=place.path, env=place.environment())
    assert done.code == 0, done.err
    return [Ran(*json.loads(line)) for line in done.out.splitlines()]


@as_root
@pytest.mark.parametrize("kind", ["sticky", "closed"])
def test_a_file_that_this_user_may_not_move_is_left_and_its_owner_named(common, sandbox, kind):  # noqa: F811
    offer(sandbox, common.path, online=2, archived=0, size=1000)
    common.write(MAY, mirror='layout = "sub/{id}"')
    place = common.mirror / "sub"
    place.mkdir(parents=True)
    common.mirror.chmod(0o777)
    mine = place / "ON000.zip"
    mine.write_text("Bob's")
    # Who may write to a file may give it a second name, whatever is done against such names.
    mine.chmod(0o666)
    os.chown(mine, BOB, BOB)
    place.chmod(0o1777 if kind == "sticky" else 0o755)
    for _ in range(2):
        ran = ran_as(ALICE, common, "apply", "--json")
        summary = json.loads(ran.out.splitlines()[-1])
        assert ran.code == 1
        said = next(failure["error"] for failure in summary["failures"] if failure["id"] == "ON000")
        assert f"ON000.zip belongs to the user {BOB}" in said
        assert ("ask one of them to do that" if kind == "sticky" else "chmod g+w") in said
        assert not list((common.mirror / ".sedas-sync" / "replaced").iterdir())
    assert mine.read_text() == "Bob's"
    assert mine.stat().st_nlink == 1
    assert (place / "ON001.zip").exists() == (kind == "sticky")


@as_root
def test_a_move_that_the_sticky_bit_forbids_leaves_no_second_name(common, sandbox):  # noqa: F811
    offer(sandbox, common.path, online=1, archived=0, size=1000)
    common.write(MAY)
    common.mirror.mkdir()
    common.mirror.chmod(0o1777)
    assert ran_as(ALICE, common, "apply").code == 0
    scene = common.mirror / "ON000.zip"
    os.chown(scene, BOB, BOB)
    scene.chmod(0o666)
    common.write(MAY, mirror='layout = "new/{id}"')
    for _ in range(2):
        ran = ran_as(ALICE, common, "apply")
        assert (ran.code, "sticky bit" in ran.err + ran.out) == (1, True), ran
        assert scene.stat().st_nlink == 1
        assert len(list(common.mirror.rglob("*.zip"))) == 1


@pytest.fixture
def group(common):  # noqa: F811
    """A mirror whose folder a group may write, and which hands on the group."""
    common.mirror.mkdir()
    os.chown(common.mirror, 0, STAFF)
    common.mirror.chmod(0o2775)
    return common


def not_for_the_group(mirror):
    return [
        (str(path.relative_to(mirror)), oct(found.st_mode))
        for path in (mirror / ".sedas-sync").rglob("*")
        if (found := path.lstat()).st_gid != STAFF or not found.st_mode & 0o020
    ]


@as_root
def test_a_mirror_of_a_group_works_for_each_of_its_users(group, sandbox):
    right = offer(sandbox, group.path, online=3, archived=2, size=2000)
    group.write(MAY)
    first = ran_as(ALICE, group, "apply", umask=0o002, gid=STAFF)
    assert first.code == 0, first.err
    assert not not_for_the_group(group.mirror)
    (group.mirror / "ON000.zip").unlink()
    (group.mirror / "ON001.zip").write_bytes(b"somebody's")
    second = ran_as(BOB, group, "apply", "--json", umask=0o002, gid=STAFF)
    assert second.code == 0, second.err
    assert json.loads(second.out.splitlines()[-1])["fetched"] == 2
    assert group.files() == right
    group.write(MAY, mirror='layout = "2019/{id}"')
    third = ran_as(BOB, group, "apply", umask=0o002, gid=STAFF)
    assert third.code == 0, third.err
    assert {path.name: path.read_bytes() for path in (group.mirror / "2019").iterdir()} == right
    assert ran_as(ALICE, group, "verify", umask=0o002, gid=STAFF).code == 0
    assert not not_for_the_group(group.mirror)


@as_root
def test_what_one_user_of_a_group_was_killed_at_another_goes_on_with(group, sandbox, tmp_path):
    right = offer(sandbox, group.path, online=2, archived=1, size=1_500_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(300_000)),))
    group.write(MAY)
    killed = """
import os, signal, threading
parts = os.path.join("scenes", ".sedas-sync", "partial")
def watch():
    while True:
        with_bytes = [n for n in (os.listdir(parts) if os.path.isdir(parts) else ())
                      if n.endswith(".part") and os.path.getsize(os.path.join(parts, n)) > 300_000]
        if len(with_bytes) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait(0.02)
threading.Thread(target=watch, daemon=True).start()
"""
    first = as_user(ALICE, killed + COMMAND, "apply", cwd=group.path, env=group.environment(), umask=0o002, gid=STAFF)
    assert first.code == -9, first.err
    assert not not_for_the_group(group.mirror)
    sandbox.faults = Faults()
    sandbox.order_delay = 0.1
    second = ran_as(BOB, group, "apply", umask=0o002, gid=STAFF)
    assert second.code == 0, second.err
    assert group.files() == right
    assert sandbox.bytes_sent < 1.2 * sum(map(len, right.values()))


@as_root
def test_an_index_of_another_user_says_whose_it_is(group, sandbox):
    offer(sandbox, group.path, online=1, archived=0, size=1000)
    group.write(MAY)
    assert ran_as(ALICE, group, "apply", umask=0o022, gid=STAFF).code == 0
    ran = ran_as(BOB, group, "apply", umask=0o022, gid=STAFF)
    assert ran.code == 2
    assert f"belongs to the user {ALICE}" in ran.err
    assert "chmod -R g+w" in ran.err
    (group.mirror / ".sedas-sync" / "apply.lock").chmod(0o664)
    ran = ran_as(BOB, group, "apply", umask=0o022, gid=STAFF)
    assert (ran.code, f"belongs to the user {ALICE}" in ran.err) == (1, True), ran.err
    assert ran_as(BOB, group, "status", gid=STAFF).code == 0


@as_root
def test_scenes_that_cannot_be_read_are_left_alone(common, sandbox):  # noqa: F811
    offer(sandbox, common.path, online=5, archived=0, size=1000)
    harwell = 'aoi = "harwell"\nstart = 2019-05-{}\nend = 2019-05-{}\n'
    common.write(
        "[dataset.early]\n" + harwell.format("01", "02") + "[dataset.late]\n" + harwell.format("03", "31"),
        mirror='layout = "{dataset}/{id}"',
    )
    common.mirror.mkdir()
    common.mirror.chmod(0o777)
    assert ran_as(ALICE, common, "apply").code == 0
    common.path.chmod(0o777)
    (common.mirror / "lost+found").mkdir(mode=0o700)
    closed, file = common.mirror / "early", common.mirror / "late" / "ON002.zip"
    for path in (closed, file):
        os.chown(path, 0, 0)
        path.chmod(0o700)
    os.utime(file)
    before, sent = common.files(), sandbox.bytes_sent
    export = "export --format csv --out s.csv --json"
    lines = ["plan --prune", "apply --prune --json", "status --json", "verify --json --repair", export, "why ON000"]
    planned, applied, status, verified, exported, why = all_as(ALICE, common, *lines)
    assert planned.code == 1
    assert "failed: early: cannot be read: Permission denied; 2 scenes left alone" in planned.out
    assert "failed: late/ON002.zip: cannot be read: Permission denied; 1 scene left alone" in planned.out
    assert f"{common.mirror / 'lost+found'}: cannot be read, and is left out: Permission denied" in planned.err
    summary = json.loads(applied.out.splitlines()[-1])
    assert [summary[key] for key in ("exit_code", "fetched", "pruned", "kept")] == [1, 0, 0, 2]
    counts = status.json["summary"]
    assert status.code == 1
    assert [counts[key] for key in ("wanted", "held", "unreadable", "missing", "up_to_date")] == [5, 5, 3, 0, False]
    found = {item["path"]: item["finding"] for item in verified.json["findings"]}
    assert verified.code == 1
    assert found == dict.fromkeys(("early/ON000.zip", "early/ON001.zip", "late/ON002.zip"), "unreadable")
    assert {item["reason"] for item in exported.json["left_out"]} == {"early cannot be read: Permission denied"}
    assert "nothing, until it can be read" in why.out
    for path in (closed, file):
        os.chown(path, ALICE, ALICE)
    assert [ran.code for ran in all_as(ALICE, common, "apply --prune", "status")] == [0, 0]
    assert (common.files(), sandbox.bytes_sent) == (before, sent)


@as_root
def test_an_unpacked_scene_that_cannot_be_read_is_left_alone_without_an_index(common):  # noqa: F811
    common.write(OPTICAL, mirror="unpack = true")
    assert common.run("apply").code == 0
    closed = min(common.mirror.glob("*.SAFE"))
    closed.chmod(0o700)
    for path in (common.mirror / ".sedas-sync").glob("index.db*"):
        path.unlink()
    (planned,) = all_as(ALICE, common, "plan --json")
    actions = [(one["action"], one["reason_code"]) for one in planned.json["actions"] if one["action"] != "adopt"]
    assert (planned.code, actions) == (1, [("skip", "unreadable")])


@as_root
def test_what_cannot_be_read_is_left_out_with_a_warning(common):  # noqa: F811
    data = next(iter(over_harwell("2019-05-06", "2019-05-07", "Optical").values()))
    whole = unzip(data, common.path / "old")
    other = unzip(data, common.path / "old" / "copy" / "of")
    (other / "GRANULE").chmod(0o700)
    for name, mode in (("closed", 0o700), ("listed", 0o744)):
        (common.path / "old" / name).mkdir()
        (common.path / "old" / name / "notes.txt").write_text("mine")
        (common.path / "old" / name).chmod(mode)
    common.path.chmod(0o777)
    made = ran_as(ALICE, common, "init", "--from-folder", "old", "--json")
    assert made.code == 0, made.err
    left_out = json.loads(made.out)["warnings"]
    closed = f"old/copy/of/{other.name}/GRANULE"
    for place in ("old/closed", closed, "old/listed/notes.txt"):
        assert f"{place}: cannot be read, and is left out: Permission denied" in left_out
    common.write(MAY)
    found = json.loads(ran_as(ALICE, common, "adopt", "--from", "old", "--json").out)
    assert {*left_out} <= {*found["warnings"]}
    results = {file["file"]: (file["result"], file["detail"]) for file in found["files"]}
    assert results[whole.name][0] == "adopted"
    result, detail = results[f"copy/of/{other.name}"]
    assert (result, detail) == ("wrong", f"it cannot be read: [Errno 13] Permission denied: '{closed}'")
