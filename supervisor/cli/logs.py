"""`nsvisor logs`."""

import glob
import os
import time
from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, names_argument, say
from supervisor.cli.group import Settings
from supervisor.cli.log_lines import Line, Selection, merged, show
from supervisor.cli.logfiles import LogReader
from supervisor.cli.times import parse_instant

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import InstanceView

POLL_S = 0.2
LAST_WHEN_FOLLOWING = 10


@click.command("logs")
@names_argument(required=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until interrupted.")
@click.option(
    "-n",
    "--lines",
    "count",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"Only the last N lines of each instance. Default: all; {LAST_WHEN_FOLLOWING} with -f.",
)
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream.")
@click.option("--since", metavar="TIME", help="10m (ago), 2025-01-31T12:00 or seconds since the epoch.")
@click.option("--until", metavar="TIME", help="In the same forms.")
@click.option("-t", "--timestamps", is_flag=True, help="The time before each line.")
@click.option("--json", "as_json", is_flag=True, help="The lines as stored: JSON; with the instance's name if several.")
@click.pass_obj
def command(
    settings: Settings,
    *,
    names: tuple[str, ...],
    follow: bool,
    count: int | None,
    stream: str | None,
    since: str | None,
    until: str | None,
    timestamps: bool,
    as_json: bool,
) -> int:
    """Show what workers or instances print, merged by time. Reads the log files, so it works without a daemon too."""
    if follow and until is not None:
        raise click.UsageError("--until ends in the past: give it without --follow")
    selection = Selection(stream, parse_instant(since), parse_instant(until))
    if follow and count is None and since is None:
        count = LAST_WHEN_FOLLOWING
    paths = find(settings, names)
    if not paths:
        say(f"cannot show logs of {', '.join(names)}: they go nowhere (log.sink is null)")
        return 1
    several = len(paths) > 1
    readers = {name: LogReader(path) for name, path in paths.items()}
    before: Line | None = None
    for line in merged(readers, selection, count):
        show(line, before, several=several, timestamps=timestamps, as_json=as_json)
        before = line
    while follow:
        new = [
            Line.read(name, raw) for name, reader in readers.items() for raw in reader.fresh() if selection.wants(raw)
        ]
        for line in sorted(new, key=Line.when):
            show(line, before, several=several, timestamps=timestamps, as_json=as_json)
            before = line
        time.sleep(POLL_S)
    if before is not None and before.is_partial() and not as_json:
        print()
    return 0


def find(settings: Settings, names: tuple[str, ...]) -> dict[str, str]:
    """Log files by instance: as the daemon says, else as they lie in the state directory. Raises UnknownName."""
    from supervisor.control.failures import NoDaemon  # noqa: PLC0415
    from supervisor.control.models import InstanceView  # noqa: PLC0415

    async def question(client: "ControlClient") -> "list[InstanceView]":
        return await client.get("/v1/instances", list[InstanceView], [("name", name) for name in names])

    try:
        return {view.name: view.log_path for view in ask(settings, question) if view.log_path is not None}
    except NoDaemon:
        if settings.socket is not None:
            raise
        return _in_state_dir(names)


def _in_state_dir(names: tuple[str, ...]) -> dict[str, str]:
    from supervisor.spec.names import UnknownName, nearest  # noqa: PLC0415
    from supervisor.spec.paths import state_dir  # noqa: PLC0415

    directory = os.path.join(state_dir(os.environ, os.getuid()), "logs")
    present = {
        os.path.basename(path).removesuffix(".log"): path for path in glob.glob(os.path.join(directory, "*.log"))
    }
    found: dict[str, str] = {}
    for name in names:
        mine = [one for one in present if one == name or (one.rpartition("-")[0] == name and _is_index(one))]
        if not mine:
            raise UnknownName(name, nearest(name, present))
        found.update({one: present[one] for one in sorted(mine)})
    return found


def _is_index(instance: str) -> bool:
    return instance.rpartition("-")[2].isdigit()
