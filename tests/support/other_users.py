"""Commands that run as other users of this machine, which takes root to begin with."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from workspaces import OwnProcess

NOBODY = 65534
ALICE, BOB, STAFF = 64001, 64002, 64003
"""Two users and their group; the machine need not know them."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="runs commands as other users, which only root can")

_BECOME = """
import importlib, os, pkgutil, sys
uid, gid, umask = map(int, sys.argv[1:4])
# Another user may not be able to read what Python is installed in: all is imported before, but what needs eodag and
# GDAL, which take as long as everything else and are not used.
import _strptime, encodings.ascii, encodings.cp437, encodings.idna, pwd, zipfile, sedas_sync
for module in pkgutil.walk_packages(sedas_sync.__path__, "sedas_sync."):
    unused = module.name.endswith(("__main__", ".gdal", ".geoparquet"))
    if not unused and ".eodag." not in module.name.replace(".eodag.kind", ""):
        importlib.import_module(module.name)
os.setgroups([]), os.setgid(gid), os.setuid(uid), os.umask(umask)
sys.argv[:] = ["sedas-sync", *sys.argv[5:]]
"""
COMMAND = """
from sedas_sync.__main__ import main
sys.exit(main())
"""
"""Runs a command line of sedas-sync."""
COMMANDS = """
import io, json
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
    numbers = [str(number) for number in (uid, uid if gid is None else gid, umask)]
    with Path(stdin or os.devnull).open("rb") as given:
        return subprocess.run(
            [sys.executable, "-c", _BECOME + deed, *numbers, "--", *map(str, arguments)],
            cwd=cwd, stdin=given, capture_output=True, text=True, timeout=120,
            env={**(env or os.environ), "HOME": str(cwd)},
        )  # fmt: skip
