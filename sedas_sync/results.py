"""The types of what methods return and of what is in it, for annotations; nothing here has to be made by a caller."""

from sedas_sync.model.events import Failure
from sedas_sync.model.history import Change, ChangeKind, RunRecord
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
from sedas_sync.model.order import ListedOrder
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.results import Adoption, Finding, VerifiedFile
from sedas_sync.model.satellites import SatelliteSource
from sedas_sync.model.scene import DesiredScene, RemoteFile
from sedas_sync.operations.fetch import FetchedScene
from sedas_sync.operations.search import SearchResult
from sedas_sync.operations.status import DatasetStatus, PartialDownload
from sedas_sync.output.export import Exported
from sedas_sync.output.report.write import WrittenReport
from sedas_sync.planning.explain import Explanation
from sedas_sync.planning.lock import Lock
from sedas_sync.planning.lock_changes import LockUpdate

__all__ = [
    "Adoption",
    "Change",
    "ChangeKind",
    "DatasetStatus",
    "DesiredScene",
    "Explanation",
    "Exported",
    "Failure",
    "FetchedScene",
    "Finding",
    "ListedOrder",
    "LocalFile",
    "LocalScene",
    "Lock",
    "LockUpdate",
    "PackedFile",
    "PartialDownload",
    "ProofLevel",
    "Reason",
    "ReasonCode",
    "RemoteFile",
    "RunRecord",
    "SatelliteSource",
    "SearchResult",
    "VerifiedFile",
    "WrittenReport",
]
