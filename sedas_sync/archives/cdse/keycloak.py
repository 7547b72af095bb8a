"""One login for all threads and processes of an account: tokens of a Keycloak server, shared and renewed.

The limits of the service decide the design (Quotas and FAQ pages of the Copernicus Data Space documentation, 2025-03):
an access token lives 10 minutes, its refresh token may be used any number of times within 60 minutes, and every login
opens a session, of which an account may have 100. So a token is requested once, renewed with the refresh token, and
shared: by threads under a lock, by processes in the file of a `TokenStore` under a file lock.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sedas_sync.archives.cdse.second_factor import INTERVAL, SecondFactor
from sedas_sync.archives.cdse.token_store import CLIENT, KeycloakTokens, TokenStore, check_token
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.net import session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.redact import remember_secret, shorten

RENEW_BEFORE = 60.0
"""Seconds before its end at which a token is renewed, at most; never more than a fifth of its life."""
LOGIN_AGAIN = 60.0
"""Seconds before a login is repeated that was answered with something unusable: a page, or no token."""

_REFUSED = frozenset({400, 401, 403})


class KeycloakSession:
    """The session of one account. Safe for threads; logs in when a token is first needed.

    Args:
        api: Sends the requests.
        login_url: The token endpoint.
        credentials: Returns user name and password; called once, when they are needed.
        store: Returns the store that processes share, by user name.
        factor: Gives the codes of a second factor; by default from the environment and the keyring.
        environ: The environment, which may have the code or the secret of a second factor.
        now: Returns seconds since 1970.
    """

    def __init__(
        self,
        api: session.Api,
        login_url: str,
        credentials: Callable[[], Credentials],
        *,
        store: Callable[[str], TokenStore],
        factor: SecondFactor | None = None,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._url = login_url
        self._find = credentials
        self._make_store = store
        self._factor = factor or SecondFactor(urlsplit(login_url).hostname or "", environ)
        self._now = now
        self._lock = threading.Lock()
        self._tokens: KeycloakTokens | None = None
        self._account: tuple[Credentials, TokenStore] | None = None
        self._refused: str | None = None
        self._failure: tuple[int, float, ArchiveError] | None = None
        """Number, time and error of the last login that failed."""
        self._logins = 0

    def current(self) -> str:
        """Return a valid token.

        Raises:
            AuthenticationError: There are no credentials, or they were refused.
            ArchiveError: The login failed.
        """
        tokens = self._tokens
        if tokens is not None and self._now() < tokens.access_good_until:
            return tokens.access
        return self._renew(None, after_refusal=False)

    def renew(self, refused: str) -> str:
        """Replace a token that a server refused; a token that replaced a refused one is returned again.

        Raises:
            AuthenticationError: There are no credentials, or they were refused.
            ArchiveError: The login failed.
        """
        tokens = self._valid(self._tokens, None)
        if tokens is not None and tokens.access == refused and tokens.after_refusal:
            return refused
        return self._renew(refused, after_refusal=True)

    def _renew(self, refused: str | None, *, after_refusal: bool) -> str:
        before = self._logins
        with self._lock:
            if self._refused is not None:
                raise AuthenticationError(self._refused)
            if (known := self._valid(self._tokens, refused)) is not None:
                return known.access
            if self._failure is not None and self._is_too_early(*self._failure, before):
                failed = self._failure[2]
                raise ArchiveError(str(failed), status=failed.status, retryable=failed.retryable)
            self._logins += 1
            try:
                self._tokens = self._from_store_or_login(refused, after_refusal=after_refusal)
            except AuthenticationError as error:
                self._refused = str(error)
                raise
            except ArchiveError as error:
                self._failure = (self._logins, self._now(), error)
                raise
            return self._tokens.access

    def _is_too_early(self, number: int, when: float, failed: ArchiveError, before: int) -> bool:
        """Whether it is too early to repeat a login that failed.

        Threads that waited for it do not repeat it. If it was not an outage, but for example the page of a portal,
        every scene of a run would send the password again.
        """
        return number > before or (not failed.retryable and 0 <= self._now() - when < LOGIN_AGAIN)

    def _valid(self, tokens: KeycloakTokens | None, refused: str | None) -> KeycloakTokens | None:
        if tokens is None or tokens.access == refused or self._now() >= tokens.access_good_until:
            return None
        return tokens

    def _from_store_or_login(self, refused: str | None, *, after_refusal: bool) -> KeycloakTokens:
        if self._account is None:
            found = self._find()
            remember_secret(found.password)
            self._account = found, self._make_store(found.username)
        account, store = self._account
        with store.locked():
            stored = store.read()
            for known in filter(None, (stored, self._tokens)):
                _hide(known)
            if (valid := self._valid(stored, refused)) is not None:
                return valid
            tokens = self._refresh(stored or self._tokens, after_refusal=after_refusal)
            if tokens is None:
                store.forget()
                tokens = self._log_in(account, after_refusal=after_refusal)
            store.write(tokens)
            return tokens

    def _refresh(self, tokens: KeycloakTokens | None, *, after_refusal: bool) -> KeycloakTokens | None:
        """Renew with the refresh token; None if it has expired or is refused."""
        if tokens is None or tokens.refresh is None or self._now() >= tokens.refresh_good_until:
            return None
        started = self._now()
        reply = self._request({"grant_type": "refresh_token", "refresh_token": tokens.refresh})
        if reply.status in _REFUSED:
            return None
        return self._read(reply, started, after_refusal=after_refusal)

    def _log_in(self, account: Credentials, *, after_refusal: bool) -> KeycloakTokens:
        started = self._now()
        code = self._factor.code(account.username, started)
        reply = self._request(_login_form(account, code))
        if reply.status in _REFUSED and code is None and (code := self._factor.asked(account.username)):
            # The service does not state whether a password or a code is missing.
            started = self._now()
            reply = self._request(_login_form(account, code))
        if reply.status in _REFUSED:
            hint = self._factor.hint
            if code is not None:
                source = self._factor.source
                hint = f"; the code from {source} may be spent: each is valid for one login within {INTERVAL} s"
            raise AuthenticationError(
                f"{urlsplit(self._url).netloc} refused the credentials of {account.username!r} "
                f"(from {account.source or 'the caller'}): {_reason(reply)}{hint}"
            )
        return self._read(reply, started, after_refusal=after_refusal)

    def _request(self, form: Mapping[str, str]) -> session.Reply:
        return self._api.send("POST", self._url, form={"client_id": CLIENT, **form}, kind="login")

    def _read(self, reply: session.Reply, started: float, *, after_refusal: bool) -> KeycloakTokens:
        if not reply.ok:
            raise reply.error("the login")
        answer = reply.json("the login")
        try:
            access = check_token(answer["access_token"])
            refresh = answer.get("refresh_token")
            tokens = KeycloakTokens(
                access=access,
                access_good_until=_until(started, answer.get("expires_in")),
                refresh=check_token(refresh) if refresh else None,
                refresh_good_until=_until(started, answer.get("refresh_expires_in")),
                after_refusal=after_refusal,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ArchiveError("the login was answered without a usable token") from None
        _hide(tokens)
        return tokens


def _login_form(account: Credentials, code: str | None) -> dict[str, str]:
    form = {"grant_type": "password", "username": account.username, "password": account.password}
    return form if code is None else {**form, "totp": code}


def _until(started: float, life: object) -> float:
    """Return when to renew a token with a life in seconds; without one, at once."""
    seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else 0.0
    return started + seconds - min(RENEW_BEFORE, max(0.0, seconds) / 5)


def _hide(tokens: KeycloakTokens) -> None:
    remember_secret(tokens.access)
    if tokens.refresh is not None:
        remember_secret(tokens.refresh)


def _reason(reply: session.Reply) -> str:
    """Return the reason of a refusal: Keycloak's description, or else the status."""
    try:
        answer: Any = json.loads(reply.body)
        return shorten(str(answer.get("error_description") or answer["error"]), 120)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"status {reply.status}"
