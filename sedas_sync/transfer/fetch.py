"""Getting one scene's bytes: from a link to a checked file under its final name.

`fetch(Job) -> Got` takes and returns plain data, so it runs in a thread, in another process or on another
machine; it knows no archive and no index. The order of deeds is what makes a kill at any moment harmless:
bytes go to the part, are proved (length, digests, the zip), flushed, and then renamed. What happens to a
scene is decided here; how bytes come off a socket is in `wire`, what a part remembers in `partial`, several
connections for one scene in `segments`.

Tries: a try that fails for a reason that may pass is repeated `Policy.retries` times, after a pause that
doubles, or after the one the server asks for. A try that went on where the last one ended and got at least 1
MiB or 1 % of the scene further than any before makes the count begin anew: a link that drops every few
hundred megabytes delivers.
"""

import atexit
import errno
import os
import random
import re
import threading
import time
from dataclasses import replace
from typing import NoReturn

from sedas_sync import errors
from sedas_sync.errors import DISK_FULL
from sedas_sync.files.integrity import FileCheck, Proof, Proving, algorithm
from sedas_sync.model import scene
from sedas_sync.net import wire
from sedas_sync.transfer import answers as _headers
from sedas_sync.transfer import local_copy, ranges
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped
from sedas_sync.transfer.partial import Note, Partial, identity
from sedas_sync.transfer.prove import RELAYED, Follower, Relay
from sedas_sync.transfer.shared_state import SharedState

RETRY_AFTER_LIMIT = 3600.0
"""Seconds that a server may ask to wait; one that asks for more is not waited for."""

BUSY_LIMIT = 3600.0
"""Seconds that a download waits for its turn while others of the same account keep the service busy."""

_TOO_MANY = 429
_SESSIONS = re.compile(r"max session number (\d{1,4}) exceeded", re.IGNORECASE)
_BUSY = re.compile(rf"{_SESSIONS.pattern}|\bDAT-ZIP-100\b", re.IGNORECASE)
"""What the Copernicus Data Space answers to a connection too many (its FAQ, 2025-03; the code: CS-SI/eodag 2019)."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""What a file system answers that takes nothing more, whatever the scene."""
_PASSING = frozenset({408, 425, 429})
_LINK_REFUSED = frozenset({401, 403, 404, 409, 410, 422})
"""Not only the link may be over: by some of these a service says that a product has gone offline meanwhile."""
_TOKEN_REFUSED = frozenset({401, 403})
_REPORT_EVERY = 0.1
_FOLLOW_FROM = 8 << 20
_BODY_SHOWN = 200
_BODY_READ = 4096
_SECRET_LENGTH = 5
"""What is longer in a header may be a secret; the word `Token` is none."""

_ANEW_MOST = 2
_PAGES = frozenset({"text/html", "application/xhtml+xml", "application/json", "text/plain"})
_PAGE_NAMES = (".html", ".json", ".geojson", ".txt", ".csv", ".xml")


class _Again(Exception):
    """This try has failed, another may not."""

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        delay: float | None = None,
        relocate: bool = False,
        busy: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.delay = delay
        self.relocate = relocate
        self.busy = busy


class RemoteFileChanged(Exception):
    """What is here does not belong to what the server has now; it was thrown away."""


class _Damaged(Exception):
    """All bytes came, and they are not the scene."""

    def __init__(self, text: str, *, digest: bool) -> None:
        super().__init__(text)
        self.digest = digest


def connections_left(text: str) -> int:
    """How many connections a service says that it leaves an account; 0 where it says nothing of the kind."""
    match = _SESSIONS.search(text)
    return int(match[1]) if match else 0


def takes_nothing(root: str, error: OSError) -> errors.TransferError:
    """What to say where a file system takes nothing more, whatever the scene."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = DISK_FULL if full else f"nothing more can be written: {error.strerror}"
    return errors.TransferError(f"{root}: {reason}", fatal=True)


_own: dict[int, SharedState] = {}


def fetch(job: FetchJob, live: SharedState | None = None) -> FetchResult:
    """Fetch a scene, prove it and put it in its place.

    Blocks until that is done or cannot be done. Several calls may run at once, each with its own `partial`
    and `path`.

    Raises:
        Stopped: `live.stop` was set; the part is kept.
        TransferError: the bytes did not come. `relocate`: the link or token was refused, ask for a new one;
            `fatal`:
            the disk is full. The part is kept.
        IntegrityError: the bytes came and are not the scene; nothing is kept.
    """
    shared = live is not None
    live = live or _own_live()
    live.budget.take()
    try:
        if job.download.local is not None:
            return _bring(job, job.download.local, live)
        wire.split(job.download.url)
        return FetchRun(job, live).run()
    except wire.PermanentError as error:
        raise errors.TransferError(str(error)) from error
    except MemoryError as error:
        raise errors.TransferError(errors.TOO_LITTLE) from error
    except OSError as error:
        if error.errno in FULL:
            raise takes_nothing(job.root, error) from error
        raise errors.TransferError(f"{job.path}: {error.strerror or type(error).__name__}") from error
    finally:
        live.budget.give_back()
        if not shared:
            # Nobody says when the last of them has ended, and a folder that is open cannot be unmounted.
            live.folders.close()


def _bring(job: FetchJob, source: scene.LocalSource, live: SharedState) -> FetchResult:
    """Take a file of this machine."""
    began = live.clock()
    try:
        checked, found, copied, resumed = local_copy.bring(job, source, live)
    except InterruptedError as error:
        raise FetchStopped(f"{job.id}: stopped") from error
    return FetchResult(
        id=job.id,
        path=job.path,
        size=checked.size,
        mtime_ns=found.st_mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        received=copied,
        resumed_from=resumed,
        seconds=live.clock() - began,
        warnings=checked.warnings,
    )


def _own_live() -> SharedState:
    """What fetches share that were given nothing to share: the connections of this process."""
    live = _own.get(os.getpid())
    if live is None:
        live = _own.setdefault(os.getpid(), SharedState())
        atexit.register(live.close)
    return live


class FetchRun:
    """One call of `fetch`."""

    def __init__(self, job: FetchJob, live: SharedState) -> None:
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
        self._reach = job.download.widest_reach
        self._digest = job.download.digest.lower() if job.download.digest else None
        self._reported = 0.0
        self._anew = 0
        self._spoiled = 0
        self._seams_failed = False
        self._farthest = self._mark = 0
        self._follower: Follower | None = None
        self._relay: Relay | None = None
        self._relayed: list[memoryview] = []
        self._lock = threading.Lock()

    def run(self) -> FetchResult:
        """Do it."""
        self.part = Partial(self.job.root, self.job.partial, self.live.folders)
        try:
            self._resume_or_begin()
            checked = self._until_proved()
            return self._place(checked)
        except BaseException:
            self.part.keep()
            raise
        finally:
            self.live.report_pace(id(self), None)
            self.part.close()

    def _resume_or_begin(self) -> None:
        note = self.part.note
        if note is not None and not self._belongs(note):
            self.part.discard()
        self.resumed_from = self._farthest = self._mark = self.part.have
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
        # A scene put together from several answers is proved by its CRCs, whatever the policy: the seams are
        # what breaks.
        level: Proving = "crc" if self.responses else self.policy.integrity
        note = self.part.note
        self.proof = Proof(
            level=level,
            size=self.size or (note.total if note else None),
            digest=self._digest,
            filehash=self.policy.filehash,
            sha256=self.job.sha256,
            zipped=self.zipped,
            stopped=self.live.stop.is_set,
        )

    def throw_away(self) -> NoReturn:
        """Give up what is here: the server has something else now.

        Raises:
            Anew: always.
        """
        self._forget()
        raise RemoteFileChanged

    def _forget(self) -> None:
        self.part.discard()
        self.responses = 0
        self._new_proof()

    def begin(self, note: Note) -> None:
        """Begin at zero."""
        self.part.begin(note)
        if self.responses or self.proof.position:
            self.responses = 0
            self._new_proof()
        else:
            # A proof that has seen nothing is as good as a new one.
            self.proof.size = self.size or note.total

    # -- tries

    def _until_proved(self) -> FileCheck:
        failures = waits = 0
        patient_until = self.live.clock() + BUSY_LIMIT
        while True:
            if self.live.stop.is_set():
                raise FetchStopped(f"{self.job.id}: stopped")
            try:
                self._try()
                return self._prove()
            except InterruptedError as error:
                raise FetchStopped(f"{self.job.id}: stopped") from error
            except (_Again, wire.ConnectionFailed, RemoteFileChanged, _Damaged) as error:
                trouble = self._judge(error)
            if trouble is not None:
                if self._progressed():
                    failures = waits = 0
                    patient_until = self.live.clock() + BUSY_LIMIT
                asked = trouble.delay or 0.0
                if trouble.busy and self.live.clock() + asked < patient_until:
                    # Nothing is wrong with this download: it waits its turn.
                    waits += 1
                    self._wait(waits, trouble)
                else:
                    failures += 1
                    self._pause(failures, trouble)

    def _judge(self, error: Exception) -> _Again | None:
        """Say what a failed try means; None: begin again at once, which happens a few times at most.

        Raises:
            IntegrityError: the bytes have been wrong too often.
        """
        if isinstance(error, _Again):
            return error
        if isinstance(error, RemoteFileChanged):
            self._anew += 1
            return None if self._anew <= _ANEW_MOST else _Again("the file at the server keeps changing")
        if not isinstance(error, _Damaged):
            return _Again(str(error))
        seams = self.responses > 1
        self._forget()
        if seams and not self._seams_failed:
            self._seams_failed = True
            return None
        self._spoiled += 1
        if self._spoiled > (1 if error.digest else min(2, self.policy.retries)):
            raise errors.IntegrityError(f"what arrived is not the scene: {error}") from error
        if error.digest and not self.policy.retries:
            # Bytes that are not those that were pinned are owed one more try, whatever `retries` says.
            return None
        return _Again(f"what arrived is not the scene: {error}")

    def _progressed(self) -> bool:
        """Whether the tries since the last time this was so have got the scene further than ever before."""
        total = self.part.note.total if self.part.note else None
        self._farthest = max(self._farthest, self.part.have)
        enough = 1 << 20 if total is None else min(1 << 20, total // 100 + 1)
        if self._farthest - self._mark < enough:
            return False
        self._mark = self._farthest
        return True

    def _pause(self, failures: int, trouble: _Again) -> None:
        """Wait for the next try, or give up."""
        too_long = trouble.delay is not None and trouble.delay > RETRY_AFTER_LIMIT
        if failures > self.policy.retries or too_long:
            asked = f"; the server asks to wait {trouble.delay:.0f} s" if too_long else ""
            tries = f" (given up after {failures} tries)" if failures > 1 else ""
            raise errors.TransferError(
                f"{trouble}{tries}{asked}", status=trouble.status, retryable=True, relocate=trouble.relocate
            )
        self._wait(failures, trouble)

    def _wait(self, number: int, trouble: _Again) -> None:
        """Wait for the next try: as long as the server asks, else the longer the more tries came before."""
        if trouble.delay is not None:
            delay = trouble.delay
        else:
            jitter = random.uniform(1.0, 1.5)  # noqa: S311 - spreads tries, guards nothing
            delay = min(self.policy.backoff_max, self.policy.backoff * 2.0 ** min(number - 1, 30) * jitter)
        if self.live.on_retry is not None:
            self.live.on_retry(self.job.id, number, str(trouble), delay)
        if delay > 0:
            # While this scene sleeps, another may have its connection.
            self.live.budget.give_back()
            try:
                self.live.wait(delay)
            finally:
                self.live.budget.take()

    def _try(self) -> None:
        """Ask for what is missing and take it in."""
        if self.part.complete:
            return
        if self.part.scattered:
            self.responses += 1
            self._reproof_from_mixed()
            ranges.Split(self, None).run()
            return
        have = self.part.have
        response = self.ask(have)
        try:
            self._accept(response, have)
        except BaseException:
            response.connection.close()
            raise
        self.live.client.release(response)

    def ask(self, start: int, end: int | None = None) -> wire.Response:
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
            timer=self.patience(),
            trusted_hosts=self.job.download.trusted_hosts,
            reach=self._reach,
        )
        if response.status in (wire.OK, wire.PARTIAL, wire.UNSATISFIABLE):
            return response
        try:
            self._fail(response)
        finally:
            response.connection.close()

    def patience(self) -> wire.StallTimer:
        """A new measure of how long nothing may come."""
        return wire.StallTimer(self.policy.stall_timeout, self.live.stop)

    def _fail(self, response: wire.Response) -> NoReturn:
        status = response.status
        body = self._shown_body(response)
        text = f"HTTP {status}" + (f": {body}" if body else "")
        if response.withheld and status in _TOKEN_REFUSED:
            where = f"{text}; {response.origin} was asked without the token, since it is"
            raise errors.TransferError(f"{where} none of trusted_hosts", status=status)
        if status in _LINK_REFUSED or (status == wire.BAD_REQUEST and "token does not exist" in body.lower()):
            raise errors.TransferError(text, status=status, relocate=True)
        if status in _PASSING or status >= wire.SERVER_ERROR:
            busy = status == _TOO_MANY and bool(_BUSY.search(body))
            raise _Again(
                text + (self._fewer_connections(body) if busy else ""),
                status=status,
                delay=_headers.retry_after(response.headers.get("retry-after"), time.time()),
                busy=busy,
            )
        raise errors.TransferError(text, status=status)

    def _fewer_connections(self, body: str) -> str:
        """Go on with fewer connections where a service allows fewer than it did; says so.

        Only where all connections of this process are for that one service: which are others' is not known here.
        """
        allowed, usual, budget = connections_left(body), self.job.download.connections, self.live.budget
        if usual is None or not 0 < allowed < min(usual, budget.limit) or budget.limit > usual:
            return ""
        budget.limit = allowed
        return f"; the account is held to {allowed} of {usual} connections, as after its transfer quota is used up"

    def _shown_body(self, response: wire.Response) -> str:
        """The beginning of an error's body in one line, without what was sent as a secret."""
        try:
            body = wire.read_all(
                response, _BODY_READ, wire.StallTimer(min(5.0, self.policy.stall_timeout), self.live.stop)
            )
        except wire.ConnectionFailed:
            return ""
        return self._shown(body)

    def _shown(self, body: bytes) -> str:
        """What may be told of a body: its beginning in one line, without what was sent as a secret."""
        text = body.decode("utf-8", "replace")
        for value in self.job.download.headers.values():
            for secret in (value, *value.split()):
                if len(secret) > _SECRET_LENGTH:
                    text = text.replace(secret, "***")
        return _one_line(text)[:_BODY_SHOWN]

    # -- one answer

    def _accept(self, response: wire.Response, have: int) -> None:
        if response.status == wire.UNSATISFIABLE:
            self._nothing_more(response, have)
            return
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise _Again(f"the server sent the scene as {coding!a}, though it was asked not to")
        if response.status == wire.PARTIAL:
            total = self.check_range(response, have, None)
            note = self.part.note
            if note is not None and note.total is None and total is not None:
                self.part.amend(replace(note, total=total))
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

    def _nothing_more(self, response: wire.Response, have: int) -> None:
        total = response.headers.get("content-range", "").rpartition("*/")[2]
        note = self.part.note
        self.live.client.release(response, self.patience())
        if have and note is not None and total.isdigit() and int(total) == have and note.total in (None, have):
            self.part.amend(replace(note, total=have))
            self.proof.size = self.size or have
            return
        if not have:
            raise _Again("the server refused a range that was not asked for", status=wire.UNSATISFIABLE)
        self.throw_away()

    def check_range(self, response: wire.Response, start: int, end: int | None) -> int | None:
        """Make sure that an answer is exactly the range that was asked for, of the file that is here in part.

        Returns the length of the whole file where the server said it.

        Raises:
            Anew: it is not; the part was thrown away unless other connections write to it.
        """
        note = self.part.note
        found = _headers.parse_range(response.headers.get("content-range"))
        same = (
            note is not None
            and found is not None
            and found[0] == start
            and (end is None or found[1] == end)
            and (response.length is None or response.length == found[1] - found[0])
            and (found[2] is None or (found[2] == (note.total or found[2]) and found[1] <= found[2]))
            and (end is not None or found[2] is None or found[1] == found[2])
            and _headers.agree(note.etag, response.headers.get("etag"))
            and _headers.agree(note.modified, response.headers.get("last-modified"))
        )
        if not same or found is None:
            if self.part.scattered:
                raise RemoteFileChanged
            self.throw_away()
        return found[2]

    def _new_file(self, response: wire.Response) -> None:
        total = response.length
        if total == 0:
            raise _Again("the server sent nothing", relocate=True)
        if total is not None and self.size is not None and total != self.size:
            self._sniff_page(response)
            raise _Again(f"the server has {total} bytes, the catalogue states {self.size}")
        headers = response.headers
        etag = headers.get("etag") or None
        modified = headers.get("last-modified") or None
        self.begin(Note(self._identity, total, etag, modified, self._digest, _headers.validator(headers)))

    def _sniff_page(self, response: wire.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            raise self._page(kind, self._shown_body(response), response)

    def _page(self, kind: str, body: str, response: wire.Response) -> Exception:
        what = "a page of HTML" if "html" in kind or body.lstrip()[:1] == "<" else f"{kind or 'something else'}"
        text = f"the server sent {what} instead of the scene: {body[:120]}"
        refused = "token" in body.lower() and "exist" in body.lower()
        if response.redirected or refused:
            # A portal's page after a redirect is how some services say that the token is no longer good.
            return errors.TransferError(text, status=response.status, relocate=True)
        return _Again(text, status=response.status, relocate=True)

    def _sniff(self, response: wire.Response, view: memoryview) -> None:
        """Refuse what does not begin like a scene before a byte of it is written."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        begins = bytes(view[:15]).lower()
        if self.zipped:
            if b"pk\x03\x04".startswith(begins[:4]):
                return
        elif begins != b"<!doctype html>" and not (kind in _PAGES and not self.job.path.endswith(_PAGE_NAMES)):
            return
        raise self._page(kind, self._shown(bytes(view[:_BODY_READ])), response)

    def _stream(self, response: wire.Response) -> None:
        """Take in the body of an answer that continues what is here."""
        total = self.part.note.total if self.part.note else None
        live, patience = self.live, self.patience()
        lent = live.lend()
        size = live.reading(len(lent))
        meter = ranges.Meter(live.clock(), self.part.frontier)
        try:
            while not response.ended:
                self._assist(total)
                view = lent if self._relay is None else self._relay.buffer()
                count = self._read(response, view[:size], meter)
                if count is None:
                    patience.check()
                elif count:
                    patience.reset()
                    self._take_in(response, view[:count], total)
                if self.splittable and self._worth_splitting(response, total, meter):
                    self._work_alone()
                    ranges.Split(self, response).run()
                    return
        finally:
            self._work_alone()
            live.take_back(lent)
        if not self.part.frontier:
            raise _Again("the server sent nothing", relocate=True)

    def _read(self, response: wire.Response, view: memoryview, meter: ranges.Meter) -> int | None:
        clock = self.live.clock
        began, busy = clock(), time.thread_time()
        count = response.read_into(view)
        # What the kernel and TLS did with the bytes is no waiting for them.
        meter.waited(clock() - began - (time.thread_time() - busy))
        return count

    def _take_in(self, response: wire.Response, view: memoryview, total: int | None) -> None:
        position, count = self.part.frontier, len(view)
        if total is not None and position + count > total:
            raise _Damaged("more bytes came than were promised", digest=False)
        if not position:
            self._sniff(response, view)
        self.part.append(view, last=response.ended and not position)
        if self._relay is not None:
            self._relay.hand(count)
        elif self._follower is not None:
            self._follower.nudge()
        elif self.proof.position == position:
            self.proof.update(view)
        self.took(count)
        self.live.pay(count)
        if self.live.stop.is_set():
            raise InterruptedError

    def _assist(self, total: int | None) -> None:
        """Have threads of their own prove the bytes while processors are idle, or the beginning has to be read."""
        if self._follower is not None:
            return
        idle = self.live.budget.running * 2 <= ranges.PROCESSORS
        if self._relay is not None:
            if not idle:
                self._work_alone()
            return
        position = self.part.frontier
        if total is None or total - self.proof.position < _FOLLOW_FROM:
            return
        if self.proof.position != position:
            self._follower = Follower(self.part, self.proof)
            self._follower.nudge()
        elif idle and total - position >= _FOLLOW_FROM:
            self._relayed = [self.live.lend() for _ in range(RELAYED)]
            try:
                self._relay = Relay(self.proof, self._relayed)
            except RuntimeError:
                # The system gives no more threads.
                self.live.take_back(*self._relayed)
                self._follower = Follower(self.part, self.proof)

    def _work_alone(self) -> None:
        """End what runs beside; nothing that was handed over is left undone."""
        follower, self._follower = self._follower, None
        relay, self._relay = self._relay, None
        if follower is not None:
            follower.stop()
        if relay is not None:
            relay.stop()
            self.live.take_back(*self._relayed)

    def _worth_splitting(self, response: wire.Response, total: int | None, meter: ranges.Meter) -> bool:
        live, position = self.live, self.part.frontier
        pace = meter.pace(live.clock(), position)
        if pace is not None:
            live.report_pace(id(self), pace)
        if total is None or not position or total - position < 2 * ranges.BLOCK_MIN:
            return False
        if not self.policy.segments and (not live.spare or live.rate is not None):
            return False
        if response.headers.get("accept-ranges", "").strip().lower() != "bytes" and response.status != wire.PARTIAL:
            return False
        if self.policy.segments:
            return True
        response.connection.tick(ranges.MEASURE)
        return pace is not None and meter.slow(pace, live.pace, total - position)

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

    def _prove(self) -> FileCheck:
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

    def _place(self, checked: FileCheck) -> FetchResult:
        job, part = self.job, self.part
        part.flush()
        try:
            found = part.place(job.path, replace=job.replace)
        except FileExistsError as error:
            raise errors.TransferError(f"{job.path}: something has taken the scene's place meanwhile") from error
        self.live.flush_folder(job.root, job.path)
        return FetchResult(
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


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
