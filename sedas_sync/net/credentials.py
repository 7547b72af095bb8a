"""Where the user name and the password for an archive come from; they never stand in a manifest.

The first that has both wins: the environment variables of the archive's type, e.g. `SEDAS_USERNAME` and
`SEDAS_PASSWORD`; the entry of the archive's host in netrc (the file that `NETRC` names, else `~/.netrc`); the system
keyring with the extra `sedas-sync[keyring]`, service `sedas-sync:<host>`; a prompt, on a terminal only.

Each secret belongs to hosts, and goes to no other. Netrc and keyring name the host themselves. A variable belongs to
the hosts of its service and to those that the environment names besides (`SEDAS_HOST`); a manifest cannot add one,
since it may be a stranger's, as on a pull request.
"""

import getpass
import netrc
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sedas_sync.errors import AuthenticationError
from sedas_sync.manifest import hosts as _hosts
from sedas_sync.manifest.archive_types import Variables

VARIABLES = Variables(("SEDAS_USERNAME", "SEDAS_PASSWORD"), host="SEDAS_HOST", hosts=("*.satapps.org",))
"""Those of SeDAS."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password; the password shows in no repr."""

    username: str
    password: str = field(repr=False)
    source: str = field(default="", compare=False)
    """Where they were found, in words."""
    hosts: tuple[str, ...] | None = field(default=None, compare=False)
    """The only hosts that may see them and what a login with them gives; None where that is not the environment's."""

    def may_go_to(self, trusted_hosts: Iterable[str]) -> tuple[str, ...]:
        """Return the hosts of a manifest's `trusted_hosts` that may see a token which these credentials gave.

        A token is worth its password for as long as it lives. So one from the environment goes to no host that the
        password may not go to.
        """
        return tuple(trusted_hosts) if self.hosts is None else _hosts.in_both(trusted_hosts, self.hosts)


def hosts_of(variables: Variables, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """List the hosts that some variables belong to: those of the service, and those that the environment names."""
    named = environ.get(variables.host, "").split(",") if variables.host else ()
    exact = (_plain(name) for name in named)
    return (*variables.hosts, *(name for name in exact if name and "*" not in name))


def belongs(host: str, variables: Variables, environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether a host may be sent what these variables hold; for all types of archives this alone decides."""
    host = _plain(host)
    return _hosts.is_loopback(host) or any(_hosts.matches(host, entry) for entry in hosts_of(variables, environ))


def _plain(host: str) -> str:
    return host.strip().lower().rstrip(".")


def withheld(host: str, variables: Variables, environ: Mapping[str, str] = os.environ) -> str:
    """Say that what these variables hold is not sent to a host, and what would allow it."""
    are, them = ("is", "it") if len(variables.names) == 1 else ("are", "them")
    remedy = f"; to allow it, {_allowing([host], variables, environ)}" if variables.host else ""
    return f"{' and '.join(variables.names)} {are} set, and {host} may not see {them}{remedy}"


def _allowing(hosts: Iterable[str], variables: Variables, environ: Mapping[str, str]) -> str:
    """Say how a variable is set that it names these hosts too."""
    named = (_plain(name) for name in environ.get(variables.host or "", "").split(","))
    return f"set {variables.host}={','.join(dict.fromkeys((*filter(None, named), *hosts)))}"


def token(host: str, choices: Iterable[Variables], environ: Mapping[str, str] = os.environ) -> tuple[str, Variables]:
    """Find the token for a host: that of the first variable which is set.

    Raises:
        AuthenticationError: none is set, it is not for this host, or no header can hold it.
    """
    unset = []
    for variables in choices:
        (name,) = variables.names
        value = environ.get(name, "").strip()
        if not value:
            unset.append(f"{name} with {variables.host}={host}")
            continue
        if not belongs(host, variables, environ):
            raise AuthenticationError(f"no token for {host}: {withheld(host, variables, environ)}")
        if not (value.isascii() and value.isprintable()):
            # The value itself is not shown.
            raise AuthenticationError(
                f"the environment variable {name} holds no token: a line break, or what is no ASCII"
            )
        return value, variables
    raise AuthenticationError(f"no token for {host}: set {' or '.join(unset)} in the environment")


def keyring_service(host: str) -> str:
    """Name the keyring's service under which the password for a host is kept, e.g. for `keyring set`."""
    return f"sedas-sync:{host}"


def find(
    host: str,
    *,
    prompt: bool,
    variables: Variables | None = VARIABLES,
    also: Iterable[str] = (),
    alone: bool = True,
    environ: Mapping[str, str] = os.environ,
    ask_name: Callable[[str], str] | None = None,
    ask_password: Callable[[str], str] | None = None,
) -> Credentials:
    """Find the credentials for an archive's host.

    Args:
        host: Host name of the archive's API, without port.
        prompt: Whether a person may be asked; happens only where standard input and error are terminals.
        variables: The environment variables of user name and password; None where the archive's type has none.
        also: Further hosts that a login involves, such as one that only gives tokens. Where there are any, all must be
            hosts that `variables` belong to, wherever the credentials are found: the entry of one host says nothing
            of another.
        alone: Whether the variables can mean this host only; where they cannot, they are not used.
        environ: The environment; a variable that is set but empty counts as not set.
        ask_name: Asks for the user name instead of `input`.
        ask_password: Asks for the password instead of `getpass`.

    Raises:
        AuthenticationError: none were found, or they would go to a host that they are not for; the message says where
            they were looked for, or what would allow it.
    """
    elsewhere = [other for other in dict.fromkeys(also) if other != host]
    strangers = [one for one in (host, *elsewhere) if variables is None or not belongs(one, variables, environ)]
    if elsewhere and strangers:
        remedy = f"; to allow it, {_allowing(strangers, variables, environ)}" if variables and variables.host else ""
        raise AuthenticationError(f"no login for {host} at another host, {' and '.join(elsewhere)}{remedy}")
    looked: list[str] = []
    found = (
        _from_environment(host, environ, variables, looked, alone=alone)
        or _from_netrc(host, environ, looked)
        or _from_keyring(host, environ, variables, looked)
        or _from_person(host, looked, prompt=prompt, ask_name=ask_name, ask_password=ask_password)
    )
    if found is None:
        raise AuthenticationError(
            f"no credentials for {host}; set them in one of these places, all looked at: {'; '.join(looked)}"
        )
    return found


def _from_environment(
    host: str, environ: Mapping[str, str], variables: Variables | None, looked: list[str], *, alone: bool
) -> Credentials | None:
    if variables is None:
        return None
    name, secret = variables.names
    username, password = environ.get(name, ""), environ.get(secret, "")
    if not alone:
        # They name no host: sent to each, one archive would be told the password of another.
        looked.append(f"the environment ({name} is not used, since several hosts of this manifest could be meant)")
    elif username and password:
        if belongs(host, variables, environ):
            return Credentials(username, password, "the environment", hosts_of(variables, environ))
        looked.append(f"the environment ({withheld(host, variables, environ)})")
    elif username or password:
        looked.append(f"the environment ({secret if username else name} is not set)")
    else:
        looked.append(f"the environment ({name} and {secret} are not set)")
    return None


def _from_netrc(host: str, environ: Mapping[str, str], looked: list[str]) -> Credentials | None:
    named = environ.get("NETRC", "").strip()
    home = environ.get("HOME", "").strip()
    path = Path(named) if named else (Path(home) if home else Path("~").expanduser()) / ".netrc"
    try:
        entry = netrc.netrc(str(path)).hosts.get(host)
    except FileNotFoundError:
        looked.append(f"{path} (not there)")
        return None
    except netrc.NetrcParseError as error:
        # The parser's message may quote a word of the file, which may be the password.
        looked.append(f"{path} (line {error.lineno} cannot be understood)")
        return None
    except (OSError, UnicodeDecodeError) as error:
        looked.append(f"{path} (cannot be read: {getattr(error, 'strerror', None) or 'not a text file'})")
        return None
    if entry is None:
        looked.append(f"{path} (no entry for {host})")
        return None
    username, _, password = entry
    if username and password:
        return Credentials(username, password, str(path))
    looked.append(f"{path} (the entry for {host} has no {'password' if username else 'login'})")
    return None


def _from_keyring(
    host: str, environ: Mapping[str, str], variables: Variables | None, looked: list[str]
) -> Credentials | None:
    try:
        import keyring  # noqa: PLC0415 - an extra, and slow to import
        import keyring.errors  # noqa: PLC0415
    except ImportError:
        looked.append("the system keyring (the extra sedas-sync[keyring] is not installed)")
        return None
    service = keyring_service(host)
    username = environ.get(variables.names[0]) if variables and belongs(host, variables, environ) else None
    try:
        kept = keyring.get_credential(service, username or None)
    except keyring.errors.KeyringError as error:
        looked.append(f"the system keyring (cannot be used: {type(error).__name__})")
        return None
    if kept is not None and kept.username and kept.password:
        return Credentials(kept.username, kept.password, "the system keyring")
    looked.append(f"the system keyring (nothing under {service!r})")
    return None


def _from_person(
    host: str,
    looked: list[str],
    *,
    prompt: bool,
    ask_name: Callable[[str], str] | None,
    ask_password: Callable[[str], str] | None,
) -> Credentials | None:
    if not prompt:
        looked.append("a prompt (nobody is there to be asked)")
        return None
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
        looked.append("a prompt (this is no terminal)")
        return None
    try:
        username = (ask_name or _ask_name)(f"User name for {host}: ").strip()
        password = (ask_password or getpass.getpass)(f"Password for {username} at {host}: ") if username else ""
    except EOFError:
        username = password = ""
    if username and password:
        return Credentials(username, password, "the prompt")
    looked.append("a prompt (nothing was entered)")
    return None


def _ask_name(question: str) -> str:
    """Ask on standard error, since standard output is for results."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    try:
        return bool(isatty is not None and isatty())
    except ValueError:  # a closed stream
        return False
