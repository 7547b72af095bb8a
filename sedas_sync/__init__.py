"""A declarative mirror for satellite scenes.

A TOML manifest states which scenes a folder has to contain. `Mirror.apply` downloads them, and does nothing if called
again::

    import sedas_sync as ss

    manifest = ss.load_manifest("manifest.toml")
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        result = mirror.apply(plan, on_event=print)

The names that this module exports are public; everything else may change.
"""

from importlib import import_module

from sedas_sync._version import __version__

TYPE_CHECKING = False  # type checkers know this name; importing typing would take a third of the start-up time

if TYPE_CHECKING:
    from typing import Any

    from sedas_sync.api import Mirror, SearchResult
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
        StoppedError,
        TransferError,
    )
    from sedas_sync.manifest import Manifest
    from sedas_sync.model.events import (
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
    from sedas_sync.model.history import Change, ChangeKind, RunRecord
    from sedas_sync.model.plan import Action, ActionKind, Plan
    from sedas_sync.model.reason import Reason, ReasonCode
    from sedas_sync.model.results import Adoption, Finding, VerifiedFile, VerifyReport
    from sedas_sync.model.scene import (
        DesiredScene,
        ListedOrder,
        LocalScene,
        Order,
        OrderState,
        ProofLevel,
        Query,
        Scene,
    )
    from sedas_sync.operations.fetch import FetchedScene, fetch
    from sedas_sync.operations.load import load_manifest
    from sedas_sync.operations.parse_manifest import parse_manifest
    from sedas_sync.operations.saved_plan import SavedPlan
    from sedas_sync.operations.status import Status
    from sedas_sync.output.export import Exported
    from sedas_sync.output.features import to_geodataframe, to_geojson
    from sedas_sync.output.reasons import reason_text
    from sedas_sync.output.report.write import WrittenReport
    from sedas_sync.planning.explain import Explanation
    from sedas_sync.planning.limits import PruneLimit
    from sedas_sync.planning.lock import Lock
    from sedas_sync.planning.lock_changes import LockUpdate
    from sedas_sync.sandbox import Sandbox

_MODULES = {
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
        "StoppedError",
        "TransferError",
    ),
    "sedas_sync.model.events": (
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
    "sedas_sync.output.export": ("Exported",),
    "sedas_sync.output.features": ("to_geodataframe", "to_geojson"),
    "sedas_sync.operations.fetch": ("FetchedScene", "fetch"),
    "sedas_sync.operations.load": ("load_manifest",),
    "sedas_sync.operations.parse_manifest": ("parse_manifest",),
    "sedas_sync.planning.lock": ("Lock",),
    "sedas_sync.planning.lock_changes": ("LockUpdate",),
    "sedas_sync.manifest": ("Manifest",),
    "sedas_sync.api": ("Mirror", "SearchResult"),
    "sedas_sync.model.history": ("Change", "ChangeKind", "RunRecord"),
    "sedas_sync.model.plan": ("Action", "ActionKind", "Plan"),
    "sedas_sync.model.reason": ("Reason", "ReasonCode"),
    "sedas_sync.output.reasons": ("reason_text",),
    "sedas_sync.model.scene": (
        "ListedOrder",
        "LocalScene",
        "ProofLevel",
        "Order",
        "OrderState",
        "Query",
        "Scene",
        "DesiredScene",
    ),
    "sedas_sync.planning.limits": ("PruneLimit",),
    "sedas_sync.output.report.write": ("WrittenReport",),
    "sedas_sync.sandbox": ("Sandbox",),
    "sedas_sync.operations.saved_plan": ("SavedPlan",),
    "sedas_sync.operations.status": ("Status",),
    "sedas_sync.model.results": ("Adoption", "Finding", "VerifyReport", "VerifiedFile"),
    "sedas_sync.planning.explain": ("Explanation",),
}
_MODULE_OF = {name: home for home, names in _MODULES.items() for name in names}

__all__ = [
    "Action",
    "ActionKind",
    "Adopted",
    "Adoption",
    "ArchiveError",
    "AuthenticationError",
    "Change",
    "ChangeKind",
    "DesiredScene",
    "Event",
    "Explanation",
    "Exported",
    "Failed",
    "Failure",
    "Fetched",
    "FetchedScene",
    "Finding",
    "IncompleteSearch",
    "IntegrityError",
    "ListedOrder",
    "LocalScene",
    "Lock",
    "LockMismatch",
    "LockUpdate",
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
    "ProofLevel",
    "PruneLimit",
    "Pruned",
    "Query",
    "Reason",
    "ReasonCode",
    "Retried",
    "RunRecord",
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
    "StoppedError",
    "Summary",
    "TransferError",
    "VerifiedFile",
    "VerifyReport",
    "Warned",
    "WrittenReport",
    "__version__",
    "fetch",
    "load_manifest",
    "parse_manifest",
    "reason_text",
    "to_geodataframe",
    "to_geojson",
]


def __getattr__(name: str) -> "Any":
    """Import a public name when it is first used, so that a command loads only what it needs."""
    if name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
