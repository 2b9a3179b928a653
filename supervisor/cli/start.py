"""`nsvisor start`."""

import click

from supervisor.cli.acting import acting_options, request
from supervisor.cli.group import Settings


@click.command("start")
@acting_options("ready")
@click.pass_obj
def command(
    settings: Settings, *, names: tuple[str, ...], everything: bool, wait: bool, timeout: str | None, as_json: bool
) -> int:
    """Start workers or instances."""
    return request(
        settings,
        "start",
        names=names,
        everything=everything,
        condition="ready" if wait else None,
        timeout=timeout,
        as_json=as_json,
    )
