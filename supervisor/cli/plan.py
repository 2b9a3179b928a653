"""`nsvisor plan`."""

import os
from typing import TYPE_CHECKING

import click

from supervisor.cli.check import load
from supervisor.cli.common import ask, json_option, name_argument, route_of, say, socket_path
from supervisor.cli.group import Settings
from supervisor.cli.output import plain_table, print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.sandbox.plan import Plan


@click.command("plan")
@name_argument()
@json_option()
@click.pass_obj
def command(settings: Settings, name: str, as_json: bool) -> None:
    """Show the phases that would build the sandbox of a worker or instance, in order, and run nothing.

    From the daemon if it runs and no --config is given; else from the configuration and this host.
    """
    plans = _from_daemon(settings, name) if settings.config is None else None
    if plans is None:
        plans = _from_file(settings, name)
    if as_json:
        print_json(plans)
    else:
        print("\n\n".join("\n".join(lines(plan)) for plan in plans))


def lines(plan: "Plan") -> list[str]:
    """Number, phase, detail."""
    rows = [(str(number), step.phase, step.detail) for number, step in enumerate(plan.steps, 1)]
    return [
        f"{plan.instance}: {len(rows)} phase{'' if len(rows) == 1 else 's'}",
        *plain_table(("#", "PHASE", "DETAIL"), rows, frozenset({"#"})),
    ]


def _from_daemon(settings: Settings, name: str) -> "list[Plan] | None":
    """None when there is no daemon."""
    from supervisor.control.failures import NoDaemon  # noqa: PLC0415
    from supervisor.sandbox.plan import Plan  # noqa: PLC0415

    async def question(client: "ControlClient") -> "list[Plan]":
        return await client.get(f"{route_of(name)}/plan", list[Plan])

    try:
        return ask(settings, question)
    except NoDaemon:
        if settings.socket is not None:
            raise
        say(f"no daemon at {socket_path(settings)}: this is the plan by the configuration file")
        return None


def _from_file(settings: Settings, name: str) -> "list[Plan]":
    """Raises ConfigError, UnknownName."""
    from msgspec.structs import replace  # noqa: PLC0415

    from supervisor.host.facts import gather  # noqa: PLC0415
    from supervisor.runtime import address_book  # noqa: PLC0415
    from supervisor.runtime.id_book import preview  # noqa: PLC0415
    from supervisor.sandbox.plan import compile_plan  # noqa: PLC0415
    from supervisor.spec.cgroup_files import CONTROLLERS  # noqa: PLC0415
    from supervisor.spec.facts import CgroupFacts  # noqa: PLC0415
    from supervisor.spec.model import instance_names  # noqa: PLC0415
    from supervisor.spec.names import UnknownName, nearest  # noqa: PLC0415
    from supervisor.spec.paths import state_dir  # noqa: PLC0415

    fleet = load(settings)
    state = state_dir(os.environ, os.geteuid())
    facts = address_book.preview(fleet, preview(fleet, gather(os.environ), state), state)
    facts = replace(facts, cgroups=CgroupFacts(usable=True, controllers=CONTROLLERS))  # only a daemon can tell
    names = {worker: instance_names(spec) for worker, spec in fleet.workers.items()}
    plans = [
        compile_plan(fleet.workers[worker], index, facts, standby=fleet.workers[worker].restart.standby)
        for worker, instances in names.items()
        for index, instance in enumerate(instances)
        if name in (worker, instance)
    ]
    if not plans:
        raise UnknownName(name, nearest(name, (*names, *(one for many in names.values() for one in many))))
    return plans
