"""Downloads: the reply with a product or the range of it that a client asks for."""

import re
from email.utils import formatdate
from functools import lru_cache
from hashlib import md5
from pathlib import Path
from urllib.parse import quote

from sedas_sync.sandbox.catalogue import Catalogue, Hit
from sedas_sync.sandbox.faults import SandboxReply, SandboxRequest
from sedas_sync.sandbox.product import made

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MODIFIED = 1_577_836_800.0  # 2020-01-01: Last-Modified of products without a file


def product_reply(request: SandboxRequest, hit: Hit, catalogue: Catalogue) -> SandboxReply:
    """Return status 200 with the whole product, 206 with a range of it, or 416."""
    body = catalogue.file(hit)
    changed = _MODIFIED
    if body is None:
        body, etag = made(catalogue.spec(hit))
    elif isinstance(body, Path):
        facts = body.stat()
        etag, changed = f"{facts.st_mtime_ns:x}-{facts.st_size:x}", facts.st_mtime
    else:
        etag = _md5(body)
    etag, date = f'"{etag}"', formatdate(changed, usegmt=True)
    size = body.stat().st_size if isinstance(body, Path) else len(body)
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{quote(hit.id, safe="")}.zip"',
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": date,
    }
    span = _span(request, size, etag, date)
    if span is None:
        return SandboxReply(200, headers, body)
    first, last = span
    if first > last:
        return SandboxReply(416, {"Content-Range": f"bytes */{size}", "Content-Type": "text/html"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return SandboxReply(206, headers, body, first=first, length=last - first + 1)


@lru_cache(maxsize=64)
def _md5(body: bytes) -> str:
    """Return the MD5 of a product in memory; the last few are cached."""
    return md5(body, usedforsecurity=False).hexdigest()


def _span(request: SandboxRequest, size: int, etag: str, changed: str) -> tuple[int, int] | None:
    """Return first and last byte of the range in the request (RFC 9110, 14); None to send everything."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if request.method != "GET" or match is None or match[0] == "bytes=-":
        return None
    if condition is not None and condition not in (etag, changed):
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        return size - count, size - 1
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    return first, last
