"""The room that a file system has."""

import os
import shutil


def free_space(path: str) -> int | None:
    """Return the bytes that this user may still write below `path`, or below its nearest folder that exists.

    None if the file system does not state it: some of FUSE refuse the question, or answer that they have no size.
    """
    path = os.path.abspath(path)  # noqa: PTH100 - all paths here are strings
    while not os.path.exists(path):  # noqa: PTH110 - all paths here are strings
        path = os.path.dirname(path)  # noqa: PTH120 - all paths here are strings
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return usage.free if usage.total else None
