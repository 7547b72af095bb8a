"""How a plan is carried out: the options of `Mirror.apply` and `Mirror.run`."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Annotated, TypedDict

from msgspec import Meta

from sedas_sync.model.arguments import Jobs
from sedas_sync.model.events import Summary
from sedas_sync.planning.limits import Confirm


class RunOptions(TypedDict, total=False):
    """How a plan is carried out."""

    wait: bool
    """Wait for orders, at most the manifest's `order_timeout`; true by default."""
    jobs: Jobs | None
    """Concurrent downloads, instead of the manifest's."""
    executor: Executor | None
    """Any of `concurrent.futures` whose workers see the mirror's folder under the same path. The caller shuts it down.
    By default threads of this process."""
    take_over: bool
    """Take the mirror from the manifest it belongs to."""
    max_prune: int | str | None
    """How many files may be removed without a confirmation: a number, or a share such as `"20%"`. By default a tenth of
    the mirror, at least 5."""
    max_download: Annotated[int, Meta(ge=0)] | None
    """Bytes that the run may have to download, instead of the manifest's; 0 is no limit."""
    confirm: Confirm
    """Called with the number of removals and of scenes on disk if there are more. By default nobody can be asked, and
    only the oldest are removed."""
    confirm_replacing: Confirm
    """The same for replacements, if they are more than a fifth of the mirror."""
    finish: Callable[[Summary], Summary]
    """Called with the summary before the index stores it, and returns the one to store, for example with failures of
    what was done with the scenes."""
    command: str
    """The command that the index stores for the run; `apply` by default."""
