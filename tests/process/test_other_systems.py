"""Systems without the calls that only Linux has: they are taken away from the processes of the command."""

import signal

import pytest
from effort import effort

from sedas_sync.sandbox import RowCatalogue, make_row

SITE = """
import ctypes, errno, fcntl, os, sys
del os.sched_getaffinity
if os.environ["LACKING"] == "sendfile":
    del os.sendfile
else:
    def sendfile(*_):  # as of macOS, whose target has to be a socket
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
    os.sendfile = sendfile
class NoSuchCalls:
    def __init__(self, *_, **__): pass
ctypes.CDLL = NoSuchCalls
def ioctl(*_):
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
fcntl.ioctl = ioctl
for name in ("open", "readlink", "listdir", "stat"):
    def call(path, *more, _real=getattr(os, name), **options):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return _real(path, *more, **options)
    setattr(os, name, call)
def audit(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), arguments[0])
sys.addaudithook(audit)
"""
ONE = ["sendfile to files"]
EACH = ["sendfile", *ONE]
"""What is lacking: the call, or the kind of target that the copy of a scene is."""
MAY = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


@pytest.fixture(params=EACH)
def elsewhere(request, workspace, sandbox):
    """A workspace whose commands run on a system without what only Linux has."""
    (workspace.path / "site").mkdir()
    (workspace.path / "site" / "sitecustomize.py").write_text(SITE)
    workspace.env |= {"PYTHONPATH": str(workspace.path / "site"), "LACKING": request.param}
    sandbox._catalogue = RowCatalogue([make_row(name, f"2019-05-0{n}T11:16:33Z") for n, name in enumerate("ABC", 1)])
    workspace.write(MAY)
    return workspace.own_process


def test_a_mirror_is_filled_and_copied(elsewhere):
    assert elsewhere.run("apply").code == 0
    copy = f'version = 1\n[archive]\ntype = "directory"\npath = "scenes"\nlink = "copy"\n[mirror]\npath = "copy"\n{MAY}'
    (elsewhere.path / "copy.toml").write_text(copy + "[aoi.harwell]\nbbox = [-1.33, 51.56, -1.30, 51.59]\n")
    ran = elsewhere.run("apply", "copy.toml")
    assert ran.code == 0, ran.err
    assert {file.name: file.read_bytes() for file in (elsewhere.path / "copy").glob("*.zip")} == elsewhere.files()


@pytest.mark.parametrize("elsewhere", effort(ONE, EACH), indirect=True)
def test_a_mirror_is_exported_mended_and_verified(elsewhere):
    assert elsewhere.run("apply").code == 0
    for _ in range(2):
        (elsewhere.mirror / "A.zip").touch()
        ran = elsewhere.run("export", "--format", "stac")
        assert ran.code == 0, ran.err
        assert (elsewhere.path / "stac" / "catalog.json").exists()
        (elsewhere.mirror / "B.zip").unlink(missing_ok=True)
    assert elsewhere.run("apply").code == 0
    assert elsewhere.run("verify").code == 0


@pytest.mark.parametrize("elsewhere", effort(ONE, EACH), indirect=True)
def test_the_lock_names_its_holder_and_ends_with_it(elsewhere, go_on):
    first = elsewhere.start("apply")
    assert first.stderr.readline()
    second = elsewhere.run("apply", "--lock-timeout", "0")
    assert (second.code, str(first.pid) in second.err) == (5, True)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    go_on.set()
    ran = elsewhere.run("apply")
    assert ran.code == 0, ran.err
    assert not list((elsewhere.mirror / ".sedas-sync" / "partial").iterdir())
