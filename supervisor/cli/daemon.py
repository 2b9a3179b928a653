"""`nsvisor daemon`."""

import os
import signal

import click

from supervisor.cli.group import Settings


@click.command("daemon")
@click.pass_obj
def command(settings: Settings) -> int:
    """Run the supervisor in the foreground, as systemd or a terminal wants it. SIGHUP reloads, SIGTERM stops all."""
    # Until there is a handler: a stop that comes while this starts must still end the workers of the last daemon.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    from supervisor.daemon import main  # noqa: PLC0415  (Trio and the server: half a second that no other verb needs)

    return main(settings.config, settings.socket, os.environ)
