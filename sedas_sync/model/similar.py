"""Find the name that somebody meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar, whatever its case; None if there is none.

    Args:
        name: What was written.
        known: The names.
        cutoff: The least similarity, from 0 to 1 (that of `difflib`).

    >>> nearest("JBOS", ["jobs", "datasets"])
    'jobs'
    """
    folded = {one.casefold(): one for one in known}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def did_you_mean(name: str | None) -> str:
    """Return the end of a sentence about an unknown name; empty without a name that may be meant.

    >>> did_you_mean("jobs")
    '; did you mean jobs?'
    """
    return f"; did you mean {name}?" if name else ""
