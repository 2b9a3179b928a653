"""`nsvisor shutdown`."""

import os
import select
from typing import TYPE_CHECKING

import click

from supervisor.cli.acting import seconds
from supervisor.cli.common import ask, json_option, say, socket_path
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Accepted


@click.command("shutdown")
@click.option("--wait", is_flag=True, help="Return when the daemon has left.")
@click.option("--timeout", metavar="TIME", help="With --wait: give up after this time, as in 30s.")
@json_option()
@click.pass_obj
def command(settings: Settings, wait: bool, timeout: str | None, as_json: bool) -> int:
    """Stop all workers by their own stop rules, then the daemon."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    timeout_s = seconds(timeout)

    from supervisor.control.models import Accepted, Names  # noqa: PLC0415

    async def question(client: "ControlClient") -> "Accepted":
        return await client.post("/v1/shutdown", Names(), Accepted)

    daemon = _pidfd(socket_path(settings)) if wait else None
    try:
        accepted = ask(settings, question)
        left = daemon is None or _ended(daemon, timeout_s)
    finally:
        if daemon is not None:
            os.close(daemon)
    if as_json:
        print_json({"instances": accepted.instances, **({"left": left} if wait else {})})
    if left:
        return 0
    say(f"cannot see the daemon leave within {timeout}: `nsvisor ps` shows who keeps it")
    return 1


def _pidfd(path: str) -> int | None:
    """Of the process that listens there; None without one: the request will say so."""
    from supervisor.control.sockets import listener_pid  # noqa: PLC0415

    try:
        pid = listener_pid(path)
        return os.pidfd_open(pid) if pid else None
    except OSError:
        return None  # the request will say what is wrong


def _ended(pidfd: int, timeout_s: float | None) -> bool:
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(None if timeout_s is None else timeout_s * 1000))
