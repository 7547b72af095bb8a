"""The example of an archive plug-in, installed and run."""

import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.own_process

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
SQUARE = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))"
DATASET = (
    '[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n[dataset.d]\naoi = "here"\nstart = 2019-05-01\nend = 2019-05-31\n'
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the installed example. Nothing is downloaded."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for file in EXAMPLE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    subprocess.run([*pip, "--disable-pip-version-check", "--target", target, source], check=True, capture_output=True)
    return target


@pytest.fixture
def index(tmp_path):
    """A server with an index and its zips. The value is the address of the index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(shelf)))
    url = f"http://127.0.0.1:{server.server_port}"
    rows = []
    for number, name in enumerate(("A1", "A2", "B1")):
        with zipfile.ZipFile(shelf / f"{name}.zip", "w") as file:
            file.writestr(f"{name}.SAFE/manifest.safe", name)
        data = (shelf / f"{name}.zip").read_bytes()
        start = f"2019-05-0{number + 1}T11:00:00+00:00"
        sha256 = hashlib.sha256(data).hexdigest()
        rows.append({"id": name, "url": f"{url}/{name}.zip", "start": start, "footprint": SQUARE, "sha256": sha256})
    (shelf / "index.json").write_text(json.dumps(rows))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"{url}/index.json"
    server.shutdown()
    thread.join()
    server.server_close()


def test_example_is_installed_and_run(installed, index, workspace):
    manifest = workspace.path / "manifest.toml"
    manifest.write_text(f'version = 1\n[archive]\ntype = "json-index"\nurl = "{index}"\nonly = "A*"\n{DATASET}')
    environment = {"PYTHONPATH": str(installed)}
    assert workspace.run("validate", **environment).code == 0
    assert workspace.run("apply", "--json", **environment).summary["fetched"] == 2
    assert set(workspace.files()) == {"A1.zip", "A2.zip"}
    assert workspace.run("plan", "--exit-code", **environment).code == 0
    assert workspace.run("verify", **environment).code == 0


def test_keys_of_the_type_are_checked(installed, index, workspace):
    manifest = workspace.path / "manifest.toml"
    manifest.write_text(f'version = 1\n[archive]\ntype = "json-index"\nurl = "{index}"\nonyl = "A*"\n{DATASET}')
    ran = workspace.run("validate", PYTHONPATH=str(installed))
    assert ran.code == 2
    assert "archive.onyl: unknown key; did you mean only?" in ran.err


def test_type_is_unknown_without_the_package(workspace):
    manifest = workspace.path / "manifest.toml"
    manifest.write_text(f'version = 1\n[archive]\ntype = "json-index"\nurl = "https://example.org/i"\n{DATASET}')
    ran = workspace.run("validate")
    assert ran.code == 2
    assert "which is not a known type" in ran.err


def test_package_that_cannot_be_imported_is_an_error_without_traceback(installed, index, workspace, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in installed.glob("*"):
        if file.is_dir() and file.name.endswith(".dist-info"):
            (broken / file.name).mkdir()
            for part in file.iterdir():
                if part.is_file():
                    (broken / file.name / part.name).write_bytes(part.read_bytes())
    (broken / "sedas_sync_json_index.py").write_text("import no_such_library\n")
    (workspace.path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "json-index"\nurl = "{index}"\n{DATASET}'
    )
    ran = workspace.run("validate", PYTHONPATH=str(broken))
    assert ran.code == 2
    assert "is provided by sedas-sync-json-index" in ran.err
    assert "no_such_library" in ran.err


def test_package_that_fails_in_a_run_is_named_without_traceback(installed, index, workspace, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for link in installed.glob("*.dist-info"):
        (broken / link.name).symlink_to(link)
    source = (EXAMPLE / "sedas_sync_json_index.py").read_text()
    (broken / "sedas_sync_json_index.py").write_text(
        source.replace("def locate(", "def locate(self, *_, **__):\n        raise RuntimeError('boom')\n\n    def old(")
    )
    manifest = workspace.path / "manifest.toml"
    manifest.write_text(f'version = 1\n[archive]\ntype = "json-index"\nurl = "{index}"\nonly = "A*"\n{DATASET}')
    ran = workspace.run("apply", "--json", "--log-file", "debug.log", PYTHONPATH=str(broken))
    assert (ran.code, ran.summary["failed"]) == (1, 2)
    log = (workspace.path / "debug.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "sedas_sync_json_index.py" in log
    assert "the package of archive type json-index failed in locate: RuntimeError: boom" in ran.out


def test_failing_check_of_a_key_is_a_manifest_error(installed, index, workspace, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for link in installed.glob("*.dist-info"):
        (broken / link.name).symlink_to(link)
    source = (EXAMPLE / "sedas_sync_json_index.py").read_text()
    assert "Field(description" in source
    failing = source.replace("Field(description", "AfterValidator(lambda value: 1 / 0), Field(description")
    (broken / "sedas_sync_json_index.py").write_text(f"from pydantic import AfterValidator\n{failing}")
    manifest = workspace.path / "manifest.toml"
    manifest.write_text(f'version = 1\n[archive]\ntype = "json-index"\nurl = "{index}"\nonly = "A*"\n{DATASET}')
    ran = workspace.run("validate", PYTHONPATH=str(broken))
    assert ran.code == 2
    assert "archive.only" in ran.err
    assert "cannot read it: ZeroDivisionError" in ran.err
