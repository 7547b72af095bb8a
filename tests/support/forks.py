"""Processes that run the command without a start of Python: they are forked from one that has imported the package.

A start and its imports take 0.4 s of a processor; a fork takes a few milliseconds. All else is as in any process:
its number, signals, streams, terminal and exit code.
"""

import atexit
import fcntl
import functools
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

_COMMANDS = "adopt apply changes export history init lock orders plan report search status validate verify why"
_IMPORTED = [
    "sedas_sync.cli.main",
    *(f"sedas_sync.cli.commands.{name}" for name in _COMMANDS.split()),
    *(f"sedas_sync.operations.apply.{name}" for name in ("plan_runner", "run")),
    "sedas_sync.archives.sedas.archive",
    "sedas_sync.transfer.fetch",
]
"""What a command imports as it starts, or soon after."""
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link"}


def needs_start(environment):
    """Return whether Python or a library reads these variables when it starts."""
    return any(
        name.startswith(("PYTHON", "TQDM_")) and value != os.environ.get(name) for name, value in environment.items()
    )


class Forked(subprocess.Popen):
    """A command of the package in a forked process.

    Args:
        arguments: those of the command.
        env: its whole environment. `LD_PRELOAD` is heeded; `KILL_AT` kills it at its nth change of the file system.
        terminal: whether its standard input becomes its terminal, in a session of its own.
        user: the numbers of the user and the group that it becomes, and its umask.
        deed: Python to run instead of the command.
        options: those of `subprocess.Popen` about streams and the folder.
    """

    def __init__(self, arguments, *, env, terminal=False, user=None, deed=None, **options):
        self._order = {"terminal": terminal, "user": user, "deed": deed}
        super().__init__([*map(str, arguments)], env=env, **options)

    def _execute_child(self, args, executable, preexec, close, keep, cwd, env, startup, flags, shell, *rest):
        ends = rest[:6]
        theirs = [inherited if end == -1 else end for inherited, end in enumerate((ends[0], ends[3], ends[5]))]
        self._report, report = os.pipe()
        order = {"arguments": args, "folder": os.fspath(cwd or "."), "environment": env, **self._order}
        forker = _forker(env.get("LD_PRELOAD", ""), everything=bool(order["user"]))
        socket.send_fds(forker, [json.dumps(order).encode()], [*theirs, report])
        os.close(report)
        self.pid = int(self._read_report())
        self._child_created = True
        self._close_pipe_fds(*ends)

    def _read_report(self):
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self._report, 1)
            assert part, "the process that forks has ended"
            line += part
        return line

    def _try_wait(self, flags):
        if flags & os.WNOHANG and not select.select([self._report], [], [], 0)[0]:
            return 0, 0
        return self.pid, int(self._read_report())

    def _internal_poll(self, *_, **__):
        if self.returncode is None:
            ended, status = self._try_wait(os.WNOHANG)
            if ended:
                self._handle_exitstatus(status)
        return self.returncode

    def _handle_exitstatus(self, status):
        os.close(self._report)
        super()._handle_exitstatus(status)


@functools.cache
def _forker(preloaded, *, everything):
    """Start the process that forks; it ends with this one.

    Another user may not be able to read what Python is installed in: then everything is imported before.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "LD_PRELOAD": preloaded}
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno()), str(int(everything))], pass_fds=[theirs.fileno()],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()

    def end():
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


def _fork_at_orders(orders):
    """Fork a process for each order, and report its number and exit status; return its order in the forked process."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reports = {}
    while True:
        ready, _, _ = select.select([orders, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            with suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    _put(report := reports.pop(ended[0]), ended[1])
                    os.close(report)
        if orders not in ready:
            continue
        message, streams, _, _ = socket.recv_fds(orders, 1 << 20, 4)
        if not message:
            sys.exit()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return json.loads(message), streams[:3]
        reports[pid] = streams.pop()
        _put(reports[pid], pid)
        for stream in streams:
            os.close(stream)


def _put(report, number):
    with suppress(BrokenPipeError):
        os.write(report, b"%d\n" % number)


def _become(order, streams):
    """Be the process of this order, as if Python had just started."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    if order["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(order["folder"])
    if order["user"]:
        uid, gid, umask = order["user"]
        os.setgroups([]), os.setgid(gid), os.setuid(uid), os.umask(umask)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.path[0] = str(Path.cwd())
    sys.argv[1:] = order["arguments"]
    if moment := os.environ.get("KILL_AT"):
        _kill_at(int(moment))
    try:
        if order["deed"]:
            exec(order["deed"], {"__name__": "__main__"})
        else:
            runpy.run_module("sedas_sync", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code or 0
    else:
        code = 0
    # What Python does at its end, but for the deletion of each module, which takes longer than most commands.
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush(), sys.stderr.flush()
    except OSError:
        code = 120
    os._exit(code)


def _kill_at(moment):
    def on(event, _):
        nonlocal moment
        if event in _CHANGES:
            moment -= 1
            if moment == 0:
                os._exit(137)

    sys.addaudithook(on)


def _import(*, everything):
    for module in _IMPORTED:
        import_module(module)
    if not everything:
        return
    for module in ("_strptime", "encodings.ascii", "encodings.cp437", "encodings.idna", "pickle", "pwd", "zipfile"):
        import_module(module)
    import sedas_sync

    for module in pkgutil.walk_packages(sedas_sync.__path__, "sedas_sync."):
        # eodag and GDAL take as long as everything else and are not used.
        unused = module.name.endswith(("__main__", ".gdal", ".geoparquet"))
        if not unused and ".eodag." not in module.name.replace(".eodag.kind", ""):
            import_module(module.name)


if __name__ == "__main__":
    _import(everything=sys.argv[2] == "1")
    gc.collect()
    gc.freeze()
    _become(*_fork_at_orders(socket.socket(fileno=int(sys.argv[1]))))
