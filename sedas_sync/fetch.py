"""Getting one scene's bytes: from a link to a checked file under its final name.

`fetch(Job) -> Got` takes and returns plain data, so it runs in a thread, in another process or on another machine; it
knows no archive and no index. The order of deeds is what makes a kill at any moment harmless: bytes go to the part, are
proved (length, digests, the zip), flushed, and then renamed. What happens to a scene is decided here; how bytes
come off a socket is in `_wire`, what a part remembers in `_partial`, several connections for one scene in `_segments`.

Tries: a try that fails for a reason that may pass is repeated `Policy.retries` times, after a pause that doubles, or
after the one the server asks for. A try that went on where the last one ended and got at least 1 MiB or 1 % of the
scene further than any before makes the count begin anew: a link that drops every few hundred megabytes delivers.
"""

import email.utils
import errno
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from sedas_sync import _segments, _wire, errors, folder, model
from sedas_sync._partial import Note, Partial, Resumable, identity, partial_of
from sedas_sync._rate import Budget, Rate
from sedas_sync.integrity import Checked, Filehash, Proof, Proving, algorithm

__all__ = ["Got", "Job", "Live", "Policy", "Resumable", "Stopped", "fetch", "partial_of"]

RETRY_AFTER_LIMIT = 3600.0
"""Seconds that a server may ask to wait; one that asks for more is not waited for."""

_BUFFER = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_PASSING = frozenset({408, 425, 429})
_LINK_REFUSED = frozenset({401, 403, 404, 410})
_REPORT_EVERY = 0.1
_FOLLOW_FROM = 8 << 20
_BODY_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How hard to try, and what to believe."""

    retries: int = 5
    """Further tries after the first."""
    connect_timeout: float = 10.0
    """Seconds."""
    stall_timeout: float = 60.0
    """Seconds without a byte before a connection is given up."""
    segments: int | None = None
    """Connections one scene may be split over; None: as many as are left and help."""
    integrity: Proving = "crc"
    filehash: Filehash = "warn"
    backoff: float = 1.0
    """Seconds before the second try, doubled for each further one."""
    backoff_max: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One scene to fetch."""

    id: model.SceneId
    download: model.Download
    root: str
    """The mirror's folder, absolute."""
    path: str
    """Where the scene shall be, relative to the root. A name in `.zip` has to become a whole zip."""
    partial: str
    """Where its bytes go meanwhile, relative to the root, on the same file system."""
    policy: Policy = Policy()
    sha256: str | None = None
    """The digest that the lock demands."""
    replace: bool = False
    """Whether a file that has the path gives way; otherwise the fetch fails when it has come to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A scene that is in its place, flushed and proved."""

    id: model.SceneId
    path: str
    size: int
    mtime_ns: int
    sha256: str
    level: model.Level
    received: int
    """Bytes of bodies that came over the wire in this call, those that had to be thrown away included."""
    resumed_from: int
    """Bytes of an earlier call that were still good."""
    seconds: float
    warnings: tuple[str, ...] = ()
    etag: str | None = None


class Stopped(errors.TransferError):
    """The run was asked to stop; what has arrived is kept."""


class Live:
    """What the fetches of one process share. It cannot be pickled, and a fetch does without it if it must."""

    def __init__(
        self,
        *,
        jobs: int = 0,
        max_rate: float = 0.0,
        stop: threading.Event | None = None,
        on_bytes: Callable[[str, int, int | None], None] | None = None,
        on_retry: Callable[[str, int, str, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Set up what is shared.

        Args:
            jobs: connections that may run in all; a scene may have several while others have none. 0: one each.
            max_rate: bytes a second over all fetches; 0: no limit.
            stop: set by the caller to make all fetches end with `Stopped` within a fraction of a second.
            on_bytes: told scene, bytes here and bytes in all (None: unknown), from any thread, ten times a second at most.
            on_retry: told scene, number of the try that failed, why, and the seconds until the next.
            clock: monotonic seconds.
            wait: how to pause for so many seconds; the default ends when `stop` is set.
        """
        self.stop = stop or threading.Event()
        self.on_bytes = on_bytes
        self.on_retry = on_retry
        self.clock = clock
        self.wait = wait or self.stop.wait
        self.budget = Budget(jobs)
        self.rate = Rate(max_rate, clock) if max_rate else None
        self.client = _wire.Client()
        self._paces: dict[int, float] = {}
        self._flushed: dict[str, float] = {}
        self._unflushed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def spare(self) -> int:
        """How many more connections may be opened now."""
        return self.budget.spare

    @property
    def pace(self) -> float:
        """Bytes a second over all fetches, as measured over the last moments."""
        return sum(list(self._paces.values()))

    def close(self) -> None:
        """Flush what is still to be flushed and hang up; call it when the last fetch has ended."""
        with self._lock:
            waiting, self._unflushed = self._unflushed, {}
        for parent, path in waiting.items():
            root = parent.partition("\0")[0]
            with suppress(OSError, errors.TransferError):
                folder.sync(root, path)
        self.client.close()

    def pace_of(self, key: int) -> float:
        """Bytes a second of one fetch, as measured over the last moment; 0 where that is not known."""
        return self._paces.get(key, 0.0)

    def report_pace(self, key: int, pace: float | None) -> None:
        """Say how fast one fetch is; None when it has ended."""
        if pace is None:
            self._paces.pop(key, None)
        else:
            self._paces[key] = pace

    def pay(self, count: int) -> None:
        """Wait until `count` bytes fit under the rate."""
        if self.rate is not None and (delay := self.rate.pay(count)) > 0:
            self.wait(delay)

    def buffer(self) -> memoryview:
        """This thread's buffer, used by one fetch after the other."""
        view: memoryview | None = getattr(self._local, "buffer", None)
        if view is None:
            view = self._local.buffer = memoryview(bytearray(_BUFFER))
        return view

    def reading(self, size: int) -> int:
        """How much to read at once, so that a limited rate comes evenly."""
        if self.rate is None:
            return size
        return max(4096, min(size, int(self.rate.limit * 0.05)))

    def flush_folder(self, root: str, path: str) -> None:
        """See to it that a rename reaches the disk: at once, or with the others of the same second."""
        parent = f"{root}\0{path.rpartition('/')[0]}"
        now = self.clock()
        with self._lock:
            if now - self._flushed.get(parent, -2.0) < 1.0:
                self._unflushed[parent] = path
                return
            self._flushed[parent] = now
            self._unflushed.pop(parent, None)
        folder.sync(root, path)


class _Again(Exception):  # noqa: N818 - a decision
    """This try has failed, another may not."""

    def __init__(
        self, text: str, *, status: int | None = None, delay: float | None = None, relocate: bool = False
    ) -> None:
        super().__init__(text)
        self.status = status
        self.delay = delay
        self.relocate = relocate


class Anew(Exception):  # noqa: N818 - a decision
    """What is here does not belong to what the server has now; it was thrown away."""


class _Damaged(Exception):  # noqa: N818 - a decision
    """All bytes came, and they are not the scene."""

    def __init__(self, text: str, *, digest: bool) -> None:
        super().__init__(text)
        self.digest = digest


_own: dict[int, Live] = {}


def fetch(job: Job, live: Live | None = None) -> Got:
    """Fetch a scene, prove it and put it in its place.

    Blocks until that is done or cannot be done. Several calls may run at once, each with its own `partial` and `path`.

    Raises:
        Stopped: `live.stop` was set; the part is kept.
        TransferError: the bytes did not come. `relocate`: the link or token was refused, ask for a new one; `fatal`:
            the disk is full. The part is kept.
        IntegrityError: the bytes came and are not the scene; nothing is kept.
    """
    if live is None:
        live = _own.get(os.getpid()) or _own.setdefault(os.getpid(), Live())
    live.budget.take()
    try:
        return Run(job, live).run()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise errors.TransferError(f"{job.path}: {reason}", fatal=error.errno in _FULL) from error
    finally:
        live.budget.give_back()


class Run:
    """One call of `fetch`."""

    def __init__(self, job: Job, live: Live) -> None:
        self.job = job
        self.live = live
        self.policy = job.policy
        self.zipped = job.path.lower().endswith(".zip")
        self.size = job.download.size or None
        self.received = 0
        self.began = live.clock()
        self.resumed_from = 0
        self.part: Partial
        self.proof: Proof
        self.responses = 0
        """How many answers the part was put together from; an earlier call counts as one."""
        self.splittable = self.policy.segments != 1
        self._identity = identity(job.id, job.download.url)
        self._digest = job.download.digest.lower() if job.download.digest else None
        self._reported = 0.0
        self._lock = threading.Lock()

    def run(self) -> Got:
        """Do it."""
        self.part = Partial(self.job.root, self.job.partial)
        try:
            self._resume_or_begin()
            checked = self._until_proved()
            return self._place(checked)
        finally:
            self.live.report_pace(id(self), None)
            self.part.close()

    def _resume_or_begin(self) -> None:
        note = self.part.note
        if note is not None and not self._belongs(note):
            self.part.discard()
        self.resumed_from = self.part.have
        self.responses = 1 if self.resumed_from else 0
        self._new_proof()

    def _belongs(self, note: Note) -> bool:
        if note.identity != self._identity or note.digest != self._digest:
            return False
        if self.size is not None and note.total not in (None, self.size):
            return False
        # What no server can compare and nothing proves in the end must not be gone on with.
        return note.validator is not None or self.zipped or self._provable

    @property
    def _provable(self) -> bool:
        named = self._digest is not None and algorithm(self._digest) is not None
        return self.job.sha256 is not None or (named and self.policy.filehash == "enforce")

    def _new_proof(self) -> None:
        # A scene put together from several answers is proved by its CRCs, whatever the policy: the seams are what breaks.
        level: Proving = "crc" if self.responses else self.policy.integrity
        note = self.part.note
        self.proof = Proof(
            level=level,
            size=self.size or (note.total if note else None),
            digest=self._digest,
            filehash=self.policy.filehash,
            sha256=self.job.sha256,
            zipped=self.zipped,
        )

    def throw_away(self) -> NoReturn:
        """Give up what is here: the server has something else now.

        Raises:
            Anew: always.
        """
        self.part.discard()
        self.responses = 0
        self._new_proof()
        raise Anew

    def begin(self, note: Note) -> None:
        """Begin at zero."""
        self.part.begin(note)
        self.responses = 0
        self._new_proof()

    # -- tries

    def _until_proved(self) -> Checked:
        failures, farthest, mark = 0, self.part.have, self.part.have
        spoiled, anew, seams_tried = 0, 0, False
        while True:
            if self.live.stop.is_set():
                raise Stopped(f"{self.job.id}: stopped")
            try:
                self._try()
                return self._prove()
            except InterruptedError as error:
                raise Stopped(f"{self.job.id}: stopped") from error
            except Anew:
                anew += 1
                if anew <= 2:  # noqa: PLR2004 - a file that changes all the time is a failure like another
                    continue
                trouble = _Again("the file at the server keeps changing")
            except _wire.Refused as error:
                raise errors.TransferError(str(error)) from error
            except _wire.Broken as error:
                trouble = _Again(str(error))
            except _Again as error:
                trouble = error
            except _Damaged as error:
                mixed = self.responses > 1
                self.part.discard()
                self.responses = 0
                self._new_proof()
                if mixed and not seams_tried:
                    seams_tried = True
                    continue
                spoiled += 1
                if spoiled > (1 if error.digest else min(2, self.policy.retries)):
                    raise errors.IntegrityError(f"what arrived is not the scene: {error}") from error
                trouble = _Again(f"what arrived is not the scene: {error}")
            here = self.part.have
            total = self.part.note.total if self.part.note else None
            farthest = max(farthest, here)
            if farthest - mark >= min(1 << 20, (total or 1 << 62) // 100 + 1):
                failures, mark = 0, farthest
            failures += 1
            self._pause(failures, trouble)

    def _pause(self, failures: int, trouble: _Again) -> None:
        """Wait for the next try, or give up."""
        too_long = trouble.delay is not None and trouble.delay > RETRY_AFTER_LIMIT
        if failures > self.policy.retries or too_long:
            asked = f"; the server asks to wait {trouble.delay:.0f} s" if too_long else ""
            tries = f" (given up after {failures} tries)" if failures > 1 else ""
            raise errors.TransferError(
                f"{trouble}{tries}{asked}", status=trouble.status, retryable=True, relocate=trouble.relocate
            )
        if trouble.delay is not None:
            delay = trouble.delay
        else:
            jitter = random.uniform(1.0, 1.5)  # noqa: S311 - spreads tries, guards nothing
            delay = min(self.policy.backoff_max, self.policy.backoff * 2.0 ** min(failures - 1, 30) * jitter)
        if self.live.on_retry is not None:
            self.live.on_retry(self.job.id, failures, str(trouble), delay)
        if delay > 0:
            # A connection of our own that sleeps is one that another scene can use.
            self.live.wait(delay)

    def _try(self) -> None:
        """Ask for what is missing and take it in."""
        if self.part.complete:
            return
        if self.part.scattered:
            self.responses += 1
            self._reproof_from_mixed()
            _segments.Split(self, None).run()
            return
        have = self.part.have
        response = self.ask(have)
        try:
            self._accept(response, have)
        except BaseException:
            response.connection.close()
            raise
        self.live.client.release(response)

    def ask(self, start: int, end: int | None = None) -> _wire.Response:
        """Send one request, for the bytes from `start` (to `end`, excluded); what is no success is raised.

        Raises:
            _Again: a status that may pass.
            TransferError: one that will not.
        """
        extra: dict[str, str] = {}
        note = self.part.note
        if start or end is not None:
            extra["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if note is not None and note.validator:
                extra["If-Range"] = note.validator
        response = self.live.client.get(
            self.job.download.url,
            headers=self.job.download.headers,
            extra=extra,
            connect_timeout=self.policy.connect_timeout,
            patience=self.patience(),
        )
        if response.status in (200, 206, 416):
            return response
        try:
            self._fail(response)
        finally:
            response.connection.close()

    def patience(self) -> _wire.Patience:
        """A new measure of how long nothing may come."""
        return _wire.Patience(self.policy.stall_timeout, self.live.stop)

    def _fail(self, response: _wire.Response) -> NoReturn:
        status = response.status
        body = self._shown_body(response)
        text = f"HTTP {status}" + (f": {body}" if body else "")
        if status in _LINK_REFUSED or (status == 400 and "token does not exist" in body.lower()):  # noqa: PLR2004
            raise errors.TransferError(text, status=status, relocate=True)
        if status in _PASSING or status >= 500:  # noqa: PLR2004 - the server's own trouble
            raise _Again(
                text, status=status, delay=retry_after(response.headers.get("retry-after"), time.time())
            )
        raise errors.TransferError(text, status=status)

    def _shown_body(self, response: _wire.Response) -> str:
        """The beginning of an error's body in one line, without what was sent as a secret."""
        try:
            body = _wire.read_all(
                response, 4096, _wire.Patience(min(5.0, self.policy.stall_timeout), self.live.stop)
            )
        except _wire.Broken:
            return ""
        text = body.decode("utf-8", "replace")
        for value in self.job.download.headers.values():
            for secret in (value, *value.split()):
                if len(secret) > 5:  # noqa: PLR2004 - the word "Token" is no secret
                    text = text.replace(secret, "***")
        text = "".join(sign if sign.isprintable() else " " for sign in text)
        return " ".join(text.split())[:_BODY_SHOWN]

    # -- one answer

    def _accept(self, response: _wire.Response, have: int) -> None:
        if response.status == 416:  # noqa: PLR2004 - an HTTP status
            self._nothing_more(response, have)
            return
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise _Again(f"the server sent the scene as {coding!a}, though it was asked not to")
        if response.status == 206:  # noqa: PLR2004 - an HTTP status
            total = self.check_range(response, have, None)
            note = self.part.note
            assert note is not None  # noqa: S101 - a range is asked for only where there is one
            if note.total is None and total is not None:
                self.part.amend(
                    Note(note.identity, total, note.etag, note.modified, note.digest, note.validator)
                )
            self.responses += 1
            self._reproof_from_mixed()
        else:
            self._new_file(response)
            self.responses = 1
        self._stream(response)

    def _reproof_from_mixed(self) -> None:
        """Take up the proof again; after a seam it has to be one of CRCs."""
        note = self.part.note
        self.proof.size = self.size or (note.total if note else None)
        if self.proof.level != "crc":
            self._new_proof()

    def _nothing_more(self, response: _wire.Response, have: int) -> None:
        total = response.headers.get("content-range", "").rpartition("*/")[2]
        note = self.part.note
        self.live.client.release(response, self.patience())
        if (
            have
            and note is not None
            and total.isdigit()
            and int(total) == have
            and note.total in (None, have)
        ):
            self.part.amend(Note(note.identity, have, note.etag, note.modified, note.digest, note.validator))
            self.proof.size = self.size or have
            return
        if not have:
            raise _Again("the server refused a range that was not asked for", status=416)
        self.throw_away()

    def check_range(self, response: _wire.Response, start: int, end: int | None) -> int | None:
        """Make sure that an answer is exactly the range that was asked for, of the file that is here in part.

        Returns the length of the whole file where the server said it.

        Raises:
            Anew: it is not; the part was thrown away unless other connections write to it.
        """
        note = self.part.note
        found = parse_range(response.headers.get("content-range"))
        same = (
            note is not None
            and found is not None
            and found[0] == start
            and (end is None or found[1] == end)
            and (response.length is None or response.length == found[1] - found[0])
            and (found[2] is None or (found[2] == (note.total or found[2]) and found[1] <= found[2]))
            and (end is not None or found[2] is None or found[1] == found[2])
            and _agree(note.etag, response.headers.get("etag"))
            and _agree(note.modified, response.headers.get("last-modified"))
        )
        if not same or found is None:
            if self.part.scattered:
                raise Anew
            self.throw_away()
        return found[2]

    def _new_file(self, response: _wire.Response) -> None:
        total = response.length
        if total == 0:
            raise _Again("the server sent nothing", relocate=True)
        if total is not None and self.size is not None and total != self.size:
            self._sniff_page(response)
            raise _Again(f"the server has {total} bytes, the catalogue states {self.size}")
        headers = response.headers
        etag = headers.get("etag") or None
        modified = headers.get("last-modified") or None
        self.begin(Note(self._identity, total, etag, modified, self._digest, _validator(headers)))

    def _sniff_page(self, response: _wire.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/json", "text/plain", "application/xhtml+xml"):
            raise self._page(kind, self._shown_body(response), response)

    def _page(self, kind: str, body: str, response: _wire.Response) -> Exception:
        what = (
            "a page of HTML" if "html" in kind or body.lstrip()[:1] == "<" else f"{kind or 'something else'}"
        )
        text = f"the server sent {what} instead of the scene: {body[:120]}"
        refused = "token" in body.lower() and "exist" in body.lower()
        if response.redirected or refused:
            # A portal's page after a redirect is how some services say that the token is no longer good.
            return errors.TransferError(text, status=response.status, relocate=True)
        return _Again(text, status=response.status, relocate=True)

    def _sniff(self, response: _wire.Response, view: memoryview) -> None:
        """Refuse what does not begin like a scene before a byte of it is written."""
        begins = bytes(view[:4])
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.zipped:
            if b"PK\x03\x04".startswith(begins):
                return
        elif not (kind in ("text/html", "application/json") or begins[:1] == b"<"):
            return
        text = bytes(view[:_BODY_SHOWN]).decode("utf-8", "replace")
        shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        raise self._page(kind, shown, response)

    def _stream(self, response: _wire.Response) -> None:
        """Take in the body of an answer that continues what is here."""
        part, live, proof = self.part, self.live, self.proof
        note = part.note
        assert note is not None  # noqa: S101 - `begin` or a resume came first
        total = note.total
        patience = self.patience()
        position = part.frontier
        view = live.buffer()
        view = view[: live.reading(len(view))]
        meter = _segments.Meter(live.clock(), position)
        follower = self._follower(total, position)
        try:
            while not response.ended:
                count = response.read_into(view)
                if count is None:
                    patience.strain()
                elif count:
                    if total is not None and position + count > total:
                        raise _Damaged("more bytes came than were promised", digest=False)
                    if not position:
                        self._sniff(response, view)
                    part.append(view[:count], last=response.ended and not position)
                    position += count
                    if follower is not None:
                        follower.nudge()
                    elif proof.position == position - count:
                        proof.update(view[:count])
                    self.took(count)
                    patience.renew()
                    live.pay(count)
                    if live.stop.is_set():
                        raise InterruptedError
                if self.splittable and self._worth_splitting(response, total, position, meter):
                    if follower is not None:
                        follower.stop()
                        follower = None
                    _segments.Split(self, response).run()
                    return
        finally:
            if follower is not None:
                follower.stop()
        if total is None:
            self._ended_without_length(position)

    def _ended_without_length(self, position: int) -> None:
        """The body has ended in order and nobody said how long it would be: what is here is all there is."""
        if not position:
            raise _Again("the server sent nothing", relocate=True)

    def _follower(self, total: int | None, position: int) -> "_segments.Follower | None":
        """Digest in a thread of its own where a processor is idle, or where the beginning has to be read again."""
        if total is None or total - self.proof.position < _FOLLOW_FROM:
            return None
        if self.proof.position == position and self.live.budget.running * 2 > (os.cpu_count() or 1):
            return None
        return _segments.Follower(self.part, self.proof)

    def _worth_splitting(
        self, response: _wire.Response, total: int | None, position: int, meter: "_segments.Meter"
    ) -> bool:
        live = self.live
        pace = meter.pace(live.clock(), position)
        if pace is not None:
            live.report_pace(id(self), pace)
        if total is None or not position or total - position < 2 * _segments.BLOCK_MIN:
            return False
        if not self.policy.segments and (not live.spare or live.rate is not None):
            return False
        if response.headers.get("accept-ranges", "").strip().lower() != "bytes" and response.status != 206:  # noqa: PLR2004
            return False
        if self.policy.segments:
            return True
        response.connection.tick(_segments.MEASURE)
        return pace is not None and _segments.slow(pace, live.pace, total - position)

    def took(self, count: int) -> None:
        """Count bytes that came, and tell about it now and then."""
        with self._lock:
            self.received += count
            live = self.live
            if live.on_bytes is None:
                return
            now = live.clock()
            total = self.part.note.total if self.part.note else None
            here = self.part.have
            if now - self._reported < _REPORT_EVERY and here != total:
                return
            self._reported = now
        live.on_bytes(self.job.id, here, total)

    # -- the end

    def _prove(self) -> Checked:
        part = self.part
        end = part.frontier
        try:
            self.proof.catch_up(part.file, end)
        except EOFError:
            raise _Damaged("the part became shorter meanwhile", digest=False) from None
        if os.fstat(part.file).st_size != end:
            raise _Damaged("the part has another length than was written", digest=False)
        checked = self.proof.finish(part.file)
        if checked.problems:
            digest = any("states" in text or "the lock has" in text for text in checked.problems)
            raise _Damaged("; ".join(checked.problems), digest=digest)
        return checked

    def _place(self, checked: Checked) -> Got:
        job, part = self.job, self.part
        part.flush()
        try:
            found = folder.place(job.root, job.partial, job.path, replace=job.replace)
        except FileExistsError as error:
            raise errors.TransferError(
                f"{job.path}: something has taken the scene's place meanwhile"
            ) from error
        part.forget_note()
        self.live.flush_folder(job.root, job.path)
        return Got(
            id=job.id,
            path=job.path,
            size=checked.size,
            mtime_ns=found.st_mtime_ns,
            sha256=checked.sha256,
            level=checked.level,
            received=self.received,
            resumed_from=self.resumed_from,
            seconds=self.live.clock() - self.began,
            warnings=checked.warnings,
            etag=part.note.etag if part.note else None,
        )


def _validator(headers: dict[str, str]) -> str | None:
    """What can stand in `If-Range`: a strong ETag, or a date that is old enough to be strong (RFC 9110, 8.8.2.2)."""
    etag = headers.get("etag", "")
    if len(etag) > 2 and etag.startswith('"') and etag.endswith('"'):  # noqa: PLR2004 - more than the quotes
        return etag
    try:
        modified = email.utils.parsedate_to_datetime(headers["last-modified"])
        now = email.utils.parsedate_to_datetime(headers["date"])
        old = (now - modified).total_seconds() >= 60  # noqa: PLR2004 - the RFC's minute
    except (KeyError, ValueError, TypeError):
        return None
    return headers["last-modified"] if old and not etag else None


def _agree(noted: str | None, sent: str | None) -> bool:
    return noted is None or sent is None or noted == sent


def parse_range(value: str | None) -> tuple[int, int, int | None] | None:
    """Read a `Content-Range`: start, end (excluded), and the length of all; None where it makes no sense.

    >>> parse_range("bytes 5-9/20")
    (5, 10, 20)
    >>> parse_range("bytes */20") is None
    True
    """
    unit, _, rest = (value or "").strip().partition(" ")
    stretch, _, total = rest.partition("/")
    first, _, last = stretch.partition("-")
    if unit.lower() != "bytes" or not (first.isdigit() and last.isdigit()) or int(last) < int(first):
        return None
    if total == "*":
        return int(first), int(last) + 1, None
    return (int(first), int(last) + 1, int(total)) if total.isdigit() else None


def retry_after(value: str | None, now: float) -> float | None:
    """Read a `Retry-After`, seconds or a date; None where there is none that makes sense.

    Args:
        value: the header.
        now: the time as a Unix timestamp.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None
