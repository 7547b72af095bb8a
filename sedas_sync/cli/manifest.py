"""Read the manifest of a command, check the files that the command writes, and start the log."""

import threading
from collections.abc import Mapping

from sedas_sync.cli.options import Globals
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import Manifest
from sedas_sync.model.scene import NOTHING
from sedas_sync.net.redact import logger_of
from sedas_sync.operations.load import load_manifest
from sedas_sync.operations.outputs import check_outputs
from sedas_sync.output.logging import log_to


def checked_manifest(
    manifest: str,
    common: Globals,
    outputs: Mapping[str, str | None] = NOTHING,
    inputs: Mapping[str, str | None] = NOTHING,
) -> Manifest:
    """Read a manifest, check the files that the command writes, and start the log.

    Args:
        manifest: The manifest's file.
        common: The global options.
        outputs: The files that the command writes besides the log, by their options.
        inputs: The files that it reads, by their options.

    Raises:
        ManifestError: The manifest has mistakes, a file must not be written, or the log file cannot be written.
    """
    checked = load_manifest(manifest)
    check_outputs(checked, {"--log-file": common.log_file, **outputs}, inputs)
    _start_logging(common)
    return checked


def _start_logging(common: Globals) -> None:
    """Start the log as the global options say.

    Raises:
        ManifestError: The log file cannot be written.
    """
    threading.excepthook = _log_thread_error
    if not common.logs:
        return
    try:
        log_to(common.log_file, to_stderr=common.logs_to_terminal)
    except OSError as error:
        raise ManifestError(f"--log-file {common.log_file}: cannot be written: {error.strerror}") from None


def _log_thread_error(of: threading.ExceptHookArgs) -> None:
    """Log what ended a thread. The code that waits for the thread reports it."""
    logger_of(__name__).debug("a thread has ended", exc_info=of.exc_value)
