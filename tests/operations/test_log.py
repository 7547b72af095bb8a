"""The log of Python programs: real runs on the sandbox and its faults."""

import logging
import subprocess
import sys

import pytest

import sedas_sync as ss
from sedas_sync.events import Failed
from sedas_sync.net.redact import remember_secret
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

ROWS = [make_row(name, "2019-05-02T11:00:00Z", online=name != "C") for name in ("A", "B", "C", "D")]


@pytest.fixture
def manifest(workspace, sandbox, monkeypatch):
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)
    sandbox._catalogue = RowCatalogue(ROWS)
    return ss.load_manifest(workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-03\n'))


FAULTS = Faults(
    rules=(
        Rule("download", fail(404), ids={"D"}),
        Rule("download", fail(503), ids={"A"}, times=1),
        Rule("search", fail(503, retry_after=0), times=1),
    )
)


def lines(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_a_run_logs_what_it_does_and_what_goes_wrong(manifest, sandbox, caplog):
    caplog.set_level(logging.INFO)
    sandbox.faults = FAULTS
    with ss.Mirror(manifest) as mirror:
        mirror.root.mkdir()
        (mirror.root / "B.zip").write_bytes(b"not a scene")
        result = mirror.apply(mirror.plan())
    assert (result.fetched, result.failed) == (3, 1)
    assert {record.name.partition(".")[0] for record in caplog.records} == {"sedas_sync"}
    done = lines(caplog, logging.INFO)
    assert "searched for d: 4 scenes" in done
    for name in "ABC":
        assert any(line.startswith(f"fetched {name}.zip (") for line in done), done
    assert any(line.startswith("ordered C (order ") for line in done)
    assert any(line.startswith("order of C is ready after ") for line in done)
    assert done[-1] == "run ended with exit code 1: 3 fetched, 1 ordered, 0 pending, 1 failed"
    warnings = lines(caplog, logging.WARNING)
    assert any(line.startswith("retry of A in ") and "503" in line for line in warnings), warnings
    assert any("status 503; retry in" in line for line in warnings), "also calls of the API"
    assert any("B.zip" in line for line in warnings), "something else was in the place of B"
    (failed,) = lines(caplog, logging.ERROR)
    assert failed.startswith("failed: D: ")
    for token in sandbox._tokens:
        assert token not in caplog.text


def test_a_search_that_fails_is_an_error(manifest, sandbox, caplog):
    sandbox.faults = Faults(rules=(Rule("search", fail(400)),))
    with ss.Mirror(manifest) as mirror:
        assert mirror.plan().failures
    assert any(line.startswith("the search for d failed: ") for line in lines(caplog, logging.ERROR))


def test_fetch_logs_too(sandbox, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    sandbox._catalogue = RowCatalogue(ROWS[:1])
    with ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as archive:
        list(ss.fetch([archive.product("A")], tmp_path, archive=archive))
    assert any(line.startswith("fetched A.zip") for line in lines(caplog, logging.INFO))


def test_no_secret_is_in_a_record(caplog):
    from datetime import UTC, datetime

    from sedas_sync.operations.log import log_event

    remember_secret("a-remembered-secret")
    for text in ("https://me:hush@example.org/", "token=hush", "a-remembered-secret"):
        log_event(Failed(time=datetime.now(UTC), id="A", error=text))
    assert len(caplog.records) == 3
    assert not [record for record in caplog.records if {"hush", "a-remembered"} & set(str(vars(record)).split())]
    assert "hush" not in caplog.text
    assert "a-remembered-secret" not in caplog.text


def test_nothing_is_configured_and_nothing_is_printed(manifest, workspace, sandbox):
    sandbox.faults = FAULTS
    code = (
        "import logging, sedas_sync as ss\n"
        "with ss.Mirror(ss.load_manifest('manifest.toml')) as mirror: mirror.sync()\n"
        "package, root = logging.getLogger('sedas_sync'), logging.getLogger()\n"
        "print(package.handlers, package.level, package.propagate, root.handlers)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.stderr == ""
    assert ran.stdout == "[<NullHandler (NOTSET)>] 0 True []\n"


def test_the_log_file_of_the_command_has_the_same_lines(manifest, workspace, sandbox):
    sandbox.faults = FAULTS
    assert workspace.run("apply", "-vv", "--log-file", "run.log").code == 1
    log = (workspace.path / "run.log").read_text()
    for expected in ("INFO {}: fetched A.zip", "WARNING {}: retry of A", "ERROR {}: failed: D"):
        assert expected.format("sedas_sync.run") in log
