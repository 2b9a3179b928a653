"""pause and unpause: the same request with another verb."""

from typing import TYPE_CHECKING

from supervisor.cli.common import ask
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Accepted


def request(settings: Settings, verb: str, names: tuple[str, ...], *, as_json: bool) -> None:
    """Ask for it, and print the instances that are concerned once it is done."""
    from supervisor.control.models import Accepted, Names  # noqa: PLC0415

    async def question(client: "ControlClient") -> "Accepted":
        return await client.post(f"/v1/{verb}", Names(names), Accepted)

    accepted = ask(settings, question)
    if as_json:
        print_json(accepted)
    else:
        print("\n".join(accepted.instances))
