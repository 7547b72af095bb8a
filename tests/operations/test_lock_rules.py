"""Locks as other people's tools, merges and newer versions leave them."""

import json

import pytest

import sedas_sync as ss
from sedas_sync.results import Finding
from sedas_sync.sandbox import RowCatalogue, make_row

RULES = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


@pytest.fixture
def opened(workspace, sandbox, monkeypatch):
    """Open the mirror, in this process; its lock names A and B."""
    for key, value in workspace.env.items():
        monkeypatch.setenv(key, value)
    sandbox._catalogue = RowCatalogue([make_row(name, f"2019-05-0{n}T11:00:00Z") for n, name in enumerate("AB", 1)])
    workspace.write(RULES)

    def mirror():
        return ss.Mirror(ss.load_manifest(workspace.path / "manifest.toml"))

    with mirror() as first:
        first.relock(first.plan())
    return mirror


@pytest.fixture
def lock_file(workspace, opened):
    return workspace.path / "manifest.lock"


def lines(lock_file):
    return lock_file.read_bytes().decode().splitlines()


def put(lock_file, changed, end="\n"):
    lock_file.write_bytes((end.join(changed) + end).encode())


@pytest.mark.parametrize("how", ["crlf", "bom", "no last newline", "unknown fields", "another order"])
def test_what_other_tools_do_to_a_lock_does_not_matter(opened, lock_file, how):
    """JSON Lines, UTF-8."""
    text = lines(lock_file)
    if how == "crlf":
        put(lock_file, text, "\r\n")
    elif how == "bom":
        lock_file.write_bytes(b"\xef\xbb\xbf" + lock_file.read_bytes())
    elif how == "no last newline":
        lock_file.write_bytes(lock_file.read_bytes().rstrip(b"\n"))
    elif how == "unknown fields":
        put(lock_file, [json.dumps({**json.loads(line), "of_tomorrow": [1]}) for line in text])
    else:
        put(lock_file, [text[0], *reversed(text[1:])])
    with opened() as mirror:
        assert sorted(mirror.checked_lock().scenes) == ["A", "B"]
        assert mirror.plan(locked=True).counts[ss.ActionKind.FETCH] == 2
        assert not mirror.relock(mirror.plan(), write=False).news


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: [*text, text[-1]], "line 4: duplicate entry for scene B"),
        (lambda text: [text[0].replace('"version": 1', '"version": 2'), *text[1:]], "newer sedas-sync"),
        (lambda text: [*text, ""], "line 4: not JSON"),
        (lambda text: ["<<<<<<< ours", *text], "line 1: not JSON (a merge that was not resolved?)"),
        (lambda text: [text[0], "=======", *text[1:]], "line 2: not JSON (a merge"),
        (lambda text: text[1:], "line 1: not a lock file header"),
        (lambda text: [text[0], "[" * 100_000], "line 2: not JSON"),
        (lambda text: [text[0], '{"id": 7, "datasets": ["d"]}'], "line 2: not a valid scene entry"),
        (lambda text: [text[0], '{"id": "A", "datasets": ["d"], "sha256": "ABC"}'], "line 2: not a valid scene entry"),
        (
            lambda text: [text[0], '{"id": "A", "datasets": ["d"], "start": "yesterday"}'],
            "line 2: not a valid scene entry",
        ),
        (lambda text: [text[0], '{"id": "A", "datasets": ["d"], "size": -1}'], "line 2: not a valid scene entry"),
        (lambda text: [text[0], '{"id": "A", "datasets": ["d"], "size": NaN}'], "line 2: not a valid scene entry"),
        (lambda text: [text[0], '{"id": "", "datasets": ["d"]}'], "line 2: not a valid scene entry"),
    ],
)
def test_what_is_no_lock_is_a_mistake_that_names_its_line(opened, lock_file, change, said):
    put(lock_file, change(lines(lock_file)))
    with opened() as mirror:
        for look in (mirror.checked_lock, mirror.verify, mirror.status):
            with pytest.raises(ss.ManifestError) as caught:
                look()
            assert said in str(caught.value)
            assert caught.value.exit_code == 2
    assert not mirror.root.exists()


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", ".hidden", "a\\b", "CON", "x" * 400, "\u202e\x1b[2J"])
def test_a_hostile_id_in_a_lock_leaves_the_mirror_by_no_path(opened, lock_file, workspace, name):
    """Names are made safe, and nothing is written outside the mirror."""
    put(lock_file, [lines(lock_file)[0], json.dumps({"id": name, "datasets": ["d"], "size": 3})])
    before = sorted(path.name for path in workspace.path.iterdir())
    with opened() as mirror:
        report = mirror.verify()
        (found,) = report.bad
        assert found.finding is Finding.MISSING
        assert not found.path.startswith(("/", "."))
        assert ".." not in found.path.split("/")
        plan = mirror.plan(locked=True)
        assert [failure.id for failure in plan.failures] == [name]
        assert mirror.apply(plan).exit_code == 1
    assert sorted(path.name for path in workspace.path.iterdir()) == sorted([*before, "scenes"])


def test_a_dataset_of_a_lock_that_no_manifest_has_is_nobodys(opened, lock_file):
    put(lock_file, [lines(lock_file)[0], '{"id": "A", "datasets": ["elsewhere"]}', lines(lock_file)[2]])
    with opened() as mirror:
        assert [action.id for action in mirror.plan(locked=True).actions] == ["B"]
        assert mirror.status().wanted == 1
        assert {item.id for item in mirror.verify().bad} == {"B"}


def conflict(lock_file):
    """Leave the lock as `git merge` does where both sides have changed it."""
    head, *rest = lines(lock_file)
    put(lock_file, [head, "<<<<<<< HEAD", *rest, "=======", *rest[:1], ">>>>>>> other"])
    return lock_file.read_bytes()


DAMAGES = {
    "conflict": conflict,
    "not text": lambda lock_file: lock_file.write_bytes(b"\xff\xfe\x00"),
    "empty": lambda lock_file: lock_file.write_bytes(b""),
    "cut off": lambda lock_file: lock_file.write_bytes(lock_file.read_bytes()[:-20]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", [("lock",), ("apply", "--update-lock")])
def test_a_file_that_is_no_lock_is_replaced_and_that_is_said_first(opened, workspace, lock_file, damage, command):
    right = lock_file.read_bytes()
    DAMAGES[damage](lock_file)
    ran = workspace.run(*command)
    assert ran.code == 0, ran.err
    assert ran.err.startswith("warning: manifest.lock: ")
    assert "replacing it with a new lock file" in ran.err.splitlines()[0]
    if command == ("lock",):
        assert lock_file.read_bytes() == right
    else:
        assert lock_file.read_text().count("sha256") == 2
    assert workspace.run("lock", "--check").code == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_check_of_what_is_no_lock_says_so_and_ends_with_2(opened, workspace, sandbox, lock_file, damage):
    DAMAGES[damage](lock_file)
    before, asked = lock_file.read_bytes(), len(sandbox.log)
    ran = workspace.run("lock", "--check")
    assert ran.code == 2
    assert "`sedas-sync lock` writes a new one" in ran.err
    assert lock_file.read_bytes() == before
    assert len(sandbox.log) == asked


@pytest.mark.parametrize("why", ["newer", "folder"])
@pytest.mark.parametrize("command", [("lock",), ("lock", "--check"), ("apply", "--update-lock")])
def test_a_lock_that_may_be_right_is_never_replaced(opened, workspace, sandbox, lock_file, why, command):
    """Exit code 2, before anybody is asked and anything is touched."""
    if why == "newer":
        put(lock_file, [lines(lock_file)[0].replace('"version": 1', '"version": 2'), *lines(lock_file)[1:]])
    else:
        lock_file.unlink()
        lock_file.mkdir()
    asked = len(sandbox.log)
    ran = workspace.run(*command)
    assert ran.code == 2
    assert "manifest.lock: " in ran.err
    assert len(sandbox.log) == asked
    assert not workspace.mirror.exists()
    assert lock_file.is_dir() or '"version": 2' in lock_file.read_text()
