"""A scene as JSON: stored in the index to apply rules without the catalogue, in saved plans and in recordings."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from sedas_sync.model.scene import RemoteFile, Scene
from sedas_sync.model.times import to_iso

_LINKS = frozenset({"download_url", "quicklook_url", "thumbnail_url"})
_TIMES = ("start", "stop", "processed")
_NAMES = Scene.__struct_fields__


def metadata_of(scene: Scene) -> str:
    """Return a scene as JSON without unknown fields and without links, which expire."""
    values: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(scene, name)
        if name in _LINKS or value is None or value is False:
            continue
        if name == "assets":
            if not value:
                continue
            value = [_file(file) for file in value]
        elif name in _TIMES:
            value = to_iso(value)
        elif name == "extra" and not (value := dict(value.items())):
            continue
        values[name] = value
    try:
        text = msgspec.json.encode(values, order="deterministic").decode()
    except (TypeError, ValueError):
        text = ""
    # ASCII, because an archive's text can contain lone surrogates, which UTF-8 cannot encode.
    return text if text and text.isascii() else json.dumps(values, separators=(",", ":"), sort_keys=True)


def _file(file: RemoteFile) -> dict[str, Any]:
    values = {"name": file.name, "key": file.key, "size": file.size, "digest": file.digest}
    return {key: value for key, value in values.items() if value is not None}


def scene_from_metadata(facts: str | Mapping[str, Any]) -> Scene:
    """Return the scene of a JSON text or data of `metadata_of`; unknown fields are ignored.

    Raises:
        ValueError: the text is not JSON, or contains an invalid date.
        TypeError: the data is not an object, or has no id.
    """
    given: Mapping[str, Any] = json.loads(facts) if isinstance(facts, str) else facts
    values = {name: given[name] for name in _NAMES if name in given}
    for name in _TIMES:
        if name in values:
            values[name] = datetime.fromisoformat(values[name])
    if "assets" in values:
        values["assets"] = tuple(RemoteFile(**file) for file in values["assets"])
    return Scene(**values)
