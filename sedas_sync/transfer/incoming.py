"""The bytes of a download that are on disk, and the proof that follows them."""

import os
import threading
from typing import NoReturn

from msgspec.structs import replace

from sedas_sync import errors
from sedas_sync.files.integrity import FileCheck, Filehash, Proof, Proving, algorithm
from sedas_sync.model.file_kind import ZIP, ending_of, with_ending
from sedas_sync.net.connections import PARTIAL, UNSATISFIABLE, Answer
from sedas_sync.transfer import answers
from sedas_sync.transfer.attempts import AttemptFailed, DamagedFile, RemoteFileChanged
from sedas_sync.transfer.job import FetchJob
from sedas_sync.transfer.partial import Note, PartialFile, identity
from sedas_sync.transfer.shared_state import SharedState

_REPORT_EVERY = 0.1
"""Seconds."""


class IncomingFile:
    """A partial file with its proof. `resume` comes first.

    Raises:
        TransferError: The partial file or a folder above it is a symbolic link or not a file.
        OSError: The partial file cannot be opened.
    """

    partial: PartialFile
    proof: Proof

    def __init__(self, job: FetchJob, shared: SharedState) -> None:
        self._job = job
        self._shared = shared
        self._policy = job.policy
        self._stopped = shared.stop.is_set
        self._identity = identity(job.id, job.download.url)
        self._digest = job.download.digest.lower() if job.download.digest else None
        self.size = job.download.size or None
        """Size by the catalogue; None if it is unknown."""
        self.splittable = job.policy.segments != 1
        """Whether several connections may be used."""
        self.received = 0
        """Bytes of bodies, including bytes that were discarded."""
        self._reported = 0.0
        self._lock = threading.Lock()
        self.answers = 0
        """How many answers the bytes come from; those of an earlier call count as one."""
        self.partial = PartialFile(job.root, job.partial, shared.folders)

    @property
    def total(self) -> int | None:
        """Size by the server; None if it is unknown."""
        return self.partial.note.total if self.partial.note else None

    def resume(self) -> int:
        """Keep the bytes of an earlier call if they belong to this file, and return how many there are."""
        note = self.partial.note
        if note is not None and not self._belongs(note):
            self.partial.discard()
        downloaded = self.partial.downloaded
        self.answers = 1 if downloaded else 0
        self._restart_proof()
        return downloaded

    def _belongs(self, note: Note) -> bool:
        if note.identity != self._identity or note.digest != self._digest:
            return False
        packed = _ending(note.kind, self._job.path) == ZIP and ending_of(self._job.product).lower() not in ("", ZIP)
        if packed:
            self.size = None
        if self.size is not None and note.total not in (None, self.size):
            return False
        # Without a validator the server cannot compare, so something must prove the file in the end.
        return note.validator is not None or _ending(note.kind, self._job.path) == ZIP or self._has_checksum

    @property
    def _has_checksum(self) -> bool:
        usable = self._digest is not None and algorithm(self._digest) is not None
        return self._job.sha256 is not None or (usable and self._filehash == "enforce")

    @property
    def path(self) -> str:
        """The final path, relative to the root: with the ending of the file that arrived, if it is a whole product."""
        job, kind = self._job, self.partial.note.kind if self.partial.note else None
        return job.path if kind is None or not job.product else with_ending(job.path, kind)

    @property
    def _zipped(self) -> bool:
        return _ending(self.partial.note.kind if self.partial.note else None, self._job.path) == ZIP

    @property
    def _filehash(self) -> Filehash:
        # Nothing in a product that is one file proves it, and its checksum is that of the bytes that are sent.
        warned = self._policy.filehash == "warn" and self._job.product and not self._zipped
        return "enforce" if warned else self._policy.filehash

    def set_kind(self, kind: str | None) -> None:
        """Note the kind of the file, before its first bytes are written."""
        note = self.partial.note
        if note is None or note.kind == kind:
            return
        self.partial.amend(replace(note, kind=kind))
        self.proof.judge_as(zipped=self._zipped, filehash=self._filehash)

    def _restart_proof(self) -> None:
        # A file joined from several answers is proved by its CRCs, whatever the policy: joints are what breaks.
        level: Proving = "crc" if self.answers else self._policy.integrity
        self.proof = Proof(
            level=level,
            size=self.size or self.total,
            digest=self._digest,
            filehash=self._filehash,
            sha256=self._job.sha256,
            zipped=self._zipped,
            hashed=False,
            stopped=self._stopped,
        )

    def discard(self) -> None:
        """Discard all bytes."""
        self.partial.discard()
        self.answers = 0
        self._restart_proof()

    def discard_changed(self) -> NoReturn:
        """Discard all bytes, because the server has another file now.

        Raises:
            RemoteFileChanged: Always.
        """
        self.discard()
        raise RemoteFileChanged

    def accept(self, answer: Answer, start: int, requests: answers.FileRequests) -> bool:
        """Check that an answer continues the file or starts it again; return False if nothing is missing.

        Raises:
            AttemptFailed: It is something else.
            RemoteFileChanged: It belongs to another file.
        """
        if answer.status == UNSATISFIABLE:
            self._accept_end(answer, start)
            return False
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise AttemptFailed(f"the server sent the scene encoded as {coding!a}, which was not requested")
        # Some proxies answer with the range "all of it", even if none was requested.
        if answer.status == PARTIAL and (start or not answers.is_whole(answer)):
            total = self.check_range(answer, start, None)
            if self.total is None and total is not None:
                self._set_total(total)
            self.add_answer()
            return True
        if answer.length == 0:
            raise AttemptFailed("the server sent an empty body", relocate=True)
        if requests.is_packed(answer):
            self.size = None
        if answer.length is not None and self.size is not None and answer.length != self.size:
            requests.check_not_page(answer)
            raise AttemptFailed(f"the server has {answer.length} bytes, the catalogue states {self.size}")
        self._start(answer)
        return True

    def _accept_end(self, answer: Answer, start: int) -> None:
        """Accept the status 416 if all bytes are on disk."""
        note, downloaded = self.partial.note, self.partial.downloaded
        total = answer.headers.get("content-range", "").rpartition("*/")[2]
        known = downloaded and note is not None and total == str(downloaded)
        if known and note is not None and note.total in (None, downloaded):
            self._set_total(start)
            self.proof.size = self.size or start
        elif start:
            self.discard_changed()
        else:
            raise AttemptFailed("the server refused a range that was not requested", status=UNSATISFIABLE)

    def _start(self, answer: Answer) -> None:
        """Start at the first byte, with an answer that is the whole file."""
        headers = answer.headers
        note = Note(
            identity=self._identity,
            total=answer.length,
            etag=headers.get("etag") or None,
            modified=headers.get("last-modified") or None,
            digest=self._digest,
            validator=answers.validator(headers),
        )
        self.partial.start(note)
        if self.answers or self.proof.position:
            self.answers = 0
            self._restart_proof()
        else:
            self.proof.size = self.size or note.total
        self.answers = 1

    def add_answer(self) -> None:
        """Continue with another answer; the file is now proved by its CRCs."""
        self.answers += 1
        self.proof.size = self.size or self.total
        if self.proof.level != "crc":
            self._restart_proof()

    def _set_total(self, total: int) -> None:
        if self.partial.note is not None:
            self.partial.amend(replace(self.partial.note, total=total))

    def check_range(self, answer: Answer, start: int, end: int | None) -> int | None:
        """Check that an answer is exactly the requested range of the file on disk.

        Args:
            answer: The answer.
            start: First byte of the range.
            end: The byte after the last one; None for the rest of the file.

        Returns:
            Size of the whole file; None if the server does not state it.

        Raises:
            RemoteFileChanged: It is not. The bytes are discarded, unless other connections still write.
        """
        note = self.partial.note
        found = answers.parse_range(answer.headers.get("content-range"))
        same = (
            note is not None
            and found is not None
            and found[0] == start
            and (end is None or found[1] == end)
            and (answer.length is None or answer.length == found[1] - found[0])
            and (found[2] is None or (found[2] == (note.total or found[2]) and found[1] <= found[2]))
            and (end is not None or found[2] is None or found[1] == found[2])
            and answers.agree(note.etag, answer.headers.get("etag"))
            and answers.agree(note.modified, answer.headers.get("last-modified"))
        )
        if not same or found is None:
            if self.partial.has_gaps:
                raise RemoteFileChanged
            self.discard_changed()
        return found[2]

    def prove(self) -> FileCheck:
        """Prove the whole file.

        Raises:
            DamagedFile: It is not the scene.
            InterruptedError: The run stops.
        """
        file, end = self.partial.file, self.partial.contiguous
        try:
            self.proof.catch_up(file, end)
        except EOFError:
            raise DamagedFile("the partial file became shorter meanwhile", checksum=False) from None
        if os.fstat(file).st_size != end:
            raise DamagedFile("the partial file has another length than was written", checksum=False)
        checked = self.proof.finish(file)
        if checked.problems:
            raise DamagedFile("; ".join(checked.problems), checksum=checked.checksum_differs)
        return checked

    def count(self, received: int) -> None:
        """Count received bytes, and report them from time to time; any thread may call it."""
        shared = self._shared
        with self._lock:
            self.received += received
            if shared.on_bytes is None:
                return
            now = shared.clock()
            total, downloaded = self.total, self.partial.downloaded
            if now - self._reported < _REPORT_EVERY and downloaded != total:
                return
            self._reported = now
        shared.on_bytes(self._job.id, downloaded, total)

    def commit(self) -> os.stat_result:
        """Flush the file, and give it its final name.

        Raises:
            TransferError: There is another file.
        """
        job, path = self._job, self.path
        self.partial.flush()
        try:
            found = self.partial.commit(path, replace=job.replace)
        except FileExistsError as error:
            raise errors.TransferError(f"{path}: another file appeared at this path meanwhile") from error
        self._shared.flush_folder(job.root, path)
        return found


def _ending(kind: str | None, path: str) -> str:
    """Return the ending of a file whose kind is known or not, in lower case."""
    return (ZIP if kind is None and path.lower().endswith(ZIP) else kind or "").lower()
