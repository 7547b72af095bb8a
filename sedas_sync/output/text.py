"""Results of commands as plain text: scenes, orders, the status of a mirror and summaries."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sedas_sync.model.events import Progress, Step, Summary
from sedas_sync.model.history import short_command
from sedas_sync.model.order import ListedOrder, OrderState
from sedas_sync.model.reason import ReasonCode
from sedas_sync.model.scene import Scene
from sedas_sync.model.text import count, duration, printable, size
from sedas_sync.output.reasons import reason_text
from sedas_sync.output.style import PLAIN, Look, marked, marked_first
from sedas_sync.output.table import table

if TYPE_CHECKING:
    from sedas_sync.model.results import Adoption, File, VerifyReport
    from sedas_sync.operations.status import Status
    from sedas_sync.output.documents.catalogue import SourcesEntry
    from sedas_sync.planning.explain import Explanation
    from sedas_sync.planning.lock_changes import LockUpdate

INTERRUPTED = range(129, 256)
"""Exit codes of runs that were stopped by a signal."""


def summary(of: Summary, look: Look = PLAIN) -> str:
    """Return the summary of a run in one line."""
    words = {
        "fetched": of.fetched,
        "kept": of.kept,
        "adopted": of.adopted,
        "ordered": of.ordered,
        "downloads unfinished": of.unfinished,
        "orders pending": of.pending - of.unfinished - of.unordered,
        "not ordered yet": of.unordered,
        "skipped": of.skipped,
        "pruned": of.pruned,
        "failed": of.failed,
    }
    parts = [f"{number:,} {word}" for word, number in words.items() if number]
    warned = f", {count(of.warnings, 'warning')}" if of.warnings else ""
    head = ", ".join(parts) if parts else "no scenes"
    amount = f"; {size(of.bytes)} in {duration(of.seconds)}" if of.fetched else ""
    word = "Stopped:" if of.exit_code in INTERRUPTED else "Applied:"
    return marked_first(word, f"{head}{warned}{amount}.", look, "red" if of.failed else "bold")


def explanation(of: "Explanation", look: Look = PLAIN) -> str:
    """Return what is known about one scene, one fact a line."""
    lines = [look.paint(printable(of.id), "bold")]
    if not of.known and not of.same_day:
        return f"{lines[0]}\n  unknown: no archive and no local file has this id"
    return "\n".join([*lines, *(_entry(head, fact, look) for head, fact in _facts(of))])


def _where(scene: "Scene") -> str:
    if scene.never:
        return "cannot be downloaded"
    if scene.planned or scene.online:
        return "a planned acquisition" if scene.planned else "online"
    return "in the long-term archive" if scene.offline is None else "offline"


def _facts(of: "Explanation") -> Iterator[tuple[str, str]]:
    scene = of.scene
    if scene is not None:
        where = _where(scene)
        if of.sources:
            where = "; ".join(f"{source.archive}: {_where(source.scene)}" for source in of.sources)
        acquired = "at an unknown time" if scene.start is None else f"{scene.start:%Y-%m-%dT%H:%M:%SZ}"
        yield "archive", f"{where if of.listed else 'no longer in the catalogue'}; acquired {acquired}"
    for name, why in of.verdicts.items():
        yield (
            "dataset",
            f"{name} " + ("matches it" if why is None else f"excludes it ({why.rule}): {why.detail}"),
        )
    for warning in of.archive_warnings:
        yield "warning", warning
    if of.local is not None:
        local = of.local
        source = "" if of.local_from is None else f", from {of.local_from}"
        sha256 = local.sha256 or "not computed"
        yield "file", f"{local.path}, {size(local.size)}{source}, checked: {local.level.value}, sha256 {sha256}"
    if of.in_lock is not None:
        without = "does not have it: `apply --locked` does not download it, `sedas-sync lock` adds what matches"
        yield "lock", "the lock file " + ("has it" if of.in_lock else without)
    if of.order is not None:
        yield "order", f"{of.order.order}, {of.order.state.value}, polled {count(of.order.polls, 'time')}"
    if of.last_error is not None:
        yield "error", of.last_error
    if of.action is not None:
        yield "plan", f"{of.action.kind.value}: {reason_text(of.action.reason)}"
    if of.pruning is not None:
        would = "would remove the file" if of.pruning.removes else "would keep the file"
        would = "would remove nothing" if of.pruning.reason.code is ReasonCode.LOST else would
        yield "prune", f"`apply --prune` {would}: {reason_text(of.pruning.reason)}"
    for other in of.same_day:
        yield "same day", f"{other.id}: {other.exclusion or ', '.join(other.datasets) + ' matches it'}"
    yield "next", of.next


def _entry(head: str, fact: str, look: Look, *, width: int = 8) -> str:
    """Return a fact after its name, wrapped at the terminal's width."""
    return look.wrap(printable(fact), f"  {head:<{width}}  ")


def lock_update(of: "LockUpdate", *, check: bool, look: Look = PLAIN) -> str:
    """Return the update of a lock file: each difference, and the number of scenes."""
    changes = of.changes
    lines = [printable(difference) for difference in of.differences]
    changed = [f"{name}  ({what})" for name, what in changes.changed]
    signs = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
    kinds = dict(zip(signs, (changes.added, changes.removed, changed), strict=True))
    for word, (sign, colour) in signs.items():
        lines += _listed([f"  {look.paint(sign, colour)} {printable(text)}" for text in kinds[word]], word, look)
    pins = of.lock.scenes.values()
    amount = f"{count(len(pins), 'scene')}, {sum(pin.sha256 is not None for pin in pins):,} with a checksum"
    counted = ", ".join(f"{len(some):,} {word}" for word, some in kinds.items())
    done = f"{'would change' if check else 'written'}: {counted};" if of.news else "up to date,"
    return "\n".join([*lines, f"{printable(of.path)}: {done} {amount}."])


_LISTED = 20


def _listed(lines: list[str], what: str, look: Look) -> list[str]:
    """Return the lines; if long lists are folded, the first ones and how many more there are."""
    if not look.fold or len(lines) <= _LISTED + 2:
        return lines
    return [*lines[:_LISTED], f"    … and {len(lines) - _LISTED:,} more {what}; `--json` lists them"]


def scenes(found: Sequence[Scene], datasets: dict[str, tuple[str, ...]], look: Look = PLAIN) -> str:
    """Return scenes as a table, one line each, and how many there are."""
    if not found:
        return "No scenes."
    rows = [("ACQUIRED", "SENSOR", "CLOUD", "WHERE", "DATASETS", "ID")]
    rows.extend(
        (
            "?" if scene.start is None else f"{scene.start:%Y-%m-%d %H:%M:%S}",
            printable(scene.sensor or "?"),
            "" if scene.cloud_cover is None else f"{scene.cloud_cover:g} %",
            "planned" if scene.planned else "online" if scene.online else "none" if scene.never else "LTA",
            ",".join(datasets.get(scene.id, ())),
            printable(scene.id),
        )
        for scene in found
    )
    offline = sum(not (scene.online or scene.planned or scene.never) for scene in found)
    away = f", {offline:,} of them in the long-term archive (LTA)" if offline else ""
    return f"{table(rows, look=look, right=[2])}\n{count(len(found), 'scene')}{away}."


_LONG_ORDER = 16
"""Ids of orders with more characters are shortened on a terminal; `--json` has them whole."""


def orders(found: Iterable[ListedOrder], now: datetime, look: Look = PLAIN) -> str:
    """Return orders as a table, one line each, with a note on those that will not deliver."""
    rows = [("STATE", "AGE", "POLLS", "ORDER", "SCENE", "NOTE")]
    for order in found:
        age = duration(max(0.0, (now - order.placed).total_seconds()))
        note = "" if order.wanted else "no longer wanted"
        if order.again is not None:
            why = printable(order.detail or "no reason given")
            note = note or f"failed {order.attempts} times ({why}); ordered again after {order.again:%Y-%m-%d}"
        name = printable(order.order)
        if look.fold and len(name) > _LONG_ORDER:
            name = f"{name[:8]}…{name[-4:]}"
        shown = (order.state.value, age, str(order.polls), name, printable(order.id), note)
        rows.append(shown)
    if not any(row[-1] for row in rows[1:]):
        return table([row[:-1] for row in rows], look=look, right=[2])
    return table(rows, look=look, right=[2])


def orders_line(event: Progress) -> str:
    """Return how many orders are waited for, and for how long."""
    oldest = event.oldest_order_seconds
    age = "" if oldest is None else f", the oldest for {duration(oldest)}"
    return f"waiting for {count(event.pending, 'order')}{age}"


def step_amount(of: Step) -> str:
    """Return how much of a step is done; empty if there is nothing to count yet."""
    if of.unit == "bytes":
        return size(of.done) + (f" of {size(of.total)}" if of.total else "")
    if of.total:
        return f"{of.done:,} of {count(of.total, of.unit)}"
    return count(of.done, of.unit) if of.done else ""


_ORDERS = 3
"""Number of orders that a status lists; if there are more, it counts them."""


def status(of: "Status", now: datetime, look: Look = PLAIN) -> str:
    """Return the status of a mirror: each dataset, what is under way, and how the last run ended."""
    lines = [f"Mirror   {printable(of.mirror)}"]
    if of.lock is not None:
        lines.append(f"Lock     {printable(of.lock)}")
    rows: list[tuple[str, ...]] = [("DATASET", "WANTED", "ON DISK", "CHANGED", "MISSING", "ORDERED", "BYTES")]
    for item in of.datasets:
        if item.wanted is None:
            rows.append((item.dataset, "never applied", "", "", "", "", ""))
            continue
        counts = (item.wanted, item.held, item.changed, item.missing, item.pending)
        rows.append((item.dataset, *(f"{number:,}" for number in counts), size(item.bytes)))
    lines += ["", table(rows, look=look, right=range(1, 7)), ""]
    lines += [look.wrap(line, after="  ") for line in (*_notes_on_files(of), *_notes_on_orders(of, now))]
    if 0 < len(of.orders) <= _ORDERS:
        lines += ["", orders(of.orders, now, look)]
    lines += [marked(f"failed: {printable(failure.id)}: {printable(failure.error)}", look) for failure in of.failures]
    lines += ["", look.wrap(_last_run(of, now), after="  ")]
    return "\n".join(lines)


def _notes_on_files(of: "Status") -> Iterator[str]:
    """Yield what is on disk, a line each."""
    yield f"{count(of.held, 'file')}, {size(of.bytes)}; {size(of.free)} free"
    if of.refreshed:
        yield (
            f"{count(len(of.refreshed), 'scene')} with another file time than in the index and the same bytes: "
            "read just now, nothing to do"
        )
    if of.unreadable:
        yield f"{count(of.unreadable, 'scene')} cannot be read: it is not known whether they are on disk"
    if of.differs:
        yield (f"{count(of.differs, 'file')} with other bytes than in the lock file: `apply --locked` replaces them")
    if of.unwanted:
        why = "that matched no dataset" if of.lock is None else "not in the lock file"
        hint = "`apply --prune` removes those that do not match the manifest"
        if of.lock_decides:
            hint = "`apply --locked --prune` removes those that the archive still has"
        yield f"{count(of.unwanted, 'file')} {why}: {hint}"
    if of.withdrawn or of.superseded:
        yield f"of these, {of.withdrawn:,} withdrawn from the catalogue, {of.superseded:,} superseded: see `changes`"
    if of.unknown:
        yield f"{count(of.unknown, 'file')} not in the index: `adopt` adds wanted scenes, `adopt --all` also others"
    if of.partials:
        yield f"{count(len(of.partials), 'partial download')}, {size(of.partial_bytes)}"
    files, bytes_ = of.replaced
    if files:
        yield f"{count(files, 'file')} in .sedas-sync/replaced, {size(bytes_)}: delete what you do not need"


def _notes_on_orders(of: "Status", now: datetime) -> Iterator[str]:
    """Yield what is on order, and what will not come."""
    if awaited := of.awaited:
        oldest = duration(max(0.0, (now - min(order.placed for order in awaited)).total_seconds()))
        ready = sum(order.state is OrderState.READY for order in awaited)
        hint = ": `orders` lists them" if len(of.orders) > _ORDERS else ""
        yield f"{count(len(awaited), 'order')}{f', {ready:,} ready' if ready else ''}, the oldest {oldest} old{hint}"
    if failing := sum(order.again is not None and order.wanted for order in of.orders):
        yield (f"{count(failing, 'scene')} whose orders fail again and again: see `orders`")
    if unwanted := sum(not order.wanted for order in of.orders):
        yield (
            f"{count(unwanted, 'order')} of scenes that are no longer wanted: `apply --prune` or "
            "`orders --forget --unwanted` forgets them"
        )


def _last_run(of: "Status", now: datetime) -> str:
    run = of.last_run
    if run is None:
        return "Never applied. `sedas-sync plan` shows what apply would do."
    ago = duration(max(0.0, (now - (run.ended or run.started)).total_seconds()))
    began = f"{short_command(run.command)} of {run.started:%Y-%m-%d %H:%M:%S} UTC"
    if run.ended is None:
        return f"Last run: {began}, {ago} ago, under way or killed."
    took = duration((run.ended - run.started).total_seconds())
    return f"Last run: {began}; it took {took}, ended {ago} ago with exit code {run.exit_code}."


_CLOCKS_APART = 300.0
"""Seconds by which the clocks of two machines may differ."""


def no_success(of: "Status", now: datetime, max_age: float) -> str | None:
    """Return that no apply has succeeded for so many seconds; None if one has.

    One that ended later than now does not count: a clock was wrong, and its age is not known.
    """
    if of.last_success is None:
        return "no apply has ever succeeded"
    age = (now - of.last_success.end).total_seconds()
    if age < -_CLOCKS_APART:
        ended = f"{of.last_success.end:%Y-%m-%d %H:%M:%S} UTC"
        return f"the last apply that succeeded ended at {ended}, which is in the future: set the clock, and apply again"
    if age <= max_age:
        return None
    return f"no apply has succeeded in the last {duration(max_age)}; the last one ended {duration(age)} ago"


def sources(found: Iterable["SourcesEntry"], look: Look = PLAIN) -> str:
    """Return what may be searched, archive by archive."""
    lines = []
    for archive in found:
        lines.append(look.paint(printable(f"{archive.archive} ({archive.type})"), "bold"))
        if not archive.satellites and not archive.source_groups:
            lines.append("  lists neither satellites nor source groups")
            continue
        for title, items in (("satellites", archive.satellites), ("source groups", archive.source_groups)):
            names = ", ".join(str(item["name"]) for item in items) or "none"
            lines.append(_entry(title, names, look, width=13))
    return "\n".join(lines)


def verified(of: "VerifyReport") -> str:
    """Return the findings in a mirror's files, one line each, and the counts."""
    width = max((len("missing "), *(len(item.finding or "") for item in of.findings)))
    lines = [
        f"{item.finding.value:<{width}} {printable(item.path or item.id or '')}  ({printable(item.detail)})"
        for item in of.findings
        if item.finding is not None
    ]
    counts = of.counts
    levels = ", ".join(f"{number:,} by {level}" for level, number in of.levels.items() if number)
    parts = [f"{counts['ok']:,} OK" + (f" ({levels})" if levels else "")]
    parts += [f"{number:,} {word}" for word, number in counts.items() if number and word != "ok"]
    lines.append(f"Verified: {', '.join(parts)}.")
    return "\n".join(lines)


def adopted_file(of: "File") -> str:
    """Return what was done with one file, or folder of a scene."""
    where = f" as {printable(of.path)}" if of.path is not None and of.path != of.file else ""
    why = f"  ({printable(of.detail)})" if of.detail else ""
    return f"{of.result.value:<10} {printable(of.file)}{where}{why}"


def adoption(of: "Adoption") -> str:
    """Return the summary of an adoption in one line."""
    head = "Dry run, nothing was changed" if of.dry_run else "Adopted"
    if not of.search_complete:
        return f"{head}: nothing; a search failed, so that the scenes to look for are not known."
    amounts = of.bytes
    parts = [f"{number:,} {word} ({size(amounts[word])})" for word, number in of.counts.items() if number]
    none = "every file is in the index already" if of.source == of.mirror else "there are no files"
    return f"{head}: {', '.join(parts) if parts else f'nothing; {none}'}."
