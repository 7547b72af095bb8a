"""The embedded archive: a SeDAS-compatible server with a generated catalogue, for trials and tests.

::

    with Sandbox() as sandbox:
        ...  # an archive at sandbox.url, user and password `sandbox`

`Faults` makes it misbehave, with the acts in `sedas_sync.sandbox.faults`. `RowCatalogue` makes it serve given
products.
"""

from sedas_sync.sandbox.catalogue import Catalogue, RowCatalogue, make_row
from sedas_sync.sandbox.faults import Faults, Rule
from sedas_sync.sandbox.log import LoggedRequest
from sedas_sync.sandbox.sentinel import SentinelCatalogue
from sedas_sync.sandbox.server import Sandbox

__all__ = [
    "Catalogue",
    "Faults",
    "LoggedRequest",
    "RowCatalogue",
    "Rule",
    "Sandbox",
    "SentinelCatalogue",
    "make_row",
]
