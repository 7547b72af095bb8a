"""A plan: one action and one reason for each scene."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, Self

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import IncompleteSearch
from sedas_sync.model import html
from sedas_sync.model.events import Failure
from sedas_sync.model.history import Departure
from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import Order
from sedas_sync.model.portable import Portable, cleaned
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import ArchiveIdentity, ArchiveKey, DesiredScene, SceneId
from sedas_sync.model.text import count, named, size


class ActionKind(StrEnum):
    """What to do about a scene.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            counts = mirror.plan().counts
            print(counts[ss.ActionKind.FETCH], counts[ss.ActionKind.ORDER])
    """

    KEEP = "keep"
    """It is on disk and stays as it is."""
    FETCH = "fetch"
    """Download it."""
    RESUME = "resume"
    """Continue its download."""
    ORDER = "order"
    """Order it from the long-term archive, and download it once it is there."""
    WAIT = "wait"
    """Wait for its order, or for an archive that takes no orders."""
    REPLACE = "replace"
    """Download it again: it is damaged, or not what the archive, the lock file or the selection of files states now."""
    ADOPT = "adopt"
    """Take an existing file into the index, move its file to another path, or unpack its zip."""
    PRUNE = "prune"
    """Remove its file."""
    SKIP = "skip"
    """Do nothing: the archive can never deliver it, or what is on disk cannot be read."""


CHANGES = frozenset(
    {ActionKind.FETCH, ActionKind.RESUME, ActionKind.ORDER, ActionKind.REPLACE, ActionKind.ADOPT, ActionKind.PRUNE}
)
"""Actions that change something: `plan --exit-code` returns 10 for them."""
TRANSFERS = frozenset({ActionKind.FETCH, ActionKind.RESUME, ActionKind.REPLACE})
"""Actions that download now."""
NEEDS_ARCHIVE = TRANSFERS | {ActionKind.ORDER, ActionKind.WAIT}
"""Actions whose scenes still have to come from an archive."""


class Action(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a plan does about one scene, and why.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            for action in mirror.plan().actions:
                print(action.kind, action.id, action.path, action.reason.code)
    """

    kind: ActionKind
    """What to do."""
    id: SceneId
    """The scene."""
    datasets: tuple[str, ...]
    """The datasets that it matches."""
    path: str
    """Its path, relative to the mirror."""
    size: int | None
    """Bytes; None if not known."""
    reason: Reason
    """Why; `reason_text` returns it as a text."""
    wanted: DesiredScene | None = None
    """None for a prune, and for a file that is kept although the catalogue no longer lists its scene."""
    local: LocalScene | None = None
    """The scene on disk."""
    order: Order | None = None
    """Its order in the long-term archive."""
    blocked: bool = False
    """Whether something that is not the scene is at its path, and is moved to `replaced/` first."""
    replaces: bool = False
    """Whether an intact local scene is replaced."""
    after: tuple[SceneId, ...] = ()
    """For a prune: the scenes that supersede this one and must be downloaded first."""

    @property
    def is_unreadable(self) -> bool:
        """Whether nothing is done because what is on disk cannot be read."""
        return self.reason.code is ReasonCode.UNREADABLE

    def without_secrets(self) -> "Action":
        """Return the action without links that may contain a secret."""
        want, local, order = self.wanted, self.local, self.order
        return replace(
            self,
            wanted=None if want is None else want.without_secrets(),
            local=None if local is None else _clean_facts(local),
            order=None if order is None else order.without_secrets(),
        )


class Plan(Portable, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """Everything that has to be done. `apply` carries out this object and nothing else.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            plan = mirror.plan(datasets="optical", sizes=True)
            plan.raise_if_incomplete()
            print(plan.changes, plan.bytes, plan.warnings)
            assert ss.Plan.from_json(plan.to_json()).changes == plan.changes
    """

    json_kind: ClassVar[str] = "plan"
    manifest: str
    """The manifest's file, as the user wrote it."""
    mirror: str
    """The folder."""
    archive: Mapping[str, str | None]
    """Type and URL of the first archive."""
    actions: tuple[Action, ...]
    """One for each scene."""
    search_complete: bool = True
    """Whether every search is complete."""
    failures: tuple[Failure, ...] = ()
    """Searches that failed or are incomplete, and named products that are in no archive."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""
    datasets: tuple[str, ...] = ()
    """The datasets that the plan is limited to; empty for all."""
    archives: Mapping[ArchiveKey, Mapping[str, str | None]] = {}  # a struct copies it for each instance
    """Type and URL of each archive by key, if the manifest has several."""
    refreshed: tuple[LocalScene, ...] = ()
    """Local scenes with the same bytes and another time or catalogue checksum: the index has to store them again."""
    polled: tuple[Order, ...] = ()
    """Orders as the archives reported them while planning."""
    identities: Mapping[ArchiveKey, ArchiveIdentity] = {}  # as above
    """`Archive.identity` of each archive that was opened, by key."""
    locked: bool = False
    """Whether its scenes are those of the lock file."""
    refusals: tuple[Failure, ...] = ()
    """Removals and replacements that were left out, so that the plan does less than the manifest requires. The id of
    each is the kind of action."""
    searched: Mapping[str, datetime] = {}  # as above
    """When the archives were asked for each dataset; before `made` if `recheck` spares a new search. Empty if the
    plan is not made by a search."""
    made: datetime | None = None
    """When the search of the plan began; None if the plan is not made by a search."""
    left: tuple[Departure, ...] = ()
    """Scenes that a dataset wanted at the last search and that none wants now."""
    unwanted_orders: tuple[SceneId, ...] = ()
    """Scenes that no longer match and have an order, which is forgotten with a prune."""
    unwanted_downloads: tuple[str, ...] = ()
    """Partial downloads of scenes that no longer match, relative to the mirror. They are removed with a prune."""
    typical_sizes: Mapping[str, int] = {}  # as above
    """Expected bytes of a scene by product type, of types for which an archive states no size."""

    @cached_property
    def by_kind(self) -> Mapping[ActionKind, Sequence[Action]]:
        """The actions of each kind, in order; of every kind, also if there are none."""
        found: dict[ActionKind, list[Action]] = {kind: [] for kind in ActionKind}
        for action in self.actions:
            found[action.kind].append(action)
        return found

    def of(self, kinds: Collection[ActionKind]) -> list[Action]:
        """Return the actions of some kinds, one kind after the other.

        Args:
            kinds: The kinds.
        """
        return [action for kind, actions in self.by_kind.items() if kind in kinds for action in actions]

    @property
    def failed(self) -> tuple[Failure, ...]:
        """Everything that makes the plan do less than the manifest requires."""
        return (*self.failures, *self.left_undone)

    @property
    def left_undone(self) -> tuple[Failure, ...]:
        """The refusals, and what cannot be read, by its path."""
        return (*self.refusals, *left_alone(action.reason for action in self.actions if action.is_unreadable))

    @property
    def not_asked(self) -> dict[str, float]:
        """The datasets for which the archives were not asked because of `recheck`, with the seconds since they were."""
        ages = {name: (self.made - asked).total_seconds() for name, asked in self.searched.items() if self.made}
        return {name: age for name, age in ages.items() if age > 0}

    @property
    def changes(self) -> int:
        """How many actions change something."""
        return sum(len(self.by_kind[kind]) for kind in CHANGES)

    @property
    def counts(self) -> dict[ActionKind, int]:
        """How many scenes each kind of action has, including zeros."""
        return {kind: len(actions) for kind, actions in self.by_kind.items()}

    @property
    def bytes(self) -> int | None:
        """How many bytes have to be downloaded now; None if a size is unknown."""
        return bytes_of(self.of(TRANSFERS))

    def expected_size(self, action: Action) -> int | None:
        """Return the size of a scene, or how large scenes of its type usually are; None if neither is known.

        Args:
            action: One of this plan.
        """
        if action.size is not None or action.wanted is None:
            return action.size
        return self.typical_sizes.get(action.wanted.scene.product_type or "")

    @property
    def billed(self) -> tuple[Action, ...]:
        """The actions whose transfers your account pays for, because the archive's `s3` has `requester_pays`."""
        return tuple(
            action
            for action in self.of(TRANSFERS)
            if action.wanted is not None and action.wanted.sources[0].scene.requester_pays
        )

    @property
    def expected_bytes(self) -> int:
        """About how many bytes have to be downloaded, now and from orders. Scenes of unknown size do not count."""
        return sum(self.expected_size(action) or 0 for action in self.of(NEEDS_ARCHIVE))

    def without_secrets(self) -> Self:
        """Return the plan without links that may contain a secret."""
        return replace(
            self,
            actions=tuple(action.without_secrets() for action in self.actions),
            refreshed=tuple(map(_clean_facts, self.refreshed)),
            polled=tuple(order.without_secrets() for order in self.polled),
        )

    def _repr_html_(self) -> str:
        """Return the plan for a notebook: a count for each action, and the actions that change something, folded."""
        counts = {kind.value: number for kind, number in self.counts.items() if number}
        changes = self.of(CHANGES)
        rows = ([a.kind.value, a.id, ", ".join(a.datasets), size(a.size), a.path] for a in changes)
        listed = html.table(["action", "scene", "datasets", "size", "path"], rows)
        problems = [*(f"{f.id}: {f.error}" for f in self.failures), *self.warnings]
        return "".join(
            [
                html.table(counts, [counts.values()]),
                html.paragraph(f"to download: {size(self.bytes)}"),
                html.listed("change", listed, len(changes)),
                html.listed("problem", "".join(map(html.paragraph, problems)), len(problems)),
            ]
        )

    def raise_if_incomplete(self) -> None:
        """Do nothing if every search is complete.

        Raises:
            IncompleteSearch: A search failed or may have missed scenes; the message has the error of each.
        """
        if not self.search_complete or self.failures:
            lines = "\n".join(f"{failure.id}: {failure.error}" for failure in self.failures)
            raise IncompleteSearch(f"the plan may lack scenes:\n{lines}")

    def source(self, action: Action) -> ArchiveKey | None:
        """Return the key of the archive that a scene comes from; None if it needs no archive or there is only one.

        Args:
            action: One of this plan.
        """
        if self.archives and action.wanted is not None and action.kind in NEEDS_ARCHIVE:
            return action.wanted.archive
        return None


def _clean_facts(local: LocalScene) -> LocalScene:
    return replace(local, facts=cleaned(local.facts, local.id))


def bytes_of(actions: Iterable[Action]) -> int | None:
    """Return the bytes of the scenes of some actions; None if a size is unknown."""
    sizes = [action.size for action in actions]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def left_alone(unreadable: Iterable[Reason]) -> Iterator[Failure]:
    """Yield a failure for each path that cannot be read, with the number of its scenes.

    Args:
        unreadable: The reason of each scene that cannot be read.
    """
    for why, number in Counter(unreadable).items():
        yield Failure(id=str(why.here), error=f"{why.detail}; {count(number, 'scene')} left alone")


def kept_until(ids: Sequence[SceneId]) -> str:
    """Return that the file of a superseded scene is kept until these scenes are downloaded."""
    return f"kept until {named(ids)} {'is' if len(ids) == 1 else 'are'} downloaded"
