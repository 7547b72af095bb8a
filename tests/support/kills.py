"""A command that is killed at a moment of one's choice."""

import subprocess
import sys

_KILLED = """
import os, sys
left = int(os.environ["KILL_AT"])
def on(event, arguments):
    global left
    if event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link"}:
        left -= 1
        if left == 0:
            os._exit(137)
sys.addaudithook(on)
from sedas_sync.cli.main import run_command
sys.argv[0] = "sedas-sync"
sys.exit(run_command())
"""
"""Runs the command, and kills the process before a change of the file system."""


def killed(workspace, moment, *arguments):
    """Run a command until its nth change of the file system; return whether it was killed."""
    ran = subprocess.run(
        [sys.executable, "-c", _KILLED, *map(str, arguments)],
        cwd=workspace.path,
        env=workspace.environment(KILL_AT=str(moment)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode in {0, 137}, ran.stderr
    return ran.returncode == 137
