"""Pass the events of a run on, with a progress bar in notebooks and scripts."""

import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

from sedas_sync.errors import SedasSyncError
from sedas_sync.model.events import Event, Failed, Fetched, Progress, Started, Summary
from sedas_sync.model.text import count, size
from sedas_sync.operations.context import Listener

_LEFT_ALONE = frozenset({"keep", "skip"})


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def summary_of(events: Generator[Event], on_event: Listener, *, progress: bool | None = None) -> Summary:
    """Pass the events of a run on, and return the summary among them.

    An interrupt ends the run at once, and its threads.

    Args:
        events: Of a run; closed at the end.
        on_event: Gets every event.
        progress: See `shown_progress`.
    """
    summary: Summary | None = None
    with closing(events), shown_progress(on_event, progress=progress) as listener:
        for event in events:
            listener(event)
            if isinstance(event, Summary):
                summary = event
    if summary is None:
        raise SedasSyncError("the run ended without a summary")
    return summary


@contextmanager
def shown_progress(listener: Listener, *, progress: bool | None) -> Iterator[Listener]:
    """Yield a listener that shows a progress bar as well; the bar ends with the block.

    Args:
        listener: Gets every event first.
        progress: Show a bar; None to show one in notebooks only.
    """
    if not (is_notebook() if progress is None else progress):
        yield listener
        return
    bar = _NotebookBar()

    def both(event: Event) -> None:
        listener(event)
        bar.show(event)

    try:
        yield both
    finally:
        bar.close()


class _NotebookBar:
    """The scenes of a run as a bar of `tqdm.auto`: a widget in a notebook, and text elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, event: Event) -> None:
        match event:
            case Started(todo=todo):
                if total := sum(number for kind, number in todo.items() if kind not in _LEFT_ALONE):
                    self._bar = _new_bar(total)
            case Progress() if self._bar is not None:
                pending = f", {count(event.pending, 'order')} pending" if event.pending else ""
                self._bar.set_postfix_str(f"{size(event.bytes)}{pending}", refresh=False)
                self._bar.n = min(event.done, self._bar.total)
                self._bar.refresh()
            case Fetched() | Failed() if self._bar is not None:
                self._bar.update()
            case Summary() if self._bar is not None:
                failed = f", {event.failed} failed" if event.failed else ""
                pending = f", {event.pending} pending" if event.pending else ""
                self._bar.set_postfix_str(f"{size(event.bytes)}{pending}{failed}", refresh=False)
                self._bar.n = min(event.fetched + event.adopted + event.pruned, self._bar.total)
                self.close()
            case _:
                pass

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _new_bar(total: int) -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets, a notebook gets the bar as text, which needs no warning.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # noqa: PLC0415  # it looks for a notebook when it is imported

    class ThreadlessTqdm(tqdm):  # type: ignore[type-arg]
        """Starts no thread that checks how often the bar is drawn: events come a few times a second."""

        monitor_interval = 0

    return ThreadlessTqdm(total=total, unit="scene", desc="Scenes")
