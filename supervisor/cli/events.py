"""`nsvisor events`."""

from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, names_argument, say
from supervisor.cli.group import Settings
from supervisor.cli.output import coloured, paint

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import EventView

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
    query = [("name", name) for name in names]
    query += [(key, str(value)) for key, value in (("last", last), ("after", after)) if value is not None]
    query.append(("follow", "false" if no_follow else "true"))

    import msgspec  # noqa: PLC0415

    on = coloured()

    async def question(client: "ControlClient") -> None:
        async with client.events(query) as events:
            async for event in events:
                print(msgspec.json.encode(event).decode() if as_json else line(event, on), flush=True)

    ask(settings, question)
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
        for text in (msgspec.json.encode(value).decode(),)
    )
    head = f"{clock(event.time)} {event.level:7} {event.event}"
    return f"{paint(head, COLOURS.get(event.level), colours)} {fields}".rstrip()
