"""A folder with a manifest, in which tests run the command: in a process of its own, or in the test's."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from forks import Forked, needs_start

from sedas_sync.cli.main import run_command

HARWELL = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def events(self):
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self):
        """The last JSON line, which has to be the summary."""
        last = self.events[-1]
        assert last["event"] == "summary"
        return last


@contextmanager
def _loggers_restored():
    """Remove the handlers that a command adds to loggers: its log ends with it."""
    loggers = [logging.getLogger(name) for name in ("sedas_sync", "urllib3")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, handlers in before:
            for handler in set(logger.handlers) - set(handlers):
                logger.removeHandler(handler)
                handler.close()
            logger.setLevel(level)


FORTNIGHT = 'aoi = "harwell"\nstart = 2019-04-30\nend = 2019-05-12\n'
OPTICAL = f'[dataset.optical]\n{FORTNIGHT}sensor = "optical"\nmax_cloud_cover = 50\n'
RADAR = f'[dataset.radar]\n{FORTNIGHT}sensor = "sar"\n'


@dataclass
class Workspace:
    """A folder with a manifest, and the command to run in it.

    `run` runs a command in the process of the test. Signals, terminals, closed streams, users and the end of a process
    need `OwnProcess`.
    """

    path: Path
    url: str
    env: dict = field(default_factory=dict)

    @property
    def mirror(self):
        return self.path / "scenes"

    def files(self):
        """The scenes in the mirror, by name."""
        return {file.name: file.read_bytes() for file in self.mirror.glob("*.zip")}

    def write(self, datasets="", *, transfer="", mirror="", aoi=f'wkt = "{HARWELL}"', archive="", name="manifest.toml"):
        """Write a manifest for the sandbox; by default Harwell's fortnight of 2019, both sensors."""
        datasets = datasets or OPTICAL + RADAR
        text = (
            f'version = 1\n[archive]\ntype = "sedas"\nurl = "{self.url}"\n{archive}\n[aoi.harwell]\n{aoi}\n'
            f"[transfer]\n{transfer}\n[mirror]\n{mirror}\n{datasets}"
        )
        (self.path / name).write_text(text)
        return self.path / name

    def environment(self, **extra):
        base = {key: value for key, value in os.environ.items() if not key.startswith(("SEDAS_", "NETRC", "COV_"))}
        return {**base, "HOME": str(self.path), **self.env, **extra}

    def command(self, *arguments):
        return [sys.executable, "-m", "sedas_sync", *map(str, arguments)]

    def run(self, *arguments, cwd=".", **extra):
        """Run a command, in a folder below the workspace, with these environment variables too."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", newline="") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), _loggers_restored():
            patch.chdir(self.path / cwd)
            for key in set(os.environ) - set(environment := self.environment(**extra)):
                patch.delenv(key)
            for key, value in environment.items():
                patch.setenv(key, value)
            patch.setattr(sys, "argv", ["sedas-sync", *map(str, arguments)])
            patch.setattr(sys, "stdin", io.StringIO())
            patch.setattr(threading, "excepthook", threading.excepthook)
            code = run_command()
        out.flush(), err.flush()
        return Ran(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    @property
    def own_process(self):
        """This workspace with a process for each command."""
        return OwnProcess(self.path, self.url, self.env)

    def start(self, *arguments, terminal=None, **extra):
        """Start the command in a process, in the terminal of this descriptor if there is one; do not wait for it."""
        environment = self.environment(**extra)
        names = ("stdin", "stdout", "stderr")
        if terminal is None:
            streams = dict(zip(names, (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE), strict=True))
        else:
            streams = dict.fromkeys(names, terminal)
        options = {"cwd": self.path, "env": environment, "text": True, **streams}
        if needs_start(environment):
            return subprocess.Popen(["setsid", "--ctty"] * (terminal is not None) + self.command(*arguments), **options)
        return Forked(arguments, terminal=terminal is not None, **options)


class OwnProcess(Workspace):
    """A workspace whose commands run in processes of their own."""

    def run(self, *arguments, timeout=60, **extra):
        with self.start(*arguments, **extra) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)
