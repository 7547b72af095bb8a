"""A scene as JSON: stored in the index to apply rules without the catalogue, in saved plans and in recordings."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from sedas_sync.model.scene import NOTHING, Scene


def without_links(scene: Scene) -> Scene:
    """Return a scene without its links, which expire and may contain secrets."""
    files = tuple(replace(file, url=None) for file in scene.assets)
    return replace(
        scene, download_url=None, quicklook_url=None, thumbnail_url=None, assets=files, extra=scene.extra or NOTHING
    )


def fields_of(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a mapping. `dict` would look up each of them, which decodes a `LazyJson` as many times."""
    return dict(mapping.items())


def metadata_of(scene: Scene) -> str:
    """Return a scene as JSON without unknown fields and without links."""
    plain = without_links(scene)
    try:
        text = msgspec.json.encode(plain, enc_hook=fields_of, order="sorted").decode()
    except (TypeError, ValueError):
        text = ""
    # ASCII, because an archive's text can contain lone surrogates, which UTF-8 cannot encode.
    if text and text.isascii():
        return text
    return json.dumps(msgspec.to_builtins(plain, enc_hook=fields_of), separators=(",", ":"), sort_keys=True)


def scene_from_metadata(facts: str | Mapping[str, Any]) -> Scene:
    """Return the scene of a JSON text or data of `metadata_of`; unknown fields are ignored.

    Raises:
        ValueError: The text is not JSON, or not a scene.
    """
    return msgspec.convert(json.loads(facts) if isinstance(facts, str) else facts, Scene)
