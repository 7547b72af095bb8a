"""The folder for what an archive may read again: the cache of the user, shared by all mirrors."""

import os
from collections.abc import Mapping
from pathlib import Path

from sedas_sync.net.policy import setting

FOLDER_VARIABLE = "SEDAS_SYNC_CACHE"
"""The environment variable with the folder of the cache, or `off`."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return `SEDAS_SYNC_CACHE`, or else `sedas-sync` in the user's cache folder (XDG); None if nothing may be kept."""
    chosen = setting(environ, FOLDER_VARIABLE)
    home = setting(environ, "XDG_CACHE_HOME") or (f"{environ['HOME']}/.cache" if environ.get("HOME") else None)
    folder = chosen or (None if home is None else f"{home}/sedas-sync")
    return None if folder is None or folder.lower() == "off" else Path(folder)
