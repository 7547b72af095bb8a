"""Samples: queries for a few rows that show if a long answer was cut (rule 9)."""

from sedas_sync.archives.complete_search import windows
from sedas_sync.archives.complete_search.answers import Queries, WindowAnswer
from sedas_sync.archives.complete_search.cap_model import CapModel


def samples_disagree(model: CapModel, answers: list[WindowAnswer]) -> Queries[bool]:
    """Query samples inside long answers; return whether they have rows that a long answer lacks.

    Args:
        model: Learns from an answer that was cut.
        answers: Windows with the same `part`.
    """
    starts = {name: start for answer in answers for name, start in answer.starts.items()}
    ids = set[str]().union(*(answer.ids for answer in answers))
    samples = yield windows.samples(sorted(starts.values()), answers[0].window.part)
    for sample in samples:
        if sample.starts.keys() - ids and (yield from _was_cut(model, [*answers, *samples], sample)):
            return True
    return False


def _was_cut(model: CapModel, answers: list[WindowAnswer], sample: WindowAnswer) -> Queries[bool]:
    """Record the shortest answer that lacks rows of a sample, unless the catalogue has grown."""
    cut = [(answer.length, position) for position, answer in enumerate(answers) if sample.missing_in(answer)]
    if not cut:
        return False
    shortest = answers[min(cut)[1]]
    (again,) = yield [shortest.window]
    if sample.missing_in(shortest) <= again.ids:
        return False
    model.observe_cut(shortest.counts, misleading=True)
    return True
