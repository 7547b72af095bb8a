"""What a run must live through: kills at random moments, a full disk, quotas over days, an impatient user."""

import bz2
import json
import os
import random
import resource
import signal
import struct
import subprocess
import time
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from effort import effort
from noise_scenes import MAY, noise, offer

import sedas_sync as ss
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, Sandbox, make_row
from sedas_sync.sandbox.faults import error, fail, slow, stall


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_lose_nothing_but_bytes_in_flight(workspace, sandbox):
    """A kill at any moment loses at most the bytes in flight; a final name is complete and checked."""
    seed = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1 << 30)
    print(f"KILL_SEED={seed}")
    chance = random.Random(seed)
    right = offer(sandbox, workspace.path, online=18, archived=6, size=900_000)
    sandbox.order_delay = 4.0
    sandbox.faults = Faults(rules=(Rule("download", slow(400_000)),))
    workspace.write(MAY, transfer="jobs = 4")
    wanted, kills = effort(10, 50), 0
    while kills < wanted:
        process = workspace.start("apply")
        moment = chance.uniform(0.2, 1.6)
        try:
            process.communicate(timeout=moment)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        for name, content in workspace.files().items():
            assert right[name] == content, f"{name} stands under its final name and is wrong (seed {seed})"
    sandbox.faults = Faults()
    last = workspace.run("apply", "--json")
    assert last.code == 0, last.err
    assert workspace.files() == right
    assert sandbox.orders == 6, "a pending order is never placed again"
    total = sum(map(len, right.values()))
    print(f"{kills} kills, {sandbox.bytes_sent / total:.3f} times the bytes")
    assert sandbox.bytes_sent <= 1.2 * total
    assert not list((workspace.mirror / ".sedas-sync" / "partial").iterdir())


def test_two_signals_at_once_stop_the_run_as_one(workspace, sandbox):
    offer(sandbox, workspace.path, online=1, archived=0, size=3_000_000)
    sandbox.faults = Faults(rules=(Rule("download", stall(1_000_000)),))
    workspace.write(MAY)
    process = workspace.start("apply")
    while not sandbox.bytes_sent:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert out.startswith("Stopped: ")
    assert process.returncode == 130
    assert time.monotonic() - began < 5


def long_to_check(target):
    """A small zip that takes minutes to be proved: its entries are packed in a way that no stream follows."""
    data = bz2.compress(bytes(20_000_000))
    crc = zlib.crc32(bytes(20_000_000))
    body = lines = b""
    for number in range(1000):
        name = b"%04d" % number
        shared = (0, 12, 0, 33, crc, len(data), 20_000_000, len(name), 0)
        local = struct.pack("<4sHHHHHLLLHH", b"PK\x03\x04", 46, *shared) + name
        lines += struct.pack("<4sHHHHHHLLLHHHHHLL", b"PK\x01\x02", 46, 46, *shared, 0, 0, 0, 0, len(body)) + name
        body += local + data
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 1000, 1000, len(lines), len(body), 0)
    target.write_bytes(body + lines + end)
    return target


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time is looked up in /proc")
@pytest.mark.parametrize("command", ["apply", "adopt"])
def test_a_long_check_stops_on_a_signal(workspace, sandbox, command):
    slow_one = long_to_check(workspace.path / "slow")
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-02T11:00:00Z")], files={"A": slow_one})
    workspace.write(MAY)
    if command != "apply":
        workspace.mirror.mkdir()
        (workspace.mirror / "A.zip").write_bytes(slow_one.read_bytes())
    process = workspace.start(command)
    used = 0.0
    until = time.monotonic() + 60
    while used < 0.6 and time.monotonic() < until:
        time.sleep(0.1)
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 5
    if command == "apply":
        assert not workspace.files()
    else:
        assert workspace.files() == {"A.zip": slow_one.read_bytes()}, "it stays where it was"
        assert "wrong" not in err


def test_a_full_disk_stops_the_run_with_everything_kept(workspace, sandbox):
    """A full disk stops the run with exit 1, everything kept, nothing torn."""
    right = offer(sandbox, workspace.path, online=4, archived=0, size=600_000)
    workspace.write(MAY, transfer="jobs = 1\nsegments = 1")
    # A limit on the size of files is the full disk that needs no disk: writes beyond it fail in the same way.
    limited = subprocess.run(
        workspace.command("apply", "--json"),
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
        ),
    )
    assert limited.returncode == 1, limited.stderr
    assert "Traceback" not in limited.stderr
    summary = json.loads(limited.stdout.splitlines()[-1])
    assert summary["failed"] == 4, "what was not tried for want of room is named too"
    assert "File too large" in summary["failures"][0]["error"]
    assert not workspace.files()
    assert workspace.run("plan", "--json").json["summary"]["resume"] >= 1
    before = sandbox.bytes_sent
    assert workspace.run("apply").code == 0
    assert workspace.files() == right
    assert sandbox.bytes_sent - before < sum(map(len, right.values())), "what was kept is not fetched again"


class Clock:
    """An instant that moves only when it is told to."""

    def __init__(self):
        self.instant = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.instant


def test_a_quota_of_twenty_orders_in_twelve_hours_over_days(workspace, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    clock = Clock()
    quota = Faults(order_quota=(20, 12 * 3600.0))
    with Sandbox(order_delay=3 * 3600.0, clock=lambda: clock().timestamp(), faults=quota) as sandbox:
        right = offer(sandbox, workspace.path, online=5, archived=50, size=1000)
        workspace.url = sandbox.url
        manifest = ss.load_manifest(workspace.write(MAY))
        runs = []
        while not runs or runs[-1].exit_code == 3:
            with ss.Mirror(manifest, clock=clock) as mirror:
                runs.append(mirror.apply(mirror.plan(), wait=False))
            clock.instant += timedelta(hours=4)
            assert len(runs) < 20
    assert runs[-1].exit_code == 0
    assert [run.failed for run in runs] == [0] * len(runs)
    assert sum(run.ordered for run in runs) == sandbox.orders == 50
    assert max(run.ordered for run in runs) == 20
    assert len(runs) <= 8, "24 hours for the quota, three for the last orders, a run every four"
    assert runs[0].fetched == 5
    assert workspace.files() == right


def test_orders_and_downloads_overlap(workspace, sandbox):
    sandbox.order_delay = 2.0
    offer(sandbox, workspace.path, online=6, archived=6, size=200_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(400_000)),))
    workspace.write(MAY, transfer="jobs = 2\nsegments = 1")
    events = workspace.run("apply", "--json").events
    order = [event["event"] for event in events if event["event"] in ("order", "fetched", "order_ready")]
    assert order.index("order") < order.index("fetched"), "orders are placed first"
    assert order.index("fetched") < order.index("order_ready"), "and wait while downloads run"


def test_an_expired_link_is_renewed(workspace, sandbox):
    offer(sandbox, workspace.path, online=0, archived=2, size=1000)
    workspace.write(MAY)
    assert workspace.run("apply", "--no-wait").code == 3
    sandbox.faults = Faults(link_life=0.5, link_status=404)
    time.sleep(0.3)
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert ran.summary["fetched"] == 2
    assert sandbox.orders == 2


def test_a_scene_that_goes_offline_during_the_run_is_ordered(workspace, sandbox):
    right = offer(sandbox, workspace.path, online=2, archived=0, size=1000)
    workspace.write(MAY)
    online = sandbox.catalogue
    gone = [make_row(name, "2019-05-02T11:00:00Z", online=False) for name in ("ON000", "ON001")]
    archived = RowCatalogue(gone, files={name.removesuffix(".zip"): content for name, content in right.items()})

    def leave(request, answer):
        sandbox._catalogue = archived
        return answer(request)

    sandbox.faults = Faults(rules=(Rule("download", leave, times=1),))
    ran = workspace.run("apply", "--json")
    assert online is not sandbox.catalogue
    assert ran.code == 0, ran.err
    assert (ran.summary["fetched"], ran.summary["ordered"]) == (2, 2)
    assert workspace.files() == right


@pytest.mark.parametrize("status", [404, 410])
def test_a_link_that_fails_once_costs_no_new_order(workspace, sandbox, status):
    offer(sandbox, workspace.path, online=0, archived=1, size=1000)
    sandbox.faults = Faults(rules=(Rule("download", fail(status), times=1),))
    workspace.write(MAY)
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert sandbox.orders == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_link_that_never_works_is_ordered_again_once_and_then_fails(workspace, sandbox, status):
    offer(sandbox, workspace.path, online=0, archived=1, size=1000)
    body = "User token does not exist" if status == 400 else "no"
    refuse = Rule("download", lambda _request, _answer: error(status, body))
    sandbox.faults = Faults(rules=(refuse,))
    workspace.write(MAY, transfer="retries = 0")
    ran = workspace.run("apply", "--json")
    assert ran.code == (4 if status in (401, 403) else 1)
    assert str(status) in ran.summary["failures"][0]["error"]
    assert sandbox.orders <= 2
    assert sandbox.logins <= 4, "a token is not renewed in a loop"


def test_refused_orders_delay_nothing_else(workspace, sandbox):
    right = offer(sandbox, workspace.path, online=3, archived=2, size=1000)
    sandbox.faults = Faults(rules=(Rule("order", lambda _request, _answer: error(401, "no")),))
    workspace.write(MAY, transfer="retries = 0")
    ran = workspace.run("apply", "--json")
    assert ran.code == 4
    assert ran.summary["fetched"] == 3
    assert {failure["id"] for failure in ran.summary["failures"]} == {"LTA000", "LTA001"}
    assert set(workspace.files()) < set(right)


def test_the_error_names_an_untrusted_download_host(workspace, sandbox):
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    with Sandbox(catalogue=sandbox.catalogue) as other:
        sandbox.bytes_url = f"{other.origin}/datamgr/datamgr.php?p=Default&sceneid={{id}}.zip"
        workspace.write(MAY)
        ran = workspace.run("apply", "--json")
        assert ran.code == 4
        told = ran.summary["failures"][0]["error"]
        assert f"127.0.0.1:{other.port} was asked without the token" in told
        assert "trusted_hosts" in told
        assert not any(entry.authorised for entry in other.log)


def test_text_that_is_not_valid_utf8_breaks_nothing(workspace, sandbox):
    names = ("GOOD", "ODD")
    content = noise(workspace.path, "x", 1000)
    rows = [make_row(name, "2019-05-02T11:00:00Z") for name in names]
    rows[1]["modeName"] = "N\ud800"
    rows[1]["unknown"] = {"deep": ["\udfff"]}
    bad = {**make_row("B", "2019-05-02T11:00:00Z"), "supplierId": "B\ud800"}
    undated = {**make_row("UNDATED", "2019-05-02T11:00:00Z"), "start": None}
    catalogue = RowCatalogue([*rows, bad, undated], files=lambda _: content)
    # On the wire such text is escaped, as JSON has it.
    catalogue._texts = [json.dumps(json.loads(text)) for text in catalogue._texts]
    sandbox._catalogue = catalogue
    workspace.write(MAY)
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert ran.summary["fetched"] == 2
    assert ran.summary["warnings"] == 2
    assert workspace.run("plan", "--exit-code").code == 0
    assert workspace.own_process.run("search", "--json").code == 0
    assert workspace.run("search", "--format", "csv").code == 0
    assert workspace.run("plan", "--record", "r.jsonl").code == 0
