"""`nsvisor shutdown`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.acting import seconds
from supervisor.cli.common import ask, say
from supervisor.cli.group import Settings

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient

POLL_S = 0.05


@click.command("shutdown")
@click.option("--wait", is_flag=True, help="Return when the daemon has left.")
@click.option("--timeout", metavar="TIME", help="With --wait: give up after this time, as in 30s.")
@click.pass_obj
def command(settings: Settings, wait: bool, timeout: str | None) -> int:
    """Stop all workers by their own stop rules, then the daemon."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    timeout_s = seconds(timeout)

    import anyio  # noqa: PLC0415

    from supervisor.control.failures import NoDaemon  # noqa: PLC0415
    from supervisor.control.models import Accepted, Names, VersionView  # noqa: PLC0415

    async def question(client: "ControlClient") -> bool:
        daemon = await client.get("/v1/version", VersionView)
        await client.post("/v1/shutdown", Names(), Accepted)
        with anyio.move_on_after(timeout_s):
            while wait:
                try:
                    if (await client.get("/v1/version", VersionView)).pid != daemon.pid:
                        return True  # a service manager has started the next one
                except NoDaemon:
                    return True
                await anyio.sleep(POLL_S)
        return not wait

    if ask(settings, question):
        return 0
    say(f"cannot see the daemon leave within {timeout}: `nsvisor ps` shows who keeps it")
    return 1
