"""`nsvisor daemon`."""

import os

import click

from supervisor.cli.group import Settings


@click.command("daemon")
@click.pass_obj
def command(settings: Settings) -> int:
    """Run the supervisor in the foreground, as systemd or a terminal wants it. SIGHUP reloads, SIGTERM stops all."""
    from supervisor.daemon import main  # noqa: PLC0415  (Trio and the server: half a second that no other verb needs)

    return main(settings.config, settings.socket, os.environ)
