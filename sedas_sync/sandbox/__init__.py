"""The embedded archive: a SeDAS-compatible server with a generated catalogue, for trials and tests.

::

    with Sandbox() as sandbox:
        ...  # an archive at sandbox.url, user and password `sandbox`

`Faults` makes it misbehave, with the acts in `sedas_sync.sandbox.faults`. `RowCatalogue` makes it serve given
products. A name is imported when it is used, so that the import of this package is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedas_sync.sandbox.catalogue import Catalogue, RowCatalogue, make_row
    from sedas_sync.sandbox.faults import Faults, Rule
    from sedas_sync.sandbox.log import LoggedRequest
    from sedas_sync.sandbox.sentinel import SentinelCatalogue
    from sedas_sync.sandbox.server import Sandbox, run

__all__ = [
    "Catalogue",
    "Faults",
    "LoggedRequest",
    "RowCatalogue",
    "Rule",
    "Sandbox",
    "SentinelCatalogue",
    "make_row",
    "run",
]

_MODULES = {
    "Catalogue": "catalogue",
    "LoggedRequest": "log",
    "Faults": "faults",
    "RowCatalogue": "catalogue",
    "Rule": "faults",
    "Sandbox": "server",
    "SentinelCatalogue": "sentinel",
    "make_row": "catalogue",
    "run": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
