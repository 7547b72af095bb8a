"""Manifests that a program reads."""

import subprocess
import sys

_MANIFEST = """version = 1
archive = { type = "sandbox" }
aoi.here.bbox = [-2, 51, -1, 52]
mirror.layout = "{id}"
transfer.jobs = 2
dataset.all = { aoi = "here", start = 2019-04-30, end = 2019-05-12 }
"""
_THREADS = """
import sys, threading
import sedas_sync
sys.setswitchinterval(1e-6)
load, start, found = sedas_sync.load_manifest, threading.Barrier(8), []

def read():
    start.wait()
    found.append(load(sys.argv[1]).transfer.jobs)

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert found == [2] * 8, found
"""


def test_several_threads_read_their_first_manifest_at_once(tmp_path):
    """With pydantic 2.11 this fails unless one thread at a time builds the checks; a new process has built none."""
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(_MANIFEST)
    subprocess.run([sys.executable, "-c", _THREADS, str(manifest)], check=True)
