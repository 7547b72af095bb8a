"""Request the sizes of files with HEAD."""

from collections.abc import Callable, Hashable, Iterable
from contextlib import closing
from typing import TypeVar

from sedas_sync.files.threads import Pool
from sedas_sync.model.scene import Download
from sedas_sync.net.connections import OK, USER_AGENT, ConnectionFailed, Connections, Timeouts
from sedas_sync.net.policy import PermanentError

Key = TypeVar("Key", bound=Hashable)
"""Identifies a download."""


def remote_sizes(
    downloads: Iterable[tuple[Key, Download]],
    *,
    jobs: int,
    connect_timeout: float,
    stall_timeout: float,
    on_done: Callable[[int], None] = lambda _: None,
) -> dict[Key, int]:
    """Request the size of each download with HEAD.

    Redirects are not followed, so that a token is sent only to the host that it is for.

    Args:
        downloads: each with its key.
        jobs: maximum concurrent requests.
        connect_timeout: seconds.
        stall_timeout: seconds without an answer.
        on_done: called with the number of answers, from the calling thread.

    Returns:
        The sizes by key. A download whose server does not state its size is left out.
    """
    with closing(Connections()) as connections, Pool(jobs) as pool:

        def ask(item: tuple[Key, Download]) -> tuple[Key, int | None]:
            key, download = item
            try:
                answer = connections.request(
                    "HEAD",
                    download.url,
                    headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **download.headers},
                    timeouts=Timeouts(connect_timeout, stall_timeout),
                    reach=download.widest_reach,
                )
            except (ConnectionFailed, PermanentError):
                return key, None
            answer.drain()
            length = answer.headers.get("content-length", "")
            return key, int(length) if answer.status == OK and length.isdecimal() else None

        known = {}
        for number, (key, size) in enumerate(pool.map(ask, downloads), 1):
            on_done(number)
            if size is not None:
                known[key] = size
        return known
