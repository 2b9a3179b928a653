"""`nsvisor kill`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, names_argument
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Accepted


@click.command("kill")
@names_argument(required=True)
@click.option("-s", "--signal", metavar="SIGNAL", default="SIGKILL", show_default=True, help="TERM, SIGTERM or 15.")
@json_option()
@click.pass_obj
def command(settings: Settings, names: tuple[str, ...], signal: str, as_json: bool) -> None:
    """Send a signal to the first process of each sandbox. SIGKILL ends the whole sandbox.

    What happens after the exit is up to the restart policy; use stop to keep a worker down.
    """
    from supervisor.control.models import Accepted, KillRequest  # noqa: PLC0415

    async def question(client: "ControlClient") -> "Accepted":
        return await client.post("/v1/kill", KillRequest(names, signal), Accepted)

    accepted = ask(settings, question)
    if as_json:
        print_json(accepted)
    else:
        print("\n".join(accepted.instances))
