"""The sandbox as a type of archive: a server inside the process, and the SeDAS client connected to it."""

from typing import TYPE_CHECKING

from sedas_sync.sandbox.server import Sandbox

if TYPE_CHECKING:
    from sedas_sync.archives.protocol import Archive
    from sedas_sync.archives.registry import Opening


def open_archive(opening: "Opening") -> "Archive":
    """Start a sandbox and open it; its port is not part of its identity."""
    from sedas_sync.archives.sedas.archive import SedasArchive  # noqa: PLC0415  # the server alone needs no client

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
