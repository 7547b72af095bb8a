"""The signals that end a run."""

import signal
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal is gone. None on systems without this signal."""

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Schedulers send SIGUSR1 some time before they kill a job."""


def handle(handler: Handler) -> dict[int, Handler | int | None]:
    """Call a function for each of these signals. A hang-up that is ignored (`nohup`) stays ignored.

    Returns:
        The previous handlers by signal number.
    """
    return {
        number: signal.signal(number, handler)
        for number in ENDING
        if number != HANGUP or signal.getsignal(number) is not signal.SIG_IGN
    }
