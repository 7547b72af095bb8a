"""Plain text: plans, scenes, orders and summaries as people read them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sedas_sync.events import Summary
from sedas_sync.model import Action, Kind, Order, Scene
from sedas_sync.plan import CHANGES, Plan

if TYPE_CHECKING:  # their modules import the whole of the manifest and its geometry
    from sedas_sync.lock import Relocked
    from sedas_sync.why import Explanation

if TYPE_CHECKING:
    from sedas_sync.adopt import Adoption, File
    from sedas_sync.status import Status
    from sedas_sync.verify import Report

_SIGNS = {
    Kind.KEEP: "=",
    Kind.FETCH: "+",
    Kind.RESUME: "+",
    Kind.ORDER: "o",
    Kind.WAIT: ".",
    Kind.REPLACE: "~",
    Kind.ADOPT: ">",
    Kind.PRUNE: "-",
    Kind.SKIP: "x",
}
_COLOURS = {"+": "32", "~": "33", ">": "36", "o": "35", ".": "2", "-": "31", "x": "2", "=": "2"}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: int | None) -> str:
    """Write a number of bytes with a decimal unit; `?` where it is not known."""
    if count is None:
        return "?"
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004  # decimal units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Write a span of time in at most two units."""
    whole = int(seconds)
    for unit, length, smaller, step in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // step
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004  # tenths matter only in short spans


def plan(of: Plan, *, everything: bool, colour: bool, command: str) -> str:
    """Write a plan: by dataset, one line a scene, a count of each action, and what to run next."""
    lines = [f"Mirror {of.mirror}", *_archives(of), ""]
    groups: dict[tuple[str, ...], list[Action]] = {}
    for action in of.actions:
        groups.setdefault(action.datasets, []).append(action)
    for datasets, actions in groups.items():
        shown = [action for action in actions if everything or action.kind is not Kind.KEEP]
        kept = len(actions) - len(shown)
        lines.append(f"{' + '.join(datasets) or 'no dataset'} ({_count(len(actions), 'scene')})")
        lines.extend(_action_line(action, source=of.source(action), colour=colour) for action in shown)
        if kept:
            lines.append(f"  = {_count(kept, 'scene')} held and unchanged")
        lines.append("")
    lines.extend(f"failed: {printable(failure.id)}: {printable(failure.error)}" for failure in of.failures)
    lines.append(plan_total(of))
    if of.changes or of.counts[Kind.WAIT]:
        lines.append(f"Run `{command}` to do this.")
    return "\n".join(lines)


def _archives(of: Plan) -> list[str]:
    """Where scenes come from, an archive a line."""
    if not of.archives:
        return [f"Archive {of.archive.get('type')} {of.archive.get('url') or ''}".rstrip()]
    known = of.archives.items()
    return [f"Archive {key}: {facts.get('type')} {facts.get('url') or ''}".rstrip() for key, facts in known]


def _action_line(action: Action, *, source: str | None, colour: bool) -> str:
    sign = _SIGNS[action.kind]
    shown_size = f"  {size(action.size)}" if action.size is not None else ""
    reason = printable(action.reason) + (f"; from {source}" if source is not None else "")
    line = f"  {sign} {action.kind.value:<7} {printable(action.id)}{shown_size}  ({reason})"
    return f"\x1b[{_COLOURS[sign]}m{line}\x1b[0m" if colour else line


def plan_total(of: Plan) -> str:
    """Write what a plan comes to in one line."""
    words = {
        Kind.FETCH: "to fetch",
        Kind.RESUME: "to resume",
        Kind.REPLACE: "to replace",
        Kind.ORDER: "to order",
        Kind.WAIT: "to wait for",
        Kind.ADOPT: "to adopt",
        Kind.PRUNE: "to prune",
        Kind.SKIP: "to skip",
        Kind.KEEP: "kept",
    }
    counts = of.counts
    parts = [f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind]]
    total = ", ".join(parts) if parts else "no scenes"
    if not of.changes and not counts[Kind.WAIT] and not of.failures:
        return f"Nothing to do: {total}."
    moving = sum(counts[kind] for kind in CHANGES - {Kind.ORDER, Kind.ADOPT, Kind.PRUNE})
    amount = "" if not moving else f"; {size(of.bytes)}" if of.bytes is not None else "; sizes unknown until fetched"
    if not of.search_complete:
        amount += "; THE SEARCH IS INCOMPLETE"
    return f"Plan: {total}{amount}."


def summary(of: Summary) -> str:
    """Write the end of a run in one or two lines."""
    words = {
        "fetched": of.fetched,
        "kept": of.kept,
        "adopted": of.adopted,
        "ordered": of.ordered,
        "pending": of.pending,
        "skipped": of.skipped,
        "pruned": of.pruned,
        "failed": of.failed,
    }
    parts = [f"{count} {word}" for word, count in words.items() if count]
    warned = f", {_count(of.warnings, 'warning')}" if of.warnings else ""
    head = ", ".join(parts) if parts else "no scenes"
    amount = f"; {size(of.bytes)} in {duration(of.seconds)}" if of.fetched else ""
    return f"Applied: {head}{warned}{amount}."


def explanation(of: "Explanation") -> str:
    """Write what is known of one scene, a fact a line."""
    lines = [printable(of.id)]
    if not of.known:
        return f"{lines[0]}\n  neither the archive nor this mirror knows it"
    scene = of.scene
    if scene is not None:
        where = "a planned acquisition" if scene.planned else "online" if scene.online else "in the long-term archive"
        sensed = "at an unknown time" if scene.start is None else f"{scene.start:%Y-%m-%dT%H:%M:%SZ}"
        lines.append(f"  archive   {where if of.listed else 'not in the catalogue any more'}; sensed {sensed}")
    for name, refused in of.verdicts.items():
        verdict = "wants it" if refused is None else f"leaves it out ({refused.rule}): {printable(refused.detail)}"
        lines.append(f"  dataset   {name} {verdict}")
    if of.held is not None:
        held = of.held
        lines.append(f"  file      {held.path}, {size(held.size)}, checked: {held.level.value}, sha256 {held.sha256}")
    if of.order is not None:
        order = of.order
        lines.append(f"  order     {printable(order.order)}, {order.state.value}, asked for {order.polls} times")
    if of.last_error is not None:
        lines.append(f"  error     {printable(of.last_error)}")
    if of.action is not None:
        lines.append(f"  plan      {of.action.kind.value}: {printable(of.action.reason)}")
    if of.pruning is not None:
        would = "would remove the file" if of.pruning.removes else "would keep the file"
        lines.append(f"  prune     `apply --prune` {would}: {printable(of.pruning.reason)}")
    lines.append(f"  next      {of.next}")
    return "\n".join(lines)


def relocked(of: "Relocked", *, check: bool) -> str:
    """Write what has become of a lock: each difference, and how many scenes it has."""
    said = of.changes
    lines = [printable(difference) for difference in of.differences]
    lines += [f"  + {printable(scene_id)}" for scene_id in said.added]
    lines += [f"  - {printable(scene_id)}" for scene_id in said.removed]
    lines += [f"  ~ {printable(scene_id)}  ({printable(what)})" for scene_id, what in said.changed]
    pins = of.lock.scenes.values()
    amount = f"{_count(len(pins), 'scene')}, {sum(pin.sha256 is not None for pin in pins)} with their sha256"
    counted = f"{len(said.added)} added, {len(said.removed)} removed, {len(said.changed)} changed"
    if not of.news:
        lines.append(f"{of.path}: up to date, {amount}.")
    elif check:
        lines.append(f"{of.path}: would change: {counted}; {amount}.")
    else:
        lines.append(f"{of.path}: written: {counted}; {amount}.")
    return "\n".join(lines)


def scenes(found: Sequence[Scene], datasets: dict[str, tuple[str, ...]]) -> str:
    """Write scenes as a table, one line each."""
    rows = [("SENSED", "SENSOR", "CLOUD", "WHERE", "DATASETS", "ID")]
    rows.extend(
        (
            "?" if scene.start is None else f"{scene.start:%Y-%m-%d %H:%M:%S}",
            scene.sensor or "?",
            "" if scene.cloud_cover is None else f"{scene.cloud_cover:g} %",
            "planned" if scene.planned else "online" if scene.online else "LTA",
            ",".join(datasets.get(scene.id, ())),
            printable(scene.id),
        )
        for scene in found
    )
    return table(rows)


def orders(found: Iterable[Order], now: datetime) -> str:
    """Write orders as a table, one line each."""
    rows = [("STATE", "AGE", "POLLS", "SCENE", "ORDER")]
    for order in found:
        age = duration(max(0.0, (now - order.placed).total_seconds()))
        rows.append((order.state.value, age, str(order.polls), printable(order.id), printable(order.order)))
    return table(rows)


def status(of: "Status", now: datetime) -> str:
    """Write what a mirror holds, dataset by dataset, then what is under way and how the last run ended."""
    lines = [f"Mirror {of.mirror}"]
    if of.lock is not None:
        lines.append(f"Against the lock {of.lock}")
    rows: list[tuple[str, ...]] = [("DATASET", "WANTED", "HELD", "CHANGED", "MISSING", "ORDERED", "BYTES")]
    for item in of.datasets:
        if item.wanted is None:
            rows.append((item.dataset, "never applied", "", "", "", "", ""))
            continue
        counts = (item.wanted, item.held, item.changed, item.missing, item.pending)
        rows.append((item.dataset, *map(str, counts), size(item.bytes)))
    lines += ["", table(rows), ""]
    lines.append(f"{_count(of.held, 'file')}, {size(of.bytes)}; {size(of.free)} free")
    if of.differs:
        lines.append(
            f"{_count(of.differs, 'file')} with other bytes than the lock demands: `apply --locked` replaces them"
        )
    if of.unwanted:
        why = "that no dataset wanted" if of.lock is None else "not in the lock"
        lines.append(f"{_count(of.unwanted, 'file')} {why}: `apply --prune` removes those the rules refuse")
    if of.unknown:
        lines.append(
            f"{_count(of.unknown, 'file')} that the index does not know: `adopt` takes in those that are scenes"
        )
    if of.partials:
        lines.append(f"{_count(len(of.partials), 'partial download')}, {size(of.partial_bytes)}")
    if of.orders:
        lines += ["", orders(of.orders, now)]
    lines += [f"failed: {printable(failure.id)}: {printable(failure.error)}" for failure in of.failures]
    lines += ["", _last_run(of)]
    return "\n".join(lines)


def _last_run(of: "Status") -> str:
    run = of.last_run
    if run is None:
        return "Never applied."
    began = f"{run.command} of {run.started:%Y-%m-%d %H:%M:%S} UTC"
    if run.ended is None:
        return f"Last run: {began}, under way or killed."
    return f"Last run: {began}, {duration((run.ended - run.started).total_seconds())}, exit code {run.exit_code}."


def verified(of: "Report") -> str:
    """Write what is wrong with a mirror's files, a line each, and the counts."""
    lines = [
        f"{item.finding.value:<8} {printable(item.path or item.id or '')}  ({printable(item.detail)})"
        for item in of.findings
        if item.finding is not None
    ]
    counts = of.counts
    levels = ", ".join(f"{count} by {level}" for level, count in of.levels.items() if count)
    parts = [f"{counts['ok']} right" + (f" ({levels})" if levels else "")]
    parts += [f"{count} {word}" for word, count in counts.items() if count and word != "ok"]
    lines.append(f"Verified: {', '.join(parts)}.")
    return "\n".join(lines)


def adopted_file(of: "File") -> str:
    """Write what became of one file."""
    where = f" as {printable(of.path)}" if of.path is not None and of.path != of.file else ""
    why = f"  ({printable(of.detail)})" if of.detail else ""
    return f"{of.result.value:<8} {printable(of.file)}{where}{why}"


def adoption(of: "Adoption") -> str:
    """Write the end of an adoption in one line."""
    parts = [f"{count} {word}" for word, count in of.counts.items() if count]
    return f"Adopted: {', '.join(parts) if parts else 'nothing; there are no files to look at'}."


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns as wide as they need to be; the last column is not padded."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def printable(text: str) -> str:
    """Escape what would steer a terminal: an archive's words are not trusted with it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
