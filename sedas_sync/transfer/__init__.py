"""Downloads: from a link to a proved file under its final name. `fetch` describes the steps."""

from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped, Policy
from sedas_sync.transfer.partial import Resumable, partial_of
from sedas_sync.transfer.shared_state import SharedState

__all__ = ["FetchJob", "FetchResult", "FetchStopped", "Policy", "Resumable", "SharedState", "fetch", "partial_of"]
