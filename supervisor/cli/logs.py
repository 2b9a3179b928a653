"""`nsvisor logs`."""

import contextlib
import re
from collections.abc import Mapping

import click

from supervisor.cli.common import in_journal, names_argument, say
from supervisor.cli.group import Settings
from supervisor.cli.log_files_unread import Unread, allow_many_files
from supervisor.cli.log_places import Places, find
from supervisor.cli.log_printer import LogPrinter
from supervisor.cli.log_selection import LEVELS, Selection
from supervisor.cli.log_timeline import Timeline
from supervisor.cli.times import FORMS, parse_instant

LAST_WHEN_FOLLOWING = 10
LAST_INCARNATION = "last"


@click.command("logs")
@names_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until interrupted.")
@click.option(
    "-n",
    "--lines",
    "count",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"Only the last N lines of each instance. Default: all; {LAST_WHEN_FOLLOWING} with -f.",
)
@click.option(
    "-a",
    "--all",
    "everything",
    is_flag=True,
    help="Between them what the daemon did: set-up, exits, backoff. Marked * where output is marked |. "
    "Phases that went well are left out but for --phase, --level and --json.",
)
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Of the output only this stream.")
@click.option("--since", metavar="TIME", help=f"{FORMS[0].upper()}{FORMS[1:]}.")
@click.option("--until", metavar="TIME", help="In the same forms.")
@click.option("-g", "--grep", metavar="REGEX", help="Only lines in which this regular expression is found.")
@click.option("-i", "--ignore-case", is_flag=True, help="For --grep.")
@click.option("--incarnation", metavar="N", help='Only of this launch, as in web-0#N. "last": of the last one.')
@click.option("--phase", metavar="PHASE", help="Only what the daemon says of this phase of the set-up.")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="Only what is as grave or graver. Output counts as info. Like --phase it includes --all.",
)
@click.option("-t", "--timestamps", is_flag=True, help="The time before each line.")
@click.option("--json", "as_json", is_flag=True, help="The lines as stored: JSON; with the instance's name if several.")
@click.pass_obj
def command(
    settings: Settings,
    *,
    names: tuple[str, ...],
    follow: bool,
    count: int | None,
    everything: bool,
    stream: str | None,
    since: str | None,
    until: str | None,
    grep: str | None,
    ignore_case: bool,
    incarnation: str | None,
    phase: str | None,
    level: str | None,
    timestamps: bool,
    as_json: bool,
) -> int:
    """Show what workers or instances print, merged by time; of all workers where none is named.

    Reads the log files, so it works without a daemon too.
    """
    if follow and until is not None:
        raise click.UsageError("--until ends in the past: give it without --follow")
    everything = everything or phase is not None or level is not None
    selection = Selection(stream, parse_instant(since), parse_instant(until), _pattern(grep, ignore_case), None, phase)
    if selection.since is not None and selection.until is not None and selection.since > selection.until:
        raise click.UsageError(f"--since {since} is after --until {until}")
    _check_phase(phase)
    wanted = _number(incarnation)
    if follow and count is None and since is None:
        count = LAST_WHEN_FOLLOWING
    places = find(settings, names)
    brief = phase is None and level is None and not as_json
    selection = selection._replace(level=level, incarnations=_incarnations(places, wanted), brief=brief)
    if not places.paths and not everything:
        whose = ", ".join(names) or "any worker"
        say(f"cannot show logs of {whose}: log.sink is null, or journald: try {in_journal(list(places.incarnations))}")
        return 1
    records = places.records if everything else None
    unread = Unread()
    allow_many_files(len(places.paths))
    timeline = Timeline(places.paths, records, set(places.incarnations), selection, unread)
    named = everything or len(places.paths) > 1
    printer = LogPrinter(named=named, timestamps=timestamps, as_json=as_json)
    with contextlib.closing(timeline):
        for line in timeline.past(count):
            printer.show(line)
        if follow:
            printer.go_live()
            for line in timeline.follow(lambda: _present(settings, names)):
                printer.named = everything or timeline.has_several
                printer.show(line)
    printer.finish()
    return 1 if unread else 0


def _present(settings: Settings, names: tuple[str, ...]) -> Mapping[str, str]:
    """The logs that there are now; none where nobody can tell."""
    from supervisor.control.failures import ControlError  # noqa: PLC0415
    from supervisor.spec.names import UnknownName  # noqa: PLC0415

    try:
        return find(settings, names).paths
    except (ControlError, UnknownName):  # the daemon is away, or the worker has left
        return {}


def _pattern(grep: str | None, ignore_case: bool) -> re.Pattern[str] | None:
    if grep is None:
        return None
    try:
        return re.compile(grep, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise click.UsageError(f"cannot read {grep!r} as a regular expression: {error}") from None


def _number(incarnation: str | None) -> int | None:
    """0 for the last one."""
    if incarnation is None or (incarnation.isascii() and incarnation.isdecimal() and int(incarnation) > 0):
        return None if incarnation is None else int(incarnation)
    if incarnation == LAST_INCARNATION:
        return 0
    raise click.UsageError(f'cannot read {incarnation!r} as an incarnation: it may be a number from 1 on, or "last"')


def _incarnations(places: Places, wanted: int | None) -> dict[str, int] | None:
    if wanted is None:
        return None
    return {name: wanted or last for name, last in places.incarnations.items()}


def _check_phase(phase: str | None) -> None:
    if phase is None:
        return
    from supervisor.sandbox.hint_table import TABLE  # noqa: PLC0415
    from supervisor.spec.names import nearest  # noqa: PLC0415

    if phase not in TABLE:
        guess = nearest(phase, TABLE)
        raise click.UsageError(f"no such phase: {phase}" + (f" (did you mean {guess}?)" if guess else ""))
