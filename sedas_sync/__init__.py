"""A declarative mirror for satellite scenes.

A TOML manifest says which scenes a folder shall hold; `Mirror.apply` makes it so, and doing it again does nothing::

    import sedas_sync as ss

    manifest = ss.load_manifest("manifest.toml")
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        result = mirror.apply(plan, on_event=print)

What this module exports is public; everything else may change.
"""

TYPE_CHECKING = False  # as type checkers read it; importing typing would take a third of the time to start

__version__ = "0.1.0"

if TYPE_CHECKING:
    from typing import Any

    from sedas_sync.adopt import Adoption
    from sedas_sync.archives.sedas.archive import SedasArchive
    from sedas_sync.errors import (
        ArchiveError,
        AuthenticationError,
        IncompleteSearch,
        IntegrityError,
        LockMismatch,
        ManifestError,
        MirrorLocked,
        SedasSyncError,
        TransferError,
    )
    from sedas_sync.events import (
        Adopted,
        Event,
        Failed,
        Failure,
        Fetched,
        Ordered,
        OrderReady,
        Progress,
        Pruned,
        Retried,
        Searched,
        Skipped,
        Started,
        Summary,
        Warned,
    )
    from sedas_sync.export import Exported
    from sedas_sync.fetching import Done, fetch
    from sedas_sync.load import load_manifest
    from sedas_sync.lock import Lock, Relocked
    from sedas_sync.manifest import Manifest
    from sedas_sync.mirror import Mirror, SearchResult
    from sedas_sync.model import Action, Holding, Kind, Level, Order, OrderState, Query, Scene, Want
    from sedas_sync.plan import Plan
    from sedas_sync.prune import Limit
    from sedas_sync.report.write import WrittenReport
    from sedas_sync.sandbox import Sandbox
    from sedas_sync.saved import SavedPlan
    from sedas_sync.status import Status
    from sedas_sync.verify import Finding, Report, Verified
    from sedas_sync.why import Explanation

_HOMES = {
    "sedas_sync.adopt": ("Adoption",),
    "sedas_sync.archives.sedas.archive": ("SedasArchive",),
    "sedas_sync.errors": (
        "ArchiveError",
        "AuthenticationError",
        "IncompleteSearch",
        "IntegrityError",
        "LockMismatch",
        "ManifestError",
        "MirrorLocked",
        "SedasSyncError",
        "TransferError",
    ),
    "sedas_sync.events": (
        "Adopted",
        "Event",
        "Failed",
        "Failure",
        "Fetched",
        "OrderReady",
        "Ordered",
        "Progress",
        "Pruned",
        "Retried",
        "Searched",
        "Skipped",
        "Started",
        "Summary",
        "Warned",
    ),
    "sedas_sync.export": ("Exported",),
    "sedas_sync.fetching": ("Done", "fetch"),
    "sedas_sync.load": ("load_manifest",),
    "sedas_sync.lock": ("Lock", "Relocked"),
    "sedas_sync.manifest": ("Manifest",),
    "sedas_sync.mirror": ("Mirror", "SearchResult"),
    "sedas_sync.model": ("Action", "Holding", "Kind", "Level", "Order", "OrderState", "Query", "Scene", "Want"),
    "sedas_sync.plan": ("Plan",),
    "sedas_sync.prune": ("Limit",),
    "sedas_sync.report.write": ("WrittenReport",),
    "sedas_sync.sandbox": ("Sandbox",),
    "sedas_sync.saved": ("SavedPlan",),
    "sedas_sync.status": ("Status",),
    "sedas_sync.verify": ("Finding", "Report", "Verified"),
    "sedas_sync.why": ("Explanation",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "Adopted",
    "Adoption",
    "ArchiveError",
    "AuthenticationError",
    "Done",
    "Event",
    "Explanation",
    "Exported",
    "Failed",
    "Failure",
    "Fetched",
    "Finding",
    "Holding",
    "IncompleteSearch",
    "IntegrityError",
    "Kind",
    "Level",
    "Limit",
    "Lock",
    "LockMismatch",
    "Manifest",
    "ManifestError",
    "Mirror",
    "MirrorLocked",
    "Order",
    "OrderReady",
    "OrderState",
    "Ordered",
    "Plan",
    "Progress",
    "Pruned",
    "Query",
    "Relocked",
    "Report",
    "Retried",
    "Sandbox",
    "SavedPlan",
    "Scene",
    "SearchResult",
    "Searched",
    "SedasArchive",
    "SedasSyncError",
    "Skipped",
    "Started",
    "Status",
    "Summary",
    "TransferError",
    "Verified",
    "Want",
    "Warned",
    "WrittenReport",
    "__version__",
    "fetch",
    "load_manifest",
]


def __getattr__(name: str) -> "Any":
    """Import a public name from its home when it is first used: a command pays only for what it needs."""
    if name in _HOME_OF:
        from importlib import import_module  # noqa: PLC0415  # as above

        value = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
