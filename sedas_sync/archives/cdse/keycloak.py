"""One login for all threads and processes of an account: tokens of a Keycloak server, shared and renewed.

The limits of the service decide the design (Quotas and FAQ pages of the Copernicus Data Space documentation, 2025-03):
an access token lives 10 minutes, its refresh token may be used any number of times within 60 minutes, and every login
opens a session, of which an account may have 100. So a token is requested once, renewed with the refresh token, and
shared: by threads under a lock, by processes in the file of a `TokenStore` under a file lock.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sedas_sync.archives.cdse.kind import VARIABLES
from sedas_sync.archives.cdse.second_factor import INTERVAL, SecondFactor
from sedas_sync.archives.cdse.token_store import CLIENT, KeycloakTokens, TokenStore, store_for
from sedas_sync.archives.shared_token import NOWHERE, Login, SharedToken, TokenAccount, renewal_time
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.net import session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.redact import shorten

_REFUSED = frozenset({400, 401, 403})


class KeycloakSession(SharedToken[KeycloakTokens]):
    """The session of one account. Safe for threads; logs in when a token is first needed.

    Args:
        api: Sends the requests.
        login_url: The token endpoint.
        credentials: Returns user name and password; called once, when they are needed.
        store: Returns the store that processes share, by user name.
        factor: Gives the codes of a second factor.
        now: Returns seconds since 1970.
    """

    def __init__(
        self,
        api: session.Api,
        login_url: str,
        credentials: Callable[[], Credentials],
        *,
        store: Callable[[str], TokenStore],
        factor: SecondFactor,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(self._from_store_or_login, now)
        self._api = api
        self._url = login_url
        self._find = credentials
        self._make_store = store
        self._factor = factor
        self._account: tuple[Credentials, TokenStore] | None = None

    def _from_store_or_login(self, refused: str | None, after_refusal: bool) -> KeycloakTokens:
        if self._account is None:
            found = self._find()
            self._account = found, self._make_store(found.username)
        account, store = self._account
        with store.locked():
            stored = store.read()
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
        if tokens is None or tokens.refresh_token is None or self._now() >= tokens.refresh_good_until:
            return None
        started = self._now()
        reply = self._request({"grant_type": "refresh_token", "refresh_token": tokens.refresh_token})
        if reply.status in _REFUSED:
            return None
        return _read(reply, started, after_refusal=after_refusal)

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
        return _read(reply, started, after_refusal=after_refusal)

    def _request(self, form: Mapping[str, str]) -> session.Reply:
        return self._api.send("POST", self._url, form={"client_id": CLIENT, **form}, kind="login")


def _read(reply: session.Reply, started: float, *, after_refusal: bool) -> KeycloakTokens:
    if not reply.ok:
        raise reply.error("the login")
    answer = reply.json("the login")
    try:
        return KeycloakTokens(
            answer["access_token"],
            _until(started, answer.get("expires_in")),
            refresh_token=answer.get("refresh_token") or None,
            refresh_good_until=_until(started, answer.get("refresh_expires_in")),
            after_refusal=after_refusal,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArchiveError("the login was answered without a usable token") from None


def _login_form(account: Credentials, code: str | None) -> dict[str, str]:
    form = {"grant_type": "password", "username": account.username, "password": account.password}
    return form if code is None else {**form, "totp": code}


def _until(started: float, life: object) -> float:
    """Return when to renew a token with a life in seconds; without one, at once."""
    if isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
        return started
    return renewal_time(started, life)


def _reason(reply: session.Reply) -> str:
    """Return the reason of a refusal: Keycloak's description, or else the status."""
    try:
        answer: Any = json.loads(reply.body)
        return shorten(str(answer.get("error_description") or answer["error"]), 120)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"status {reply.status}"


def cdse_login(
    api: session.Api,
    find: Callable[[str], Credentials],
    login_url: str,
    trusted_hosts: Iterable[str],
    environ: Mapping[str, str] = os.environ,
    *,
    catalogue: str = NOWHERE,
    prompt: bool = False,
    now: Callable[[], float] = time.time,
) -> Login:
    """Return the login of the Copernicus Data Space, which renews its tokens of ten minutes.

    Args:
        api: Sends the requests.
        find: Finds the account by the host of the login.
        login_url: The token endpoint of Keycloak.
        trusted_hosts: Hosts that get the token.
        environ: The environment, for the code of a second factor and the folder of shared tokens.
        catalogue: The address of the catalogue, if its host gets the token too.
        prompt: Whether a person may be asked for the code.
        now: Returns seconds since 1970.
    """
    host = urlsplit(login_url).hostname or ""
    account = TokenAccount(lambda: find(host), trusted_hosts, VARIABLES.host)
    tokens = KeycloakSession(
        api,
        login_url,
        account,
        store=lambda username: store_for(login_url, username, environ),
        factor=SecondFactor(host, environ, prompt=prompt),
        now=now,
    )
    return Login(tokens, account, "the login at the Copernicus Data Space", catalogue)
