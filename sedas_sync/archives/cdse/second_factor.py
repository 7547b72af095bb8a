"""Codes of a second factor: from the environment, from a secret, or from a person.

The service accepts each code once, within about 30 seconds (RFC 6238). So a fixed code serves one login, and a long run
or an unattended one needs the secret that codes are computed from.
"""

import os
import sys
from collections.abc import Callable, Mapping

from sedas_sync.archives.cdse.kind import TOTP, TOTP_SECRET
from sedas_sync.errors import AuthenticationError
from sedas_sync.files.extras import load_extra
from sedas_sync.net.credentials import ask_line, belongs, is_terminal, keyring_service, read_keyring, withheld
from sedas_sync.net.redact import remember_secret

INTERVAL = 30
"""Seconds that a code is valid."""


class SecondFactor:
    """The codes of one account.

    Args:
        host: Host of the token endpoint, which gets the codes.
        environ: The environment variables.
        prompt: Whether a person may be asked, if this is a terminal.
        ask: Asks for a code; by default on standard error.
    """

    def __init__(
        self,
        host: str,
        environ: Mapping[str, str] = os.environ,
        *,
        prompt: bool = False,
        ask: Callable[[str], str] | None = None,
    ) -> None:
        self._host = host
        self._environ = environ
        self._prompt = prompt
        self._ask = ask
        self._spent: set[str] = set()
        self.source = ""
        """Where the last code is from, for messages."""

    def code(self, username: str, now: float) -> str | None:
        """Return a code that no login has used; None if nothing gives codes.

        Args:
            username: The account.
            now: Seconds since 1970.

        Raises:
            AuthenticationError: The only code is spent, or a secret cannot be used.
        """
        secret = self._variable(TOTP_SECRET.names[0]) if belongs(self._host, TOTP_SECRET, self._environ) else ""
        self.source = TOTP_SECRET.names[0]
        if not secret and (stored := read_keyring(f"{keyring_service(self._host)}:totp", username)[0]) is not None:
            secret = stored.password
            self.source = "the secret in the system keyring"
        if secret:
            return self._use(self._computed(secret, now))
        fixed = self._variable(TOTP.names[0]) if belongs(self._host, TOTP, self._environ) else ""
        self.source = TOTP.names[0]
        if fixed in self._spent:
            raise AuthenticationError(
                f"the code in {TOTP.names[0]} is spent: an earlier login of this run used it, and a code is valid "
                f"once; set {TOTP_SECRET.names[0]} instead, from which codes are computed"
            )
        return self._use(fixed) if fixed else None

    def asked(self, username: str) -> str | None:
        """Ask the person for a code; None if there is no terminal, or nothing was entered."""
        if not self._prompt or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            return None
        question = f"Code of the second factor for {username} at {self._host} (empty if there is none): "
        self.source = "the prompt"
        try:
            found = (self._ask or ask_line)(question).strip()
        except EOFError:
            return None
        return self._use(found) if found else None

    @property
    def hint(self) -> str:
        """What to do if a login without a code was refused; begins with a semicolon."""
        for variables in (TOTP_SECRET, TOTP):
            if self._variable(variables.names[0]) and not belongs(self._host, variables, self._environ):
                return f"; {withheld(self._host, variables, self._environ)}"
        return f"; an account with a second factor needs {TOTP_SECRET.names[0]}, or the current code in {TOTP.names[0]}"

    def _variable(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def _use(self, code: str) -> str:
        self._spent.add(code)
        remember_secret(code)
        return code

    def _computed(self, secret: str, now: float) -> str:
        pyotp = load_extra("pyotp", "totp", self.source, AuthenticationError)
        remember_secret(secret)
        try:
            codes = pyotp.TOTP(secret.replace(" ", ""))
            # A login in the same half minute takes the next code, which servers accept a little early (RFC 6238, 6).
            code: str = next(
                (code for code in map(codes.at, (int(now), int(now) + INTERVAL)) if code not in self._spent),
                codes.at(int(now)),
            )
        except (ValueError, TypeError):
            # The message does not show the value.
            raise AuthenticationError(f"{self.source} is not a secret in base 32, as the service shows it") from None
        return code
