"""The login at NASA's Earthdata: one token for files, of `EARTHDATA_TOKEN` or of user name and password.

Such a token lives 60 days, and an account has at most two, so the login returns the same one again (User Token page of
Earthdata Login, 2025-05).
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from sedas_sync.archives.shared_token import Login, SharedToken, Token, TokenAccount
from sedas_sync.archives.stac.access import basic_header
from sedas_sync.archives.stac.kind import EARTHDATA_ACCOUNT, EARTHDATA_HOSTS, EARTHDATA_LOGIN, EARTHDATA_TOKEN
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.net import credentials, session
from sedas_sync.net.credentials import Credentials

_REFUSED = frozenset({401, 403})


def earthdata_login(
    api: session.Api,
    find: Callable[[str], Credentials],
    trusted_hosts: Iterable[str],
    login_url: str = EARTHDATA_LOGIN,
    environ: Mapping[str, str] = os.environ,
) -> Login:
    """Return the login at Earthdata.

    Args:
        api: Sends the request.
        find: Finds the account by the host of the login.
        trusted_hosts: Hosts that get the token, besides those of Earthdata.
        login_url: The endpoint that finds or creates a token.
        environ: The environment.
    """
    host = urlsplit(login_url).hostname or ""
    account = TokenAccount(lambda: find(host), (*EARTHDATA_HOSTS, *trusted_hosts), EARTHDATA_TOKEN.host)

    def log_in(_: str | None, after_refusal: bool) -> Token:
        if environ.get(EARTHDATA_TOKEN.names[0], "").strip():
            token, variables = credentials.token(host, (EARTHDATA_TOKEN,), environ)
            account.limit(Credentials("", "", hosts=credentials.hosts_of(variables, environ)))
            return Token(token, after_refusal=after_refusal)
        found = account()
        reply = api.send("POST", login_url, headers={"Authorization": basic_header(found)}, kind="login")
        if reply.status in _REFUSED:
            raise AuthenticationError(
                f"{host} refused the credentials of {found.username!r} (from {found.source or 'the caller'})"
            )
        if not reply.ok:
            raise reply.error("the login")
        try:
            return Token(reply.json("the login")["access_token"], after_refusal=after_refusal)
        except (KeyError, TypeError, ValueError):
            raise ArchiveError("the login was answered without a usable token") from None

    source = f"{EARTHDATA_TOKEN.names[0]} or {' and '.join(EARTHDATA_ACCOUNT.names)}"
    return Login(SharedToken(log_in, time.monotonic), account, source)
