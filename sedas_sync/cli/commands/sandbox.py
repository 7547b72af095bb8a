"""`sedas-sync sandbox`."""

import os
import signal
import sys

import click

from sedas_sync.cli.options import Globals, global_options
from sedas_sync.cli.session import interruptible, print_json
from sedas_sync.errors import ManifestError


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@global_options
def sandbox(port: int, host: str, common: Globals) -> None:
    """Run the embedded archive on a local port (user and password: sandbox)."""
    from sedas_sync.sandbox import Sandbox  # noqa: PLC0415  # only where it is needed: start-up is short

    with interruptible():
        try:
            server = Sandbox(host=host, port=port)
            server.start()
        except OSError as error:
            # The library adds the address to the system's words.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise ManifestError(
                f"port {port} on {host} cannot be listened on: {reason}; try another --port, or 0 for a free one"
            ) from None
        if common.as_json:
            print_json({"schema": 1, "url": server.url, "username": "sandbox", "password": "sandbox"})
        else:
            click.echo(f"SeDAS sandbox at {server.url} (user sandbox, password sandbox); Ctrl-C ends it")
        sys.stdout.flush()
        signal.pause()
