"""What tests share: a sandbox to talk to, and a folder in which the installed command is run."""

import os
from threading import Event

import pytest
from effort import effort
from hypothesis import HealthCheck, settings
from workspaces import OwnProcess, Workspace

from sedas_sync.operations.apply import orders
from sedas_sync.sandbox import Faults, Rule, Sandbox

# A machine that does other work at the same time makes examples slowly; that is no fault of theirs. A plain run tries
# the same examples on every machine, and one with all effort looks for new ones.
house = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=effort(40, 500),
    derandomize=effort(True, False),
)
settings.register_profile("house", house)
settings.load_profile("house")


def pytest_xdist_auto_num_workers():
    """Return two workers for each processor: tests wait for servers and processes as long as they compute."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def ordered_soon(monkeypatch):
    """In this process, orders are first polled after 0.1 s, and an embedded sandbox has them ready by then."""
    monkeypatch.setattr(orders, "_POLL_FIRST", 0.1)
    monkeypatch.setitem(Sandbox.__init__.__kwdefaults__, "order_delay", 0.05)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One browser for all tests of a worker."""
    from report_browser import opened_browser

    page = opened_browser(tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("profile"))
    yield page
    page.driver.quit()


@pytest.fixture
def sandbox():
    """A SeDAS-compatible server of this test's own, whose orders are ready after 0.05 s."""
    with Sandbox(order_delay=0.05) as server:
        yield server


@pytest.fixture
def go_on(sandbox):
    """An event that the downloads of the sandbox wait for."""
    event = Event()

    def wait(request, answer):
        event.wait(60)
        return answer(request)

    sandbox.faults = Faults(rules=(Rule("download", wait),))
    yield event
    event.set()


@pytest.fixture
def workspace(request, tmp_path, sandbox):
    """A folder with credentials for the sandbox. With the mark `own_process`, each command has a process of its own."""
    kind = OwnProcess if request.node.get_closest_marker("own_process") else Workspace
    return kind(tmp_path, sandbox.url, {"SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"})
