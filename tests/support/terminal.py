"""A real terminal to run the command in: a pseudo-terminal with an emulator behind it that keeps the screen."""

import codecs
import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import threading
import time

import pyte


class Terminal:
    """A command that runs in a terminal of its own; what is asserted on is what a person would see.

    Args:
        workspace: whose command runs, in its folder.
        arguments: those of the command.
        columns: width of the terminal.
        rows: height of the terminal.
        env: environment variables.
    """

    def __init__(self, workspace, *arguments, columns=100, rows=30, **env):
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=1)
        self._stream = pyte.Stream(self.screen)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.sent = b""
        """Everything that was sent to the terminal."""
        self.seen = set()
        """Every line that ever stood on the screen when output came to rest."""
        self._pty, inside = os.openpty()
        self._size(columns, rows)
        env = {"TERM": os.environ.get("TERM", "xterm-256color"), **env}
        self._process = workspace.start(*arguments, terminal=inside, **env)
        os.close(inside)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _size(self, columns, rows):
        fcntl.ioctl(self._pty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self._pty, 65536)
            except OSError:
                data = b""
            if not data:
                break
            with self._lock:
                self.sent += data
                self._stream.feed(decoder.decode(data))
                if not select.select([self._pty], [], [], 0)[0]:
                    self.seen.update(self._lines())
                self._changed.notify_all()
        with self._lock:
            self._changed.notify_all()

    def _lines(self):
        return [line.rstrip() for line in self.screen.display]

    @property
    def lines(self):
        """The lines on the screen, without the empty ones at its end."""
        with self._lock:
            lines = self._lines()
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self):
        """Everything that stands on the screen and what has scrolled off above it."""
        with self._lock:
            above = [
                "".join(line[x].data for x in range(self.screen.columns)).rstrip() for line in self.screen.history.top
            ]
            return "\n".join(above + self._lines()).rstrip()

    def wait_for(self, wanted, timeout=30.0):
        """Wait until a text stands on the screen, or something is true of its lines; returns them."""
        holds = wanted if callable(wanted) else lambda lines: any(wanted in line for line in lines)
        end = time.monotonic() + timeout
        with self._changed:
            while not holds(self._lines()):
                left = end - time.monotonic()
                assert left > 0, "\n".join(["not seen:", str(wanted), *self._lines()])
                assert self._reader.is_alive(), "\n".join(["ended before:", str(wanted), *self._lines()])
                self._changed.wait(min(left, 0.5))
            return self._lines()

    def resize(self, columns, rows):
        """Give the terminal another size, as when its window is dragged."""
        with self._lock:
            self.screen.resize(rows, columns)
            self._size(columns, rows)
        self.signal(signal.SIGWINCH)

    def type(self, text):
        """Type something; `\\x03` is Ctrl-C."""
        os.write(self._pty, text.encode())

    def signal(self, number):
        """Send the command a signal."""
        self._process.send_signal(number)

    def wait(self, timeout=60.0):
        """Wait for the command's end; returns its exit code."""
        code = self._process.wait(timeout)
        self._reader.join(5)
        return code

    def close(self):
        """End the command if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._reader.join(5)
        os.close(self._pty)


def answered(workspace, *arguments, answer):
    """Run a command in a terminal and answer its question; return its exit code and what the terminal showed."""
    terminal = Terminal(workspace, *arguments, columns=200)
    try:
        terminal.wait_for("[y/N]")
        terminal.type(answer)
        code = terminal.wait()
        return code, terminal.text
    finally:
        terminal.close()
