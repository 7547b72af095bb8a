"""A plan as Markdown, for the summary of a job or a comment on a pull request.

Text from an archive or a file name is not trusted. Unless it is plain prose, it is written in `<code>`, where no
mention or link is looked for, and with every character that Markdown or HTML could interpret as an entity.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sedas_sync.model.plan import CHANGES, TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.text import printable
from sedas_sync.output.plan_text import SHOWN, amount, datasets_of, not_asked, total
from sedas_sync.output.reasons import reason_text

LIMIT = 60_000
"""The largest size in bytes: GitHub refuses comments of more than 65,536 characters."""

_LISTED = 20
"""Number of failures and of warnings that are listed."""
_CUT = 300
_PLAIN = re.compile(r"(?!.*(?i:www)\.)[A-Za-z0-9](?:[A-Za-z0-9 ,.;%()'-]|:(?= ))*")
_HARMFUL = re.compile(r"(?<=(?i:www))\.|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[^A-Za-z0-9 ._\u0080-\U0010ffff-]")
"""Characters that Markdown, HTML or a forge may interpret; an underscore in a word and a dash are safe."""


def plan(of: Plan, *, command: str, limit: int = LIMIT, order: Sequence[str] = ()) -> str:
    """Return a plan as Markdown: the totals, a table of datasets and actions, failures, and the scenes that change.

    Args:
        of: The plan.
        command: The command that carries it out.
        limit: Largest size of the text in bytes; scenes that do not fit are left out and counted.
        order: The datasets in the order of the manifest.
    """
    head = [f"### {_code(of.manifest)}", "", total(of), "", *_table(of, order)]
    if not of.search_complete:
        head += ["", "**The search failed or is incomplete: there may be more to do.**"]
    head += _list("Failures", [f"{_code(failure.id)}: {_text(failure.error)}" for failure in of.failed])
    head += _list("Not searched", [_text(line) for line in not_asked(of)])
    head += _list("Warnings", [_text(warning) for warning in of.warnings])
    tail = ["", f"Carry it out with {_code(command)}."] if of.changes or of.counts[ActionKind.WAIT] else []
    room = limit - len("\n".join((*head, *tail)).encode())
    return "\n".join((*head, *_scenes(of, room), *tail, ""))


def _table(of: Plan, order: Sequence[str]) -> Iterator[str]:
    """Yield a table of datasets by actions; actions without scenes have no column."""
    kinds = [kind for kind in SHOWN if of.counts[kind]]
    if not of.actions:
        return
    yield _row("dataset", *(kind.value for kind in kinds), "size")
    yield _row("---", *("--:" for _ in kinds), "--:")
    groups = datasets_of(of, order)
    for datasets, actions in groups:
        yield _row(_text(", ".join(datasets) or "no dataset"), *_counted(of, actions, kinds))
    if len(groups) > 1:
        yield _row("**all**", *_counted(of, of.actions, kinds))


def _counted(of: Plan, actions: Sequence[Action], kinds: Iterable[ActionKind]) -> Iterator[str]:
    for kind in kinds:
        yield str(sum(action.kind is kind for action in actions) or "")
    now = [action for action in actions if action.kind in TRANSFERS]
    yield (amount(of, now) or "?") if now else ""


def _list(title: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    yield from ("", f"**{title}** ({len(lines)})", "")
    yield from (f"- {line}" for line in lines[:_LISTED])
    if len(lines) > _LISTED:
        yield f"- and {len(lines) - _LISTED} more"


def _scenes(of: Plan, room: int) -> Iterator[str]:
    """Yield the scenes that change or are waited for, folded; as many as fit."""
    shown = [action for action in of.actions if action.kind in CHANGES or action.kind is ActionKind.WAIT]
    if not shown:
        return
    shown.sort(key=lambda action: [*SHOWN].index(action.kind))
    kinds = [f"{len(list(actions))} {kind.value}" for kind, actions in groupby(shown, lambda action: action.kind)]
    head = ["", f"<details><summary>Scenes: {', '.join(kinds)}</summary>", "", _row("action", "scene", "size", "why"),
            _row("---", "---", "--:", "---")]  # fmt: skip
    tail = ["", "</details>"]
    more = f"\n\nand {len(shown)} more that do not fit here"
    room -= len("\n".join((*head, *tail)).encode()) + len(more)
    rows: list[str] = []
    for action in shown:
        source = of.source(action)
        why = _text(reason_text(action.reason)) + ("" if source is None else f"; from {_text(source)}")
        row = _row(action.kind.value, _code(action.id), amount(of, [action]), why)
        room -= len(row.encode()) + 1
        if room < 0:
            break
        rows.append(row)
    left = len(shown) - len(rows)
    yield from head
    yield from rows
    if left:
        yield from ("", f"and {left} more that do not fit here")
    yield from tail


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(words: str) -> str:
    """Return prose as it is, and anything else as code."""
    return words if len(words) <= _CUT and _PLAIN.fullmatch(words) else _code(words)


def _code(words: str) -> str:
    shown = printable(words)
    shown = shown if len(shown) <= _CUT else f"{shown[: _CUT - 1]}…"
    return f"<code>{_HARMFUL.sub(lambda found: f'&#{ord(found[0])};', shown)}</code>"
