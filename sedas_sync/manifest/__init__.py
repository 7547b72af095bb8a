"""The manifest: the scenes that a mirror must contain, as a TOML file.

- `tables`: the keys of each table, with types, limits and defaults; `fields`: the types of their values.
- `parse`: from text to a `Manifest`, with all mistakes at once; `rules`: rules between the keys of a dataset.
- `archive_types`: what an archive type adds to the manifest.
- `schema`: the JSON Schema for editors, and the keys for the reference.
"""

from sedas_sync.manifest.dates import DateSpec
from sedas_sync.manifest.parse import SINGLE_ARCHIVE, Manifest, parse
from sedas_sync.manifest.tables import VERSION, ArchiveConfig, Dataset, MirrorConfig, TransferConfig, WebArchiveConfig

__all__ = [
    "SINGLE_ARCHIVE",
    "VERSION",
    "ArchiveConfig",
    "Dataset",
    "DateSpec",
    "Manifest",
    "MirrorConfig",
    "TransferConfig",
    "WebArchiveConfig",
    "parse",
]
