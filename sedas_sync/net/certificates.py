"""Certificates: which authorities are trusted, and what to report about a certificate that is not."""

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache

from sedas_sync.net.policy import PermanentError, variable

_CA_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that no trusted authority has signed."""


class _Socket(ssl.SSLSocket):
    """A TLS socket whose verification error carries the issuer of the certificate."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLCertVerificationError as error:
            error.issuer = _issuer(self)  # type: ignore[attr-defined]
            raise


def _issuer(sock: ssl.SSLSocket) -> str | None:
    """Return the issuer of the server's certificate; None if this Python cannot read an untrusted one."""
    try:
        chain = getattr(sock, "_sslobj").get_unverified_chain()  # noqa: B009  # public from Python 3.13 on, as bytes
        issuer = dict(pair for group in chain[0].get_info()["issuer"] for pair in group)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ssl.SSLError):
        return None
    named = issuer.get("commonName") or issuer.get("organizationName")
    return "".join(char for char in named if char.isprintable())[:80] if named else None


def ca_bundle(environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Return the variable that names the trusted authorities, and its value; None for those of `certifi`.

    The first of `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR` that is not blank. The first
    two may name a folder too, the last one several, as OpenSSL reads them.
    """
    return variable(environ, *_CA_FILES, "SSL_CERT_DIR")


def tls_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Return the settings of TLS connections.

    Raises:
        PermanentError: The certificate authorities cannot be read.
    """
    return _tls_context(ca_bundle(environ))


@lru_cache(maxsize=8)
def _tls_context(bundle: tuple[str, str] | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    context.set_alpn_protocols(["http/1.1"])
    if bundle is None:
        import certifi  # noqa: PLC0415  # slow to import, and not needed if a variable names the authorities

        context.load_verify_locations(cafile=certifi.where())
        return context
    for path in _paths(*bundle):
        try:
            if os.path.isdir(path):  # noqa: PTH112  # a value of the environment, not a path of ours
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise PermanentError(f"the CA certificates of {bundle[0]} cannot be read: {path}") from error
    return context


def _paths(name: str, value: str) -> list[str]:
    if name != "SSL_CERT_DIR":
        return [value]
    return [path for path in value.split(os.pathsep) if os.path.isdir(path)] or [value]  # noqa: PTH112


def untrusted(host: str, error: ssl.SSLCertVerificationError) -> str:
    """Explain why a certificate is not trusted, and what to do if a company's proxy has issued it."""
    issuer = getattr(error, "issuer", None)
    by = f"; it was issued by {issuer}" if issuer else ""
    text = f"the certificate of {host} is not trusted ({error.verify_message}{by})"
    if error.verify_code not in _UNKNOWN_ISSUER:
        return text
    return (
        f"{text}: if a company's proxy or a private authority issued it, set REQUESTS_CA_BUNDLE or SSL_CERT_FILE to "
        "the file of its CA certificate"
    )
