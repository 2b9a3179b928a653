"""`nsvisor explain`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, name_argument
from supervisor.cli.group import Settings
from supervisor.cli.output import coloured, print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import InstanceDetail, InstanceView


@click.command("explain")
@name_argument()
@json_option()
@click.pass_obj
def command(settings: Settings, name: str, as_json: bool) -> None:
    """Say why an instance is running or not.

    Then its last launch phase by phase with times; if it failed, the phase, the errno and what to do; its last exits,
    and what the restart policy makes of them.
    """
    from supervisor.control.models import InstanceDetail, InstanceView  # noqa: PLC0415

    async def question(client: "ControlClient") -> "tuple[list[InstanceDetail], list[InstanceView]]":
        details = await client.get(f"/v1/instances/{name}", list[InstanceDetail])
        waiting = any(one.instance.state == "waiting" for one in details)
        return details, await client.get("/v1/instances", list[InstanceView]) if waiting else []

    details, others = ask(settings, question)
    if as_json:
        print_json(details)
        return
    from supervisor.cli.render_explain import render  # noqa: PLC0415
    from supervisor.cli.times import clock  # noqa: PLC0415

    states = {view.name: view.state for view in others}
    blocks = ["\n".join(render(one, states, clock, colours=coloured())) for one in details]
    print("\n\n\n".join(blocks))
