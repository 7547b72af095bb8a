"""Check a file in one pass over its bytes: length, checksums and the CRCs of a zip."""

import hashlib
import os
from collections.abc import Callable
from typing import Literal, Protocol, cast

from msgspec import Struct

from sedas_sync.errors import ManifestError
from sedas_sync.files import safe_tree, zip_check
from sedas_sync.files.extras import load_extra
from sedas_sync.files.zip_records import MAGIC
from sedas_sync.files.zip_stream import ZipStream, crc32
from sedas_sync.model.file_kind import ZIP
from sedas_sync.model.local import ProofLevel

Proving = Literal["crc", "structure", "size"]
"""How much of a zip is checked: every entry's CRC, its directory, or nothing but the length."""

Filehash = Literal["warn", "enforce", "ignore"]
"""What to do if a file's checksum differs from the catalogue's."""

_ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_SLICE = 1 << 18
"""Small enough that the bytes are in the processor's cache when they are hashed."""


class _Hash(Protocol):
    def update(self, data: memoryview | bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def algorithm(digest: str | None) -> str | None:
    """Return the algorithm of a checksum: its prefix before the colon, else by its length; None if it is unknown.

    >>> algorithm("d41d8cd98f00b204e9800998ecf8427e")
    'md5'
    >>> algorithm("sha3_256:" + 64 * "0")
    'sha3_256'
    >>> algorithm("n/a") is None
    True
    """
    name, _, hexdigest = (digest or "").lower().rpartition(":")
    if not hexdigest or set(hexdigest) - set("0123456789abcdef"):
        return None
    if not name:
        return _ALGORITHMS.get(len(hexdigest))
    made = _hasher(name, hexdigest)
    return name if made is not None and len(made.hexdigest()) == len(hexdigest) else None


def same_digest(one: str, other: str) -> bool:
    """Return whether two checksums are equal, however they are written.

    >>> same_digest("MD5:D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e")
    True
    """
    if one == other:
        return True
    name = algorithm(one)
    same = one.lower().rpartition(":")[2] == other.lower().rpartition(":")[2]
    return name is not None and name == algorithm(other) and same


def _hasher(name: str, hexdigest: str) -> _Hash | None:
    """Return a hash object of this algorithm, as long as `hexdigest`; None if it is not available."""
    size = len(hexdigest) // 2
    # Their length is a parameter: a checksum of 16 bytes is not the beginning of one of 64.
    if name == "blake2b":
        return hashlib.blake2b(digest_size=size) if 0 < size <= hashlib.blake2b.MAX_DIGEST_SIZE else None
    if name == "blake2s":
        return hashlib.blake2s(digest_size=size) if 0 < size <= hashlib.blake2s.MAX_DIGEST_SIZE else None
    if name == "blake3":
        return _blake3()
    if name not in hashlib.algorithms_available or name.startswith("shake"):
        return None
    return hashlib.new(name, usedforsecurity=False)


def _blake3() -> _Hash | None:
    """Return a BLAKE3 hash object; None without the extra `sedas-sync[blake3]`."""
    try:
        return cast("_Hash", load_extra("blake3", "blake3", "a BLAKE3 checksum").blake3())
    except ManifestError:
        return None


def crc32_of(root: str, path: str) -> int:
    """Return the CRC of a file below a folder, as a zip has it.

    Raises:
        OSError, TransferError: it cannot be read.
    """
    crc, file = 0, safe_tree.open_file(root, path, os.O_RDONLY)
    try:
        while data := os.read(file, _SLICE):
            crc = crc32(data, crc)
    finally:
        os.close(file)
    return crc


class FileCheck(Struct, frozen=True, kw_only=True):
    """The result of checking a file."""

    size: int
    sha256: str | None
    """None if the proof did not need it."""
    level: ProofLevel
    """How far its bytes are proved; without meaning if there are problems."""
    problems: tuple[str, ...] = ()
    """Why it is not the right file; empty if it is."""
    warnings: tuple[str, ...] = ()
    checksum_differs: bool = False
    """Whether one of the problems is a checksum."""


class Digester:
    """An independent part of a proof: the checksums are one, the CRCs of the zip another."""

    __slots__ = ("_updates", "position")

    def __init__(self, *updates: Callable[[memoryview | bytes], object]) -> None:
        self._updates = updates
        self.position = 0
        """Bytes that it has processed."""

    def update(self, data: memoryview | bytes) -> None:
        """Process the next bytes; releases the GIL for most of the work."""
        for update in self._updates:
            update(data)
        self.position += len(data)


def read_on(file: int, end: int, *digesters: Digester, stopped: Callable[[], bool] = lambda: False) -> None:
    """Feed digesters with the bytes of a file up to `end` that they have not processed.

    Raises:
        EOFError: The file is shorter.
        InterruptedError: `stopped` returned true.
    """
    buffer = memoryview(bytearray(max(0, min(_SLICE, end - min(digester.position for digester in digesters)))))
    while (at := min(digester.position for digester in digesters)) < end:
        if stopped():
            raise InterruptedError
        behind = [digester for digester in digesters if digester.position == at]
        until = min([end, *(digester.position for digester in digesters if digester.position > at)])
        count = os.preadv(file, [buffer[: until - at]], at)
        if not count:
            raise EOFError
        for digester in behind:
            digester.update(buffer[:count])


class Proof:
    """Checksums and CRCs of a file whose bytes arrive once, from the first to the last.

    Every digester must get every byte, in order. Each may run in a thread of its own while no other thread calls
    `update` or `catch_up`; these may be called from any thread, one at a time.
    """

    def __init__(
        self,
        *,
        level: Proving,
        size: int | None = None,
        digest: str | None = None,
        filehash: Filehash = "warn",
        sha256: str | None = None,
        zipped: bool = True,
        hashed: bool = True,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin a proof.

        Args:
            level: How much of the zip to check. If a checksum is enforced, `crc` reads no entry: the checksum proves
                every byte.
            size: The expected length.
            digest: The catalogue's checksum.
            filehash: What to do if the file's checksum differs from it.
            sha256: The lock file's checksum.
            zipped: Whether the file must be a zip.
            hashed: Whether to compute the SHA-256 also if there is nothing to compare it with and `level` is `size`.
            stopped: Asked while the file is read again; if it returns true, `InterruptedError` is raised.
        """
        self.level: Proving = level
        self.size = size
        self._digest = digest.lower() if digest and filehash != "ignore" else None
        self._filehash = filehash
        self._locked_sha256 = sha256.lower() if sha256 else None
        self._zipped = zipped
        self._hashed = hashed
        self._stopped = stopped
        self._begin()

    def _begin(self) -> None:
        self._passed = 0
        name = algorithm(self._digest)
        needed = self._hashed or self.level != "size" or self._locked_sha256 is not None or name is not None
        self._sha256: _Hash | None = hashlib.sha256() if needed else None
        self._hexdigest = (self._digest or "").rpartition(":")[2]
        self._other: _Hash | None = None
        if name and name != "sha256":
            self._other = _hasher(name, self._hexdigest)
        enforced = self._locked_sha256 is not None or (name is not None and self._filehash == "enforce")
        self._stream = ZipStream() if self._zipped and self.level == "crc" and not enforced else None
        digests = [made.update for made in (self._sha256, self._other) if made is not None]
        self.digesters: tuple[Digester, ...] = (Digester(*digests),) if digests else ()
        """None if only the length is to be checked."""
        if self._stream is not None:
            self.digesters += (Digester(self._stream.update),)

    def judge_as(self, *, zipped: bool, filehash: Filehash) -> None:
        """Change what the file must be and what its checksum counts, if that becomes known with its first bytes."""
        before = self._zipped, self._filehash
        self._zipped, self._filehash = zipped, filehash
        if before != (zipped, filehash) and not self.position:
            self._begin()

    @property
    def position(self) -> int:
        """Bytes that every digester has processed; without any, those that have passed."""
        return min([digester.position for digester in self.digesters], default=self._passed)

    def update(self, data: memoryview | bytes) -> None:
        """Process the next bytes with every digester."""
        for digester in self.digesters:
            digester.update(data)
        self._passed += len(data)

    def catch_up(self, file: int, end: int) -> None:
        """Read the bytes up to `end` that are missing from the file.

        Raises:
            EOFError: The file is shorter.
            InterruptedError: `stopped` returned true.
        """
        if self.digesters and self.position < end:
            read_on(file, end, *self.digesters, stopped=self._stopped)
        self._passed = end

    def finish(self, file: int) -> FileCheck:
        """Return the result for the whole file; read again only entries of the zip that could not be followed.

        Raises:
            InterruptedError: `stopped` returned true.
        """
        size = self.position
        problems: list[str] = []
        warnings: list[str] = []
        sha256 = None if self._sha256 is None else self._sha256.hexdigest()
        promised = self.size is not None and self.size == size
        if self.size is not None and not promised:
            problems.append(f"it has {size} bytes and should have {self.size}")
        before = len(problems)
        proved = self._digests(sha256, problems, warnings)
        differs = len(problems) > before
        level = ProofLevel.DIGEST if proved else ProofLevel.SIZE
        if self._zipped and not problems:
            level = self._judge_zip(file, level, promised, problems, warnings)
        elif self._zipped and differs and before == 0 and self.level == "crc":
            wrong, _ = zip_check.problem(
                file, self.position, crc=True, trailing_allowed=promised, stopped=self._stopped
            )
            problems.append(f"the zip is damaged: {wrong}" if wrong else "the CRCs in the zip are right")
        elif not self._zipped and not proved and self.size is None:
            problems.append("neither its length nor a checksum is known, so nothing proves it")
        return FileCheck(
            size=size,
            sha256=sha256,
            level=level,
            problems=tuple(problems),
            warnings=tuple(warnings),
            checksum_differs=differs,
        )

    def _digests(self, sha256: str | None, problems: list[str], warnings: list[str]) -> bool:
        proved = False
        if self._locked_sha256 is not None:
            if sha256 == self._locked_sha256:
                proved = True
            else:
                problems.append(f"its sha256 is {sha256}, the lock file has {self._locked_sha256}")
        name = algorithm(self._digest)
        if name is not None:
            found = self._other.hexdigest() if self._other else sha256
            if found == self._hexdigest:
                proved = True
            else:
                message = f"its {name} is {found}, the catalogue states {self._hexdigest}"
                (problems if self._filehash == "enforce" else warnings).append(message)
        return proved

    def _judge_zip(
        self, file: int, level: ProofLevel, promised: bool, problems: list[str], warnings: list[str]
    ) -> ProofLevel:
        if self.level == "size" and (promised or level is ProofLevel.DIGEST):
            if os.pread(file, 4, 0) != MAGIC:
                problems.append("it is not a zip file")
            return level
        # A checksum that matches proves the bytes; the directory shows whether they are a zip file at all.
        crc = self.level == "crc" and (self._stream is not None or level is not ProofLevel.DIGEST)
        wrong, unproved = zip_check.problem(
            file,
            self.position,
            crc=crc,
            stream=self._stream if crc else None,
            trailing_allowed=promised or level is ProofLevel.DIGEST,
            stopped=self._stopped,
        )
        warnings += unproved
        if wrong:
            problems.append(f"the zip is damaged: {wrong}")
        if level is ProofLevel.DIGEST:
            return level
        return (
            ProofLevel.CRC if crc and not any("cannot be proved" in text for text in unproved) else ProofLevel.STRUCTURE
        )


def check(
    path: str,
    *,
    root: str | None = None,
    level: Proving,
    size: int | None = None,
    digest: str | None = None,
    filehash: Filehash = "warn",
    sha256: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> FileCheck:
    """Read a file once and check it.

    A file whose name ends in `.zip`, or that begins like a zip, must be a whole zip.

    Args:
        path: The file; if it is a symbolic link, it is not followed.
        root: The folder that `path` is relative to, and below which no link is followed; the current folder if None.
        level: How much of the zip to check.
        size: The expected length.
        digest: The catalogue's checksum.
        filehash: What to do if the file's checksum differs from it.
        sha256: The checksum of the lock file or the index.
        stopped: Asked now and then whether to stop.

    Raises:
        OSError: The file cannot be read; `InterruptedError` if `stopped` returned true.
        TransferError: A component of the path below `root` is a link.
    """
    if root is None:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    else:
        file = safe_tree.open_file(root, path, os.O_RDONLY)
    try:
        zipped = path.lower().endswith(ZIP) or os.pread(file, 4, 0) == MAGIC
        proof = Proof(
            level=level, size=size, digest=digest, filehash=filehash, sha256=sha256, zipped=zipped, stopped=stopped
        )
        proof.catch_up(file, os.fstat(file).st_size)
        return proof.finish(file)
    finally:
        os.close(file)
