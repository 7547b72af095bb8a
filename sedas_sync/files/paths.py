"""Paths that a user writes into a manifest."""

import os
from pathlib import Path


def user_path(folder: Path, path: str) -> Path:
    """Return the file or folder that a user names; `~` is the home folder.

    Args:
        folder: What a relative path starts at.
        path: As the user wrote it.
    """
    return folder / os.path.expanduser(path)  # noqa: PTH111  # leaves `~nobody` as it is
