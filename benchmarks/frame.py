"""What a workload is, and the list of all of them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from contenders import Sample
from servers import Nginx

MB = 1_000_000
MIB = 1 << 20
GIB = 1 << 30

Contender = Callable[[], Sample]


class SkippedError(Exception):
    """A workload cannot run on this machine; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """One row of the table: sedas-sync divided by another tool, or a figure of sedas-sync alone."""

    against: str
    ours: str
    """Name of the contender that is sedas-sync."""
    others: tuple[str, ...] = ()
    """The divisor is the best of these in each round; if empty, the figure is not divided."""
    reach: float = 0.0
    goal: float = 0.0
    measure: Callable[[Sample], float] = lambda sample: sample.seconds
    unit: str = "s"
    margin: str = ""
    """What the targets mean if they are not simple bounds."""


@dataclass(frozen=True)
class Prepared:
    """A workload that is ready to run."""

    contenders: Mapping[str, Contender]
    comparisons: tuple[Comparison, ...]
    bytes: int = 0
    """Bytes that one run downloads; 0 if that does not matter."""


@dataclass(frozen=True)
class Bench:
    """Where the workloads run, and how large they are."""

    folder: Path
    """In memory if the machine has enough."""
    disk: Path
    """For files that are too large for memory."""
    nginx: Nginx
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return the size for this run: `quick` for a smoke test."""
        return quick if self.quick else full

    def served(self, name: str) -> Path:
        """Return the folder of a workload that nginx serves."""
        return self.nginx.root / name


@dataclass(frozen=True)
class Workload:
    """A workload in the list."""

    name: str
    title: str
    prepare: Callable[[Bench], AbstractContextManager[Prepared]]
    rounds: int = 5
    """Default number of rounds."""
    tools: tuple[str, ...] = ()
    """Programs that it needs besides nginx and curl."""
    holds: str = ""
    """What its scenes hold, and what proves them."""


WORKLOADS: list[Workload] = []
HALF = "half stored, half deflated; CRC"
NONE = "nothing"


def workload(
    name: str, title: str, *, rounds: int = 5, tools: tuple[str, ...] = (), holds: str = HALF
) -> Callable[[Callable[[Bench], Iterator[Prepared]]], Callable[[Bench], Iterator[Prepared]]]:
    """Register a generator that prepares a workload."""

    def enter(prepare: Callable[[Bench], Iterator[Prepared]]) -> Callable[[Bench], Iterator[Prepared]]:
        WORKLOADS.append(Workload(name, title, contextmanager(prepare), rounds, tools, holds))
        return prepare

    return enter
