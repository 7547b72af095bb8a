"""Tables of text that fit the width of the terminal."""

from collections.abc import Sequence

from sedas_sync.model.text import cells, padded
from sedas_sync.output.style import PLAIN, Look

_GAPS = ("  ", " ")
"""Between two columns; the narrow one if only that lets all columns fit."""
_INDENT = "    "


def table(rows: Sequence[Sequence[str]], *, look: Look = PLAIN, right: Sequence[int] = ()) -> str:
    """Lay out rows in columns. The last column is not padded.

    Nothing is cut. If the columns do not fit, the last ones are printed below each row, each on its own line, so that
    a long value, such as an id, can still be copied.

    Args:
        rows: The rows; the first one is the header.
        look: The width of the terminal.
        right: Columns that are aligned to the right.
    """
    widths = [max(cells(row[column]) for row in rows) for column in range(len(rows[0]))]
    gap = next((gap for gap in _GAPS if _beside(widths, gap, look.width) == len(widths)), _GAPS[0])
    beside = _beside(widths, gap, look.width)
    lines = []
    for number, row in enumerate(rows):
        padding = [
            " " * (width - cells(cell)) + cell if column in right else padded(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        below = [_INDENT + cell for cell in row[beside:] if cell]
        text = [gap.join(padding[:beside]).rstrip(), *below]
        lines += [look.paint(line, "bold") for line in text] if number == 0 else text
    return "\n".join(lines)


def _beside(widths: Sequence[int], gap: str, room: int | None) -> int:
    """Return how many columns fit in a line."""
    if room is None:
        return len(widths)
    taken = 0
    for column, width in enumerate(widths):
        taken += width + (len(gap) if column else 0)
        if taken > room:
            return max(1, column)
    return len(widths)
