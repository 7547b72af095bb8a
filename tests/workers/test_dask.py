"""A run on a real Dask cluster: one scheduler and three worker processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest
from noise_scenes import MAY, offer

from sedas_sync.sandbox import Faults, Rule
from sedas_sync.sandbox.faults import slow

WORKERS = 3


def started(command, folder, log, **env):
    with (folder / log).open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
            cwd=folder,
            env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", **env},
            stdout=out,
            stderr=subprocess.STDOUT,
        )


@dataclass
class Dask:
    """A scheduler and its workers, each in a process of its own."""

    folder: object
    address: str
    scheduler: subprocess.Popen
    workers: dict = field(default_factory=dict)

    def add(self, name, **env):
        command = ["dask_worker", self.address, "--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        local = ["--memory-limit", "0", "--local-directory", str(self.folder / name)]
        self.workers[name] = started([*command, *local], self.folder, f"{name}.log", **env)

    def logs(self):
        return "\n".join(file.read_text() for file in self.folder.glob("*.log"))

    def kill(self, name):
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    def settled(self, mirror):
        """Wait until no worker is at work any more."""
        until = time.monotonic() + 20
        while list((mirror / ".sedas-sync" / "workers").glob("*.lock")):
            assert time.monotonic() < until, "a worker does not stop"
            time.sleep(0.05)

    def end(self):
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
        for process in (*self.workers.values(), self.scheduler):
            process.wait()


@pytest.fixture
def dask(tmp_path):
    folder = tmp_path / "dask"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = started(
        ["dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], folder, "scheduler.log"
    )
    cluster = Dask(folder, address, scheduler)
    try:
        yield cluster
    finally:
        cluster.end()


def followed(process, fetched):
    """The events of a run; `fetched` is called when the first scene is there."""
    events = []
    while line := process.stdout.readline():
        events.append(json.loads(line))
        if sum(event["event"] == "fetched" for event in events) == 1 and events[-1]["event"] == "fetched":
            fetched()
    _, said = process.communicate()
    assert "Traceback" not in said, said
    return events, said


@pytest.mark.slow
def test_a_run_survives_an_interruption_and_the_kill_of_a_worker(workspace, sandbox, dask):
    """Ctrl-C stops the workers too; the same command goes on, and one worker is killed in the middle of it."""
    for number in range(WORKERS):
        dask.add(f"w{number}")
    right = offer(sandbox, workspace.path, online=20, archived=4, size=400_000)
    sandbox.order_delay = 1.0
    sandbox.faults = Faults(rules=(Rule("download", slow(800_000)),))
    workspace.write(MAY)
    command = ["apply", "--executor", "dask", "--scheduler", dask.address, "--jobs", "6", "--json"]

    ran = workspace.start(*command)
    events, said = followed(ran, lambda: ran.send_signal(signal.SIGINT))
    assert (ran.returncode, events[-1]["failed"]) == (130, 0), said
    assert events[-1]["fetched"] < 20
    assert events[-1]["seconds"] < 15
    dask.settled(workspace.mirror)

    ran = workspace.start(*command)
    events, more = followed(ran, lambda: dask.kill("w1"))
    summary = events[-1]
    assert ran.returncode == 0, more
    assert (summary["fetched"] + summary["kept"] + summary["adopted"], summary["failed"]) == (24, 0), summary
    assert workspace.files() == right
    assert sandbox.orders == 4
    assert sum(event["event"] == "retry" and "lost" in event["error"] for event in events) >= 1
    names = {event["worker"] for event in events if event["event"] == "fetched"}
    assert {"w0", "w2"} <= names <= {"w0", "w1", "w2"}
    shown = [event for event in events if event["event"] == "progress"][-1]["workers"]
    assert {worker["worker"] for worker in shown} <= names
    assert all(worker["rate"] > 0 and worker["scenes"] for worker in shown)
    assert not list((workspace.mirror / ".sedas-sync" / "partial").iterdir())
    assert not (workspace.mirror / ".sedas-sync" / "workers").exists()

    everything = dask.logs() + said + more
    assert sandbox._tokens
    assert not any(secret in everything for secret in ("Authorization", *sandbox._tokens))


GONE = """
import sys
import sedas_sync as ss
from sedas_sync.workers.dask import dask_cluster

def listen(event):
    print(event.event, flush=True)

with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror, dask_cluster(sys.argv[1], timeout=1) as workers:
    summary = mirror.apply(mirror.plan(), executor=workers, jobs=2, on_event=listen)
print(summary.exit_code, summary.failures[0].error)
"""


def test_a_scheduler_that_is_gone_ends_the_run(workspace, sandbox, dask):
    dask.add("w0")
    offer(sandbox, workspace.path, online=8, archived=0, size=400_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(800_000)),))
    workspace.write(MAY)
    ran = subprocess.Popen(
        [sys.executable, "-c", GONE, dask.address],
        cwd=workspace.path,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while (line := ran.stdout.readline()) and line != "fetched\n":
        pass
    dask.scheduler.kill()
    out, said = ran.communicate(timeout=60)
    assert (ran.returncode, said) == (0, "")
    assert out.splitlines()[-1].startswith("1 the executor takes no work: RuntimeError: the connection to Dask's")


def test_nothing_to_do_needs_no_worker(workspace, sandbox, dask):
    offer(sandbox, workspace.path, online=2, archived=0, size=1000)
    workspace.write(MAY)
    assert workspace.run("apply").code == 0
    ran = workspace.own_process.run("apply", "--json", "--executor", "dask", DASK_SCHEDULER_ADDRESS=dask.address)
    assert (ran.code, ran.summary["kept"]) == (0, 2), ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler needs --executor dask"),
        (["--executor", "dask"], "--executor dask needs --scheduler ADDRESS"),
        (["--executor", "dask", "--scheduler", "nowhere.json"], "no Dask scheduler answers at nowhere.json"),
        (["--executor", "dask", "--scheduler", "quux://here"], "no Dask scheduler answers at quux://here"),
    ],
)
def test_a_malformed_scheduler_address_is_a_usage_error(workspace, arguments, said):
    workspace.write(MAY)
    # Dask starts threads that stay, so only what is refused without it runs in this process.
    runs = workspace.own_process if "quux://here" in arguments or "nowhere.json" in arguments else workspace
    ran = runs.run("apply", *arguments, DASK_SCHEDULER_ADDRESS="")
    assert (ran.code, said in ran.err) == (2, True), ran.err
    assert not workspace.mirror.exists()


@pytest.mark.own_process
def test_without_dask_the_error_names_the_extra(workspace, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "distributed.py").write_text("raise ModuleNotFoundError('distributed')")
    workspace.write(MAY)
    ran = workspace.run(
        "apply", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:1", PYTHONPATH=str(tmp_path / "hidden")
    )
    assert (ran.code, "sedas-sync[dask]" in ran.err) == (2, True), ran.err
