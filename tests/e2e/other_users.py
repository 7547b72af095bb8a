"""Commands that run as other users of this machine, which takes root to begin with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
ALICE, BOB, STAFF = 64001, 64002, 64003
"""Two users and their group; the machine need not know them."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="runs commands as other users, which only root can")


def open_to_all(folder):
    """Let everybody reach a folder: those that pytest makes are for their owner alone."""
    for place in (folder, *folder.parents):
        if place == Path("/tmp") or place == place.parent:
            break
        place.chmod(place.stat().st_mode | 0o055)


def as_user(uid, arguments, cwd, *, gid=None, umask=0o022, env=None, stdin=None):
    """Run this Python as another user."""
    with Path(stdin or os.devnull).open("rb") as given:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd, user=uid, group=uid if gid is None else gid, extra_groups=[], umask=umask, stdin=given,
            capture_output=True, text=True, timeout=60, env={**(env or os.environ), "HOME": "/"},
        )  # fmt: skip
