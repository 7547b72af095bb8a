"""How much a run may download, and how many files it may remove or replace without a confirmation."""

import re
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import ManifestError
from sedas_sync.model import units
from sedas_sync.model.events import Failure
from sedas_sync.model.plan import NEEDS_ARCHIVE, Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import size

Confirm = Callable[[int, int], bool | None]
"""Asked whether this many scenes may be removed or replaced, of this many on disk; None if nobody can be asked."""

_NOT_COUNTED = frozenset({ReasonCode.AGED, ReasonCode.LOST})
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_SMALL_MIRROR = 20
"""In a mirror of fewer scenes, no share of them needs a confirmation."""
_MANY_REPLACED = 0.2
"""The share of a mirror that may be replaced without a question."""


class PruneLimit(Struct, frozen=True):
    """How many files may be removed without a confirmation."""

    number: float = 10.0
    percent: bool = True
    """Whether `number` is a percentage of the files on disk."""
    least: int = 5
    """The limit if the percentage is less than this."""

    @classmethod
    def parse(cls, value: str | int | None) -> "PruneLimit":
        """Read `N` or `N%`, without a lower bound; None is the default, a tenth.

        Raises:
            ManifestError: The value is neither.
        """
        if value is None:
            return cls()
        match = _LIMIT.fullmatch(str(value).strip())
        if match is None or (not match[2] and "." in match[1]) or (match[2] and float(match[1]) > 100):  # noqa: PLR2004  # percent
            raise ManifestError(
                f"max-prune is {value!r}; it must be a number of files such as 20, or a share such as '10%'"
            )
        return cls(float(match[1]), percent=bool(match[2]), least=0)

    def files(self, on_disk: int) -> int:
        """Return the limit for a mirror with this many files."""
        return max(self.least, int(on_disk * self.number / 100)) if self.percent else int(self.number)


def download_limit(text: str) -> int:
    """Read the value of `--max-download` as bytes.

    Raises:
        ManifestError: The text is not a size.
    """
    try:
        return units.size(text)
    except ValueError as error:
        raise ManifestError(f"--max-download {text!r}: {error}") from None


def without_prunes(plan: Plan, why: str) -> Plan:
    """Return the plan without removals, with the reason as a warning."""
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if action.kind is not ActionKind.PRUNE),
        unwanted_downloads=(),
        unwanted_orders=(),
        warnings=(*plan.warnings, why),
    )


def limit_prunes(plan: Plan, limit: PruneLimit, on_disk: int, confirm: Confirm) -> Plan:
    """Return the plan if its removals are within the limit or confirmed, else a plan that removes fewer files.

    A scene that left because a relative date moved on does not count, and is removed anyway. Nor does one without a
    file. If nobody can be asked, the oldest of the others are removed, up to the limit. So a removal that is too large
    is not refused forever.

    Args:
        plan: The plan.
        limit: How many files may be removed without a confirmation.
        on_disk: How many scenes are on disk.
        confirm: Called if the plan removes more.
    """
    prunes = plan.by_kind[ActionKind.PRUNE]
    counted, allowed = _counted(prunes), limit.files(on_disk)
    announced = warn_of_removals(prunes, on_disk)
    # The warning was about the default limit; the question replaces it.
    plan = replace(plan, warnings=tuple(warning for warning in plan.warnings if warning not in announced))
    if len(counted) <= allowed:
        return plan
    answer = confirm(len(counted), on_disk)
    if answer:
        return plan
    left = set(counted if answer is False else counted[allowed:])
    only = "not confirmed: " if answer is False else f"only the oldest {allowed} may be removed: " if allowed else ""
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if action.id not in left),
        unwanted_downloads=(),
        refusals=(
            *plan.refusals,
            Failure(
                id=ActionKind.PRUNE.value,
                error=f"refused to remove {len(left)} of {on_disk} files; {only}{len(counted)} no longer match, and "
                f"the limit is {allowed} (--max-prune); review with `plan --prune`, then use --yes or raise the limit",
            ),
        ),
    )


def warn_of_removals(actions: Iterable[Action], on_disk: int) -> list[str]:
    """Return the warning of a plan whose removals `apply` will have confirmed; an empty list if it will not."""
    number, allowed = len(_counted(actions)), PruneLimit().files(on_disk)
    if number <= allowed:
        return []
    only = f"removes only the oldest {allowed}, unless --yes or --max-prune is given"
    text = f"{number} of {on_disk} files would be removed, and the limit is {allowed}"
    return [f"{text}: `apply --prune` asks first, and without a terminal {only}"]


def _counted(actions: Iterable[Action]) -> list[SceneId]:
    """Return the scenes whose removal counts for the limit, in order."""
    return [a.id for a in actions if a.kind is ActionKind.PRUNE and a.reason.code not in _NOT_COUNTED]


def too_large(plan: Plan, limit: int) -> str | None:
    """Return that a plan downloads more than the limit; None if it does not.

    Args:
        plan: The plan.
        limit: Bytes; 0 is no limit.
    """
    expected = plan.expected_bytes
    if not limit or expected <= limit:
        return None
    return f"{download_of(plan)} to download, more than max_download ({size(limit)})"


def download_of(plan: Plan) -> str:
    """Return how much a plan downloads, now and from orders; `~` marks an estimate."""
    stated = [action.size for action in plan.of(NEEDS_ARCHIVE)]
    return ("~" if None in stated else "") + size(plan.expected_bytes)


def check_download(plan: Plan, limit: int) -> None:
    """Check that a plan downloads no more than the limit.

    Raises:
        ManifestError: It does, or may do so: sizes that are not stated are estimated.
    """
    if what := too_large(plan, limit):
        raise ManifestError(
            f"{what}: nothing was done; narrow the datasets, choose some with --dataset, or raise the limit "
            "(`max_download` in [transfer], or --max-download)"
        )


def warn_of_replacements(actions: Iterable[Action], on_disk: int) -> list[str]:
    """Return the warning of a plan whose replacements `apply` will have confirmed; an empty list if it will not."""
    count = _too_many_replaced(actions, on_disk)
    return [f"{_many(count, on_disk)}: `apply` asks first, and without a terminal needs --yes"] if count else []


def limit_replacements(plan: Plan, on_disk: int, confirm: Confirm) -> Plan:
    """Return the plan if it replaces at most a fifth of a mirror or that is confirmed, else one that keeps the files.

    Args:
        plan: The plan.
        on_disk: How many scenes are on disk.
        confirm: Called if the plan replaces more.
    """
    count = _too_many_replaced(plan.actions, on_disk)
    if not count or confirm(count, on_disk):
        return plan
    announced = warn_of_replacements(plan.actions, on_disk)
    refusal = f"{_many(count, on_disk)}; none was replaced: review with `plan`, then confirm with --yes"
    return replace(
        plan,
        actions=tuple(_keep(action) if action.replaces else action for action in plan.actions),
        warnings=tuple(warning for warning in plan.warnings if warning not in announced),
        refusals=(*plan.refusals, Failure(id=ActionKind.REPLACE.value, error=refusal)),
    )


def _too_many_replaced(actions: Iterable[Action], on_disk: int) -> int:
    """Return how many intact scenes would be replaced if a confirmation is needed, else 0."""
    count = sum(action.replaces for action in actions)
    return count if on_disk >= _SMALL_MIRROR and count > on_disk * _MANY_REPLACED else 0


def _many(count: int, on_disk: int) -> str:
    return f"{count} of {on_disk} scenes would be replaced at once, more than {_MANY_REPLACED:.0%} of the mirror"


def _keep(action: Action) -> Action:
    local = action.local
    if local is None:
        return action
    return replace(
        action,
        kind=ActionKind.KEEP,
        path=local.path,
        size=local.size,
        reason=Reason(ReasonCode.NOT_CONFIRMED, cause=action.reason),
        order=None,
        replaces=False,
    )
