"""The embedded archive: a SeDAS-compatible server with a generated catalogue, for trying out and for tests.

::

    with Sandbox() as sandbox:
        ...  # an archive at sandbox.url, user and password `sandbox`

`Faults` makes it misbehave, `RowCatalogue` makes it offer given products, `sedas_sync.sandbox.faults` holds
the ready-made acts. Nothing heavy is imported before a name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedas_sync.sandbox.catalogue import Catalogue, RowCatalogue, make_row
    from sedas_sync.sandbox.faults import Faults, Rule
    from sedas_sync.sandbox.sentinel import SentinelCatalogue
    from sedas_sync.sandbox.server import Entry, Sandbox, run

__all__ = [
    "Catalogue",
    "Entry",
    "Faults",
    "RowCatalogue",
    "Rule",
    "Sandbox",
    "SentinelCatalogue",
    "make_row",
    "run",
]

_HOMES = {
    "Catalogue": "catalogue",
    "Entry": "server",
    "Faults": "faults",
    "RowCatalogue": "catalogue",
    "Rule": "faults",
    "Sandbox": "server",
    "SentinelCatalogue": "sentinel",
    "make_row": "catalogue",
    "run": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
