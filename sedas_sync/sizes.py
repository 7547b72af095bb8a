"""Asking servers how large scenes are, for a plan that shows bytes."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import requests

from sedas_sync.http import new_session
from sedas_sync.model import Download, SceneId

_OK = 200


def remote_sizes(
    downloads: Iterable[tuple[SceneId, Download]],
    *,
    jobs: int,
    connect_timeout: float,
    stall_timeout: float,
    on_done: Callable[[int], None] = lambda _: None,
) -> dict[SceneId, int]:
    """Ask with HEAD for the length of each download; what a server does not say is left out.

    Redirects are not followed: the token goes to the host it was made for and no further.

    Args:
        downloads: scene and where it is.
        jobs: requests at once.
        connect_timeout: seconds.
        stall_timeout: seconds without an answer.
        on_done: told how many have answered, from the calling thread.
    """
    with new_session(connections=jobs) as session, ThreadPoolExecutor(jobs, "sizes") as pool:

        def ask(item: tuple[SceneId, Download]) -> tuple[SceneId, int | None]:
            scene_id, download = item
            headers = {**download.headers, "Accept-Encoding": "identity"}
            try:
                with session.head(
                    download.url, headers=headers, allow_redirects=False, timeout=(connect_timeout, stall_timeout)
                ) as answer:
                    length = answer.headers.get("Content-Length", "")
                    said = answer.status_code == _OK and length.isdecimal()
                    return scene_id, int(length) if said else None
            except requests.RequestException:
                return scene_id, None

        known = {}
        for number, (scene_id, size) in enumerate(pool.map(ask, downloads), 1):
            on_done(number)
            if size is not None:
                known[scene_id] = size
        return known
