"""Paths that a user writes into a manifest."""

import os
from pathlib import Path

from sedas_sync.errors import ManifestError


def user_path(folder: Path, path: str) -> Path:
    """Return the file or folder that a user names; `~` is the home folder.

    Args:
        folder: What a relative path starts at.
        path: As the user wrote it.

    Raises:
        ManifestError: The path begins with `~` and a user that does not exist.
    """
    return folder / expanded(path)


def expanded(path: str) -> str:
    """Return a path with the home folder in place of `~`.

    Raises:
        ManifestError: It begins with `~` and a user that does not exist.
    """
    place = os.path.expanduser(path)  # noqa: PTH111  # pathlib raises an error of its own
    if place.startswith("~"):
        user = path.partition("/")[0]
        if user == "~":
            raise ManifestError(f"{path}: the home folder is not known; set HOME or write the whole path")
        raise ManifestError(f"{path}: there is no user {user[1:]!r}; for a file or folder of this name write ./{path}")
    return place
