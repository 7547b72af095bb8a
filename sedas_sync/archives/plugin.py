"""Everything that a package needs to add a type of archive. These names are stable.

An entry point in the group `sedas_sync.archives`, with the name of the type, refers to an `ArchiveType`. The type's
`opener` takes an `Opening` and returns an object with the attributes and methods of `Archive`; it needs no base class.
`TakesOrders`, `LimitsConnections` and other protocols are for what only some archives can do.
`fields` has types of keys of the manifest. `replace` copies a scene, an order or a query with other values. An archive
raises `ArchiveError` if it fails, `AuthenticationError` if it refuses the credentials, and `IncompleteSearch` if a
search may have missed scenes.
"""

from msgspec.structs import replace

from sedas_sync.archives.opening import Opening
from sedas_sync.archives.protocol import (
    Archive,
    CountsCalls,
    Interruptible,
    KeepsOrders,
    KnowsTime,
    LimitsConnections,
    ListsFiles,
    ListsSources,
    Orders,
    ReportsStop,
    TakesOrders,
    Warn,
)
from sedas_sync.archives.registry import GROUP
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch
from sedas_sync.manifest import fields
from sedas_sync.manifest.archive_types import ArchiveType, Variables, any_filters, flat_filters
from sedas_sync.manifest.tables import ApiUrl, ArchiveConfig, FileHash, TrustedHosts, WebArchiveConfig
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.satellites import SatelliteSource
from sedas_sync.model.scene import Download, Query, Reach, RemoteFile, Scene

__all__ = [
    "GROUP",
    "ApiUrl",
    "Archive",
    "ArchiveConfig",
    "ArchiveError",
    "ArchiveType",
    "AuthenticationError",
    "CountsCalls",
    "Download",
    "FileHash",
    "IncompleteSearch",
    "Interruptible",
    "KeepsOrders",
    "KnowsTime",
    "LimitsConnections",
    "ListsFiles",
    "ListsSources",
    "Opening",
    "Order",
    "OrderState",
    "Orders",
    "Query",
    "Reach",
    "RemoteFile",
    "ReportsStop",
    "SatelliteSource",
    "Scene",
    "TakesOrders",
    "TrustedHosts",
    "Variables",
    "Warn",
    "WebArchiveConfig",
    "any_filters",
    "fields",
    "flat_filters",
    "replace",
]
