"""The bytes of a download that are on disk, and the proof that follows them."""

import os
from dataclasses import replace
from typing import NoReturn

from sedas_sync.files.integrity import FileCheck, Filehash, Proof, Proving, algorithm
from sedas_sync.model.file_kind import ZIP, ending_of, with_ending
from sedas_sync.net import wire
from sedas_sync.transfer import answers
from sedas_sync.transfer.attempts import DamagedFile, RemoteFileChanged
from sedas_sync.transfer.job import FetchJob
from sedas_sync.transfer.partial import Note, PartialFile, identity
from sedas_sync.transfer.shared_state import SharedState


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
        self._policy = job.policy
        self._stopped = shared.stop.is_set
        self._identity = identity(job.id, job.download.url)
        self._digest = job.download.digest.lower() if job.download.digest else None
        self.size = job.download.size or None
        """Size by the catalogue; None if it is unknown."""
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

    def start(self, response: wire.Response) -> None:
        """Start at the first byte, with an answer that is the whole file."""
        headers = response.headers
        note = Note(
            identity=self._identity,
            total=response.length,
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

    def set_total(self, total: int) -> None:
        """Note the size of the file."""
        if self.partial.note is not None:
            self.partial.amend(replace(self.partial.note, total=total))

    def is_complete_at(self, total: str) -> bool:
        """Whether the bytes on disk are the whole file, if the server states this size."""
        note, downloaded = self.partial.note, self.partial.downloaded
        if not downloaded or note is None or not total.isdigit():
            return False
        return int(total) == downloaded and note.total in (None, downloaded)

    def check_range(self, response: wire.Response, start: int, end: int | None) -> int | None:
        """Check that an answer is exactly the requested range of the file on disk.

        Args:
            response: The answer.
            start: First byte of the range.
            end: The byte after the last one; None for the rest of the file.

        Returns:
            Size of the whole file; None if the server does not state it.

        Raises:
            RemoteFileChanged: It is not. The bytes are discarded, unless other connections still write.
        """
        note = self.partial.note
        found = answers.parse_range(response.headers.get("content-range"))
        same = (
            note is not None
            and found is not None
            and found[0] == start
            and (end is None or found[1] == end)
            and (response.length is None or response.length == found[1] - found[0])
            and (found[2] is None or (found[2] == (note.total or found[2]) and found[1] <= found[2]))
            and (end is not None or found[2] is None or found[1] == found[2])
            and answers.agree(note.etag, response.headers.get("etag"))
            and answers.agree(note.modified, response.headers.get("last-modified"))
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


def _ending(kind: str | None, path: str) -> str:
    """Return the ending of a file whose kind is known or not, in lower case."""
    return (ZIP if kind is None and path.lower().endswith(ZIP) else kind or "").lower()
