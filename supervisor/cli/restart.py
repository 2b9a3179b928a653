"""`nsvisor restart`."""

import click

from supervisor.cli.acting import acting_options, request
from supervisor.cli.group import Settings


@click.command("restart")
@acting_options("ready")
@click.pass_obj
def command(
    settings: Settings, *, names: tuple[str, ...], everything: bool, wait: bool, timeout: str | None, as_json: bool
) -> int:
    """Stop workers or instances and start them again; what is down is started."""
    return request(
        settings,
        "restart",
        names=names,
        everything=everything,
        condition="ready" if wait else None,
        timeout=timeout,
        as_json=as_json,
    )
