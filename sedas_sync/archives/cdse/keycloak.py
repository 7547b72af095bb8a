"""One login for all threads and processes of an account: tokens of a Keycloak server, kept and renewed.

The service's limits decide the shape (Quotas and FAQ pages of the Copernicus Data Space documentation, 2025-03): an
access token lives 10 minutes, its refresh token serves any number of times within 60, and every login opens a session,
of which an account may have 100. So a token is asked for once, renewed with the refresh token, and shared: by threads
under a lock, by processes through a file of the `TokenStore` under a file lock.
"""

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sedas_sync.archives.cdse.kind import TOTP
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.net import redact, session
from sedas_sync.net.credentials import Credentials, belongs, withheld

CLIENT = "cdse-public"
"""The client that accounts of the Copernicus Data Space log in with (Access Token page, 2025-03)."""
FOLDER_VARIABLE = "SEDAS_SYNC_TOKENS"
"""Names the folder where tokens are shared between processes, or `off`."""
LONGEST_MARGIN = 60.0
"""Seconds before its end at which a token is renewed, at most; never more than a fifth of its life."""
LOGIN_AGAIN = 60.0
"""Seconds before a login is tried again that was answered with something that is none: a page, or no token."""
LOCK_SECONDS = 30.0
"""How long another process may hold the file of the tokens before this one logs in by itself."""

_REFUSED = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class KeycloakTokens:
    """What a login gave. Instants are seconds since 1970, so that processes agree on them."""

    access: str = field(repr=False)
    access_good_until: float
    """With the margin taken off."""
    refresh: str | None = field(default=None, repr=False)
    refresh_good_until: float = 0.0
    after_refusal: bool = False
    """Whether the access token replaced one that a download server refused."""


class TokenStore:
    """A file that the processes of one user share tokens by: readable by that user alone, replaced whole.

    Args:
        file: Where; its folder is made where it is not there. None: nothing is shared.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from the file meanwhile; goes on without where that cannot be had."""
        if self._file is None:
            yield
            return
        from filelock import FileLock, Timeout  # noqa: PLC0415 - slow to import, and only logins need it

        # A file system without locks is as good as a folder that cannot be written.
        lock = FileLock(f"{self._file}.lock", timeout=LOCK_SECONDS, mode=0o600, fallback_to_soft=False)
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, Timeout):
            # A folder that cannot be written, or a process that hangs: an own login is one session more.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def read(self) -> KeycloakTokens | None:
        """What was kept; None where there is nothing, or nothing that only this user could have written."""
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
                kept = json.load(opened)
                return KeycloakTokens(
                    access=_token(kept["access_token"]),
                    access_good_until=float(kept["access_good_until"]),
                    refresh=_token(kept["refresh_token"]) if kept.get("refresh_token") else None,
                    refresh_good_until=float(kept.get("refresh_good_until", 0.0)),
                    after_refusal=kept.get("after_refusal") is True,
                )
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                return None

    def write(self, tokens: KeycloakTokens) -> None:
        """Keep tokens; a folder that cannot be written keeps none."""
        if self._file is None:
            return
        kept = {
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
                json.dump(kept, opened)
            fresh.replace(self._file)
        except OSError:
            with suppress(OSError):
                fresh.unlink()

    def forget(self) -> None:
        """Keep nothing any more."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def store_for(login_url: str, username: str, environ: Mapping[str, str] = os.environ) -> TokenStore:
    """The store of an account: in the folder that `SEDAS_SYNC_TOKENS` names, else in the user's runtime folder.

    The runtime folder (`XDG_RUNTIME_DIR`) is in memory, the user's alone, and gone when they log out; where there is
    none, as on most CI machines, nothing is written and each process logs in by itself.
    """
    named = environ.get(FOLDER_VARIABLE, "").strip()
    runtime = environ.get("XDG_RUNTIME_DIR", "").strip()
    if named.lower() == "off" or not (named or _private(runtime)):
        return TokenStore(None)
    folder = Path(named) if named else Path(runtime) / "sedas-sync"
    account = hashlib.sha256(f"{login_url}\n{CLIENT}\n{username}".encode()).hexdigest()[:32]
    return TokenStore(folder / f"tokens-{account}.json")


def _private(folder: str) -> bool:
    """Whether a folder is this user's alone, as the specification of `XDG_RUNTIME_DIR` demands."""
    if not folder:
        return False
    try:
        found = Path(folder).stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


class KeycloakSession:
    """The session of one account. Safe in many threads; logs in when a token is first needed.

    Args:
        api: Asks.
        login_url: The token endpoint.
        credentials: Gives user name and password; called once, when they are needed.
        store: Where tokens are shared with other processes; called with the user name.
        environ: Where the code of a second factor stands.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        api: session.Api,
        login_url: str,
        credentials: Callable[[], Credentials],
        *,
        store: Callable[[str], TokenStore],
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._url = login_url
        self._find = credentials
        self._make_store = store
        self._environ = environ
        self._now = now
        self._lock = threading.Lock()
        self._tokens: KeycloakTokens | None = None
        self._account: tuple[Credentials, TokenStore] | None = None
        self._refused: str | None = None
        self._failure: tuple[int, float, ArchiveError] | None = None
        """The number of the last login that failed, when that was, and how."""
        self._tries = 0

    def current(self) -> str:
        """Return a token that is good for now.

        Raises:
            AuthenticationError: the credentials were refused, or there are none.
            ArchiveError: the login could not be asked.
        """
        tokens = self._tokens
        if tokens is not None and self._now() < tokens.access_good_until:
            return tokens.access
        return self._renew(None, after_refusal=False)

    def renew(self, refused: str) -> str:
        """Return another token than the one a server refused; one that replaced a refused one is not replaced again.

        Raises:
            AuthenticationError: the credentials were refused, or there are none.
            ArchiveError: the login could not be asked.
        """
        tokens = self._good(self._tokens, None)
        if tokens is not None and tokens.access == refused and tokens.after_refusal:
            return refused
        return self._renew(refused, after_refusal=True)

    def _renew(self, refused: str | None, *, after_refusal: bool) -> str:
        seen = self._tries
        with self._lock:
            if self._refused is not None:
                raise AuthenticationError(self._refused)
            if (known := self._good(self._tokens, refused)) is not None:
                return known.access
            if self._failure is not None and self._no_use(*self._failure, seen):
                failed = self._failure[2]
                raise ArchiveError(str(failed), status=failed.status, retryable=failed.retryable)
            self._tries += 1
            try:
                self._tokens = self._from_store_or_login(refused, after_refusal=after_refusal)
            except AuthenticationError as error:
                self._refused = str(error)
                raise
            except ArchiveError as error:
                self._failure = (self._tries, self._now(), error)
                raise
            return self._tokens.access

    def _no_use(self, number: int, when: float, failed: ArchiveError, seen: int) -> bool:
        """Whether a login that failed is not worth another try yet.

        Those who waited for it do not each try it again. Where no outage explains it, as with the page of a portal,
        every scene of a run would send the password once more.
        """
        return number > seen or (not failed.retryable and 0 <= self._now() - when < LOGIN_AGAIN)

    def _good(self, tokens: KeycloakTokens | None, refused: str | None) -> KeycloakTokens | None:
        if tokens is None or tokens.access == refused or self._now() >= tokens.access_good_until:
            return None
        return tokens

    def _from_store_or_login(self, refused: str | None, *, after_refusal: bool) -> KeycloakTokens:
        if self._account is None:
            found = self._find()
            redact.remember_secret(found.password)
            self._account = found, self._make_store(found.username)
        account, store = self._account
        with store.held():
            kept = store.read()
            for known in filter(None, (kept, self._tokens)):
                _hide(known)
            if (good := self._good(kept, refused)) is not None:
                return good
            newest = kept or self._tokens
            tokens = self._refreshed(newest, after_refusal=after_refusal)
            if tokens is None:
                store.forget()
                tokens = self._log_in(account, after_refusal=after_refusal)
            store.write(tokens)
            return tokens

    def _refreshed(self, tokens: KeycloakTokens | None, *, after_refusal: bool) -> KeycloakTokens | None:
        """Renew by the refresh token; None where it is over, or the server takes it no more."""
        if tokens is None or tokens.refresh is None or self._now() >= tokens.refresh_good_until:
            return None
        begun = self._now()
        reply = self._ask({"grant_type": "refresh_token", "refresh_token": tokens.refresh})
        if reply.status in _REFUSED:
            return None
        return self._given(reply, begun, after_refusal=after_refusal)

    def _log_in(self, account: Credentials, *, after_refusal: bool) -> KeycloakTokens:
        form = {"grant_type": "password", "username": account.username, "password": account.password}
        host = urlsplit(self._url).hostname or ""
        code = self._environ.get(TOTP.names[0], "").strip()
        hint = f"; an account with a second factor needs its code in {TOTP.names[0]}"
        if code and belongs(host, TOTP, self._environ):
            form["totp"], hint = code, ""
        elif code:
            hint = f"; {withheld(host, TOTP, self._environ)}"
        begun = self._now()
        reply = self._ask(form)
        if reply.status in _REFUSED:
            raise AuthenticationError(
                f"{urlsplit(self._url).netloc} refused the credentials of {account.username!r} "
                f"(from {account.source or 'the caller'}): {_stated(reply)}{hint}"
            )
        return self._given(reply, begun, after_refusal=after_refusal)

    def _ask(self, form: Mapping[str, str]) -> session.Reply:
        return self._api.send("POST", self._url, form={"client_id": CLIENT, **form})

    def _given(self, reply: session.Reply, begun: float, *, after_refusal: bool) -> KeycloakTokens:
        if not reply.ok:
            raise reply.error("the login")
        answer = reply.json("the login")
        try:
            access = _token(answer["access_token"])
            refresh = answer.get("refresh_token")
            tokens = KeycloakTokens(
                access=access,
                access_good_until=_until(begun, answer.get("expires_in")),
                refresh=_token(refresh) if refresh else None,
                refresh_good_until=_until(begun, answer.get("refresh_expires_in")),
                after_refusal=after_refusal,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ArchiveError("the login was answered without a token that can be used") from None
        _hide(tokens)
        return tokens


def _until(begun: float, life: object) -> float:
    """When to renew what lives so many seconds; a life that is not stated is over at once."""
    seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else 0.0
    return begun + seconds - min(LONGEST_MARGIN, max(0.0, seconds) / 5)


def _token(value: object) -> str:
    """A text that can stand in a header.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("no token")
    return value


def _hide(tokens: KeycloakTokens) -> None:
    redact.remember_secret(tokens.access)
    if tokens.refresh is not None:
        redact.remember_secret(tokens.refresh)


def _stated(reply: session.Reply) -> str:
    """What a refusal says: Keycloak's description, else its status."""
    try:
        answer: Any = json.loads(reply.body)
        words = answer["error_description"] if answer.get("error_description") else answer["error"]
        return redact.shorten(str(words), 120)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"status {reply.status}"
