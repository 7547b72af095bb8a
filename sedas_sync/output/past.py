"""The runs of a mirror and what changed, as plain text."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sedas_sync.model.history import Change, RunRecord, short_command
from sedas_sync.model.text import duration, printable, size
from sedas_sync.output.documents.past import HistoryEntry
from sedas_sync.output.style import PLAIN, Look
from sedas_sync.output.table import table


def runs(found: Sequence[RunRecord], look: Look = PLAIN) -> str:
    """Return runs as a table, one line each, with what they did and the first reason of a failure."""
    if not found:
        return "No runs."
    rows = [("STARTED", "COMMAND", "CODE", "TOOK", "BYTES", "DID")]
    for entry in map(HistoryEntry.about, found):
        did = ", ".join(f"{number:,} {word}" for word, number in _counts(entry).items() if number)
        reason = "" if entry.reason is None else f": {printable(entry.reason)}"
        rows.append(
            (
                entry.started[:19].replace("T", " "),
                short_command(entry.command),
                "" if entry.exit_code is None else str(entry.exit_code),
                "not ended" if entry.seconds is None else duration(entry.seconds),
                size(entry.bytes) if entry.bytes else "",
                f"{did or 'nothing'}{reason}",
            )
        )
    return table(rows, look=look, right=[2, 4])


def _counts(entry: HistoryEntry) -> Mapping[str, int]:
    return {
        "fetched": entry.fetched,
        "adopted": entry.adopted,
        "ordered": entry.ordered,
        "unfinished": entry.unfinished,
        "pending": entry.pending - entry.unfinished - entry.unordered,
        "not ordered yet": entry.unordered,
        "pruned": entry.pruned,
        "failed": entry.failed,
        "command failed" if entry.failed_commands == 1 else "commands failed": entry.failed_commands,
    }


def changes(found: Sequence[Change], look: Look = PLAIN) -> str:
    """Return changes as a table, one line each, and how many there are of each kind."""
    if not found:
        return "No changes."
    rows = [("NOTICED", "CHANGE", "SCENE", "DETAIL")]
    rows += [(f"{one.time:%Y-%m-%d %H:%M}", one.kind.value, printable(one.id), printable(one.detail)) for one in found]
    counts = Counter(one.kind.value for one in found)
    return f"{table(rows, look=look)}\n{', '.join(f'{number:,} {kind}' for kind, number in counts.items())}."
