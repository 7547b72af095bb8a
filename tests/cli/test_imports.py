"""What a command imports: a quick command must not load what only a search or a download needs."""

import subprocess
import sys

import pytest

PRODUCTS = '[dataset.d]\nproducts = ["A"]\n'
ENGINE = ("shapely", "numpy", "urllib3", "sedas_sync.api", "sedas_sync.transfer.fetch", "sedas_sync.operations.apply")


def imported(workspace, *arguments, names, code=0):
    """Run a command in a new process, and return which of these modules it has imported."""
    script = (
        "import os, sys\n"
        "end = os._exit\n"
        f"def leave(code): print(*[n for n in {names!r} if n in sys.modules], file=sys.stderr, flush=True); end(code)\n"
        "os._exit = leave\n"
        f"sys.argv = {['sedas-sync', *arguments]!r}\n"
        "from sedas_sync.__main__ import main\n"
        "main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=workspace.path, env=workspace.environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == code, ran.stderr
    return ran.stderr.splitlines()[-1].split()


@pytest.fixture
def applied(workspace):
    # Without an area: the outline of an area is checked by shapely.
    (workspace.path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "sedas"\nurl = "{workspace.url}"\n{PRODUCTS}'
    )
    workspace.run("lock")
    return workspace


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json")])
def test_status_loads_neither_geometry_nor_http_nor_the_transfer_engine(applied, arguments):
    assert imported(applied, *arguments, names=ENGINE) == []


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("apply", "--help")])
def test_version_and_help_load_click_and_next_to_nothing_else(workspace, arguments):
    assert imported(workspace, *arguments, names=(*ENGINE, "msgspec", "pydantic", "tqdm")) == []


def test_completion_loads_little(applied):
    assert imported(applied, "completion", "bash", names=(*ENGINE, "pydantic", "tqdm")) == []


def test_a_plan_loads_geometry_and_http_but_nothing_that_downloads(applied):
    names = (*ENGINE, "sedas_sync.output.report.write", "sedas_sync.operations.verify")
    assert set(imported(applied, "plan", names=names, code=1)) == {"shapely", "numpy", "urllib3"}


def test_an_apply_loads_no_other_operations(applied):
    others = ("api", "operations.adopt.run", "operations.verify", "operations.why", "output.report.write")
    names = ("sedas_sync.transfer.fetch", *(f"sedas_sync.{name}" for name in others))
    assert imported(applied, "apply", names=names, code=1) == ["sedas_sync.transfer.fetch"]


def test_a_plan_of_files_in_buckets_loads_no_botocore(workspace):
    (workspace.path / "manifest.toml").write_text(
        'version = 1\n[archive]\ntype = "stac"\nurl = "http://127.0.0.1:1/"\ncollections = "a"\n'
        "s3 = { requester_pays = true }\n[transfer]\nretries = 0\n[dataset.d]\nstart = 2024-01-01\n"
    )
    names = ("botocore", "sedas_sync.archives.stac.archive")
    assert imported(workspace, "plan", names=names, code=1) == ["sedas_sync.archives.stac.archive"]
