"""`nsvisor pause`."""

import click

from supervisor.cli.common import json_option, names_argument
from supervisor.cli.freezing import request
from supervisor.cli.group import Settings


@click.command("pause")
@names_argument(required=True)
@json_option()
@click.pass_obj
def command(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:
    """Freeze all processes of workers or instances.

    It needs a cgroup (see nsvisor doctor). They keep their memory, sockets and place; what waits for them, waits.
    Their deadlines wait too. A stop lets them go on first.
    """
    request(settings, "pause", names, as_json=as_json)
