"""The notebooks in `examples/notebooks` run, and an interrupted cell leaves nothing behind."""

import os
import queue
import shutil
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Libraries of the kernel's side; none of them is ours.
pytestmark = pytest.mark.filterwarnings("ignore:::jupyter_client", "ignore:::zmq", "ignore:::nbclient")


def test_there_are_two():
    assert len(NOTEBOOKS) >= 2


@pytest.fixture(autouse=True)
def settings_of_the_test(tmp_path, monkeypatch):
    """Kernels and IPython write to this test's folder only."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(notebook, tmp_path):
    shutil.copy(notebook, tmp_path)
    book = nbformat.read(tmp_path / notebook.name, as_version=4)
    NotebookClient(book, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = "".join(str(output) for cell in book.cells if cell.cell_type == "code" for output in cell.outputs)
    assert "Scenes:" in shown, "progress is shown"
    assert list(tmp_path.glob("*/*.zip"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_stored_without_outputs(notebook):
    book = nbformat.read(notebook, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@contextmanager
def kernel(folder):
    manager, client = start_new_kernel(cwd=str(folder), env=dict(os.environ), startup_timeout=100)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def texts(client, until):
    """Yield the texts that a cell prints, to its end."""
    while True:
        try:
            message = client.get_iopub_msg(timeout=100)
        except queue.Empty:
            raise AssertionError(f"the cell did not print {until!r}") from None
        content = message["content"]
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            return
        yield content.get("text") or "\n".join(content.get("traceback", ())) or str(content.get("data", ""))


def run(client, code):
    client.execute(code)
    return "".join(texts(client, "its end"))


START = """
import sys, threading, time, sedas_sync as ss
from sedas_sync.events import Progress
from sedas_sync.sandbox import Sandbox, Faults, Rule
from sedas_sync.sandbox.faults import slow

def slow_search(request, answer):
    print("under way", flush=True)
    return slow(10)(request, answer)

downloads = Faults(rules=(Rule("download", slow(2000)),))
searches = Faults(rules=(Rule("search", slow_search),))
server = Sandbox(faults=downloads).start()
archive = ss.SedasArchive(url=server.url, username="sandbox", password="sandbox")
area = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
manifest = ss.parse_manifest(f'''
version = 1
archive = {{ type = "sedas", url = "{server.url}" }}
mirror = {{ path = "scenes" }}
aoi.a.wkt = "{area}"
dataset.d = {{ aoi = "a", start = 2019-04-30, end = 2019-05-12 }}
''', base=".")
def files_of(frame):
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back
def ours():
    me = threading.get_ident()
    files = [set(files_of(frame)) for thread, frame in sys._current_frames().items() if thread != me]
    return [some for some in files if "sedas_sync" in str(some) and "sedas_sync/sandbox" not in str(some)]
def left():
    limit = time.monotonic() + 10
    while ours() and time.monotonic() < limit:
        threading.Event().wait(0.05)
    return ours()
def tell(event):
    if isinstance(event, Progress) and event.active:
        print("under way", flush=True)
mirror = ss.Mirror(manifest)
"""
CELLS = {
    "plan": "server.faults = searches\nmirror.plan()",
    "search": "list(archive.search(area, '2019-04-30', '2019-05-12'))",
    "apply": "server.faults = downloads\nmirror.apply(mirror.plan(), on_event=tell)",
    "sync": "mirror.sync(on_event=tell)",
    "fetch": (
        "server.faults = Faults()\n"
        "scenes = list(archive.search(area, '2019-04-30', '2019-05-12'))\n"
        "server.faults = downloads\n"
        "for done in ss.fetch(scenes, 'out', archive=archive, on_event=tell): print(done.path)"
    ),
}


@pytest.mark.timeout(300)
def test_an_interrupted_cell_leaves_no_thread_and_no_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    with kernel(tmp_path) as (manager, client):
        assert "Error" not in run(client, START)
        for name, cell in CELLS.items():
            client.execute(cell)
            output = texts(client, "under way")
            assert any("under way" in text for text in output), name
            manager.interrupt_kernel()
            assert "KeyboardInterrupt" in "".join(output), name
            assert "[]\n" in run(client, "print(left())"), name
        # The same cell continues.
        run(client, "server.faults = Faults()")
        assert "0\n" in run(client, "print(mirror.sync().exit_code)")
        assert "[]\n" in run(client, "print(left())")
