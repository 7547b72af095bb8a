"""All that a package needs which brings a type of archive; the names here stay.

An entry point of the group `sedas_sync.archives`, named like the type, leads to an `ArchiveType`. Its `opener` takes an
`Opening` and returns an object with the methods of `Archive`; it need not inherit from anything. `fields` has readers
for keys of the manifest. Errors of the archive are raised as `ArchiveError`, credentials that it refuses as
`AuthenticationError`, a search that did not find all as `IncompleteSearch`.
"""

from sedas_sync.archives import Archive, Orders, Warn
from sedas_sync.archives.registry import GROUP, Opening
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch
from sedas_sync.manifest import fields
from sedas_sync.manifest.archive_types import ArchiveType, Variables, any_filters, flat_filters
from sedas_sync.manifest.tables import ApiUrl, ArchiveConfig, FileHash, TrustedHosts, WebArchiveConfig
from sedas_sync.model.scene import Download, Order, OrderState, Query, Reach, Scene

__all__ = [
    "GROUP",
    "ApiUrl",
    "Archive",
    "ArchiveConfig",
    "ArchiveError",
    "ArchiveType",
    "AuthenticationError",
    "Download",
    "FileHash",
    "IncompleteSearch",
    "Opening",
    "Order",
    "OrderState",
    "Orders",
    "Query",
    "Reach",
    "Scene",
    "TrustedHosts",
    "Variables",
    "Warn",
    "WebArchiveConfig",
    "any_filters",
    "fields",
    "flat_filters",
]
