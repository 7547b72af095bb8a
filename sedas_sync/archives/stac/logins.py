"""Logins of services whose catalogues are open and whose files need an account.

The login happens when the first file is located, so that a plan needs no account.
"""

import base64
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from sedas_sync.archives.cdse import kind as cdse
from sedas_sync.archives.cdse.keycloak import KeycloakSession
from sedas_sync.archives.cdse.second_factor import SecondFactor
from sedas_sync.archives.cdse.token_store import check_token, store_for
from sedas_sync.archives.stac.access import Login
from sedas_sync.archives.stac.kind import EARTHDATA_ACCOUNT, EARTHDATA_HOSTS, EARTHDATA_LOGIN, EARTHDATA_TOKEN
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.hosts import in_both
from sedas_sync.net import credentials, redact, session
from sedas_sync.net.credentials import Credentials

_REFUSED = frozenset({401, 403})
Find = Callable[[str], Credentials]
"""Finds user name and password for a host."""


def cdse_login(
    api: session.Api,
    find: Find,
    login_url: str,
    trusted_hosts: Iterable[str],
    environ: Mapping[str, str] = os.environ,
    *,
    prompt: bool = False,
) -> Login:
    """Return the login of the Copernicus Data Space, which renews its tokens of ten minutes.

    Args:
        api: Sends the requests.
        find: Finds the account by the host of the login.
        login_url: The token endpoint of Keycloak.
        trusted_hosts: Hosts that get the token, besides those of the Copernicus Data Space.
        environ: The environment, for the code of a second factor and the folder of shared tokens.
        prompt: Whether a person may be asked for the code.
    """
    trusted = (*cdse.TRUSTED_HOSTS, *trusted_hosts)
    account: list[Credentials] = []

    host = urlsplit(login_url).hostname or ""

    def found() -> Credentials:
        account.append(find(host))
        return account[0]

    tokens = KeycloakSession(
        api,
        login_url,
        found,
        store=lambda username: store_for(login_url, username, environ),
        factor=SecondFactor(host, environ, prompt=prompt),
    )
    return Login(
        tokens.current,
        tokens.renew,
        lambda: account[0].allowed_hosts(trusted) if account else trusted,
        "the login at the Copernicus Data Space",
    )


class EarthdataTokens:
    """The token of an Earthdata account: `EARTHDATA_TOKEN`, or one that the login gives for user name and password.

    Such a token lives 60 days, and an account has at most two, so the login returns the same one again (User Token
    page of Earthdata Login, 2025-05).

    Args:
        api: Sends the request.
        find: Finds the account by the host of the login.
        login_url: The endpoint that finds or creates a token.
        trusted_hosts: Hosts that get the token, besides those of Earthdata.
        environ: The environment.
    """

    def __init__(
        self,
        api: session.Api,
        find: Find,
        login_url: str,
        trusted_hosts: Iterable[str],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._api = api
        self._find = find
        self._url = login_url
        self._host = urlsplit(login_url).hostname or ""
        self._environ = environ
        self._lock = threading.Lock()
        self._token: str | None = None
        self._refused: str | None = None
        """Why the account was refused. It is not tried again: a login may lock an account after some attempts."""
        self.trusted_hosts: tuple[str, ...] = (*EARTHDATA_HOSTS, *trusted_hosts)
        """Hosts that may see the token."""

    def current(self) -> str:
        """Return the token.

        Raises:
            AuthenticationError: There is no account, or it was refused.
            ArchiveError: The login failed.
        """
        with self._lock:
            if self._refused is not None:
                raise AuthenticationError(self._refused)
            if self._token is None:
                if self._environ.get(EARTHDATA_TOKEN.names[0], "").strip():
                    self._token, variables = credentials.token(self._host, (EARTHDATA_TOKEN,), self._environ)
                    hosts = credentials.hosts_of(variables, self._environ)
                    self.trusted_hosts = in_both(self.trusted_hosts, hosts)
                else:
                    self._token = self._log_in()
            return self._token

    def _log_in(self) -> str:
        account = self._find(self._host)
        self.trusted_hosts = account.allowed_hosts(self.trusted_hosts)
        redact.remember_secret(account.password)
        pair = base64.b64encode(f"{account.username}:{account.password}".encode()).decode("ascii")
        redact.remember_secret(pair)
        reply = self._api.send("POST", self._url, headers={"Authorization": f"Basic {pair}"}, kind="login")
        if reply.status in _REFUSED:
            self._refused = (
                f"{self._host} refused the credentials of {account.username!r} (from {account.source or 'the caller'})"
            )
            raise AuthenticationError(self._refused)
        if not reply.ok:
            raise reply.error("the login")
        answer = reply.json("the login")
        try:
            return check_token(answer["access_token"])
        except (KeyError, TypeError, ValueError):
            raise ArchiveError("the login was answered without a usable token") from None


def earthdata_login(
    api: session.Api, find: Find, trusted_hosts: Iterable[str], login_url: str = EARTHDATA_LOGIN
) -> Login:
    """Return the login of NASA's Earthdata; see `EarthdataTokens`."""
    tokens = EarthdataTokens(api, find, login_url, trusted_hosts)
    source = f"{EARTHDATA_TOKEN.names[0]} or {' and '.join(EARTHDATA_ACCOUNT.names)}"
    return Login(tokens.current, None, lambda: tokens.trusted_hosts, source)
