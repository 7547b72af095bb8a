"""Values in words, and others' words made fit for a terminal."""

import doctest

import pytest

from sedas_sync.model import text
from sedas_sync.model.text import cells, clipped, duration, padded, printable, size


def test_the_examples_are_true():
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_sizes(count, said):
    assert size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_what_steers_a_terminal_is_written_out():
    assert printable("a\x1b[2J\r\n\x9b\u202e\u2066\ud800z") == r"a\x1b[2J\r\n\x9b\u202e\u2066\ud800z"
    assert printable("Zoë 場面") == "Zoë 場面"


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("text", ["scene", "場面場面", "e\u0301e\u0301e\u0301", ""])
def test_cut_text_fits_and_padded_text_fills(text, width):
    assert cells(clipped(text, width)) <= width
    assert cells(padded(clipped(text, width), width)) == width
    if cells(text) <= width:
        assert clipped(text, width) == text
