"""`nsvisor inspect`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, names_argument, route_of
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import InstanceDetail


@click.command("inspect")
@names_argument(required=True)
@json_option()
@click.pass_obj
def command(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:  # noqa: ARG001 it is JSON anyway
    """Print all that is known of instances as JSON: a list, with state, spec, last launches and last exits."""
    from supervisor.control.models import InstanceDetail  # noqa: PLC0415

    async def question(client: "ControlClient") -> "list[InstanceDetail]":
        details: list[InstanceDetail] = []
        for name in names:
            details += await client.get(route_of(name), list[InstanceDetail])
        return details

    print_json(ask(settings, question))
