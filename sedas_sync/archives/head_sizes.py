"""Request the sizes of files with HEAD, or with GET for their first byte: a signed link may allow only GET."""

from collections.abc import Callable, Hashable, Iterable
from contextlib import closing
from typing import TypeVar

from sedas_sync.files.threads import Pool
from sedas_sync.model.scene import Download
from sedas_sync.net.connections import OK, PARTIAL, USER_AGENT, Answer, ConnectionFailed, Connections, Timeouts
from sedas_sync.net.policy import PermanentError, may_carry_secret
from sedas_sync.transfer.answers import parse_range

_HEAD_REFUSED = frozenset({403, 405, 501})
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
    """Request the size of each download.

    Redirects are not followed, so that a token is sent only to the host that it is for.

    Args:
        downloads: Each with its key.
        jobs: Maximum concurrent requests.
        connect_timeout: Seconds.
        stall_timeout: Seconds without an answer.
        on_done: Called with the number of answers, from the calling thread.

    Returns:
        The sizes by key. A download whose server does not state its size is left out.
    """
    with closing(Connections()) as connections, Pool(jobs) as pool:

        def request(method: str, download: Download, **extra: str) -> Answer:
            # A secret can be in a header of any name.
            own = download.headers if may_carry_secret(download.url) else {}
            answer = connections.request(
                method,
                download.url,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **own, **extra},
                timeouts=Timeouts(connect_timeout, stall_timeout),
                reach=download.widest_reach,
            )
            answer.drain()
            return answer

        def ask(item: tuple[Key, Download]) -> tuple[Key, int | None]:
            key, download = item
            try:
                answer = request("HEAD", download)
                if answer.status in _HEAD_REFUSED:
                    answer = request("GET", download, Range="bytes=0-0")
            except (ConnectionFailed, PermanentError):
                return key, None
            if answer.status == PARTIAL:
                span = parse_range(answer.headers.get("content-range"))
                return key, None if span is None else span[2]
            length = answer.headers.get("content-length", "")
            return key, int(length) if answer.status == OK and length.isdecimal() else None

        known = {}
        for number, (key, size) in enumerate(pool.map(ask, downloads), 1):
            on_done(number)
            if size is not None:
                known[key] = size
        return known
