"""`nsvisor exec`: one command in the sandbox of a running worker."""

import sys

import click

from supervisor.cli.common import complete_names, json_option, socket_path
from supervisor.cli.group import Settings
from supervisor.cli.run import OURS


@click.command("exec", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set a variable, on top of the worker's.")
@click.option("--workdir", metavar="DIR", help="The working directory inside. Default: the worker's.")
@click.option("--user", metavar="USER", help="root, self, a number or a name inside. Default: the worker's.")
@click.option("-T", "--no-terminal", is_flag=True, help="No terminal inside, though this one is there.")
@json_option()
@click.argument("name", shell_complete=complete_names)
@click.argument("command_line", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def command(
    settings: Settings,
    *,
    env: tuple[str, ...],
    workdir: str | None,
    user: str | None,
    no_terminal: bool,
    as_json: bool,
    name: str,
    command_line: tuple[str, ...],
) -> int:
    """Run a command in the sandbox of a running worker: same namespaces, ids, limits and locks.

    NAME is an instance, or a worker that has one. On a terminal the command gets one inside. --json prints what became
    of it to standard error. Exit status: the command's own, 128+n where signal n ended it, 125 where it could not be
    started or its end is not known, 126 where it cannot be executed, 127 where it is not there.
    """
    words = command_line[1:] if command_line[0] == "--" else command_line
    if not words:
        raise click.UsageError("Missing argument 'COMMAND...'.")
    variables = {}
    for word in env:
        variable, equals, value = word.partition("=")
        if not equals or not variable:
            print(f"cannot exec: --env {word}: NAME=VALUE is what it takes", file=sys.stderr)
            return OURS
        variables[variable] = value
    from supervisor.cli.exec_session import execute  # noqa: PLC0415  (a lazy verb, as all are)
    from supervisor.control.exec_messages import Request  # noqa: PLC0415

    request = Request(
        instance=name,
        command=words,
        env=variables,
        working_dir=workdir,
        user=int(user) if user is not None and user.isdecimal() else user,
    )
    return execute(socket_path(settings), request, terminal_wanted=not no_terminal, as_json=as_json)
