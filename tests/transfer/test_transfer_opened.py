"""Files that an archive opens itself, because they have no URL."""

import io
import threading

import pytest
from faultserver import download, make_zip

from sedas_sync import errors
from sedas_sync.model.scene import Download
from sedas_sync.transfer.job import FetchJob, FetchStopped, Policy
from sedas_sync.transfer.partial import partial_of

DATA = make_zip(12_000_000, entries=5)
PART = ".sedas-sync/partial/S.part"


class Stream(io.BytesIO):
    """A stream that meets faults: `cut` bytes come, then `then` is called."""

    def __init__(self, data, cut, then):
        super().__init__(data)
        self.cut, self.then = cut, then

    def read(self, most=-1):
        if self.cut is not None and self.tell() >= self.cut:
            self.then()
        return super().read(most)


class Source:
    """Opens `DATA`; `faults` are for the next openings, in order: None or the arguments of a `Stream`."""

    def __init__(self, *faults, data=DATA, seekable=True):
        self.faults, self.data, self.seekable = list(faults), data, seekable
        self.opened = []
        self.lock = threading.Lock()

    def __call__(self, start, length):
        with self.lock:
            self.opened.append((start, length))
            fault = self.faults.pop(0) if self.faults else None
        if start and not self.seekable:
            raise io.UnsupportedOperation("not seekable")
        end = None if length is None else start + length
        return Stream(self.data[start:end], *(fault or (None, None)))


def fails_with(error):
    def fail():
        raise error

    return fail


SIZE = len(DATA)


def job(source, root, *, size=SIZE, digest=None, **policy):
    return FetchJob(
        id="S",
        download=Download(url="tape://station/S", open=source, size=size, digest=digest),
        root=str(root),
        path="S.zip",
        partial=PART,
        product="S",
        policy=Policy(**{"backoff": 0.0, "stall_timeout": 20.0, "segments": 1, **policy}),
    )


@pytest.mark.parametrize("size", [len(DATA), None])
def test_file_is_read_once_and_proved(tmp_path, size):
    source = Source()
    got = download(job(source, tmp_path, size=size))
    assert (tmp_path / "S.zip").read_bytes() == DATA
    assert (got.size, got.received, got.level.value) == (len(DATA), len(DATA), "crc")
    assert source.opened == [(0, size)]


def test_several_streams_share_a_file(tmp_path):
    source = Source()
    download(job(source, tmp_path, segments=4), jobs=4)
    assert (tmp_path / "S.zip").read_bytes() == DATA
    assert len(source.opened) > 3
    assert all(start + length <= len(DATA) for start, length in source.opened)


def test_stream_that_breaks_is_opened_at_the_next_byte(tmp_path):
    source = Source((3_000_000, fails_with(OSError("the tape is jammed"))))
    seen = []
    download(job(source, tmp_path), on_retry=lambda *retry: seen.append(retry[2]))
    assert (tmp_path / "S.zip").read_bytes() == DATA
    (first, again) = source.opened
    assert again[0] > 0
    assert sum(again) == sum(first) == len(DATA)
    assert seen == ["the source failed: the tape is jammed"]


@pytest.mark.parametrize("segments", [1, 4])
def test_stream_that_cannot_seek_is_read_from_the_start_again(tmp_path, segments):
    source = Source((3_000_000, fails_with(OSError("broken"))), seekable=False)
    download(job(source, tmp_path, segments=segments), jobs=segments)
    assert (tmp_path / "S.zip").read_bytes() == DATA
    assert source.opened[-1] == (0, len(DATA))


def test_stop_ends_a_read_that_hangs_and_the_next_run_resumes(tmp_path):
    go_on, stop = threading.Event(), threading.Event()

    def hang():
        stop.set()
        go_on.wait(60)

    with pytest.raises(FetchStopped):
        download(job(Source((3_000_000, hang)), tmp_path), stop=stop)
    go_on.set()
    kept = partial_of(str(tmp_path), PART)
    assert 0 < kept.bytes < len(DATA)
    source = Source()
    got = download(job(source, tmp_path))
    assert got.resumed_from == kept.bytes
    assert source.opened == [(kept.bytes, len(DATA) - kept.bytes)]
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_stream_that_sends_nothing_has_failed(tmp_path):
    go_on = threading.Event()
    source = Source((0, lambda: go_on.wait(60)))
    download(job(source, tmp_path, stall_timeout=0.2))
    go_on.set()
    assert source.opened == [(0, len(DATA)), (0, len(DATA))]


@pytest.mark.parametrize(
    ("error", "relocate", "retried"),
    [
        (errors.ArchiveError("busy", retryable=True), False, True),
        (errors.ArchiveError("wait", status=429, retry_after=0.0), False, True),
        (TimeoutError("slow"), False, True),
        (errors.ArchiveError("expired", status=403), True, False),
        (errors.AuthenticationError("no"), True, False),
        (FileNotFoundError("gone"), True, False),
        (errors.ArchiveError("no such tape"), False, False),
        (ZeroDivisionError("boom"), False, False),
    ],
)
@pytest.mark.parametrize("when", ["open", "read"])
def test_errors_of_a_source(tmp_path, error, relocate, retried, when):
    opened = []

    def source(start, length):
        opened.append(start)
        if when == "open":
            raise error
        return Stream(DATA, 0, fails_with(error))

    with pytest.raises(errors.TransferError) as caught:
        download(job(source, tmp_path, retries=1))
    assert caught.value.relocate == relocate
    assert len(opened) == (2 if retried else 1)
    assert str(error) in str(caught.value)


def test_stream_that_is_too_short_is_no_scene(tmp_path):
    with pytest.raises(errors.TransferError, match="the source failed"):
        download(job(Source(data=DATA[:-1000]), tmp_path, retries=0))
    assert not (tmp_path / "S.zip").exists()


def test_damaged_bytes_are_no_scene(tmp_path):
    damaged = DATA[:5_000_000] + b"xx" + DATA[5_000_002:]
    with pytest.raises(errors.IntegrityError):
        download(job(Source(data=damaged), tmp_path, retries=1))
