"""`nsvisor explain`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from supervisor.cli.common import ask, json_option, name_argument, route_of, say
from supervisor.cli.group import Settings
from supervisor.cli.output import coloured, print_json

if TYPE_CHECKING:
    from supervisor.cli.explain_files import FromFiles
    from supervisor.control.client import ControlClient
    from supervisor.control.models import InstanceDetail, InstanceView

LAST_EXITS = 5
STDOUT = "-"


@click.command("explain")
@name_argument()
@click.option(
    "-n",
    "--exits",
    metavar="N",
    type=click.IntRange(min=1),
    default=LAST_EXITS,
    show_default=True,
    help="So many of its last exits; twenty are kept.",
)
@click.option("--svg", metavar="FILE", help="Draw the last launch into this file instead. -: to standard output.")
@json_option()
@click.pass_obj
def command(settings: Settings, *, name: str, exits: int, svg: str | None, as_json: bool) -> int:
    """Say why an instance is running or not.

    Then its last launch phase by phase with times, beside the medians of launches before it; if it failed, the phase,
    the errno and what to do; its last exits with their causes, and what the restart policy makes of them. Without a
    daemon: as far as its files tell.
    """
    if svg is not None and as_json:
        raise click.UsageError("give --svg or --json, not both")
    from supervisor.control.failures import NoDaemon  # noqa: PLC0415

    try:
        details, others = _asked(settings, name)
    except NoDaemon:
        if settings.socket is not None:
            raise
        from supervisor.cli.explain_files import from_files  # noqa: PLC0415

        return _show_files(from_files(name), exits, svg, as_json=as_json)
    if svg is not None:
        return _draw(details, svg, name)
    if as_json:
        print_json(details)
        return 0
    from supervisor.cli import harmless  # noqa: PLC0415
    from supervisor.cli.render_explain import render  # noqa: PLC0415
    from supervisor.cli.times import clock  # noqa: PLC0415

    states = {view.name: view.state for view in others}
    blocks = [
        "\n".join(render(harmless.all_of(one), states, clock, colours=coloured(), exits=exits)) for one in details
    ]
    print("\n\n\n".join(blocks))
    return 0


def _asked(settings: Settings, name: str) -> "tuple[list[InstanceDetail], list[InstanceView]]":
    from supervisor.control.models import InstanceDetail, InstanceView  # noqa: PLC0415

    async def question(client: "ControlClient") -> "tuple[list[InstanceDetail], list[InstanceView]]":
        details = await client.get(route_of(name), list[InstanceDetail])
        waiting = any(one.instance.state == "waiting" for one in details)
        return details, await client.get("/v1/instances", list[InstanceView]) if waiting else []

    return ask(settings, question)


def _show_files(found: "Sequence[FromFiles]", exits: int, svg: str | None, *, as_json: bool) -> int:
    if svg is not None:
        return _draw(found, svg, found[0].name)
    if as_json:
        say("no daemon answers: this is what its files tell")
        print_json(list(found))
        return 0
    from supervisor.cli import harmless  # noqa: PLC0415
    from supervisor.cli.render_explain import render_remembered  # noqa: PLC0415
    from supervisor.cli.times import clock  # noqa: PLC0415

    blocks = []
    for one in map(harmless.all_of, found):
        heard = [f"{clock(record['t'])}  {record['text']}" for record in one.records]
        lines = render_remembered(
            one.name, one.kept(), one.usual, heard, one.log_path, clock, colours=coloured(), exits=exits
        )
        blocks.append("\n".join(lines))
    print("\n\n\n".join(blocks))
    return 0


def _draw(found: "Sequence[InstanceDetail | FromFiles]", target: str, name: str) -> int:
    from supervisor.cli.times import clock  # noqa: PLC0415
    from supervisor.cli.waterfall_svg import picture  # noqa: PLC0415

    drawn = [(one.launches[-1], one.usual) for one in found if one.launches]
    if not drawn:
        say(f"cannot draw {name}: no launch of it is known")
        return 1
    text = picture(drawn, clock)
    if target == STDOUT:
        print(text, end="")
        return 0
    try:
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        say(f"cannot write {target}: {error.strerror}")
        return 1
    say(f"{target} shows {', '.join(f'{launch.instance}#{launch.incarnation}' for launch, _ in drawn)}")
    return 0
