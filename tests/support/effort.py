"""How much the tests try of what could be tried without end; with `TEST_EFFORT=full`, all of it."""

import os

FULL = os.environ.get("TEST_EFFORT") == "full"


def effort(usual, full):
    """Return what every run of the tests tries, or what a run with `TEST_EFFORT=full` tries."""
    return full if FULL else usual
