"""`sedas-sync sandbox`."""

import signal
import sys

import click

from sedas_sync.cli.options import Globals, global_options
from sedas_sync.cli.shared import interruptible, print_json
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
            raise ManifestError(f"port {port} on {host} cannot be listened on: {error.strerror}") from None
        if common.as_json:
            print_json({"schema": 1, "url": server.url, "username": "sandbox", "password": "sandbox"})
        else:
            click.echo(f"SeDAS sandbox at {server.url} (user sandbox, password sandbox); Ctrl-C ends it")
        sys.stdout.flush()
        signal.pause()
