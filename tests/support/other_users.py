"""Commands that run as other users of this machine, which takes root to begin with."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from forks import Forked
from workspaces import OwnProcess, Ran

NOBODY = 65534
ALICE, BOB, STAFF = 64001, 64002, 64003
"""Two users and their group; the machine need not know them."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="runs commands as other users, which only root can")

COMMAND = """
import sys
from sedas_sync.cli.main import main
main()
"""
"""Runs a command line of sedas-sync."""
COMMANDS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from sedas_sync.cli.main import run_command
for line in list(sys.argv[1:]):
    sys.argv[1:] = line.split()
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run_command()
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
"""Runs several command lines, and prints the exit code, the output and the messages of each as JSON."""


@pytest.fixture
def common(sandbox):
    """A workspace that every user can reach: what is above a test's own folder is for its owner alone."""
    with tempfile.TemporaryDirectory(prefix="sedas-sync-") as place:
        Path(place).chmod(0o755)
        yield OwnProcess(Path(place), sandbox.url, {"SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"})


def as_user(uid, deed, *arguments, cwd, gid=None, umask=0o022, env=None, stdin=None):
    """Run Python as another user."""
    user = (uid, uid if gid is None else gid, umask)
    with (
        Path(stdin or os.devnull).open("rb") as given,
        Forked(
            arguments, user=user, deed=deed, cwd=cwd, env={**(env or os.environ), "HOME": str(cwd)}, stdin=given,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        out, err = process.communicate(timeout=120)
    return Ran(process.returncode, out, err)
