"""`sedas-sync sandbox`."""

import os
import signal
import sys

import click

from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import interruptible, print_document
from sedas_sync.errors import ManifestError
from sedas_sync.output.documents.catalogue import SandboxDocument
from sedas_sync.sandbox import Sandbox


def run(*, port: int, host: str, common: Globals) -> None:
    """Run the embedded archive on a local port."""
    with interruptible(line="Stopped."):
        try:
            server = Sandbox(host=host, port=port)
            server.start()
        except OSError as error:
            # The library adds the address to the text of the system.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise ManifestError(
                f"cannot listen on {host}:{port}: {reason}; try another --port, or 0 for a free one"
            ) from None
        if common.as_json:
            print_document(SandboxDocument(url=server.url))
        else:
            click.echo(f"SeDAS sandbox at {server.url} (user sandbox, password sandbox). Press Ctrl-C to stop it.")
        sys.stdout.flush()
        signal.pause()
