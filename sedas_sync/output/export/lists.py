"""Lists for command-line tools: digests for `sha256sum -c`, links for aria2."""

import re
from collections.abc import Iterable, Iterator

from sedas_sync.files.integrity import algorithm
from sedas_sync.model.scene import LocalScene
from sedas_sync.net.redact import redact

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
"""What GNU coreutils write in names that would break a line (section "md5sum invocation" of their manual)."""

_LINK = re.compile(r"https?://[!-~]+")
"""What can stand on a line of its own: aria2 takes a blank or tab for another mirror, a new line for an option."""

_ARIA2_DIGESTS = {
    "md5": "md5",
    "sha1": "sha-1",
    "sha224": "sha-224",
    "sha256": "sha-256",
    "sha384": "sha-384",
    "sha512": "sha-512",
}
"""What aria2 calls the algorithms that it knows (its manual, option `--checksum`)."""


def sha256sums(holdings: Iterable[LocalScene]) -> Iterator[bytes]:
    """Yield the lines of a list that `sha256sum --check` takes inside the mirror, in the order of their paths."""
    files = (file for held in holdings for file in held.files)
    for held in sorted(files, key=lambda file: file.path):
        escaped = held.path.translate(_ESCAPES)
        mark = "" if escaped == held.path else "\\"
        yield f"{mark}{held.sha256}  {escaped}\n".encode("utf-8", "surrogateescape")


def link_problem(url: str) -> str | None:
    """Why a link is not written; None where it may be."""
    if _LINK.fullmatch(url) is None:
        return "its link is none that can be written on a line"
    if redact(url) != url:
        return "its link holds a secret, which is not written"
    return None


def aria2(url: str, path: str, digest: str | None) -> str:
    """An entry of an aria2 input file.

    Args:
        url: one that has no `link_problem`.
        path: where the file goes, relative to the folder that aria2 is told.
        digest: in hexadecimal, by itself or after its algorithm's name and a colon.
    """
    kind = _ARIA2_DIGESTS.get(algorithm(digest) or "")
    checksum = "" if kind is None or digest is None else f"  checksum={kind}={digest.rpartition(':')[2].lower()}\n"
    return f"{url}\n  out={path}\n{checksum}"
