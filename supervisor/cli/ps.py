"""`nsvisor ps`."""

import time
from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, names_argument
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json, print_table

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import InstanceView

TITLES = ("NAME", "STATE", "PID", "UPTIME", "RESTARTS", "LAST EXIT", "CPU", "MEM")
RIGHT = frozenset({"PID", "UPTIME", "RESTARTS", "CPU", "MEM"})


@click.command("ps")
@names_argument()
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@json_option()
@click.pass_obj
def command(settings: Settings, names: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """List the instances: state, pid, uptime, restarts by policy, last exit, CPU and memory of the whole tree.

    CPU is the use since it was last asked for; 100% is one CPU. PID is on the host. STANDBY, where a worker asks for
    one: whether the next incarnation's sandbox is ready, building, or not there.
    """
    from supervisor.control.models import InstanceView  # noqa: PLC0415

    async def question(client: "ControlClient") -> "list[InstanceView]":
        return await client.get("/v1/instances", list[InstanceView], [("name", name) for name in names])

    views = ask(settings, question)
    if as_json:
        print_json(views)
    elif quiet:
        for view in views:
            print(view.name)
    else:
        marked = any(view.standby is not None for view in views)
        titles = (*TITLES, *(["STANDBY"] if marked else []))
        print_table(titles, [row(view, time.time(), marked=marked) for view in views], RIGHT)


def row(view: "InstanceView", now: float, *, marked: bool = False) -> tuple[str, ...]:
    """One line; `now` is wall clock. marked: with the column for standbys."""
    from supervisor.cli import words  # noqa: PLC0415

    last = words.ABSENT
    if view.last_exit is not None:
        last = f"{words.exit_words(view.last_exit)}, {words.span(max(0.0, now - view.last_exit.ended_at))} ago"
    return (
        view.name,
        words.state_words(view),
        words.ABSENT if view.pid is None else str(view.pid),
        words.span(view.uptime_s),
        str(view.restarts),
        last,
        words.percent(view.cpu_percent),
        words.size(view.rss_bytes),
        *([view.standby or words.ABSENT] if marked else []),
    )
