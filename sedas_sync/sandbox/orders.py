"""Orders: ids that any sandbox can read, and the limit on new orders.

An order id contains the scene and the time at which it was placed. So every sandbox with the same clock knows the
order, even after a restart.
"""

import base64
from collections import deque
from struct import Struct
from threading import Lock
from zlib import crc32

_HEAD = Struct(">QL")  # milliseconds since 1970, and a checksum


def order_id(scene: str, placed: float) -> str:
    """Return the id of an order: letters, digits, `-` and `_` only."""
    body = round(placed * 1000).to_bytes(8, "big") + scene.encode()
    sealed = _HEAD.pack(int.from_bytes(body[:8], "big"), crc32(body)) + body[8:]
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def read_order(order: str) -> tuple[str, float] | None:
    """Return the scene and the POSIX time of an order id, or None if it is not one."""
    try:
        sealed = base64.b64decode(order + "=" * (-len(order) % 4), altchars=b"-_", validate=True)
        scene = sealed[_HEAD.size :].decode()
    except ValueError:
        return None
    if len(sealed) < _HEAD.size:
        return None
    placed, seal = _HEAD.unpack_from(sealed)
    return (scene, placed / 1000) if seal == crc32(placed.to_bytes(8, "big") + scene.encode()) else None


class OrderQuota:
    """Counts the orders of the last seconds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._placed: deque[float] = deque()

    def wait(self, quota: tuple[int, float] | None, now: float) -> float | None:
        """Count one order, or return the seconds until there is room for it.

        Args:
            quota: Maximum orders, and the seconds in which they count; None allows any number without counting.
            now: POSIX time.
        """
        if quota is None:
            return None
        limit, seconds = quota
        with self._lock:
            while self._placed and self._placed[0] <= now - seconds:
                self._placed.popleft()
            if len(self._placed) >= limit:
                return (self._placed[0] if self._placed else now) + seconds - now
            self._placed.append(now)
        return None
