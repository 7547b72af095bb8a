"""Width, colour and folding of text, depending on what the terminal can do."""

import os
from textwrap import fill
from typing import TextIO

from msgspec import Struct

_CODES = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36", "dim": "2", "bold": "1"}


class Look(Struct, frozen=True):
    """How text is laid out.

    Attributes:
        width: number of columns; None for no limit.
        colour: use colour.
        fold: shorten long lists, and print how to see all of them.
    """

    width: int | None = None
    colour: bool = False
    fold: bool = False

    def paint(self, text: str, colour: str) -> str:
        """Colour a text: red, green, yellow, magenta, cyan, dim or bold."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and colour else text

    def wrap(self, text: str, begin: str = "", after: str | None = None) -> str:
        """Wrap a sentence at the terminal's width, between words only, so that paths and ids stay whole.

        Args:
            text: The sentence, printable and without colour.
            begin: Prefix of the first line.
            after: Prefix of the other lines; by default as many spaces as `begin` has columns.
        """
        if self.width is None or len(begin) + len(text) <= self.width:
            return begin + text
        return fill(
            text,
            self.width,
            initial_indent=begin,
            subsequent_indent=" " * len(begin) if after is None else after,
            break_long_words=False,
            break_on_hyphens=False,
        )


PLAIN = Look()
"""For a file or a pipe: everything, without colour or a limit of width."""


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal."""
    try:
        return stream.isatty()
    except ValueError:  # the stream is closed
        return False


def can_steer(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose cursor can be moved; a dumb terminal takes only lines."""
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def can_draw_bars(stream: TextIO) -> bool:
    """Return whether bars can be drawn on a stream: its cursor moves, and its encoding has the characters."""
    if not can_steer(stream):
        return False
    try:
        "█▏…".encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def terminal_size(stream: TextIO) -> os.terminal_size:
    """Return the columns and lines of a stream's terminal; 80 and 24 if they are not known.

    `COLUMNS` and `LINES` are not used: values that a shell exported once do not follow a change of size.
    """
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        found = os.terminal_size((0, 0))
    return os.terminal_size((found.columns or 80, found.lines or 24))


def look_of(stream: TextIO) -> Look:
    """Return how to lay out text on a stream. `NO_COLOR`, if it is not empty, switches colour off."""
    if not is_terminal(stream):
        return PLAIN
    colour = can_steer(stream) and not os.environ.get("NO_COLOR")
    return Look(width=terminal_size(stream).columns, colour=colour, fold=True)


def marked_first(word: str, text: str, look: Look, colour: str = "bold") -> str:
    """Wrap a line, and colour its first word."""
    return look.paint(word, colour) + look.wrap(f"{word} {text}", after="  ").removeprefix(word)


_MARKS = {"failed: ": "red", "error: ": "red", "warning: ": "yellow", "retry ": "yellow"}


def marked(line: str, look: Look) -> str:
    """Wrap a line, and colour a first word such as `failed:`."""
    line = look.wrap(line, after="  ")
    for mark, colour in _MARKS.items():
        if line.startswith(mark):
            return look.paint(mark.rstrip(), colour) + line[len(mark.rstrip()) :]
    return line
