"""A plan as text: scenes by dataset, action and reason, the totals, and the command to run next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from msgspec import Struct

from sedas_sync.model.plan import NEEDS_ARCHIVE, TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.text import cells, count, duration, printable, size
from sedas_sync.output.reasons import reason_text
from sedas_sync.output.style import PLAIN, Look, marked, marked_first

FOLD = 10
"""Number of scenes that are listed of a folded group."""
_INCOMPLETE = "THE SEARCH IS INCOMPLETE"
_SLACK = 2
"""A group with so few more scenes is not folded: the line that says so would take as much room."""

SHOWN = {
    ActionKind.FETCH: ("+", "green", "to fetch"),
    ActionKind.RESUME: ("+", "green", "to resume"),
    ActionKind.REPLACE: ("~", "yellow", "to replace"),
    ActionKind.ORDER: ("o", "magenta", "to order"),
    ActionKind.WAIT: (".", "dim", "to wait for"),
    ActionKind.ADOPT: (">", "cyan", "to adopt"),
    ActionKind.PRUNE: ("-", "red", "to prune"),
    ActionKind.SKIP: ("x", "dim", "to skip"),
    ActionKind.KEEP: ("=", "dim", "kept"),
}
"""Signs, colours and words, in the order in which actions are shown."""


class PlanGroup(Struct, frozen=True):
    """Actions of one kind in one dataset."""

    kind: ActionKind
    reason: str | None
    """The reason they share; None if each has its own."""
    actions: tuple[Action, ...]


def groups(actions: Iterable[Action], why: Callable[[Action], str]) -> list[PlanGroup]:
    """Group a dataset's actions by kind and reason. Actions of a kind that each have their own reason are one group."""
    by_kind: dict[ActionKind, dict[str, list[Action]]] = {kind: {} for kind in SHOWN}
    for action in actions:
        by_kind[action.kind].setdefault(why(action), []).append(action)
    found = []
    for kind, by_reason in by_kind.items():
        single = len(by_reason) == 1
        shared = {reason: same for reason, same in by_reason.items() if single or len(same) > 1}
        found += [PlanGroup(kind, reason, tuple(same)) for reason, same in shared.items()]
        if rest := tuple(same[0] for reason, same in by_reason.items() if reason not in shared):
            found.append(PlanGroup(kind, None, rest))
    return found


def datasets_of(of: Plan, order: Sequence[str]) -> list[tuple[tuple[str, ...], list[Action]]]:
    """Group actions by the datasets that match their scenes; scenes that match no dataset come last.

    Args:
        of: The plan.
        order: The datasets in the order of the manifest, which all appear; if empty, groups come as they are found.
    """
    found: dict[tuple[str, ...], list[Action]] = {}
    for action in of.actions:
        found.setdefault(action.datasets, []).append(action)
    if not order:
        return list(found.items())
    with_scenes = {name for names in found for name in names}
    found |= {(name,): [] for name in of.datasets or order if name not in with_scenes}
    rank, last = {name: number for number, name in enumerate(order)}, len(order)
    return sorted(found.items(), key=lambda item: [rank.get(name, last) for name in item[0]] or [last + 1])


def plan(
    of: Plan, *, command: str | None = None, everything: bool = False, look: Look = PLAIN, order: Sequence[str] = ()
) -> str:
    """Return a plan as text.

    Args:
        of: The plan.
        command: The command that carries it out; if None, what to do next is left out.
        everything: List kept scenes too, and fold nothing.
        look: The layout.
        order: The datasets in the order of the manifest.
    """
    lines = [f"Mirror   {printable(of.mirror)}", *_archives(of), ""]
    for datasets, actions in datasets_of(of, order):
        name = " + ".join(datasets) or "wanted by no dataset"
        lines.append(look.paint(f"{printable(name)} ({count(len(actions), 'scene')})", "bold"))
        for group in groups(actions, partial(_why, of)):
            lines.extend(_group_lines(of, group, everything, look))
        lines.append("")
    lines += [f"{line}; --refresh asks now" for line in not_asked(of)]
    lines += [marked(f"failed: {printable(failure.id)}: {printable(failure.error)}", look) for failure in of.failed]
    lines.append(total(of, look))
    if command is None:
        return "\n".join(lines)
    if of.changes and of.failed:
        lines.append(look.wrap(f"Run `{command}` to do this much; it searches again for what failed."))
    elif of.changes:
        lines.append(look.wrap(f"Run `{command}` to do this."))
    elif of.failed:
        lines.append("There is nothing else to do: fix this, and plan again.")
    elif any(action.kind is ActionKind.WAIT and action.order is not None for action in of.actions):
        lines.append(look.wrap(f"Run `{command}` to wait for the orders and fetch what is ready."))
    elif of.counts[ActionKind.WAIT]:
        lines.append(look.wrap(f"Run `{command}` again later: it downloads what is online by then."))
    return "\n".join(lines)


def not_asked(of: Plan) -> list[str]:
    """Return one line for each dataset for which the archives were not asked."""
    return [f"{printable(name)}: not searched, asked {duration(age)} ago" for name, age in of.not_asked.items()]


def _archives(of: Plan) -> list[str]:
    """Return one line for each archive."""
    known = of.archives or {"": of.archive}
    return [
        printable(f"Archive  {key + ': ' if key else ''}{facts.get('type')} {facts.get('url') or ''}".rstrip())
        for key, facts in known.items()
    ]


def _why(of: Plan, action: Action) -> str:
    """Return the reason of an action, with the archive that its scene comes from if there are several.

    Order ids are left out, so that scenes that wait for an order share a reason; `orders` lists the ids.
    """
    source, reason = of.source(action), reason_text(action.reason, name_orders=False)
    return printable(reason if source is None else f"{reason}; from {source}")


def _group_lines(of: Plan, group: PlanGroup, everything: bool, look: Look) -> Iterator[str]:
    sign, colour, _ = SHOWN[group.kind]
    total_size = "" if group.kind is ActionKind.KEEP else amount(of, group.actions)
    total_size = f", {total_size}" if total_size else ""
    shared = "" if group.reason is None else f": {group.reason}"
    yield f"  {look.paint(group.kind.value, colour)} {len(group.actions):,}{total_size}{shared}"
    if group.kind is ActionKind.KEEP and not everything:
        return
    fold = look.fold and not everything and len(group.actions) > FOLD + _SLACK
    shown = group.actions[:FOLD] if fold else group.actions
    sizes = [amount(of, [action]) or "?" for action in shown]
    # Estimates are worth a column only beside sizes that are stated.
    width = max(map(len, sizes)) if any(action.size is not None for action in shown) else 0
    for action, action_size in zip(shown, sizes, strict=True):
        column = f"{action_size:>{width}}  " if width else ""
        line = f"    {sign} {column}{printable(action.id)}"
        reason = "" if group.reason is not None else f"({_why(of, action)})"
        # A reason that does not fit is printed on its own line; an id is never cut, so that it can be copied.
        beside = look.width is None or cells(line) + 2 + cells(reason) <= look.width
        after = f"  {reason}" if beside else f"\n{look.wrap(reason, begin=' ' * 8)}"
        yield f"    {look.paint(sign, colour)} {column}{printable(action.id)}" + (after if reason else "")
    if fold:
        yield f"    … and {len(group.actions) - FOLD:,} more{_span(group.actions[FOLD:])}; `--all` lists them"


def _span(actions: Sequence[Action]) -> str:
    """Return the days of folded scenes."""
    starts = [
        action.wanted.scene.start for action in actions if action.wanted is not None and action.wanted.scene.start
    ]
    return f", acquired {min(starts):%Y-%m-%d} to {max(starts):%Y-%m-%d}" if starts else ""


def total(of: Plan, look: Look = PLAIN) -> str:
    """Return the number of scenes with each action, in one line."""
    counts = of.counts
    parts = [f"{counts[kind]:,} {word}" for kind, (_, _, word) in SHOWN.items() if counts[kind]]
    totals = ", ".join(parts) if parts else "no scenes"
    if not of.changes and not counts[ActionKind.WAIT] and not of.failed:
        return marked_first("Nothing to do:", f"{totals}.", look)
    now = of.of(TRANSFERS)
    later = of.of(NEEDS_ARCHIVE - TRANSFERS)
    download = f"; {amount(of, now) or 'sizes unknown until fetched'}" if now else ""
    if from_orders := amount(of, later):
        download += f"{',' if now else ';'} {from_orders} from orders"
    if billed := of.billed:
        amount_billed = amount(of, billed) or "unknown bytes"
        download += f"; {amount_billed} of {count(len(billed), 'scene')} billed to your account (requester pays)"
    if of.search_complete:
        return marked_first("Plan:", f"{totals}{download}.", look)
    line = marked_first("Plan:", f"{totals}{download}; {_INCOMPLETE}.", look)
    return line.replace(_INCOMPLETE, look.paint(_INCOMPLETE, "red"))


def amount(of: Plan, actions: Iterable[Action]) -> str:
    """Return how many bytes scenes have; empty if that cannot even be estimated.

    `~` marks an estimate, and `at least` the sum of those that are known.
    """
    sizes = [(action.size, of.expected_size(action)) for action in actions]
    known = [expected for _, expected in sizes if expected is not None]
    if not known:
        return ""
    estimated = any(stated is None for stated, expected in sizes if expected is not None)
    return f"{'' if len(known) == len(sizes) else 'at least '}{'~' if estimated else ''}{size(sum(known))}"
