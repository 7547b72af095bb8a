"""Redaction: no password, token or signature reaches a log, a message or a terminal.

All modules of this package log below one logger, `sedas_sync`. Only the caller decides where its records go.
"""

import json
import logging
import re
import threading
from urllib.parse import quote

_MASK = "***"
_SHOWN = 300
_SENSITIVE = (
    r"(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|password|passwd|pwd|secret|token|access_token"
    r"|refresh_token|id_token|api_?key|apikey|sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token)"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host and scheme://token@host
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/?#@'\"<>:]*:[^\s'\"<>]*@"), rf"\1{_MASK}@"),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/?#@'\"<>]+@"), rf"\1{_MASK}@"),
    # "password": "…" and 'token': '…', also if the text was cut before the closing quote, also with escaped quotes
    (
        re.compile(rf"(?i)(\\?[\"']{_SENSITIVE}\\?[\"']\s*[:=,]\s*b?)\\?\"(?:[^\"\\]|\\.)*(?:\"|\\?$)"),
        rf'\1"{_MASK}"',
    ),
    (re.compile(rf"(?i)([\"']{_SENSITIVE}[\"']\s*[:=,]\s*b?)'(?:[^'\\]|\\.)*(?:'|\\?$)"), rf"\1'{_MASK}'"),
    # a header line
    (re.compile(r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)(?![\"'])[^\r\n\"']+"), rf"\1\2{_MASK}"),
    # the value of an Authorization header without its name
    (re.compile(r"\b(Token|Bearer|Basic|Digest)(\s+)[A-Za-z0-9._~+/=:-]{8,}"), rf"\1\2{_MASK}"),
    # query strings and forms
    (re.compile(rf"(?i)(\b{_SENSITIVE}=)(?!\*\*\*)[^&\s\"'<>;,)\]}}]+"), rf"\1{_MASK}"),
)
_SHORTEST_SECRET = 8
_secrets: set[str] = set()
_secrets_lock = threading.Lock()


# Without it, Python writes warnings of a package to standard error.
logging.getLogger("sedas_sync").addHandler(logging.NullHandler())


def remember_secret(secret: str) -> None:
    """Make `redact` mask this text everywhere: as it is, percent-encoded, and as JSON.

    Texts shorter than 8 characters are ignored, because masking them would damage ordinary words. The patterns of
    `redact` still cover the places where secrets usually occur.
    """
    if len(secret) < _SHORTEST_SECRET:
        return
    forms = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    with _secrets_lock:
        _secrets.update(forms)


def redact(text: str) -> str:
    """Mask tokens, passwords, Authorization values, `user:password@` and secrets in query strings."""
    with _secrets_lock:
        known = sorted((secret for secret in _secrets if secret in text), key=len, reverse=True)
    for secret in known:
        text = text.replace(secret, _MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def shorten(text: str, limit: int = _SHOWN) -> str:
    """Return a server's text on one line, redacted, without control characters, at most `limit` characters long."""
    text = redact(text[: limit * 40])
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


class RedactingFormatter(logging.Formatter):
    """A log formatter that redacts every line, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as the base class does, then redact."""
        return redact(super().format(record))


class RedactingFilter(logging.Filter):
    """A log filter for handlers with a formatter of another library: redacts the record itself.

    On a logger it does not see what the loggers below it log, so that each needs its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact message and traceback in place; never drop the record."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def logger_of(name: str) -> logging.Logger:
    """Return the logger of a module of this package. Its records contain no secret, whatever the handler does."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)
    return logger


_FILTER = RedactingFilter()
