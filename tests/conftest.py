"""What tests share: a sandbox to talk to, and a folder in which the installed command is run."""

import importlib
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from effort import FULL, effort
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


MEMORY = Path("/dev/shm")
DISK = Path("/tmp")
# A run syncs thousands of files, and waits for the disk each time. All tests together leave 3 GB at most.
if not FULL and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 6e9:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection(session):
    """Let each worker import the modules of the tests from another one on.

    The first import of a module rewrites its assertions, which takes ten seconds for all. What one worker has written
    the others read.
    """
    worker, workers = (os.environ.get(f"PYTEST_XDIST_{name}") for name in ("WORKER", "WORKER_COUNT"))
    if worker is None:
        return
    files = sorted(file for folder in session.config.args for file in Path(folder).rglob("test_*.py"))
    first = len(files) * int(worker.removeprefix("gw")) // int(workers)
    for file in files[first:] + files[:first]:
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))
        with suppress(Exception, pytest.skip.Exception):  # The collection reports it.
            importlib.import_module(file.stem)


def pytest_xdist_auto_num_workers():
    """Return two workers for each processor: tests wait for servers and processes as long as they compute."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.fixture
def other_disk(tmp_path):
    """A folder on another file system than `tmp_path`."""
    for place in (MEMORY, DISK):
        if place.is_dir() and place.stat().st_dev != tmp_path.stat().st_dev:
            with tempfile.TemporaryDirectory(prefix="sedas-sync-", dir=place) as folder:
                yield Path(folder)
            return
    pytest.skip("there is no second file system here")


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
