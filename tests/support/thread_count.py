"""Counts threads, also those that `threading` does not list."""

import _thread
import threading

threads = _thread._count
"""The number of running threads."""


def ended(before):
    """Return whether the threads that were started since end soon, given the number of threads before."""
    wake = threading.Event()
    return any(threads() <= before or wake.wait(0.01) for _ in range(1000))
