"""A link and its token on their way to a worker, to be read by nobody who does not see the mirror's folder.

A scheduler keeps what it is given, a worker that cannot make sense of it writes it to its log as it came, and between
machines it may go over a wire that others see. So a link travels sealed with a key that lies in the folder of the run
and its workers, and is gone with the run.
"""

import hashlib
import hmac
import json
import secrets

from msgspec.structs import replace

from sedas_sync import errors
from sedas_sync.model import Download

__all__ = ["new_key", "seal", "unseal"]

_KEY = 32
_NONCE = 16
_TAG = 32


def new_key() -> bytes:
    """A key for one run."""
    return secrets.token_bytes(_KEY)


def seal(download: Download, key: bytes) -> tuple[Download, bytes]:
    """Take out of a download what may be secret; returns what is left, and the rest sealed."""
    nonce = secrets.token_bytes(_NONCE)
    plain = json.dumps({"url": download.url, "headers": dict(download.headers)}).encode()
    hidden = nonce + _masked(plain, key, nonce)
    return replace(download, url=download.shown, headers={}), hidden + _tag(hidden, key)


def unseal(download: Download, sealed: bytes, key: bytes) -> Download:
    """Put back what `seal` took out.

    Raises:
        TransferError: it was sealed with another key.
    """
    hidden, tag = sealed[:-_TAG], sealed[-_TAG:]
    if not hmac.compare_digest(tag, _tag(hidden, key)):
        raise errors.TransferError("the link cannot be read: the mirror's folder here is not the one of the run")
    nonce = hidden[:_NONCE]
    plain = json.loads(_masked(hidden[_NONCE:], key, nonce))
    return replace(download, url=plain["url"], headers=plain["headers"])


def _masked(text: bytes, key: bytes, nonce: bytes) -> bytes:
    """Add a stream that only the key and a number used once can make; doing it again takes it away."""
    stream = hashlib.shake_256(b"mask" + key + nonce).digest(len(text))
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")


def _tag(hidden: bytes, key: bytes) -> bytes:
    return hmac.digest(key, hidden, "sha256")
