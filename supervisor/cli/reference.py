"""docs/reference/cli.md: `python -m supervisor.cli.reference > docs/reference/cli.md`."""

import inspect

import click

from supervisor.cli.group import VERBS, cli

HEAD = """\
# Command line

Generated from the commands themselves.

Data goes to stdout, words to stderr; errors begin with "cannot". Colours and fitted tables only on a terminal, and no
colours with `NO_COLOR`. NAME is a worker (all its instances) or an instance.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | failed, or not in time |
| 2 | wrong usage |
| 3 | no worker or instance of this name |
| 4 | no daemon listens on the socket |
| 130 | interrupted |

`-h` or `--help` after any command prints what is said of it here. `nsvisor run` has its own exit statuses,
below. Completion: `nsvisor completion bash|zsh|fish` prints the script; names of workers are completed from the living
daemon.
"""


def markdown() -> str:
    """The page."""
    top = click.Context(cli, info_name="nsvisor", **cli.context_settings)
    lines = [HEAD, "## nsvisor [OPTIONS] COMMAND", "", *_options(cli, top)]
    for name, verb in VERBS.items():
        try:
            command = cli.get_command(top, name)
        except click.ClickException:  # not part of this installation
            command = None
        if command is None:
            lines += [f"## nsvisor {name}", "", f"{verb.summary}.", ""]
            continue
        context = click.Context(command, info_name=name, parent=top)
        usage = " ".join(["nsvisor", name, *command.collect_usage_pieces(context)])
        lines += [f"## {usage}", "", *_text(command), "", *_options(command, context)]
    return "\n".join(lines).rstrip() + "\n"


def _text(command: click.Command) -> list[str]:
    """The help, with what click keeps as it is (after a backspace character) as code."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            lines += [f"    {line}" for line in paragraph.removeprefix("\b\n").split("\n")]
        else:
            lines += paragraph.split("\n")
        lines.append("")
    return lines[:-1]


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [
        record
        for parameter in command.params  # without --help, which every command has
        if isinstance(parameter, click.Option)
        for record in (parameter.get_help_record(context),)
        if record is not None
    ]
    rows = [f"| `{_cell(flags)}` | {_cell(text)} |" for flags, text in records]
    return ["| option | |", "|---|---|", *rows, ""] if rows else []


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
