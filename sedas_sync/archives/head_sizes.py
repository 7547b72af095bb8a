"""Request the sizes of files with HEAD."""

from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack, closing
from threading import Lock
from typing import TypeVar

import requests

from sedas_sync.model.scene import Download, Reach
from sedas_sync.model.threads import Pool
from sedas_sync.net.policy import PermanentError
from sedas_sync.net.session import Session

_OK = 200


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
    sessions: dict[Reach, Session] = {}
    opening = Lock()
    with ExitStack() as stack, Pool(jobs, "sizes") as pool:

        def session(reach: Reach) -> Session:
            # Archives may lead to different addresses, so each rule has its own connections.
            with opening:
                if reach not in sessions:
                    sessions[reach] = stack.enter_context(closing(Session(connections=jobs, reach=reach)))
                return sessions[reach]

        def ask(item: tuple[Key, Download]) -> tuple[Key, int | None]:
            key, download = item
            headers = {**download.headers, "Accept-Encoding": "identity"}
            try:
                with session(download.widest_reach).request(
                    "HEAD", download.url, headers=headers, timeout=(connect_timeout, stall_timeout)
                ) as answer:
                    length = answer.headers.get("Content-Length", "")
                    return key, int(length) if answer.status_code == _OK and length.isdecimal() else None
            except (requests.RequestException, PermanentError):
                return key, None

        known = {}
        for number, (key, size) in enumerate(pool.map(ask, downloads), 1):
            on_done(number)
            if size is not None:
                known[key] = size
        return known
