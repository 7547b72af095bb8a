"""Logging: a file and, with -vv, standard error. Every line goes through redaction, whoever wrote it."""

import logging
import sys

from sedas_sync.net.redact import RedactingFormatter

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start_logging(file: str | None, *, to_stderr: bool) -> None:
    """Write the log of this package and of the HTTP library.

    Args:
        file: where to, appended; none where None.
        to_stderr: also to standard error.

    Raises:
        OSError: the file cannot be written.
    """
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    # A log that cannot be written any more is no reason to fill the terminal.
    logging.raiseExceptions = False
    for handler in handlers:
        handler.setFormatter(RedactingFormatter(_FORMAT))
        for name in ("sedas_sync", "urllib3"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.addHandler(handler)
