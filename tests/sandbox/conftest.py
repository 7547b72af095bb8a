"""A sandbox with a client that is logged in."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sandbox_client import Client, Clock

from sedas_sync.sandbox import Sandbox
from sedas_sync.sandbox.server import ORDER_DELAY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(clock: Clock) -> Iterator[Callable[..., Client]]:
    """Start a sandbox with options; return a client that is logged in."""
    with ExitStack() as stack:

        def start(**options: Any) -> Client:
            sandbox = stack.enter_context(Sandbox(**{"clock": clock, "order_delay": ORDER_DELAY, **options}))
            client = Client(sandbox)
            stack.callback(client.session.close)
            return client

        yield start


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    return serve()
