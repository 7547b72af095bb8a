"""One provider of eodag: its plug-ins, asked by one thread at a time.

eodag's plug-ins keep the state of a search in themselves, so two threads must not use one. A call that hangs, such as a
login without an answer, is left behind when the archive is stopped.
"""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any, TypeVar

import requests
from eodag import EODataAccessGateway, EOProduct
from eodag.config import EODAGSettings
from eodag.plugins.search.build_search_result import ECMWFSearch
from eodag.utils import exceptions as eodag_errors

from sedas_sync.errors import ArchiveError, AuthenticationError, ManifestError, SedasSyncError, StoppedError
from sedas_sync.files.threads import call_aside
from sedas_sync.manifest.problems import suggestion
from sedas_sync.net.redact import shorten

_CHECK = 0.1
"""Seconds between two looks at the stop event."""
_SHOWN = 300
_TOO_MANY, _SERVER_ERROR = 429, 500
_TEMPORARY = frozenset({408, 425})
_LOGIN_REFUSED = frozenset({401, 403})

Result = TypeVar("Result")

# Without a handler, Python writes eodag's warnings to standard error.
logging.getLogger("eodag").addHandler(logging.NullHandler())


class Provider:
    """A provider and one of its product types.

    Args:
        name: As eodag calls it.
        product_type: As eodag calls it.

    Raises:
        ManifestError: eodag does not know them, or downloads from the provider in a way that is not supported.
        AuthenticationError: The provider needs credentials for a search, and eodag has none.
    """

    def __init__(self, name: str, product_type: str) -> None:
        self.name = name
        self.product_type = product_type
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        file = os.environ.get("EODAG_CFG_FILE")
        if file and not Path(file).is_file():
            raise ManifestError(f"the environment variable EODAG_CFG_FILE names {file}, which is not a file")
        try:
            # The other providers would only cost time, and their logins are not for this one.
            self.gateway = EODataAccessGateway(settings=EODAGSettings(providers_whitelist=[name]))
        except Exception as error:  # eodag raises any exception for a mistake in its configuration files
            raise ManifestError(
                f"eodag cannot be used: {type(error).__name__}: {shorten(str(error), _SHOWN)}"
            ) from error
        self._check()

    def _check(self) -> None:
        known = self.gateway.providers
        if self.name not in known:
            reason = known.pruned_providers_reasons.get(self.name)
            if reason is None:
                everyone = EODataAccessGateway().providers
                named = (*everyone, *everyone.pruned_providers_reasons)
                raise ManifestError(f"eodag has no provider {self.name!r}{suggestion(self.name, named)}")
            if reason["reason_type"] != "missing_credentials":
                raise ManifestError(f"eodag cannot use its provider {self.name!r}: {reason['reason']}")
            raise AuthenticationError(
                f"eodag has no credentials for the provider {self.name!r}, which needs them for a search. They belong "
                "into eodag's own configuration: the file that EODAG_CFG_FILE names, or variables "
                f"EODAG__{self.name.upper()}__AUTH__CREDENTIALS__…"
            )
        config = known[self.name]
        if config.api_config is not None or config.search_config is None:
            raise ManifestError(
                f"the provider {self.name!r} cannot be mirrored: eodag downloads from it with code of its own, "
                "which nothing can resume or check"
            )
        names = [one.id for one in self.gateway.list_collections(provider=self.name, fetch_providers=False)]
        if self.product_type not in names:
            raise ManifestError(
                f"eodag's provider {self.name!r} has no product type {self.product_type!r}"
                f"{suggestion(self.product_type, names, show_all=True)}"
            )
        if isinstance(self.search_plugin, ECMWFSearch):
            raise ManifestError(
                f"the provider {self.name!r} cannot be mirrored: it makes files to order and has no catalogue of scenes"
            )
        self.takes_orders = bool(getattr(config.download_config, "order_enabled", False))
        """Whether eodag can order from the provider."""
        self.endpoint = str(getattr(self.search_plugin.config, "api_endpoint", ""))
        """The address of the catalogue."""

    @property
    def search_plugin(self) -> Any:
        """Eodag's plug-in for searches."""
        # eodag has no public way to a plug-in, except the attributes of a product.
        return next(
            self.gateway._plugins_manager.get_search_plugins(  # noqa: SLF001
                collection=self.product_type, provider=self.name
            )
        )

    def product(self, properties: dict[str, Any]) -> EOProduct:
        """Return a product with its plug-ins for downloads and logins."""
        made = EOProduct(self.name, {"id": "-", **properties}, collection=self.product_type)
        self.with_plugins(made)
        return made

    def with_plugins(self, product: EOProduct) -> None:
        """Give a product its plug-ins, if it has none."""
        if product.downloader is None:
            product._register_downloader_from_manager(self.gateway._plugins_manager)  # noqa: SLF001

    def ask(self, call: Callable[[], Result], what: str) -> Result:
        """Make a call to eodag, after all others, and turn its errors into ours.

        Args:
            call: The call.
            what: What it does, for error messages.

        Raises:
            ArchiveError: eodag or the provider failed.
            AuthenticationError: The provider refused the credentials, or there are none.
            StoppedError: `stopped` was set.
        """
        future = call_aside(self._serially, call)
        while not future.done():
            if self.stopped.is_set():
                raise StoppedError("stopped before the archive answered")
            wait([future], _CHECK)
        try:
            return future.result()
        except SedasSyncError:
            raise
        except Exception as error:
            raise self._error(error, what) from error

    def _serially(self, call: Callable[[], Result]) -> Result:
        with self._lock:
            if self.stopped.is_set():
                raise StoppedError("stopped before the archive was asked")
            return call()

    def _error(self, error: Exception, what: str) -> SedasSyncError:
        text = " ".join(str(part) for part in error.args) or type(error).__name__
        message = f"{self.name}, {what}: {shorten(text, _SHOWN)}"
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, requests.RequestException):
            cause = cause.__cause__
        response = getattr(cause, "response", None)
        status = getattr(error, "status_code", None) if response is None else response.status_code
        if isinstance(error, eodag_errors.QuotaExceededError) or status == _TOO_MANY:
            return ArchiveError(message, status=_TOO_MANY)
        login = isinstance(error, eodag_errors.AuthenticationError | eodag_errors.MisconfiguredError)
        if login and (status is None or status < _SERVER_ERROR):
            return AuthenticationError(message)
        if status in _LOGIN_REFUSED:
            return AuthenticationError(message)
        temporary = status is None or status in _TEMPORARY or status >= _SERVER_ERROR
        retryable = temporary and isinstance(error, eodag_errors.RequestError | requests.RequestException)
        return ArchiveError(message, status=status, retryable=retryable)
