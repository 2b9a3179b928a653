"""The top of the command line: global options, and the verbs, each loaded when it is used."""

import importlib
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from supervisor import __version__
from supervisor.cli.verbs import VERBS, Verb

__all__ = ["VERBS", "LazyGroup", "Settings", "Verb", "cli"]


class Settings(NamedTuple):
    """The global options."""

    config: str | None
    socket: str | None


class LazyGroup(click.Group):
    """Loads a verb's module when the verb is used, and not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        """Every verb, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a verb; None when there is none of this name."""
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        name = verb.module or f"supervisor.cli.{cmd_name}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise click.ClickException(f"cannot run {cmd_name}: it is not part of this installation") from error
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; name the nearest one when there is none."""
        name = click.utils.make_str(args[0])
        if name not in VERBS and not ctx.resilient_parsing and not name.startswith("-"):
            from supervisor.spec.names import nearest  # noqa: PLC0415

            guess = nearest(name, VERBS)
            ctx.fail(f"no such command: {name}" + (f" (did you mean {guess}?)" if guess else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the verbs for --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs and global options."""
        verbs = [CompletionItem(name, help=verb.summary) for name, verb in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such worker, 4 no daemon.",
)
@click.version_option(__version__, message="nsvisor %(version)s")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(),
    help="The configuration. Default: $NSVISOR_CONFIG, then nsvisor/nsvisor.toml under $XDG_CONFIG_HOME.",
)
@click.option(
    "--socket",
    metavar="PATH",
    envvar="NSVISOR_SOCKET",
    type=click.Path(),
    help="The daemon's control socket. Default: $NSVISOR_SOCKET, then nsvisor/control.sock under $XDG_RUNTIME_DIR.",
)
@click.pass_context
def cli(ctx: click.Context, config: str | None, socket: str | None) -> Any:
    """Keep sandboxed workers running, and say of each why it runs or not."""
    ctx.obj = Settings(config, socket)
