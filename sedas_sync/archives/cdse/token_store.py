"""Tokens of a Keycloak login, and the file in which processes of one user share them."""

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CLIENT = "cdse-public"
"""The client that accounts of the Copernicus Data Space log in with (Access Token page, 2025-03)."""
FOLDER_VARIABLE = "SEDAS_SYNC_TOKENS"
"""The environment variable with the folder for shared tokens, or `off`."""
LOCK_SECONDS = 30.0
"""How long to wait for another process that has locked the file, before logging in separately."""


def check_token(value: object) -> str:
    """Return a token if it is a valid header value.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("not a token")
    return value


@dataclass(frozen=True, slots=True)
class KeycloakTokens:
    """The tokens of a login. Times are seconds since 1970, so that processes agree on them."""

    access: str = field(repr=False)
    access_good_until: float
    """When to renew it, a little before it expires."""
    refresh: str | None = field(default=None, repr=False)
    refresh_good_until: float = 0.0
    after_refusal: bool = False
    """Whether the access token replaced one that was refused."""


class TokenStore:
    """A file with the tokens that the processes of one user share; only that user can read it.

    Args:
        file: The file; its folder is created if necessary. None: nothing is shared.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file against other processes, if possible."""
        if self._file is None:
            yield
            return
        from filelock import FileLock, Timeout  # noqa: PLC0415  # slow to import, and only logins need it

        # A file system without locks is treated as a folder that cannot be written.
        lock = FileLock(f"{self._file}.lock", timeout=LOCK_SECONDS, mode=0o600, fallback_to_soft=False)
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, Timeout):
            # The folder cannot be written, or another process hangs: a login of our own costs one more session.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def read(self) -> KeycloakTokens | None:
        """Return the stored tokens; None if there are none, or if another user could have read or written them."""
        if self._file is None:
            return None
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, encoding="utf-8") as opened:
            found = os.fstat(descriptor)
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                return None
            try:
                stored = json.load(opened)
                return KeycloakTokens(
                    access=check_token(stored["access_token"]),
                    access_good_until=float(stored["access_good_until"]),
                    refresh=check_token(stored["refresh_token"]) if stored.get("refresh_token") else None,
                    refresh_good_until=float(stored.get("refresh_good_until", 0.0)),
                    after_refusal=stored.get("after_refusal") is True,
                )
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                return None

    def write(self, tokens: KeycloakTokens) -> None:
        """Store tokens, if the folder can be written."""
        if self._file is None:
            return
        stored = {
            "access_token": tokens.access,
            "access_good_until": tokens.access_good_until,
            "refresh_token": tokens.refresh,
            "refresh_good_until": tokens.refresh_good_until,
            "after_refusal": tokens.after_refusal,
        }
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                json.dump(stored, opened)
            fresh.replace(self._file)
        except OSError:
            with suppress(OSError):
                fresh.unlink()

    def forget(self) -> None:
        """Delete the stored tokens."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def store_for(login_url: str, username: str, environ: Mapping[str, str] = os.environ) -> TokenStore:
    """Return the store of an account: in the folder of `SEDAS_SYNC_TOKENS`, or else in the user's runtime folder.

    The runtime folder (`XDG_RUNTIME_DIR`) is in memory, private to the user, and deleted at logout. Without one, as on
    most CI machines, nothing is written and each process logs in.
    """
    chosen = environ.get(FOLDER_VARIABLE, "").strip()
    runtime = environ.get("XDG_RUNTIME_DIR", "").strip()
    if chosen.lower() == "off" or not (chosen or _private(runtime)):
        return TokenStore(None)
    folder = Path(chosen) if chosen else Path(runtime) / "sedas-sync"
    account = hashlib.sha256(f"{login_url}\n{CLIENT}\n{username}".encode()).hexdigest()[:32]
    return TokenStore(folder / f"tokens-{account}.json")


def _private(folder: str) -> bool:
    """Whether a folder is private to this user, as the specification of `XDG_RUNTIME_DIR` demands."""
    if not folder:
        return False
    try:
        found = Path(folder).stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
