"""Getting scenes' bytes: from a link to a checked file under its final name.

`fetch` does it; what happens to a scene is decided in `engine`, how bytes come off a socket in `wire`,
what a part remembers in `partial`, several connections for one scene in `segments`, what fetches share in `live`.
"""

from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped, Policy
from sedas_sync.transfer.partial import Resumable, partial_of
from sedas_sync.transfer.shared_state import SharedState

__all__ = ["FetchJob", "FetchResult", "FetchStopped", "Policy", "Resumable", "SharedState", "fetch", "partial_of"]
