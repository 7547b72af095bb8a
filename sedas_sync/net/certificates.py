"""Certificates: which authorities are trusted, and what to report about a certificate that is not."""

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache

import certifi

from sedas_sync.net.policy import PermanentError, variable
from sedas_sync.net.sockets import StoppableContext

_CA_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that no trusted authority has signed."""


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
    context = StoppableContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if bundle is None:
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
