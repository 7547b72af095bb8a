"""Which manifest a mirror belongs to. Imports little.

A mirror records its manifest as the path that leads from the mirror to it, and as its absolute path. So both can move
together, and the mirror can move alone: one of the two paths still leads to the manifest. Links on that path are not
followed: the target of a link such as `current/manifest.toml` changes with each release, and it is the same manifest.
"""

import os


def path_from_mirror(manifest: str, root: str) -> str:
    """Return the path from the mirror to its manifest, as the mirror records it; links on it are not followed.

    The part below the nearest common folder is kept as given, so that mirror and manifest can move together.

    Args:
        manifest: The manifest's path as the user gave it.
        root: The mirror's folder, with links resolved.
    """
    path = folder = absolute(manifest)
    while os.path.commonpath((real := os.path.realpath(folder), root)) != real:
        folder = os.path.dirname(folder)  # noqa: PTH120  # pathlib takes long to import
    below = os.path.relpath(path, folder)
    return _as_text(os.path.normpath(os.path.join(os.path.relpath(real, root), below)))  # noqa: PTH118  # as above


def absolute_path(manifest: str) -> str:
    """Return the absolute path of the manifest, as the mirror records it; links on it are not followed."""
    return _as_text(absolute(manifest))


def resolved_path_from_mirror(manifest: str, root: str) -> str:
    """Return the path from the mirror to the manifest's real file, as early versions recorded it."""
    return _as_text(os.path.relpath(os.path.realpath(manifest), root))


def is_owner(recorded: str | None, manifest: str, root: str) -> bool:
    """Return whether a recorded path is this manifest's: the same path, or another path to the same file."""
    if recorded is None:
        return False
    same = (path_from_mirror(manifest, root), resolved_path_from_mirror(manifest, root), absolute_path(manifest))
    if recorded in same:
        return True
    try:
        return os.path.samefile(os.path.join(root, recorded), manifest)  # noqa: PTH118, PTH121  # as above
    except OSError:
        return False


def _as_text(name: str) -> str:
    """Return a name as UTF-8 can hold it: other bytes are written with backslashes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def absolute(path: str) -> str:
    """Return the absolute path of a file. Links are kept, also those by which the user entered this folder."""
    # The shell's PWD has the links by which the user entered this folder.
    here = os.environ.get("PWD", "")
    try:
        if not os.path.isabs(here) or not os.path.samefile(here, "."):  # noqa: PTH117, PTH121  # as above
            here = os.getcwd()  # noqa: PTH109  # as above
        joined = os.path.join(here, path)  # noqa: PTH118  # as above
        normal = os.path.normpath(joined)
        if os.path.samefile(normal, joined):  # noqa: PTH121  # as above
            return normal
    except OSError:
        return os.path.realpath(path)
    # After a link `..` does not lead to the folder before it.
    return os.path.join(os.path.realpath(os.path.dirname(joined)), os.path.basename(joined))  # noqa: PTH118, PTH119, PTH120  # as above
