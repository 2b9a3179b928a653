"""`nsvisor install-unit`: write the systemd unit that runs this very program."""

import os
import sys
from collections.abc import Mapping

import click

from supervisor.cli.common import json_option
from supervisor.cli.output import print_json
from supervisor.cli.units import quote, system_unit, user_unit

MARK = "# Written by `nsvisor install-unit`."


def program_words(executable: str) -> list[str]:
    """How to start this installation: the `nsvisor` beside the interpreter, else the package by its interpreter."""
    beside = os.path.join(os.path.dirname(executable), "nsvisor")
    return [beside] if os.access(beside, os.X_OK) else [executable, "-m", "supervisor"]


def unit_path(environ: Mapping[str, str], *, system: bool) -> str:
    """Where systemd looks for the unit."""
    if system:
        return "/etc/systemd/system/nsvisor.service"
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "systemd", "user", "nsvisor.service")


def write_unit(path: str, text: str, *, force: bool) -> bool:
    """Put the unit in place at once or not at all; False where it is there already.

    FileExistsError for a file that somebody else wrote, unless forced; OSError as the system says.
    """
    try:
        with open(path, encoding="utf-8") as file:
            present = file.read()
    except FileNotFoundError:
        present = None
    if present == text:
        return False
    if present is not None and not present.startswith(MARK) and not force:
        raise FileExistsError(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
    return True


def next_steps(*, system: bool) -> str:
    """What is left to do by hand."""
    if system:
        return "Next:\n  systemctl daemon-reload\n  systemctl enable --now nsvisor"
    return (
        "Next:\n"
        "  systemctl --user daemon-reload\n"
        "  systemctl --user enable --now nsvisor\n"
        "To keep it running while you are logged out, and from boot on:\n"
        "  loginctl enable-linger"
    )


@click.command("install-unit")
@click.option("--system", is_flag=True, help="Write the unit of the system manager, which runs the daemon as root.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and write nothing.")
@click.option("--force", is_flag=True, help="Replace a unit that this command did not write.")
@json_option()
def command(system: bool, only_print: bool, force: bool, as_json: bool) -> None:
    """Write the systemd unit for this installation of nsvisor.

    Writes ~/.config/systemd/user/nsvisor.service with the paths of this program, and says what to do next.
    Own settings belong in a drop-in (systemctl --user edit nsvisor), which this command never touches.
    """
    program = " ".join(quote(word) for word in program_words(sys.executable))
    text = system_unit(program) if system else user_unit(program)
    if only_print:
        if as_json:
            print_json({"unit": text})
        else:
            click.echo(text, nl=False)
        return
    path = unit_path(os.environ, system=system)
    try:
        written = write_unit(path, text, force=force)
    except FileExistsError:
        raise click.ClickException(
            f"cannot write {path}: it is there and nsvisor did not write it; move it away, or use --force"
        ) from None
    except OSError as error:
        hint = "; run this as root" if system and os.geteuid() != 0 else ""
        raise click.ClickException(f"cannot write {path}: {error.strerror}{hint}") from error
    if as_json:
        print_json({"path": path, "written": written})
        return
    click.echo(f"{'wrote' if written else 'unchanged:'} {path}", err=True)
    click.echo(next_steps(system=system), err=True)
