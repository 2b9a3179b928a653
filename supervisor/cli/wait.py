"""`nsvisor wait`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.acting import report_missing, seconds
from supervisor.cli.common import ask, json_option, names_argument
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Condition, WaitResult


@click.command("wait")
@names_argument()
@click.option(
    "--for",
    "condition",
    type=click.Choice(["ready", "healthy", "stopped", "exited"]),
    default="ready",
    show_default=True,
    help="ready: by its own kind of readiness. healthy: by its health probe, too, if it has one. "
    "stopped: down for good. exited: not running now.",
)
@click.option("--timeout", metavar="TIME", help="Give up after this time, as in 30s. Default: never.")
@json_option()
@click.pass_obj
def command(
    settings: Settings, names: tuple[str, ...], condition: "Condition", timeout: str | None, as_json: bool
) -> int:
    """Wait until all these workers or instances meet a condition (without names: all). Exit status 1: not in time."""
    timeout_s = seconds(timeout)

    from supervisor.cli.waiting import wait_on  # noqa: PLC0415

    async def question(client: "ControlClient") -> "WaitResult":
        return await wait_on(client, names, condition, timeout_s)

    result = ask(settings, question)
    if as_json:
        print_json(result)
    return report_missing(result, condition, timeout)
