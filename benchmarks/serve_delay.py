"""Delay for nginx: answers every request on a Unix socket with 204 after a fixed time.

nginx calls it before it sends a file (`auth_request`). So every answer has the same delay, and nginx still sends the
bytes. It serves until its standard input ends.
"""

import asyncio
import sys

_ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


class DelayedAnswers(asyncio.Protocol):
    """One connection of nginx, with one request at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.transport: asyncio.Transport | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # the transport of a stream can be written to

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.received = b""
            asyncio.get_running_loop().call_later(self.seconds, self._answer)

    def _answer(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_ANSWER)


async def main() -> None:
    path, seconds = sys.argv[1], float(sys.argv[2])
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: DelayedAnswers(seconds), path, backlog=1024)
    async with server:
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
