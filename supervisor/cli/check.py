"""`nsvisor check`."""

import os
from typing import TYPE_CHECKING

import click

from supervisor.cli.common import json_option, say
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.spec.model import Fleet


def load(settings: Settings) -> "Fleet":
    """The configuration that a daemon with these options would use. Raises ConfigError."""
    from supervisor.spec.load import find_config, load_config  # noqa: PLC0415

    return load_config(find_config(settings.config, os.environ, os.getuid()))


@click.command("check")
@json_option()
@click.pass_obj
def command(settings: Settings, as_json: bool) -> int:
    """Read the configuration and print every problem, one per line: FILE:LINE: KEY: MESSAGE. Changes nothing.

    Exit status 1: it cannot be used.
    """
    from supervisor.host.possible import possible_here  # noqa: PLC0415
    from supervisor.spec.errors import ConfigError  # noqa: PLC0415

    try:
        fleet = possible_here(load(settings))
    except ConfigError as error:
        if as_json:
            print_json({"ok": False, "problems": error.problems})
        else:
            print(error)
            say(f"cannot use the configuration: {_count(len(error.problems), 'problem')}")
        return 1
    if as_json:
        print_json(
            {
                "ok": True,
                "problems": [],
                "files": fleet.files,
                "workers": list(fleet.workers),
                "warnings": warnings(fleet),
            }
        )
    else:
        warned = warnings(fleet)
        for line in summary(fleet, len(warned)):
            print(line)
        for line in warned:
            say(f"warning: {line}")
    return 0


def summary(fleet: "Fleet", warned: int) -> list[str]:
    """The files, how much is in them, and what came of it."""
    instances = sum(worker.instances for worker in fleet.workers.values())
    files = ", ".join(fleet.files)
    found = f"no error, {_count(warned, 'warning')}" if warned else "no problem found"
    return [f"{files}: {_count(len(fleet.workers), 'worker')}, {_count(instances, 'instance')}: {found}"]


def warnings(fleet: "Fleet") -> list[str]:
    """What is allowed and yet hardly meant, and what will hardly work on this machine."""
    from supervisor.spec import advice  # noqa: PLC0415

    found = [str(problem) for problem in advice.warnings(fleet)]
    for name, worker in fleet.workers.items():
        if worker.ready.kind == "started" and any(name in other.requires for other in fleet.workers.values()):
            found.append(f"worker.{name}.ready: others require it, and it counts as ready as soon as it is started")
        if worker.stop.signal == "SIGKILL":
            found.append(f"worker.{name}.stop.signal: SIGKILL leaves it no chance to put things in order")
    from supervisor.host.check_quotas import quota_checks  # noqa: PLC0415

    found += [f"{check.name}: {check.found}; {check.fix}" for check in quota_checks(list(fleet.workers.values()))]
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
