"""A scene's facts as JSON: what the index keeps to judge rules without the catalogue, and what records hold."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from sedas_sync.model.scene import RemoteFile, Scene

_LINKS = frozenset({"download_url", "quicklook_url", "thumbnail_url"})
_INSTANTS = ("start", "stop")
_NAMES = Scene.__struct_fields__


def metadata_of(scene: Scene) -> str:
    """Write a scene as JSON, without what is unknown and without links, which do not last."""
    values: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(scene, name)
        if name in _LINKS or value is None or value is False:
            continue
        if name == "assets":
            if not value:
                continue
            value = [_asset(asset) for asset in value]
        elif name in _INSTANTS:
            value = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        elif name == "extra" and not (value := dict(value.items())):
            continue
        values[name] = value
    try:
        text = msgspec.json.encode(values, order="deterministic").decode()
    except (TypeError, ValueError):
        text = ""
    # ASCII, since an archive's text may hold what no UTF-8 can be made of.
    return text if text and text.isascii() else json.dumps(values, separators=(",", ":"), sort_keys=True)


def _asset(asset: RemoteFile) -> dict[str, Any]:
    values = {"name": asset.name, "key": asset.key, "size": asset.size, "digest": asset.digest}
    return {key: value for key, value in values.items() if value is not None}


def scene_from_metadata(facts: str | Mapping[str, Any]) -> Scene:
    """Read a scene back from `metadata_of` JSON text or data; unknown fields are ignored.

    Raises:
        ValueError: it is not JSON, or a date in it is none.
        TypeError: it is no object, or has no id.
    """
    given: Mapping[str, Any] = json.loads(facts) if isinstance(facts, str) else facts
    values = {name: given[name] for name in _NAMES if name in given}
    for name in _INSTANTS:
        if name in values:
            values[name] = datetime.fromisoformat(values[name])
    if "assets" in values:
        values["assets"] = tuple(RemoteFile(**asset) for asset in values["assets"])
    return Scene(**values)
