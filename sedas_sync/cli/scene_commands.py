"""`apply --exec`: run a command for each scene as it arrives, a few at a time."""

import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from sedas_sync.errors import ManifestError
from sedas_sync.files.threads import Pool
from sedas_sync.model.events import Event, Failed, Failure, Fetched, Summary
from sedas_sync.output.reporters import Reporter

_LAST_BYTES = 4096
_LAST_LINES = 5
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_]\w*|)\}")
"""A word in braces, and an empty pair as of `find -exec`; `${name}` is a variable of a shell."""


class SceneCommands:
    """Starts the command for each scene that was downloaded, and passes the events on.

    `finish` waits for all commands. One that fails is a failure of the run; its scene stays downloaded and counts as
    such.

    Args:
        command: The command line. It is split as a shell does and run without one; `{path}` becomes the absolute path
            of the scene's file or folder, and `{id}` its id.
        root: The mirror.
        jobs: How many commands run at once.
        reporter: Takes the events.

    Raises:
        ManifestError: The command line is empty or wrong, there is no such program, or a placeholder is not known.
    """

    def __init__(self, command: str, *, root: Path, jobs: int, reporter: Reporter) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ManifestError(f"--exec {command!r}: {error}") from None
        if not self._words:
            raise ManifestError("--exec: the command is empty")
        if shutil.which(self._words[0]) is None:
            raise ManifestError(f"--exec: there is no program {self._words[0]!r}")
        if unknown := [found[0] for found in _PLACEHOLDER.finditer(command) if found[1] not in ("path", "id")]:
            raise ManifestError(
                f"--exec: {unknown[0]} is not replaced by anything; {{path}} and {{id}} are. Put a command that needs "
                "other words in braces into a script"
            )
        self._root = root
        self._reporter = reporter
        self._pool = Pool(jobs)
        self._waiting: deque[tuple[Fetched, list[str], Future[str | None]]] = deque()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopping = threading.Event()
        self.failures: list[Failure] = []
        self.failed: list[str] = []
        """The command lines that failed, for a shell."""

    def __call__(self, event: Event) -> None:
        """Handle an event of the run."""
        self._reporter(event)
        if isinstance(event, Fetched) and not self._stopping.is_set():
            path = str(self._root / event.path)
            words = [_filled(word, path, event.id) for word in self._words]
            self._waiting.append((event, words, self._pool.submit(self._run, words)))
        self._report(wait=False)

    def finish(self, summary: Summary) -> Summary:
        """Wait for all commands, and return the summary with those that failed."""
        self._report(wait=True)
        if not self.failures:
            return summary
        code = 1 if summary.exit_code in (0, 3) else summary.exit_code
        return replace(summary, failures=(*summary.failures, *self.failures), exit_code=code)

    def stop(self) -> None:
        """Start no more commands, and terminate those that run. May be called from a signal handler."""
        self._stopping.set()
        for process in tuple(self._running):
            process.terminate()

    def _report(self, *, wait: bool) -> None:
        """Report the commands that have ended; with `wait`, all of them."""
        for waiting in tuple(self._waiting):
            event, words, command = waiting
            if not wait and not command.done():
                continue
            self._waiting.remove(waiting)
            if error := command.result():
                self.failures.append(Failure(id=event.id, error=error))
                self.failed.append(shlex.join(words))
                self._reporter(Failed(time=datetime.now(UTC), id=event.id, error=error))

    def _run(self, words: list[str]) -> str | None:
        """Run one command; return why it failed, None if it did not."""
        if self._stopping.is_set():
            return None
        with tempfile.TemporaryFile() as output:
            try:
                # The user's own command line, run without a shell.
                process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
            except OSError as error:
                return f"the command could not be started: {error}"
            self._running.add(process)
            if self._stopping.is_set():
                process.terminate()
            code = process.wait()
            self._running.discard(process)
            if code == 0 or self._stopping.is_set():
                return None
            output.seek(max(0, output.seek(0, 2) - _LAST_BYTES))
            lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
        ended = f"exit code {code}" if code > 0 else f"signal {-code}"
        last = " | ".join(line.strip() for line in lines[-_LAST_LINES:])
        return f"`{words[0]}` ended with {ended}" + (f": {last}" if last else "")


def _filled(word: str, path: str, scene_id: str) -> str:
    # One pass, so that a path that contains `{id}` stays as it is.
    parts = word.split("{path}")
    return path.join(part.replace("{id}", scene_id) for part in parts)
