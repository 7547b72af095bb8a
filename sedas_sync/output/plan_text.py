"""A plan as text: scenes by dataset, action and reason, the totals, and the command to run next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.text import cells, count, printable, size
from sedas_sync.output.reasons import reason_text
from sedas_sync.output.style import PLAIN, Look, marked

FOLD = 10
"""Number of scenes that are listed of a folded group."""
_SLACK = 2
"""A group with so few more scenes is not folded: the line that says so would take as much room."""

_SIGNS = {
    ActionKind.FETCH: ("+", "green"),
    ActionKind.RESUME: ("+", "green"),
    ActionKind.REPLACE: ("~", "yellow"),
    ActionKind.ORDER: ("o", "magenta"),
    ActionKind.WAIT: (".", "dim"),
    ActionKind.ADOPT: (">", "cyan"),
    ActionKind.PRUNE: ("-", "red"),
    ActionKind.SKIP: ("x", "dim"),
    ActionKind.KEEP: ("=", "dim"),
}
"""Signs and colours, in the order in which actions are shown."""

_WORDS = {
    ActionKind.FETCH: "to fetch",
    ActionKind.RESUME: "to resume",
    ActionKind.REPLACE: "to replace",
    ActionKind.ORDER: "to order",
    ActionKind.WAIT: "to wait for",
    ActionKind.ADOPT: "to adopt",
    ActionKind.PRUNE: "to prune",
    ActionKind.SKIP: "to skip",
    ActionKind.KEEP: "kept",
}


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Actions of one kind in one dataset."""

    kind: ActionKind
    reason: str | None
    """The reason they share; None if each has its own."""
    actions: tuple[Action, ...]


def groups(actions: Iterable[Action], why: Callable[[Action], str]) -> list[PlanGroup]:
    """Group a dataset's actions by kind and reason. Actions of a kind that each have their own reason are one group."""
    by_kind: dict[ActionKind, dict[str, list[Action]]] = {kind: {} for kind in _SIGNS}
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


def by_datasets(actions: Iterable[Action], order: Sequence[str]) -> list[tuple[tuple[str, ...], list[Action]]]:
    """Group actions by the datasets that match their scenes; scenes that match no dataset come last.

    Args:
        actions: the actions of a plan.
        order: the datasets in the order of the manifest; if empty, groups come as they are found.
    """
    sorted_out: dict[tuple[str, ...], list[Action]] = {}
    for action in actions:
        sorted_out.setdefault(action.datasets, []).append(action)
    if not order:
        return list(sorted_out.items())
    rank, last = {name: number for number, name in enumerate(order)}, len(order)
    return sorted(sorted_out.items(), key=lambda item: [rank.get(name, last) for name in item[0]] or [last + 1])


def plan(of: Plan, *, command: str, everything: bool = False, look: Look = PLAIN, order: Sequence[str] = ()) -> str:
    """Return a plan as text.

    Args:
        of: the plan.
        command: the command that carries it out.
        everything: list kept scenes too, and fold nothing.
        look: the layout.
        order: the datasets in the order of the manifest.
    """
    lines = [f"Mirror   {printable(of.mirror)}", *_archives(of), ""]
    for datasets, actions in by_datasets(of.actions, order):
        name = " + ".join(datasets) or "wanted by no dataset"
        lines.append(look.paint(f"{printable(name)} ({count(len(actions), 'scene')})", "bold"))
        for group in groups(actions, partial(_why, of)):
            lines.extend(_group_lines(group, partial(_why, of), everything, look))
        lines.append("")
    lines += [marked(f"failed: {printable(failure.id)}: {printable(failure.error)}", look) for failure in of.failed]
    lines.append(total(of, look))
    if of.changes and of.failed:
        lines.append(look.wrap(f"Run `{command}` to do this much; it searches again for what failed."))
    elif of.changes:
        lines.append(f"Run `{command}` to do this.")
    elif of.failed:
        lines.append("There is nothing else to do: fix this, and plan again.")
    elif any(action.kind is ActionKind.WAIT and action.order is not None for action in of.actions):
        lines.append(f"Run `{command}` to wait for the orders and fetch what is ready.")
    elif of.counts[ActionKind.WAIT]:
        lines.append(f"Run `{command}` again later: it downloads what is online by then.")
    return "\n".join(lines)


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


def _group_lines(group: PlanGroup, why: Callable[[Action], str], everything: bool, look: Look) -> Iterator[str]:
    sign, colour = _SIGNS[group.kind]
    sizes = [action.size for action in group.actions if action.size is not None]
    amount = f", {size(sum(sizes))}" if len(sizes) == len(group.actions) and group.kind is not ActionKind.KEEP else ""
    shared = "" if group.reason is None else f": {group.reason}"
    yield f"  {look.paint(group.kind.value, colour)} {len(group.actions):,}{amount}{shared}"
    if group.kind is ActionKind.KEEP and not everything:
        return
    fold = look.fold and not everything and len(group.actions) > FOLD + _SLACK
    shown = group.actions[:FOLD] if fold else group.actions
    width = max(len(size(action.size)) for action in shown) if sizes else 0
    for action in shown:
        amount = f"{size(action.size):>{width}}  " if width else ""
        line = f"    {sign} {amount}{printable(action.id)}"
        reason = "" if group.reason is not None else f"({why(action)})"
        # A reason that does not fit is printed on its own line; an id is never cut, so that it can be copied.
        apart = "\n        " if look.width is not None and cells(line) + 2 + cells(reason) > look.width else "  "
        yield f"    {look.paint(sign, colour)} {amount}{printable(action.id)}" + (f"{apart}{reason}" if reason else "")
    if fold:
        yield f"    … and {len(group.actions) - FOLD:,} more{_span(group.actions[FOLD:])}; `--all` lists them"


def _span(actions: Sequence[Action]) -> str:
    """Return the days of folded scenes."""
    starts = [action.want.scene.start for action in actions if action.want is not None and action.want.scene.start]
    return f", acquired {min(starts):%Y-%m-%d} to {max(starts):%Y-%m-%d}" if starts else ""


def total(of: Plan, look: Look = PLAIN) -> str:
    """Return the number of scenes with each action, in one line."""
    counts = of.counts
    parts = [f"{counts[kind]:,} {word}" for kind, word in _WORDS.items() if counts[kind]]
    totals = ", ".join(parts) if parts else "no scenes"
    if not of.changes and not counts[ActionKind.WAIT] and not of.failed:
        return f"{look.paint('Nothing to do:', 'bold')} {totals}."
    amount = _amount(of)
    if not of.search_complete:
        amount += "; " + look.paint("THE SEARCH IS INCOMPLETE", "red")
    return f"{look.paint('Plan:', 'bold')} {totals}{amount}."


def _amount(of: Plan) -> str:
    sizes = [action.size for action in of.actions if action.kind in TRANSFERS]
    known = [size for size in sizes if size is not None]
    if not sizes:
        return ""
    if not known:
        return "; sizes unknown until fetched"
    return f"; {'' if len(known) == len(sizes) else 'at least '}{size(sum(known))}"
