"""A declarative mirror for satellite scenes.

A TOML manifest says which scenes a folder shall hold; `Mirror.apply` makes it so, and doing it again does nothing::

    import sedas_sync as ss

    manifest = ss.load_manifest("manifest.toml")
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        result = mirror.apply(plan, on_event=print)

What this module exports is public; everything else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sedas_sync.archives.sedas import SedasArchive
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
    from sedas_sync.events import Event, Summary
    from sedas_sync.load import load_manifest
    from sedas_sync.manifest import Manifest
    from sedas_sync.mirror import Done, Mirror, fetch
    from sedas_sync.model import Action, Kind, Order, OrderState, Query, Scene
    from sedas_sync.plan import Plan
    from sedas_sync.sandbox import Sandbox

_HOMES = {
    "sedas_sync.archives.sedas": ("SedasArchive",),
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
    "sedas_sync.events": ("Event", "Summary"),
    "sedas_sync.load": ("load_manifest",),
    "sedas_sync.manifest": ("Manifest",),
    "sedas_sync.mirror": ("Done", "Mirror", "fetch"),
    "sedas_sync.model": ("Action", "Kind", "Order", "OrderState", "Query", "Scene"),
    "sedas_sync.plan": ("Plan",),
    "sedas_sync.sandbox": ("Sandbox",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "ArchiveError",
    "AuthenticationError",
    "Done",
    "Event",
    "IncompleteSearch",
    "IntegrityError",
    "Kind",
    "LockMismatch",
    "Manifest",
    "ManifestError",
    "Mirror",
    "MirrorLocked",
    "Order",
    "OrderState",
    "Plan",
    "Query",
    "Sandbox",
    "Scene",
    "SedasArchive",
    "SedasSyncError",
    "Summary",
    "TransferError",
    "__version__",
    "fetch",
    "load_manifest",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used: a command pays only for what it needs."""
    if name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
