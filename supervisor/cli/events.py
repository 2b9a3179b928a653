"""`nsvisor events`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.common import converse, json_option, names_argument, say
from supervisor.cli.group import Settings
from supervisor.cli.harmless import json_text
from supervisor.cli.output import coloured, paint

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import EventView

MOST = 10**18 - 1  # of digits that the daemon reads
AGAIN_S = 0.2  # after the end of a stream: a daemon that leaves for good does not listen much longer
COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}


@click.command("events")
@names_argument()
@click.option("-n", "--last", metavar="N", type=click.IntRange(min=0), help="Begin with the last N of all events.")
@click.option(
    "--after",
    "--since-id",
    "after",
    metavar="ID",
    type=click.IntRange(min=0),
    help="Go on after this event, by its id (--json shows it).",
)
@click.option("--no-follow", is_flag=True, help="End after what the daemon remembers.")
@json_option()
@click.pass_obj
def command(
    settings: Settings, *, names: tuple[str, ...], last: int | None, after: int | None, no_follow: bool, as_json: bool
) -> None:
    """Show what happened, as far as the daemon remembers it, then what happens, until interrupted.

    With names: only what concerns these workers or instances. With --json: one object per line.
    """
    if last is not None and after is not None:
        raise click.UsageError("give --last or --after, not both")
    if max(last or 0, after or 0) > MOST:
        raise click.UsageError(f"--last and --after may be {MOST} at most")
    query = [("name", name) for name in names]
    query.append(("follow", "false" if no_follow else "true"))
    first = [(key, str(value)) for key, value in (("last", last), ("after", after)) if value is not None]

    import anyio  # noqa: PLC0415
    import msgspec  # noqa: PLC0415

    from supervisor.control.failures import NoDaemon  # noqa: PLC0415

    on = coloured()

    async def question(client: "ControlClient") -> None:
        place = await show(client, first)
        while not no_follow:  # a daemon that re-executes itself ends the stream, and takes the next request
            await anyio.sleep(AGAIN_S)
            try:
                place = await show(client, place)
            except NoDaemon:
                return

    async def show(client: "ControlClient", place: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Until the stream ends: where to go on."""
        async with client.events([*query, *place]) as events:
            async for event in events:
                print(json_text(msgspec.json.encode(event).decode()) if as_json else line(event, on), flush=True)
                place = [("after", str(event.id))]
        return place

    converse(settings, question)
    if not no_follow:
        say("the daemon has ended the stream")


def line(event: "EventView", colours: bool) -> str:
    """One event as one line: time, level, name, fields."""
    import msgspec  # noqa: PLC0415

    from supervisor.cli.times import clock  # noqa: PLC0415

    fields = " ".join(
        f"{key}={value if isinstance(value, str) and value and value.isprintable() and ' ' not in value else text}"
        for key, value in event.fields.items()
        if value is not None
        for text in (json_text(msgspec.json.encode(value).decode()),)
    )
    head = f"{clock(event.time)} {event.level:7} {event.event}"
    return f"{paint(head, COLOURS.get(event.level), colours)} {fields}".rstrip()
