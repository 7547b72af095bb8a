"""Small tables for notebooks, which show `_repr_html_` of a value."""

from collections.abc import Iterable
from html import escape

from sedas_sync.model.text import count

SHOWN = 200
"""Rows that a table shows at most."""


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table; numbers are aligned to the right, None is an empty cell, and text is escaped.

    >>> table(["scene"], [["<b>"]])
    '<table><thead><tr><th>scene</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    rows = [list(row) for row in rows]
    more = len(rows) - SHOWN
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows[:SHOWN])
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    rest = f"<p>and {more:,} more</p>" if more > 0 else ""
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>{rest}"


def folded(title: str, body: str) -> str:
    """Return a part that is closed until the reader opens it."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def listed(noun: str, body: str, number: int) -> str:
    """Return a closed part with so many of something; nothing if there are none."""
    return folded(count(number, noun), body) if number else ""


def paragraph(text: str) -> str:
    """Return a paragraph of escaped text."""
    return f"<p>{escape(text)}</p>"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td style="text-align:right">{value:,}</td>'
    return f"<td>{'' if value is None else escape(str(value))}</td>"
