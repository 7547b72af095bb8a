"""Lists for command-line tools: checksums for `sha256sum -c`, links for aria2."""

import re
from collections.abc import Iterable, Iterator

from sedas_sync.files.integrity import algorithm
from sedas_sync.model.local import LocalScene
from sedas_sync.net.redact import redact

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
"""How GNU coreutils escape names that would break a line (section "md5sum invocation" of their manual)."""

_LINK = re.compile(r"https?://[!-~]+")
"""Links that fit on a line: aria2 takes a space or tab for another mirror, and a new line for an option."""

_ARIA2_DIGESTS = {
    "md5": "md5",
    "sha1": "sha-1",
    "sha224": "sha-224",
    "sha256": "sha-256",
    "sha384": "sha-384",
    "sha512": "sha-512",
}
"""Names of algorithms in aria2 (its manual, option `--checksum`)."""


def sha256sums(local_scenes: Iterable[LocalScene]) -> Iterator[bytes]:
    """Yield the lines of a list for `sha256sum --check` in the mirror's folder, sorted by path.

    Files that were not hashed are left out; `lock` hashes them.
    """
    files = (file for scene in local_scenes for file in scene.files if file.sha256 is not None)
    for file in sorted(files, key=lambda file: file.path):
        escaped = file.path.translate(_ESCAPES)
        mark = "" if escaped == file.path else "\\"
        yield f"{mark}{file.sha256}  {escaped}\n".encode("utf-8", "surrogateescape")


def link_problem(url: str) -> str | None:
    """Return why a link is not written; None if it is."""
    if _LINK.fullmatch(url) is None:
        return "its link cannot be written on one line"
    if redact(url) != url:
        return "its link contains a secret, which is not written"
    return None


def aria2(url: str, path: str, digest: str | None) -> str:
    """Return an entry of an aria2 input file.

    Args:
        url: A link without a `link_problem`.
        path: The file to write, relative to the folder that aria2 is given.
        digest: In hexadecimal, alone or after the name of its algorithm and a colon.
    """
    kind = _ARIA2_DIGESTS.get(algorithm(digest) or "")
    checksum = "" if kind is None or digest is None else f"  checksum={kind}={digest.rpartition(':')[2].lower()}\n"
    return f"{url}\n  out={path}\n{checksum}"
