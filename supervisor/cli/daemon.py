"""`nsvisor daemon`."""

import os

import click

from supervisor.cli.group import Settings


@click.command("daemon")
@click.option("--check", is_flag=True, hidden=True, help="What a daemon asks before it becomes this program.")
@click.option(
    "--sweep", is_flag=True, help="End what a daemon and its keeper left that were both killed; start nothing."
)
@click.pass_obj
def command(settings: Settings, check: bool, sweep: bool) -> int:
    """Run the supervisor in the foreground, as systemd or a terminal wants it.

    SIGHUP reloads, SIGUSR2 re-executes (as `nsvisor reexec`), SIGTERM stops all.
    """
    if sweep:
        return _sweep()

    from supervisor.runtime import signals  # noqa: PLC0415

    # Until there is a handler: a stop that comes while this starts must still end the workers of the last daemon.
    if not check:
        signals.block()
    from supervisor.daemon import main  # noqa: PLC0415  (Trio and the server: half a second that no other verb needs)

    if check:
        return _check(settings)

    return main(settings.config, settings.socket, os.environ)


def _sweep() -> int:
    from supervisor.runtime.keeper_leftovers import sweep  # noqa: PLC0415

    return sweep(os.environ)


def _check(settings: Settings) -> int:
    """Say whether this program could go on as a daemon that runs, and change nothing."""
    import msgspec  # noqa: PLC0415

    from supervisor.runtime.reexec_check import look  # noqa: PLC0415

    print(msgspec.json.encode(look(settings.config, os.environ)).decode())
    return 0
