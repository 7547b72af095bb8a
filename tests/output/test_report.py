"""`report` in a real folder: where it writes, what it refuses, and that it asks nobody."""

import os
import subprocess
import sys

import pytest
from report_values import embedded

import sedas_sync as ss


@pytest.fixture
def applied(workspace, sandbox):
    """A mirror whose orders are still pending, and whose archive is gone."""
    sandbox.order_delay = 3600
    workspace.write()
    assert workspace.run("apply", "--no-wait").code == 3
    sandbox.close()
    return workspace


def test_report_is_written_beside_the_manifest_offline(applied):
    ran = applied.run("report")
    assert ran.code == 0, ran.err
    written = (applied.path / "manifest.html").read_text()
    status = applied.run("status", "--json").json
    assert f"Wrote manifest.html: {status['summary']['wanted']} scenes" in ran.out
    content = embedded(written)
    scenes = content["scenes"]
    assert set(content["orders"]["order"]) == {order["order"] for order in status["orders"]}
    assert {scenes["id"][number] for number in content["orders"]["scene"]} == {
        order["id"] for order in status["orders"]
    }
    pending = [
        start
        for state, start in zip(scenes["state"], scenes["start"], strict=True)
        if content["states"][state] == "pending"
    ]
    assert len(pending) == len(status["orders"])
    assert None not in pending, "known, though they never arrived"
    assert None not in scenes["outline"]


def test_json_and_out(applied):
    ran = applied.run("report", "--out", "site.html", "--json")
    told = ran.json
    assert (told["schema"], told["report"], told["manifest"]) == (1, "site.html", "manifest.toml")
    assert told["bytes"] == (applied.path / "site.html").stat().st_size
    assert told["scenes"] == applied.run("status", "--json").json["summary"]["wanted"]
    assert not (applied.path / "manifest.html").exists()
    assert applied.run("report", "-q").out == ""


def test_the_same_mirror_gives_the_same_bytes_anywhere(applied):
    assert applied.run("report").code == 0
    first = (applied.path / "manifest.html").read_bytes()
    assert applied.run("report").code == 0
    assert (applied.path / "manifest.html").read_bytes() == first
    moved = applied.path / "elsewhere"
    moved.mkdir()
    for name in ("manifest.toml", "scenes"):
        (applied.path / name).rename(moved / name)
    assert applied.run("report", moved / "manifest.toml").code == 0
    assert (moved / "manifest.html").read_bytes() == first


def test_before_anything_was_applied(workspace):
    workspace.write()
    ran = workspace.run("report")
    assert (ran.code, "0 scenes" in ran.out) == (0, True)
    assert "Nothing has been applied yet" in (workspace.path / "manifest.html").read_text()
    assert not workspace.mirror.exists()


def test_compares_with_the_lock_file_if_there_is_one(workspace):
    workspace.write()
    assert workspace.run("lock").code == 0
    ran = workspace.run("report", "--json")
    assert ran.json["scenes"] == len((workspace.path / "manifest.lock").read_text().splitlines()) - 1
    written = (workspace.path / "manifest.html").read_text()
    assert "the lock" in written
    content = embedded(written)
    assert {content["states"][state] for state in content["scenes"]["state"]} == {"missing"}


def test_refuses_to_overwrite_other_files(applied):
    (applied.path / "manifest.lock").write_text("mine")
    (applied.path / "folder").mkdir()
    for out, word in (
        ("manifest.toml", "the manifest itself"),
        ("manifest.lock", "lock"),
        ("scenes/.sedas-sync/index.db", "state"),
        ("folder", "directory"),
        ("no/such/folder/report.html", "cannot be written"),
    ):
        kept = (applied.path / "manifest.toml").read_bytes()
        (applied.path / "manifest.lock").unlink(missing_ok=True)
        ran = applied.run("report", "--out", out)
        assert ran.code == 2, out
        assert word in ran.err, ran.err
        assert (applied.path / "manifest.toml").read_bytes() == kept
    assert applied.run("status").code == 0


def test_report_of_a_read_only_mirror(applied):
    state = applied.mirror / ".sedas-sync"
    (state / "index.db-wal").unlink(missing_ok=True)
    (state / "index.db-shm").unlink(missing_ok=True)
    folders = [applied.mirror, *(folder for folder in applied.mirror.rglob("*") if folder.is_dir())]
    before = sorted(state.iterdir())
    for folder in folders:
        folder.chmod(0o555)
    try:
        ran = applied.run("report")
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert ran.code == 0, ran.err
    if os.geteuid() != 0:  # nothing is read-only to root
        assert sorted(state.iterdir()) == before


def test_from_python(applied, monkeypatch):
    monkeypatch.chdir(applied.path)
    with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
        written = mirror.report()
    assert written.path == "manifest.html"
    assert written.bytes == (applied.path / "manifest.html").stat().st_size


def test_refuses_the_mirror_of_another_manifest(applied):
    (applied.path / "other.toml").write_bytes((applied.path / "manifest.toml").read_bytes())
    ran = applied.run("report", "other.toml")
    assert ran.code == 2
    assert "belongs to another manifest" in ran.err


def test_the_wheel_contains_the_assets(tmp_path):
    from importlib.resources import files

    assets = files("sedas_sync.output.report") / "assets"
    for name in (
        "leaflet.js",
        "uplot.js",
        "scripts/main.js",
        "report.css",
        "page.html",
        "countries.json",
    ):
        assert (assets / name).is_file()
        assert b"\r" not in (assets / name).read_bytes()
    for name in ("leaflet", "uplot", "world-atlas", "geonames"):
        assert len((assets / "licenses" / f"{name}.txt").read_text()) > 500


def test_a_page_is_never_half_written(applied):
    assert applied.run("report").code == 0
    before = (applied.path / "manifest.html").read_bytes()
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000));"
    limit += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limit += "sys.argv = ['sedas-sync', 'report']; runpy.run_module('sedas_sync', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", limit], cwd=applied.path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1, ran.stderr
    assert "cannot be written" in ran.stderr
    assert (applied.path / "manifest.html").read_bytes() == before
    assert not list(applied.path.glob(".manifest.html.*"))
