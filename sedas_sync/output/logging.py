"""The log: to a file and, with -vv, to standard error. Secrets are removed from every line."""

import logging
import sys

from sedas_sync.net.redact import RedactingFormatter
from sedas_sync.operations.log import NAME

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to(file: str | None, *, to_stderr: bool) -> None:
    """Start the log of this package and of the HTTP library.

    Args:
        file: The file to append to, if any.
        to_stderr: Log to standard error too.

    Raises:
        OSError: The file cannot be written.
    """
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
    if to_stderr:
        handlers.append(terminal := logging.StreamHandler(sys.stderr))
        # The terminal shows the events of a run as lines of their own.
        terminal.addFilter(lambda record: record.name != NAME)
    # A log that cannot be written must not fill the terminal with tracebacks.
    logging.raiseExceptions = False
    for handler in handlers:
        handler.setFormatter(RedactingFormatter(_FORMAT))
        for name in ("sedas_sync", "urllib3"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.addHandler(handler)
