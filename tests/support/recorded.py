"""Recorded answers of real services: where they are, and their items with small files to download.

The folder is `shared/recorded` beside the checkout; the environment variable `SEDAS_RECORDED` names another one. Its
`README.md` and `SOURCES.txt` say where the answers are from.
"""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "recorded"
_ALGORITHMS = {"12": "sha256", "13": "sha512", "11": "sha1", "16": "sha3_256", "d5": "md5"}
"""By the first byte of a multihash."""
BYTES = "/bytes"
"""Below this path are the files of assets, by the host and path of their real address."""


def recorded(*parts):
    """Return the path of a recorded file or folder; skip the test if the answers are not on this machine."""
    folder = Path(os.environ.get("SEDAS_RECORDED") or _FOLDER)
    if not folder.is_dir():
        pytest.skip(f"no recorded answers in {folder}: set SEDAS_RECORDED to their folder")
    return folder.joinpath(*parts)


def recorded_json(*parts):
    """Return a recorded answer."""
    return json.loads(recorded(*parts).read_text())


def items_of(service):
    """Return all recorded items of a STAC service that are whole, each once."""
    found = {}
    for path in sorted(recorded("stac", service).glob("*.json")):
        answer = json.loads(path.read_text())
        listed = answer if isinstance(answer, list) else answer.get("features", [answer])
        for item in listed:
            # A search with the fields extension leaves parts out.
            if item.get("type") == "Feature" and item.get("assets") and "geometry" in item:
                found.setdefault((item.get("collection"), item["id"]), item)
    return list(found.values())


def small_bytes(name, media_type=""):
    """Return a small file for an address: a zip if it is one."""
    text = f"the bytes of {name}\n".encode()
    if "zip" not in media_type and not name.lower().endswith(".zip"):
        return b"II*\0" + text if "tif" in media_type else text
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("product/manifest.safe"), text)
    return buffer.getvalue()


def with_local_files(item, url, files):
    """Return an item whose assets are on the server at `url`; their bytes are added to `files`, by path.

    Sizes and checksums are rewritten if the service states them, with the same algorithm.
    """

    def local(href, asset):
        parts = urlsplit(href)
        if parts.scheme not in ("http", "https", "") or not parts.path:
            return href, None
        path = f"{BYTES}/{parts.netloc}{parts.path}" if parts.scheme else parts.path
        data = files.setdefault(unquote(path), small_bytes(parts.path, asset.get("type") or ""))
        return f"{url}{path}{'?' + parts.query if parts.query else ''}", data

    item = json.loads(json.dumps(item))
    for asset in item["assets"].values():
        asset["href"], data = local(asset.get("href", ""), asset)
        for other in (asset.get("alternate") or {}).values():
            other["href"], more = local(other["href"], asset)
            data = data or more
        if data is not None and "file:size" in asset:
            asset["file:size"] = len(data)
        for name in {"file:checksum", "checksum:multihash"} & asset.keys():
            asset[name] = _same_hash(asset[name], data) if data is not None else asset[name]
    for link in item.get("links", []):
        if link.get("rel") == "self":
            link["href"] = f"{url}/collections/{item.get('collection')}/items/{item['id']}"
    return item


def _same_hash(stated, data):
    name = _ALGORITHMS.get(stated[:2])
    if name is None:
        return hashlib.md5(data).hexdigest()
    digest = hashlib.new(name, data).digest()
    code = "d501" if name == "md5" else stated[:2]
    return f"{code}{len(digest):02x}{digest.hex()}"
