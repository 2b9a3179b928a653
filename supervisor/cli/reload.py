"""`nsvisor reload`."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, say
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.reloads import FleetDiff


SIGNS = {"restart": "~", "start": "~", "live": "=", "next start": "="}
EFFECTS = {
    "restart": ": restarted",
    "start": ": started, for it had failed",
    "live": ": in place",
    "next start": ": from its next start on",
}


@click.command("reload")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@json_option()
@click.pass_obj
def command(settings: Settings, dry_run: bool, as_json: bool) -> int:
    """Let the daemon read its configuration again, show what changes, and touch only the instances that do.

    What was stopped by hand stays stopped. Exit status 1: the configuration cannot be used; nothing was changed.
    """
    from supervisor.control.failures import Refused  # noqa: PLC0415
    from supervisor.control.models import ReloadRequest  # noqa: PLC0415
    from supervisor.control.reloads import FleetDiff  # noqa: PLC0415

    async def question(client: "ControlClient") -> "FleetDiff":
        return await client.post("/v1/reload", ReloadRequest(dry_run), FleetDiff)

    try:
        diff = ask(settings, question)
    except Refused as error:
        for problem in error.view.problems:
            say(problem.text)
        raise
    if as_json:
        print_json(diff)
    else:
        print("\n".join(lines(diff, dry_run)))
    return 0


def lines(diff: "FleetDiff", dry_run: bool) -> list[str]:
    """+ added, - removed, ~ changed by a launch, = changed without one."""
    found = [f"+ {name}" for name in diff.added] + [f"- {name}" for name in diff.removed]
    for change in diff.changed:
        found.append(f"{SIGNS[change.effect]} {change.instance}{EFFECTS[change.effect]}")
        found += [f"    {key.key}: {key.old or '(default)'} -> {key.new or '(default)'}" for key in change.keys]
    if diff.supervisor:
        found.append("= supervisor")
        found += [f"    {key.key}: {key.old or '(default)'} -> {key.new or '(default)'}" for key in diff.supervisor]
    of = Counter(change.effect for change in diff.changed)
    counts = (
        f"{len(diff.added)} added, {len(diff.removed)} removed, {of['restart'] + of['start']} restarted, "
        f"{of['live'] + of['next start']} changed in place, {len(diff.unchanged)} unchanged"
    )
    return [*found, f"{counts}{' (dry run: nothing was done)' if dry_run else ''}"]
