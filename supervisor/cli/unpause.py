"""`nsvisor unpause`."""

import click

from supervisor.cli.common import json_option, names_argument
from supervisor.cli.freezing import request
from supervisor.cli.group import Settings


@click.command("unpause")
@names_argument(required=True)
@json_option()
@click.pass_obj
def command(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:
    """Let paused workers or instances go on."""
    request(settings, "unpause", names, as_json=as_json)
