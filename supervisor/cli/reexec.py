"""`nsvisor reexec`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, say
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Reexecuted


@click.command("reexec")
@json_option()
@click.pass_obj
def command(settings: Settings, as_json: bool) -> int:
    """Let the daemon become the program that is installed now, as after an upgrade. Its workers and its PID stay.

    The new program is asked first whether it can go on: whether it starts, and can read the configuration and the state
    of the workers. Returns once it is ready. Exit status 1: it did not become another program, and goes on as it was.
    """
    from supervisor.control.failures import Refused  # noqa: PLC0415
    from supervisor.control.models import Names, Reexecuted  # noqa: PLC0415

    async def question(client: "ControlClient") -> "Reexecuted":
        return await client.post("/v1/reexec", Names(), Reexecuted)

    try:
        answer = ask(settings, question)
    except Refused as error:
        for problem in error.view.problems:
            say(problem.text)
        raise
    if as_json:
        print_json(answer)
    else:
        print(line(answer))
    return 0


def line(answer: "Reexecuted") -> str:
    """What has become of it."""
    versions = answer.version
    if answer.from_version != answer.version:
        versions = f"{answer.from_version} -> {answer.version}"
    return f"re-executed: {versions} (pid {answer.pid}), workers that went on: {answer.workers}"
