"""`nsvisor stop`."""

import click

from supervisor.cli.acting import acting_options, request
from supervisor.cli.group import Settings


@click.command("stop")
@acting_options("stopped")
@click.pass_obj
def command(
    settings: Settings, *, names: tuple[str, ...], everything: bool, wait: bool, timeout: str | None, as_json: bool
) -> int:
    """Stop workers or instances. They stay down until they are started by hand."""
    return request(
        settings,
        "stop",
        names=names,
        everything=everything,
        condition="stopped" if wait else None,
        timeout=timeout,
        as_json=as_json,
    )
