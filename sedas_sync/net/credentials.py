"""User names, passwords and tokens: where they are found, and which hosts may see them.

They are never in a manifest. The first of these places that has both user name and password is used:

1. the environment variables of the archive's type, e.g. `SEDAS_USERNAME` and `SEDAS_PASSWORD`
2. the entry of the archive's host in netrc (the file in `NETRC`, or `~/.netrc`)
3. the system keyring with the extra `sedas-sync[keyring]`, service `sedas-sync:<host>`
4. a prompt, on a terminal only

Each secret belongs to hosts and goes to no other host. Netrc and keyring name the host themselves. A variable belongs
to the hosts of its service and to those that the environment adds (`SEDAS_HOST`). A manifest cannot add a host,
because it may come from somebody else, as in a pull request.
"""

import getpass
import netrc
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sedas_sync.errors import AuthenticationError, ManifestError
from sedas_sync.files.extras import load_extra
from sedas_sync.files.paths import user_path
from sedas_sync.manifest.archive_types import Variables
from sedas_sync.model.hosts import in_both, is_loopback, matches_any

VARIABLES = Variables(("SEDAS_USERNAME", "SEDAS_PASSWORD"), host="SEDAS_HOST", hosts=("*.satapps.org",))
"""The variables of SeDAS."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password; the repr hides the password."""

    username: str
    password: str = field(repr=False)
    source: str = field(default="", compare=False)
    """Where they were found, for messages."""
    hosts: tuple[str, ...] | None = field(default=None, compare=False)
    """The only hosts that may see them and the tokens they give; None if they are not from the environment."""

    def allowed_hosts(self, trusted_hosts: Iterable[str]) -> tuple[str, ...]:
        """Return the entries of a manifest's `trusted_hosts` that may see a token from these credentials.

        A token is worth as much as the password while it is valid. So it goes to no host that may not see the
        password.
        """
        return tuple(trusted_hosts) if self.hosts is None else in_both(trusted_hosts, self.hosts)


def hosts_of(variables: Variables, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the hosts that may see these variables: those of the service, and those that the environment adds."""
    return (*variables.hosts, *(name for name in _added_hosts(variables, environ) if "*" not in name))


def _added_hosts(variables: Variables, environ: Mapping[str, str]) -> list[str]:
    names = environ.get(variables.host, "").split(",") if variables.host else ()
    return [name for name in map(_plain, names) if name]


def belongs(host: str, variables: Variables, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a host may see the values of these variables. This is the only rule, for all types of archives."""
    return is_loopback(host) or matches_any(host, hosts_of(variables, environ))


def _plain(host: str) -> str:
    return host.strip().lower().rstrip(".")


def withheld(host: str, variables: Variables, environ: Mapping[str, str] = os.environ) -> str:
    """Explain that the values of these variables are not sent to a host, and how to allow it."""
    are, them = ("is", "it") if len(variables.names) == 1 else ("are", "them")
    remedy = f"; to allow it, {_how_to_allow([host], variables, environ)}" if variables.host else ""
    return f"{' and '.join(variables.names)} {are} set, and {host} may not see {them}{remedy}"


def _how_to_allow(hosts: Iterable[str], variables: Variables, environ: Mapping[str, str]) -> str:
    """Return how to set the variable that adds hosts, so that it names these hosts too."""
    return f"set {variables.host}={','.join(dict.fromkeys((*_added_hosts(variables, environ), *hosts)))}"


def token(host: str, choices: Iterable[Variables], environ: Mapping[str, str] = os.environ) -> tuple[str, Variables]:
    """Return the token for a host, from the first of these variables that is set, and the variable.

    Raises:
        AuthenticationError: None is set, the token is not for this host, or it is not a valid header value.
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
            # The message does not show the value.
            raise AuthenticationError(
                f"the environment variable {name} is not a token: it has a line break or a character outside ASCII"
            )
        return value, variables
    raise AuthenticationError(f"no token for {host}: set {' or '.join(unset)} in the environment")


def keyring_service(host: str) -> str:
    """Return the keyring's service name for a host, e.g. for `keyring set`."""
    return f"sedas-sync:{host}"


def find(
    host: str,
    *,
    prompt: bool,
    variables: Variables | None = VARIABLES,
    also: Iterable[str] = (),
    alone: bool = True,
    entries: Iterable[str] = (),
    environ: Mapping[str, str] = os.environ,
    ask_name: Callable[[str], str] | None = None,
    ask_password: Callable[[str], str] | None = None,
) -> Credentials:
    """Find the credentials for an archive's host.

    Args:
        host: Host name of the archive's API, without port.
        prompt: Whether a person may be asked; only if standard input and standard error are terminals.
        variables: The environment variables of user name and password; None if the archive's type has none.
        also: Other hosts of the login, such as a token server. If there are any, `variables` must belong to all hosts,
            wherever the credentials are found, because an entry for one host says nothing about another.
        alone: Whether the variables can mean this host only; otherwise they are not used.
        entries: Further hosts of the same service whose entries in netrc serve too.
        environ: The environment; an empty variable counts as not set.
        ask_name: Asks for the user name; by default on standard error.
        ask_password: Asks for the password; by default `getpass`.

    Raises:
        AuthenticationError: None were found, or a host of the login may not see them. The message lists the places
            that were searched, or how to allow the host.
    """
    others = [other for other in dict.fromkeys(also) if other != host]
    barred = [one for one in (host, *others) if variables is None or not belongs(one, variables, environ)]
    if others and barred:
        remedy = f"; to allow it, {_how_to_allow(barred, variables, environ)}" if variables and variables.host else ""
        raise AuthenticationError(f"{' and '.join(others)} may not see the login for {host}{remedy}")
    searched: list[str] = []
    found = (
        _from_environment(host, environ, variables, searched, alone=alone)
        or _from_netrc(tuple(dict.fromkeys((host, *entries))), environ, searched)
        or _from_keyring(host, environ, variables, searched)
        or _from_prompt(host, searched, prompt=prompt, ask_name=ask_name, ask_password=ask_password)
    )
    if found is None:
        raise AuthenticationError(
            f"no credentials for {host}; set them in one of these places, which were all searched: "
            f"{'; '.join(searched)}"
        )
    return found


def _from_environment(
    host: str, environ: Mapping[str, str], variables: Variables | None, searched: list[str], *, alone: bool
) -> Credentials | None:
    if variables is None:
        return None
    name, secret = variables.names
    username, password = environ.get(name, ""), environ.get(secret, "")
    if not alone:
        # The variables do not name a host: one archive would see the password of another.
        searched.append(f"the environment ({name} is not used, because it may mean several hosts of this manifest)")
    elif username and password:
        if belongs(host, variables, environ):
            return Credentials(username, password, "the environment", hosts_of(variables, environ))
        searched.append(f"the environment ({withheld(host, variables, environ)})")
    elif username or password:
        searched.append(f"the environment ({secret if username else name} is not set)")
    else:
        searched.append(f"the environment ({name} and {secret} are not set)")
    return None


def _from_netrc(hosts: tuple[str, ...], environ: Mapping[str, str], searched: list[str]) -> Credentials | None:
    file = environ.get("NETRC", "").strip()
    home = environ.get("HOME", "").strip()
    path = user_path(Path(), file) if file else (Path(home) if home else Path("~").expanduser()) / ".netrc"
    try:
        known = netrc.netrc(str(path)).hosts
    except FileNotFoundError:
        searched.append(f"{path} (no such file)")
        return None
    except netrc.NetrcParseError as error:
        # The parser's message may quote a word of the file, which may be the password.
        searched.append(f"{path} (line {error.lineno} is not valid)")
        return None
    except (OSError, UnicodeDecodeError) as error:
        searched.append(f"{path} (cannot be read: {getattr(error, 'strerror', None) or 'not a text file'})")
        return None
    host = next((one for one in hosts if one in known), None)
    if host is None:
        # The entry is not quoted: an address may contain a password.
        like = any(one in re.split("[/:@]", name) for name in known for one in hosts)
        hint = "; an entry has it with more, such as a port: write the host alone" if like else ""
        searched.append(f"{path} (no entry for {' or '.join(hosts)}{hint})")
        return None
    username, _, password = known[host]
    if username and password:
        return Credentials(username, password, str(path))
    searched.append(f"{path} (the entry for {host} has no {'password' if username else 'login'})")
    return None


def _from_keyring(
    host: str, environ: Mapping[str, str], variables: Variables | None, searched: list[str]
) -> Credentials | None:
    username = environ.get(variables.names[0]) if variables and belongs(host, variables, environ) else None
    stored, problem = read_keyring(keyring_service(host), username or None)
    if stored is None:
        searched.append(problem)
    return stored


def read_keyring(service: str, username: str | None) -> tuple[Credentials | None, str]:
    """Return an entry of the system keyring, or None and a clause that says why there is none."""
    name = "the system keyring"
    try:
        keyring, errors = (load_extra(module, "keyring", name) for module in ("keyring", "keyring.errors"))
    except ManifestError as error:
        return None, str(error)
    try:
        stored = keyring.get_credential(service, username)
    except errors.KeyringError as error:
        return None, f"{name} (cannot be used: {type(error).__name__})"
    if stored is None or not (stored.username and stored.password):
        return None, f"{name} (nothing under {service!r})"
    return Credentials(stored.username, stored.password, name), ""


def _from_prompt(
    host: str,
    searched: list[str],
    *,
    prompt: bool,
    ask_name: Callable[[str], str] | None,
    ask_password: Callable[[str], str] | None,
) -> Credentials | None:
    if not prompt:
        searched.append("a prompt (not in a run without a person)")
        return None
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        searched.append("a prompt (this is not a terminal)")
        return None
    try:
        username = (ask_name or ask_line)(f"User name for {host}: ").strip()
        password = (ask_password or getpass.getpass)(f"Password for {username} at {host}: ") if username else ""
    except EOFError:
        username = password = ""
    if username and password:
        return Credentials(username, password, "the prompt")
    searched.append("a prompt (nothing was entered)")
    return None


def ask_line(question: str) -> str:
    """Ask on standard error, because standard output is for results.

    Raises:
        EOFError: Standard input has ended.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def is_terminal(stream: object) -> bool:
    """Return whether a stream is a terminal, on which a person can answer."""
    isatty = getattr(stream, "isatty", None)
    try:
        return bool(isatty is not None and isatty())
    except ValueError:  # a closed stream
        return False
