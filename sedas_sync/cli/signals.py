"""The signals that end a run in order; imports next to nothing."""

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal is gone; None on systems that have no such signal."""

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Schedulers send SIGUSR1 a while before they kill a job."""

EXIT_CODES = tuple(128 + number for number in ENDING)
"""What a process ends with that one of them has ended."""


def handle(handler: "Callable[[int, FrameType | None], object]") -> "dict[int, Any]":
    """Have a function called when one of them comes; returns what was called before, by their numbers.

    A hang-up that the process was started to ignore stays ignored: that is what `nohup` is for.
    """
    return {
        number: signal.signal(number, handler)
        for number in ENDING
        if number != HANGUP or signal.getsignal(number) is not signal.SIG_IGN
    }
