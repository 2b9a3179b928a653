"""`nsvisor completion`."""

import click

HELP = """Print the completion script for a shell.

\b
bash:  nsvisor completion bash > ~/.local/share/bash-completion/completions/nsvisor
zsh:   nsvisor completion zsh > ~/.zfunc/_nsvisor   (with ~/.zfunc in $fpath)
fish:  nsvisor completion fish > ~/.config/fish/completions/nsvisor.fish
"""


@click.command("completion", help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from supervisor.cli.group import cli  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"cannot print a script for {shell}: click has none")
    complete = kind(cli, {}, "nsvisor", "_NSVISOR_COMPLETE")
    print(complete.source_template % complete.source_vars())
