"""What tests share: a sandbox to talk to, and a folder in which the installed command is run."""

import pytest
from effort import effort
from hypothesis import HealthCheck, settings
from workspaces import OwnProcess, Workspace

from sedas_sync.sandbox import Sandbox

# A machine that does other work at the same time makes examples slowly; that is no fault of theirs.
house = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=effort(40, 500))
settings.register_profile("house", house)
settings.load_profile("house")


@pytest.fixture
def sandbox():
    """A SeDAS-compatible server of this test's own, whose orders are ready after 0.2 s."""
    with Sandbox(order_delay=0.2) as server:
        yield server


@pytest.fixture
def workspace(request, tmp_path, sandbox):
    """A folder with credentials for the sandbox. With the mark `own_process`, each command has a process of its own."""
    kind = OwnProcess if request.node.get_closest_marker("own_process") else Workspace
    return kind(tmp_path, sandbox.url, {"SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"})
