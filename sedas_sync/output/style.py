"""How text may be shown: what the terminal at hand can do, and nothing of it where there is none."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36", "dim": "2", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Look:
    """How text is laid out.

    Attributes:
        width: columns there are; None for as many as it takes.
        colour: whether colour is wanted.
        fold: whether long lists are cut short, with a word of how to see them whole.
    """

    width: int | None = None
    colour: bool = False
    fold: bool = False

    def paint(self, text: str, colour: str) -> str:
        """Give a text a colour: red, green, yellow, magenta, cyan, dim or bold."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and colour else text

    def wrap(self, text: str, begin: str = "", after: str | None = None) -> str:
        """Break a sentence into lines where the terminal ends, between words only: a path or an id stays whole.

        Args:
            text: the sentence, printable and not yet painted.
            begin: what its first line begins with.
            after: what the others begin with; as many spaces as `begin` has columns where None.
        """
        if self.width is None or len(begin) + len(text) <= self.width:
            return begin + text
        from textwrap import fill  # noqa: PLC0415  # only where a terminal is too narrow

        return fill(
            text,
            self.width,
            initial_indent=begin,
            subsequent_indent=" " * len(begin) if after is None else after,
            break_long_words=False,
            break_on_hyphens=False,
        )


PLAIN = Look()
"""For a file, a pipe, a test: everything, in one colour, however wide it is."""


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody is looking at a stream."""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def can_steer(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the cursor of this stream's terminal can be moved; a dumb terminal only takes lines."""
    return is_terminal(stream) and environ.get("TERM") != "dumb"


def can_draw_bars(stream: TextIO) -> bool:
    """Whether bars can be drawn on a stream: on a terminal whose cursor moves, and that has the characters."""
    if not can_steer(stream):
        return False
    try:
        "█▏…".encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def terminal_size(stream: TextIO) -> os.terminal_size:
    """Columns and rows of a stream's terminal; 80 and 24 where it does not say.

    The terminal is asked, not `COLUMNS` and `LINES`: what a shell exported once does not follow a change of size.
    """
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        found = os.terminal_size((0, 0))
    return os.terminal_size((found.columns or 80, found.lines or 24))


def look_of(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Look:
    """How to show text on a stream.

    Colour is for terminals that have it, and not where `NO_COLOR` is set and not empty.
    """
    if not is_terminal(stream):
        return PLAIN
    colour = can_steer(stream, environ) and not environ.get("NO_COLOR")
    return Look(width=terminal_size(stream).columns, colour=colour, fold=True)


_MARKS = {"failed: ": "red", "error: ": "red", "warning: ": "yellow", "retry ": "yellow"}


def marked(line: str, look: Look) -> str:
    """Wrap a line, and give the word that one of trouble begins with its colour."""
    line = look.wrap(line, after="  ")
    for mark, colour in _MARKS.items():
        if line.startswith(mark):
            return look.paint(mark.rstrip(), colour) + line[len(mark.rstrip()) :]
    return line
