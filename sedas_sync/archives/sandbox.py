"""The sandbox as a type of archive: a server in this process, and the SeDAS client connected to it."""

from sedas_sync.archives.opening import Opening
from sedas_sync.archives.protocol import Archive
from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.sandbox.server import Sandbox


def open_archive(opening: Opening) -> Archive:
    """Start a sandbox and open it. Its port changes, so it is not part of the identity."""
    sandbox = opening.stack.enter_context(Sandbox(clock=lambda: opening.clock().timestamp()))
    return SedasArchive(
        sandbox.url,
        username="sandbox",
        password="sandbox",  # noqa: S106  # not a secret
        identity="sandbox",
        retries=opening.transfer.retries,
        connect_timeout=opening.transfer.connect_timeout,
        stall_timeout=opening.transfer.stall_timeout,
        now=opening.clock,
    )
