"""A clock for nginx: answers every request on a Unix socket with 204 after a while.

nginx asks it before it sends a file (`auth_request`), which makes every answer late by the same time without taking
the sending of bytes away from nginx. Serves until its standard input ends.
"""

import asyncio
import sys

_ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


class Late(asyncio.Protocol):
    """One connection of nginx, on which one request at a time is asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.transport: asyncio.Transport | None = None
        self.asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's transport is one that can be written to

    def data_received(self, data: bytes) -> None:
        self.asked += data
        if self.asked.endswith(b"\r\n\r\n"):
            self.asked = b""
            asyncio.get_running_loop().call_later(self.seconds, self._answer)

    def _answer(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_ANSWER)


async def main() -> None:
    path, seconds = sys.argv[1], float(sys.argv[2])
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Late(seconds), path, backlog=1024)
    async with server:
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
