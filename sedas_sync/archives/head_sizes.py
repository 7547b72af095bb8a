"""Asking servers how large scenes are, for a plan that shows bytes."""

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
"""Tells one download from another."""


def remote_sizes(
    downloads: Iterable[tuple[Key, Download]],
    *,
    jobs: int,
    connect_timeout: float,
    stall_timeout: float,
    on_done: Callable[[int], None] = lambda _: None,
) -> dict[Key, int]:
    """Ask with HEAD for the length of each download; what a server does not say is left out.

    Redirects are not followed: the token goes to the host it was made for and no further.

    Args:
        downloads: each with a key to know it by.
        jobs: requests at once.
        connect_timeout: seconds.
        stall_timeout: seconds without an answer.
        on_done: told how many have answered, from the calling thread.
    """
    sessions: dict[Reach, Session] = {}
    opening = Lock()
    with ExitStack() as stack, Pool(jobs, "sizes") as pool:

        def session(reach: Reach) -> Session:
            # A connection that one archive's links may lead to is none for another's.
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
                    said = answer.status_code == _OK and length.isdecimal()
                    return key, int(length) if said else None
            except (requests.RequestException, PermanentError):
                return key, None

        known = {}
        for number, (key, size) in enumerate(pool.map(ask, downloads), 1):
            on_done(number)
            if size is not None:
                known[key] = size
        return known
