"""File systems that lack something: the kernel's locks, files mapped into memory.

What they lack is taken away from real processes by a library that is loaded before all others.
"""

import errno
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
from effort import effort

from sedas_sync.errors import MirrorLocked
from sedas_sync.sandbox import RowCatalogue, make_row
from sedas_sync.state import soft_lock
from sedas_sync.state.process_lock import lock
from sedas_sync.state.soft_lock import HolderFiles, LockHeldError, acquire, heartbeat, this_process

MAY = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LACKING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

static int lacks(const char *name) { return getenv(name) ? atoi(getenv(name)) : 0; }

int flock(int file, int how) {
    if ((errno = lacks("LACKS_FLOCK"))) return -1;
    return ((int (*)(int, int)) dlsym(RTLD_NEXT, "flock"))(file, how);
}

static int control(const char *name, int file, int what, void *with) {
    if ((what == F_SETLK || what == F_SETLKW || what == F_GETLK) && (errno = lacks("LACKS_FCNTL"))) return -1;
    return ((int (*)(int, int, ...)) dlsym(RTLD_NEXT, name))(file, what, with);
}
#define WITH(last) va_list list; va_start(list, last); void *with = va_arg(list, void *); va_end(list)
int fcntl(int file, int what, ...) { WITH(what); return control("fcntl", file, what, with); }
int fcntl64(int file, int what, ...) { WITH(what); return control("fcntl64", file, what, with); }

static void *map(const char *name, void *at, size_t length, int may, int how, int file, off_t from) {
    if (file >= 0 && (how & MAP_TYPE) == MAP_SHARED && (errno = lacks("LACKS_MMAP"))) return MAP_FAILED;
    return ((void *(*)(void *, size_t, int, int, int, off_t)) dlsym(RTLD_NEXT, name))(at, length, may, how, file, from);
}
void *mmap(void *at, size_t length, int may, int how, int file, off_t from) {
    return map("mmap", at, length, may, how, file, from);
}
void *mmap64(void *at, size_t length, int may, int how, int file, off_t from) {
    return map("mmap64", at, length, may, how, file, from);
}
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The library, built by the compiler that is here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    place = tmp_path_factory.mktemp("lacking")
    (place / "lacking.c").write_text(LACKING)
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-w", "-o", "lacking.so", "lacking.c", "-ldl"], cwd=place, capture_output=True
    )
    if built.returncode:
        pytest.skip("the C compiler has no headers")
    return str(place / "lacking.so")


@pytest.fixture
def workspace(workspace):
    """A workspace whose commands have a process of their own if it is to lack something."""

    class Lacking(type(workspace)):
        def run(self, *arguments, **extra):
            return (self.own_process if extra else super()).run(*arguments, **extra)

    return Lacking(workspace.path, workspace.url, workspace.env)


@pytest.fixture
def lacking(library):
    """The environment of a process whose file systems lack something."""

    def environment(flock=0, fcntl=0, mmap=0):
        return {
            "LD_PRELOAD": library, "LACKS_FLOCK": str(flock), "LACKS_FCNTL": str(fcntl), "LACKS_MMAP": str(mmap)
        }  # fmt: skip

    return environment


@pytest.fixture
def without_flock(lacking):
    return lacking(flock=38)  # ENOSYS


def offer(sandbox, *names, online=True):
    sandbox._catalogue = RowCatalogue(
        [make_row(name, f"2019-05-{day:02}T11:00:00Z", online=online) for day, name in enumerate(names, 1)]
    )


def holders(workspace):
    return sorted((workspace.mirror / ".sedas-sync").glob("apply.lock.*"))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.01)


def held(workspace, process, seconds=20):
    """Wait until a process holds the mirror's lock; gives what its file says."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for file in holders(workspace):
            try:
                said = json.loads(file.read_text())
            except (OSError, ValueError):
                continue
            if said["pid"] == process.pid and workspace.mirror.joinpath(".sedas-sync", "index.db").exists():
                return said
        time.sleep(0.01)
    raise AssertionError(process.communicate(timeout=20))


@pytest.fixture
def slowly(workspace, sandbox, go_on):
    """A workspace whose runs wait in their downloads until they may go on."""
    assert not go_on.is_set()
    offer(sandbox, "A", "B")
    workspace.write(MAY, transfer="jobs = 1\nsegments = 1")
    return workspace


# -- no flock ----------------------------------------------------------------------------------------------------------


TRY = """
import os, sys
from sedas_sync.state.soft_lock import try_flock
with open(sys.argv[1], "w") as file:
    for number in map(int, sys.argv[2:]):
        os.environ["LACKS_FLOCK"] = str(number)
        print(try_flock(file.fileno()))
"""


def test_whatever_flock_lacks_is_no_lock_of_the_kernel(tmp_path, without_flock):
    errors = ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "ENOTSUP", "EBADF", "EINVAL", "ENOTTY"]
    numbers = [*(str(getattr(errno, name)) for name in errors), "0", str(errno.EAGAIN)]
    tried = subprocess.run(
        [sys.executable, "-c", TRY, tmp_path / "lock", *numbers], env={**os.environ, **without_flock},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert tried.stdout.split() == ["None"] * len(errors) + ["True", "False"]


@pytest.mark.parametrize("number", effort([38], [0, 38]))
def test_one_run_at_a_time_whatever_flock_says(slowly, go_on, lacking, number):
    """The second ends with 5 and names the first, whose file can be read while it is at work."""
    with slowly.start("apply", **lacking(flock=number)) as first:
        said = held(slowly, first)
        assert (said["host"], said["since"][:2]) == (socket.gethostname(), "20")
        second = slowly.run("apply", **lacking(flock=number))
        assert second.code == 5
        assert f"process {first.pid} on {socket.gethostname()}, since {said['since']}" in second.err
        assert slowly.run("lock", **lacking(flock=number)).code == 5
        go_on.set()
        assert first.wait(timeout=60) == 0
    assert set(slowly.files()) == {"A.zip", "B.zip"}
    assert not holders(slowly)
    assert slowly.run("apply", **lacking(flock=number)).code == 0


@pytest.mark.parametrize("reaped", [True, False])
@pytest.mark.parametrize("flock", effort([38], [0, 38]))
def test_a_killed_run_holds_nothing(slowly, go_on, lacking, flock, reaped):
    # A child of this process: nobody else reaps it.
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = slowly.environment(**lacking(flock=flock))
    first = subprocess.Popen(slowly.command("apply"), cwd=slowly.path, env=environment, **streams)
    held(slowly, first)
    first.kill()
    if reaped:
        first.communicate()
    go_on.set()
    began = time.monotonic()
    ran = slowly.run("apply", **lacking(flock=flock))
    assert ran.code == 0, ran.err
    assert time.monotonic() - began < soft_lock.DEAD_AFTER / 2
    assert not holders(slowly)
    first.communicate()


def test_lock_timeout_waits_for_the_end_of_the_other(slowly, go_on, without_flock):
    with slowly.start("apply", **without_flock) as first:
        held(slowly, first)
        began = time.monotonic()
        assert slowly.run("apply", "--lock-timeout", "1", **without_flock).code == 5
        assert time.monotonic() - began >= 1
        with slowly.start("apply", "--lock-timeout", "50", **without_flock) as second:
            time.sleep(0.5)
            go_on.set()
            assert first.wait(timeout=50) == 0
            assert second.wait(timeout=50) == 0


def test_a_run_with_locks_respects_one_without(slowly, without_flock):
    """The machines of a cluster may mount the same folder differently, and a lock daemon may be gone for a while."""
    for mine, other in (({}, without_flock), (without_flock, {})):
        with slowly.start("apply", **mine) as first:
            held(slowly, first)
            assert slowly.run("apply", **other).code == 5
            first.send_signal(signal.SIGINT)
            assert first.wait(timeout=20) == 130


COUNT = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from sedas_sync.state.process_lock import lock
from sedas_sync.errors import MirrorLocked
root = Path(sys.argv[1])
count = root / "count"
(root / f"ready-{os.getpid()}").touch()
while not (root / "begin").exists():
    time.sleep(0.001)
for _ in range(4):
    with lock(root, timeout=60, now=datetime.now(UTC)):
        before = int(count.read_text())
        time.sleep(0.02)
        count.write_text(str(before + 1))
"""


def test_of_many_that_find_a_dead_holder_at_once_one_goes_on(tmp_path, without_flock):
    state = tmp_path / ".sedas-sync"
    state.mkdir()
    (tmp_path / "count").write_text("0")
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = this_process(NOW)
    dead = soft_lock.Holder(gone.pid, holder.host, holder.since, soft_lock._began(gone.pid), holder.kernel)
    gone.communicate(b"\n")
    with folder_of(state) as folder:
        HolderFiles(folder, "apply.lock", kernel=False).write("apply.lock.alone-0", dead)
    several = [
        subprocess.Popen([sys.executable, "-c", COUNT, tmp_path], env={**os.environ, **without_flock}) for _ in range(6)
    ]
    wait_for(lambda: len(list(tmp_path.glob("ready-*"))) == len(several))
    (tmp_path / "begin").touch()
    assert [process.wait(timeout=90) for process in several] == [0] * 6
    assert (tmp_path / "count").read_text() == "24"
    assert sorted(path.name for path in state.iterdir()) == ["apply.lock"]


@contextmanager
def folder_of(place):
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


@pytest.fixture
def files(tmp_path):
    """The files of one lock, in this process."""
    with folder_of(tmp_path) as folder:
        yield HolderFiles(folder, "x.lock", kernel=False)


def other(**changed):
    mine = this_process(NOW)
    said = {"pid": mine.pid, "host": mine.host, "since": mine.since, "began": mine.began, "kernel": mine.kernel}
    return soft_lock.Holder(**{**said, **changed})


def test_a_process_that_only_has_the_number_of_the_holder_holds_nothing(files):
    files.write("x.lock.alone-0", other(began=1))
    assert files.others("") == []
    files.write("x.lock.alone-1", other())
    with pytest.raises(LockHeldError) as caught:
        acquire(files, this_process(NOW), until=0)
    assert caught.value.holder.pid == os.getpid()


@pytest.mark.parametrize("said", [{"host": "elsewhere"}, {"kernel": "another boot"}, {"kernel": None}, None])
def test_a_holder_of_another_machine_is_dead_when_its_file_has_stood_still(files, tmp_path, monkeypatch, said):
    """Its process is not asked for, though its number may be somebody's here; nor is any clock."""
    monkeypatch.setattr(soft_lock, "DEAD_AFTER", 0.6)
    place = tmp_path / "x.lock.alone-0"
    if said is None:
        place.touch()
    else:
        files.write(place.name, other(**said, pid=1))
    os.utime(place, (2**33, 2**33))
    began = time.monotonic()
    mine = acquire(files, this_process(NOW), until=0)
    assert 0.6 <= time.monotonic() - began < 5
    assert [path.name for path in tmp_path.iterdir()] == [mine]


def test_a_holder_of_another_machine_is_alive_while_it_touches_its_file(files, tmp_path, monkeypatch):
    monkeypatch.setattr(soft_lock, "DEAD_AFTER", 1.0)
    place, ended = tmp_path / "x.lock.alone-0", Event()
    files.write(place.name, other(host="elsewhere"))

    def beat():
        tick = 0
        while not ended.wait(0.3):
            os.utime(place, (tick, tick))  # its clock goes from 1970 on
            tick += 1

    Thread(target=beat).start()
    try:
        for until in (0, time.monotonic() + 3):
            with pytest.raises(LockHeldError) as caught:
                acquire(files, this_process(NOW), until=until)
            assert caught.value.holder.host == "elsewhere"
        assert time.monotonic() > until
    finally:
        ended.set()


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "null", '{"pid": -1}', '{"pid": "7"}', "[" * 4000, "\udcff"])
def test_nonsense_in_a_holders_file_is_watched_like_a_stranger(files, tmp_path, text):
    (tmp_path / "x.lock.alone-0").write_bytes(text.encode(errors="surrogateescape"))
    assert files.others("") == [("x.lock.alone-0", "unknown", None)]
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "x.lock.alone-1").symlink_to("outside")
    with pytest.raises(OSError, match="symbolic"):
        files.others("")
    assert (tmp_path / "outside").read_text() == "mine"


def test_who_was_taken_for_dead_is_told(files, tmp_path, monkeypatch):
    monkeypatch.setattr(soft_lock, "TOUCH_EVERY", 0.05)
    mine, told = acquire(files, this_process(NOW), until=0), Event()
    before = (tmp_path / mine).stat().st_mtime_ns
    with heartbeat(files, mine, told.set):
        wait_for(lambda: (tmp_path / mine).stat().st_mtime_ns > before)
        assert not told.is_set()
        (tmp_path / mine).unlink()
        assert told.wait(5)


ELSEWHERE = """
import socket, sys
from sedas_sync.state import soft_lock
soft_lock.TOUCH_EVERY, soft_lock.DEAD_AFTER = 0.2, 2.0
from sedas_sync.__main__ import main
sys.argv[0] = "sedas-sync"
main()
"""


@pytest.fixture
def elsewhere(workspace, without_flock):
    """Start the command in a container of its own: other numbers of processes, another name."""
    words = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*words, "hostname x"], capture_output=True).returncode:
        pytest.skip("needs unshare and the right to use it")

    def start(name, *arguments):
        return subprocess.Popen(
            [*words, f'hostname {name}; exec "$@"', "sh", sys.executable, "-c", ELSEWHERE, *arguments],
            cwd=workspace.path, env=workspace.environment(**without_flock), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def begun(workspace, host, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for file in holders(workspace):
            with_text = file.read_text() if file.exists() else ""
            if f'"{host}"' in with_text and workspace.mirror.joinpath(".sedas-sync", "index.db").exists():
                return file
        time.sleep(0.02)
    raise AssertionError(host)


def test_runs_of_two_containers(slowly, go_on, elsewhere):
    """Where one lives the other is refused, without waiting for all of the time; where one was killed it goes on."""
    first = elsewhere("one", "apply")
    begun(slowly, "one")
    second = elsewhere("two", "apply")
    _, said = second.communicate(timeout=30)
    assert second.returncode == 5, said
    assert "on one, since" in said
    first.kill()
    first.communicate()
    go_on.set()
    third = elsewhere("three", "apply")
    _, said = third.communicate(timeout=30)
    assert third.returncode == 0, said
    assert not holders(slowly)


def test_a_run_that_stood_still_and_lost_its_place_ends(slowly, go_on, elsewhere):
    first = elsewhere("one", "apply")
    begun(slowly, "one")
    (asleep,) = [
        int(place.name)
        for place in Path("/proc").glob("[0-9]*")
        if f"PPid:\t{first.pid}\n" in (place / "status").read_text(errors="replace")
    ]
    os.kill(asleep, signal.SIGSTOP)
    second = elsewhere("two", "apply")
    begun(slowly, "two")
    os.kill(asleep, signal.SIGCONT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 5, said
    assert "another one took its place" in said
    go_on.set()
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert set(slowly.files()) == {"A.zip", "B.zip"}


# -- claims ------------------------------------------------------------------------------------------------------------

CLAIM = """
import sys, threading
from pathlib import Path
from sedas_sync.model.scene import Download
from sedas_sync.transfer.job import FetchJob
from sedas_sync.workers import claim
from sedas_sync.workers.claim import WorkerLost, claimed
claim.PATIENCE = 0.5
job = FetchJob(id="A", download=Download(url="http://127.0.0.1/"), root=sys.argv[1], path="A.zip", partial="p")
try:
    with claimed(job, who="me", stop=threading.Event()):
        print("held", flush=True)
        input()
except WorkerLost as lost:
    print(lost, flush=True)
"""


def test_claims_hold_without_flock_too(tmp_path, without_flock):
    from sedas_sync.workers.claim import FOLDER, clear

    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", CLAIM, tmp_path], env={**os.environ, **without_flock}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    first = start()
    assert first.stdout.readline() == "held\n"
    second, _ = start().communicate(timeout=30)
    assert f"process {first.pid} on {socket.gethostname()}" in second
    assert "is still at work on it" in second
    assert clear(str(tmp_path))
    assert len(list(folder.glob("*.lock.alone-*"))) == 1, "who is at work keeps its claim"
    first.kill()
    first.communicate()
    third = start()
    assert third.stdout.readline() == "held\n"
    third.kill()
    third.communicate()
    clear(str(tmp_path))
    assert not list(folder.iterdir())


# -- no shared memory --------------------------------------------------------------------------------------------------


def mode(workspace):
    with sqlite3.connect(workspace.mirror / ".sedas-sync" / "index.db") as db:
        return db.execute("PRAGMA journal_mode").fetchone()[0]


@pytest.fixture
def without_mmap(lacking):
    return lacking(mmap=19)  # ENODEV


def test_a_mirror_without_shared_memory(slowly, go_on, without_mmap):
    """Runs, and looks beside them; elsewhere the index has its log again."""
    with slowly.start("apply", **without_mmap) as first:
        held(slowly, first)
        for command in ("status", "plan", "orders"):
            ran = slowly.run(command, **without_mmap)
            assert (ran.code, ran.err.count("damaged")) == (0, 0), ran.err
        go_on.set()
        assert first.wait(timeout=60) == 0
    assert mode(slowly) == "delete"
    assert slowly.run("status", "--json", **without_mmap).json["summary"]["held"] == 2
    assert slowly.run("apply", "--update-lock", **without_mmap).code == 0
    assert slowly.run("apply", "--locked", **without_mmap).code == 0
    assert slowly.run("apply").code == 0
    assert mode(slowly) == "wal"


@pytest.mark.parametrize("command", [("orders",), *effort([], [("plan",)]), ("apply", "--no-wait")])
def test_a_log_from_elsewhere_is_taken_over_without_shared_memory(workspace, sandbox, without_mmap, command):
    """A run was killed where there is shared memory: its orders are known where there is none, and placed once."""
    offer(sandbox, "L", online=False)
    sandbox.order_delay = 3600
    workspace.write(MAY)
    with workspace.start("apply") as first:
        wait_for(lambda: sandbox.orders and workspace.run("orders", "--json").json)
        first.kill()
    assert (workspace.mirror / ".sedas-sync" / "index.db-wal").stat().st_size
    assert workspace.run(*command, **without_mmap).code in (0, 3)
    assert len(workspace.run("orders", "--json", **without_mmap).json) == 1
    assert workspace.run("apply", "--no-wait", **without_mmap).code == 3
    assert sandbox.orders == 1


def test_a_mirror_without_any_locks_or_shared_memory(slowly, go_on, lacking):
    nothing = lacking(flock=38, fcntl=38, mmap=19)
    with slowly.start("apply", **nothing) as first:
        held(slowly, first)
        assert slowly.run("apply", **nothing).code == 5
        assert slowly.run("status", **nothing).code == 0
        go_on.set()
        assert first.wait(timeout=60) == 0
    assert slowly.run("apply", **nothing).code == 0
    assert mode(slowly) == "delete"
    assert slowly.run("verify").code == 0


def test_an_index_with_a_log_is_gone_on_with_where_nothing_is_locked(slowly, go_on, lacking):
    go_on.set()
    assert slowly.run("apply").code == 0
    assert mode(slowly) == "wal"
    assert slowly.run("apply", **lacking(flock=38, fcntl=38)).code == 0
    assert mode(slowly) == "delete"


def test_who_holds_a_mirror_may_take_a_moment_to_say_so(tmp_path):
    from sedas_sync.state.process_lock import _holder

    (tmp_path / ".sedas-sync").mkdir()
    with folder_of(tmp_path / ".sedas-sync") as folder:
        files, waited = HolderFiles(folder, "apply.lock", kernel=True), []

        def sleep(seconds):
            waited.append(seconds)
            if len(waited) == 2:
                files.write("apply.lock.flock-0", this_process(NOW))

        assert _holder(files, sleep).pid == os.getpid()
        files.remove("apply.lock.flock-0")
        waited.clear()
        assert _holder(files, waited.append) is None
        assert 0.4 < sum(waited) <= 0.5


def test_a_lock_is_held_once_in_one_process_too(tmp_path):
    (tmp_path / ".sedas-sync").mkdir()
    with lock(tmp_path, timeout=0.0, now=NOW):
        (file,) = (tmp_path / ".sedas-sync").glob("apply.lock.*")
        assert json.loads(file.read_text())["since"] == "2026-01-01T00:00:00+00:00"
        with pytest.raises(MirrorLocked, match="another thread of this process"), lock(tmp_path, timeout=0.0, now=NOW):
            pass
    assert [path.name for path in (tmp_path / ".sedas-sync").iterdir()] == ["apply.lock"]


def test_a_lock_whose_folder_was_removed_while_another_process_waited_is_not_held(tmp_path):
    """Two processes would have locks of two files: that which waited ends, and a later run makes the folder again."""
    state = tmp_path / ".sedas-sync"
    state.mkdir()
    waiting, ended = Event(), []

    def wait():
        try:
            with lock(tmp_path, timeout=60, now=NOW, on_wait=waiting.set):
                ended.append("locked")
        except MirrorLocked as error:
            ended.append(error)

    thread = Thread(target=wait)
    with lock(tmp_path, timeout=0, now=NOW, before_release=lambda: shutil.rmtree(state)):
        thread.start()
        assert waiting.wait(60)
    thread.join(60)
    assert isinstance(ended[0], MirrorLocked)
