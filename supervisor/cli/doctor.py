"""`nsvisor doctor`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.check import load
from supervisor.cli.common import json_option, say
from supervisor.cli.group import Settings
from supervisor.cli.output import coloured, paint, print_json

if TYPE_CHECKING:
    from supervisor.host.check import Check

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@json_option()
@click.pass_obj
def command(settings: Settings, as_json: bool) -> int:
    """Check this host for all that the configuration needs, one line each, with the fix.

    Without a configuration: for what a worker with default settings needs. Exit status 1: something fails.
    """
    from supervisor.host.doctor import checks  # noqa: PLC0415
    from supervisor.spec.errors import ConfigError  # noqa: PLC0415

    fleet = None
    try:
        fleet = load(settings)
    except ConfigError as error:
        if settings.config is not None:
            raise
        say(f"checking for default settings only: {error}")
    results = checks(fleet)
    if as_json:
        print_json(results)
    else:
        for line in lines(results, coloured()):
            print(line)
    return int(any(result.status == "fail" for result in results))


def lines(results: "list[Check]", colours: bool) -> list[str]:
    """One line per check, and the fix below it."""
    width = max((len(result.name) for result in results), default=0)
    found = []
    for result in results:
        mark = paint(f"{result.status:4}", COLOURS[result.status], colours)
        found.append(f"{mark}  {result.name:{width}}  {result.found}")
        if result.fix is not None and result.status != "ok":
            found.append(f"{'':4}  {'':{width}}  fix: {result.fix}")
    return found
