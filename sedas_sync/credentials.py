"""Where the user name and the password for an archive come from; they never stand in a manifest.

The first that has both wins: the variables `SEDAS_USERNAME` and `SEDAS_PASSWORD`; the entry of the archive's host in
netrc (the file that `NETRC` names, else `~/.netrc`); the system keyring with the extra `sedas-sync[keyring]`, service
`sedas-sync:<host>`; a prompt, on a terminal only.
"""

import getpass
import netrc
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sedas_sync.errors import AuthenticationError

USERNAME_VARIABLE = "SEDAS_USERNAME"
PASSWORD_VARIABLE = "SEDAS_PASSWORD"  # noqa: S105 - the name of a variable, not a password
VARIABLES = (USERNAME_VARIABLE, PASSWORD_VARIABLE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password; the password shows in no repr."""

    username: str
    password: str = field(repr=False)
    source: str = field(default="", compare=False)
    """Where they were found, in words."""


def keyring_service(host: str) -> str:
    """Name the keyring's service under which the password for a host is kept, e.g. for `keyring set`."""
    return f"sedas-sync:{host}"


def find(
    host: str,
    *,
    prompt: bool,
    variables: tuple[str, str] | None = VARIABLES,
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
        alone: Whether the variables can mean this host only; where they cannot, they are not used.
        environ: The environment; a variable that is set but empty counts as not set.
        ask_name: Asks for the user name instead of `input`.
        ask_password: Asks for the password instead of `getpass`.

    Raises:
        AuthenticationError: none were found; the message says where they were looked for.
    """
    looked: list[str] = []
    found = (
        _from_environment(environ, variables, looked, alone=alone)
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
    environ: Mapping[str, str], variables: tuple[str, str] | None, looked: list[str], *, alone: bool
) -> Credentials | None:
    if variables is None:
        return None
    name, secret = variables
    username, password = environ.get(name, ""), environ.get(secret, "")
    if not alone:
        # They name no host: sent to each, one archive would be told the password of another.
        looked.append(f"the environment ({name} is not used, since several hosts of this manifest could be meant)")
    elif username and password:
        return Credentials(username, password, "the environment")
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
    host: str, environ: Mapping[str, str], variables: tuple[str, str] | None, looked: list[str]
) -> Credentials | None:
    try:
        import keyring  # noqa: PLC0415 - an extra, and slow to import
        import keyring.errors  # noqa: PLC0415
    except ImportError:
        looked.append("the system keyring (the extra sedas-sync[keyring] is not installed)")
        return None
    service = keyring_service(host)
    try:
        kept = keyring.get_credential(service, environ.get(variables[0]) or None if variables else None)
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
