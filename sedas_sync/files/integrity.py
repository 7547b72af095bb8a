"""What a file's bytes prove: length, digests and the zip within, all in one pass over them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import IO, Literal, Protocol, cast

from msgspec import Struct

from sedas_sync.files import safe_tree, zip_check
from sedas_sync.model.scene import ProofLevel

Proving = Literal["crc", "structure", "size"]
"""How much of a zip is proved: every entry's CRC, its directory, or nothing beyond the length."""

Filehash = Literal["warn", "enforce", "ignore"]
"""What it means that a file differs from the digest that the catalogue states."""

_ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_SLICE = 1 << 18
"""Small enough for what is read to be in the processor's cache when it is digested."""


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def algorithm(digest: str | None) -> str | None:
    """Name the algorithm of a digest: what stands before its colon, else what its length fits; None where none does.

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
    """Whether two digests say the same, however they are written.

    >>> same_digest("MD5:D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e")
    True
    """
    if one == other:
        return True
    name = algorithm(one)
    same = one.lower().rpartition(":")[2] == other.lower().rpartition(":")[2]
    return name is not None and name == algorithm(other) and same


def _hasher(name: str, hexdigest: str) -> _Hash | None:
    """Begin a digest of this algorithm, as long as `hexdigest`; None where it is not to be had."""
    size = len(hexdigest) // 2
    # Digests whose length is chosen: one of 16 bytes is another than the beginning of one of 64.
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
    """Begin a BLAKE3, with the extra `sedas-sync[blake3]`."""
    try:
        from blake3 import blake3  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return cast("_Hash", blake3())


class FileCheck(Struct, frozen=True, kw_only=True):
    """What is known of a file after it was read."""

    size: int
    sha256: str
    level: ProofLevel
    """How far its bytes are proved; of no meaning where there are problems."""
    problems: tuple[str, ...] = ()
    """Why it is not the scene; empty where nothing speaks against it."""
    warnings: tuple[str, ...] = ()
    checksum_differs: bool = False
    """Whether one of the problems is a checksum."""


class Digester:
    """A share of a proof that depends on no other: the digests are one, the CRCs of the zip another."""

    __slots__ = ("_updates", "position")

    def __init__(self, *updates: Callable[[memoryview], object]) -> None:
        self._updates = updates
        self.position = 0
        """How many bytes it has seen."""

    def update(self, view: memoryview) -> None:
        """Take in the next bytes; lets go of the interpreter for most of its work."""
        for update in self._updates:
            update(view)
        self.position += len(view)


class Proof:
    """Digests and CRCs of a file that comes by once, from its first byte to its last.

    Every lane has to see every byte, in order. Each may be fed by a thread of its own as long as nobody calls
    `update` or `catch_up` meanwhile; those may be called from any one thread at a time.
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
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin a proof.

        Args:
            level: how much of the zip to prove.
            size: the length that was promised.
            digest: the digest that the catalogue states.
            filehash: what a difference from that digest means.
            sha256: the digest that the lock demands.
            zipped: whether the file has to be a zip.
            stopped: asked while the file is read again; once it says so, that ends in `InterruptedError`.
        """
        self.level: Proving = level
        self.size = size
        self._digest = digest.lower() if digest and filehash != "ignore" else None
        self._filehash = filehash
        self._demanded = sha256.lower() if sha256 else None
        self._zipped = zipped
        self._stopped = stopped
        self._sha256: _Hash = hashlib.sha256()
        name = algorithm(self._digest)
        self._hexdigest = (self._digest or "").rpartition(":")[2]
        self._other: _Hash | None = None
        if name and name != "sha256":
            self._other = _hasher(name, self._hexdigest)
        self._stream = zip_check.Stream() if zipped and level == "crc" else None
        digests = [self._sha256.update] if self._other is None else [self._sha256.update, self._other.update]
        self.lanes: tuple[Digester, ...] = (Digester(*digests),)
        if self._stream is not None:
            self.lanes += (Digester(self._stream.update),)

    @property
    def position(self) -> int:
        """How many bytes every lane has seen."""
        return min([lane.position for lane in self.lanes])

    def update(self, view: memoryview) -> None:
        """Take in the next bytes; between calls all lanes are equally far."""
        for lane in self.lanes:
            lane.update(view)

    def catch_up(self, file: int, end: int) -> None:
        """Read what is missing up to `end` from the file.

        Raises:
            EOFError: the file is shorter.
            InterruptedError: `stopped` said so.
        """
        at = self.position
        if at >= end:
            return
        buffer = memoryview(bytearray(min(_SLICE, end - at)))
        while at < end:
            if self._stopped():
                raise InterruptedError
            count = os.preadv(file, [buffer[: end - at]], at)
            if not count:
                raise EOFError
            self.update(buffer[:count])
            at += count

    def finish(self, file: int) -> FileCheck:
        """Judge the whole file; reads again only those entries of the zip that could not be followed.

        Raises:
            InterruptedError: `stopped` said so.
        """
        size = self.position
        problems: list[str] = []
        warnings: list[str] = []
        sha256 = self._sha256.hexdigest()
        promised = self.size is not None and self.size == size
        if self.size is not None and not promised:
            problems.append(f"it has {size} bytes and should have {self.size}")
        before = len(problems)
        proved = self._digests(sha256, problems, warnings)
        differs = len(problems) > before
        level = ProofLevel.DIGEST if proved else ProofLevel.SIZE
        if self._zipped and not problems:
            level = self._judge_zip(file, level, promised, problems, warnings)
        elif not self._zipped and not proved and self.size is None:
            problems.append("neither its length nor a digest was given, so nothing proves it")
        return FileCheck(
            size=size,
            sha256=sha256,
            level=level,
            problems=tuple(problems),
            warnings=tuple(warnings),
            checksum_differs=differs,
        )

    def _digests(self, sha256: str, problems: list[str], warnings: list[str]) -> bool:
        proved = False
        if self._demanded is not None:
            if sha256 == self._demanded:
                proved = True
            else:
                problems.append(f"its sha256 is {sha256}, the lock has {self._demanded}")
        name = algorithm(self._digest)
        if name is not None:
            found = self._other.hexdigest() if self._other else sha256
            if found == self._hexdigest:
                proved = True
            else:
                told = f"its {name} is {found}, the catalogue states {self._hexdigest}"
                (problems if self._filehash == "enforce" else warnings).append(told)
        return proved

    def _judge_zip(
        self, file: int, level: ProofLevel, promised: bool, problems: list[str], warnings: list[str]
    ) -> ProofLevel:
        if self.level == "size" and (promised or level is ProofLevel.DIGEST):
            if os.pread(file, 4, 0) != zip_check.MAGIC:
                problems.append("it is no zip")
            return level
        crc = self.level == "crc"
        wrong, unproved = zip_check.problem(
            file,
            self.position,
            crc=crc,
            stream=self._stream,
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
    """Read a file once and say what its bytes prove.

    A file whose name ends in `.zip`, or that begins like a zip, has to be a whole zip.

    Args:
        path: the file; a symbolic link in its last place is not followed.
        root: the folder that `path` is relative to; no link below it is followed. The current one where None.
        level: how much of the zip to prove.
        size: the length it should have.
        digest: the digest that the catalogue states.
        filehash: what a difference from that digest means.
        sha256: the digest that the lock or the index has.
        stopped: asked now and then whether to end.

    Raises:
        OSError: the file cannot be read. `InterruptedError`: `stopped` said so.
        TransferError: a link is on the way below `root`.
    """
    if root is None:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    else:
        file = safe_tree.open_file(root, path, os.O_RDONLY)
    try:
        zipped = path.lower().endswith(".zip") or os.pread(file, 4, 0) == zip_check.MAGIC
        proof = Proof(
            level=level, size=size, digest=digest, filehash=filehash, sha256=sha256, zipped=zipped, stopped=stopped
        )
        proof.catch_up(file, os.fstat(file).st_size)
        return proof.finish(file)
    finally:
        os.close(file)


def zip_names(file: IO[bytes]) -> Iterator[str]:
    """The names of a zip's entries.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no whole zip.
    """
    for name in zip_check.names(file.fileno(), os.fstat(file.fileno()).st_size):
        yield name.decode("utf-8", "replace")


def zip_problem(file: IO[bytes], level: Proving) -> str | None:
    """Say what is wrong with a zip; None where nothing is, as far as `level` looks.

    Args:
        file: a file object that has a descriptor.
        level: `crc` proves every entry, `structure` the directory, `size` nothing but the first four bytes.

    Raises:
        OSError: the file cannot be read.
    """
    descriptor = file.fileno()
    if level == "size":
        return None if os.pread(descriptor, 4, 0) == zip_check.MAGIC else "it is no zip"
    return zip_check.problem(descriptor, os.fstat(descriptor).st_size, crc=level == "crc")[0]
