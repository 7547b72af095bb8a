"""Read a manifest and the AOI files that it names."""

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sedas_sync.archives.registry import TYPES
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import Manifest, parse
from sedas_sync.model.arguments import checked
from sedas_sync.state.owner import absolute

if TYPE_CHECKING:
    from sedas_sync.geometry import Aoi
    from sedas_sync.manifest.tables import AoiTable

_CHECKING = threading.RLock()
"""One thread at a time checks a manifest: pydantic builds the check of each table when it is first used, and its
versions up to 2.13 fail if two threads do that at once."""


@checked
def load_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read and check a manifest, offline.

    Args:
        path: The TOML file. Paths of AOI files in it are relative to it.

    Raises:
        ManifestError: The file cannot be read, or has mistakes; all of them are listed.

    Example:
        import sedas_sync as ss

        manifest = ss.load_manifest("manifest.toml")
        print(list(manifest.datasets), manifest.mirror.path)
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ManifestError(f"{file}: this file does not exist; create one with `sedas-sync init {file}`") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: is not UTF-8 text (byte {error.start}); TOML must be") from None
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read: {error.strerror}") from None

    return check_manifest(text, file)


def check_manifest(text: str | Mapping[str, Any], file: Path, name: str = "") -> Manifest:
    """Check a manifest that is, or will be, in this file.

    Args:
        text: TOML, or its tables.
        file: The file.
        name: The file in messages; as it is given if this is empty.

    Raises:
        ManifestError: It has mistakes; all of them are listed.
    """

    def read_area(given: "AoiTable | str") -> "Aoi":
        from sedas_sync.operations.areas import area_of  # noqa: PLC0415  # shapely, which some manifests do not need

        return area_of(given, file.parent)

    with _CHECKING:
        return parse(
            text,
            source=absolute(str(file)) if file.exists() else str(file.absolute()),
            name=name or str(file),
            read_area=read_area,
            types=TYPES,
            now=datetime.now(UTC),
        )
