"""The how-to about operation: its crontab lines run as cron runs them, and its units are what systemd expects."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "operate.md").read_text()
PROGRAM, FOLDER = "/opt/sedas-sync/bin/sedas-sync", "/data/fields"
HERE = str(Path(sys.executable).parent / "sedas-sync")
CRON_LINES = re.findall(r"^\d+ \d+ \* \* \S+ +(.*)$", PAGE, re.MULTILINE)
(UNITS,) = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def operated(workspace):
    """A mirror whose user has the credentials in netrc, as the page says."""
    workspace.write()
    line = re.search(r'^echo "(machine .*)" >> ~/.netrc$', PAGE, re.MULTILINE)[1]
    host = urlsplit(workspace.url).hostname
    line = re.sub(r"machine \S+", f"machine {host}", line).replace("NAME", "sandbox").replace("PASSWORD", "sandbox")
    netrc = workspace.path / ".netrc"
    netrc.write_text(f"{line}\n")
    netrc.chmod(0o600)
    return workspace


def as_cron(workspace, command):
    """Run a line of a crontab; cron sets only these variables."""
    assert "%" not in command, "cron takes it for the end of a line"
    command = command.replace(PROGRAM, HERE).replace(FOLDER, str(workspace.path))
    env = {"HOME": str(workspace.path), "LOGNAME": "fields", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    return subprocess.run(["/bin/sh", "-c", command], env=env, cwd="/", capture_output=True, text=True, timeout=60)


def test_the_lines_of_the_crontab_run_and_are_silent(operated, sandbox):
    assert len(CRON_LINES) == 2
    sandbox.order_delay = 3600
    for command in CRON_LINES:
        ran = as_cron(operated, command)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert operated.run("orders", "--json").json, "code 3 is no failure"


def test_a_night_that_fails_is_a_mail_and_a_code(operated):
    (operated.path / ".netrc").unlink()
    ran = as_cron(operated, CRON_LINES[0])
    assert ran.returncode == 4
    assert "no credentials" in ran.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path):
    units = re.split(r"^# /etc/systemd/system/(\S+)\n", UNITS, flags=re.MULTILINE)[1:]
    files = dict(zip(units[::2], units[1::2], strict=True))
    assert files.keys() == {"fields.service", "fields.timer"}
    for name, text in files.items():
        (tmp_path / name).write_text(text.replace(PROGRAM, HERE))
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(files)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    found = [line for line in done.stderr.splitlines() if "fields." in line]
    assert (done.returncode, found) == (0, [])
