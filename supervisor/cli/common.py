"""What the verbs share: options, the way to the daemon."""

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from supervisor.cli.completing import TIMEOUT_S, names
from supervisor.cli.group import Settings

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient

Answer = TypeVar("Answer")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

NAMED = 4  # more make no readable command


def socket_path(settings: Settings) -> str:
    """Where the daemon's control socket is."""
    if settings.socket is not None:
        return settings.socket
    from supervisor.spec.paths import control_socket  # noqa: PLC0415

    return control_socket(os.environ, os.getuid())


def ask(settings: Settings, question: "Callable[[ControlClient], Coroutine[Any, Any, Answer]]") -> Answer:
    """Ask the daemon and wait for the answer, without an event loop: the question awaits its client only. ControlError.

    To import asyncio and anyio would take as long as all else that most verbs do.
    """
    from supervisor.control.carriers import Blocking, at_once  # noqa: PLC0415
    from supervisor.control.client import ControlClient  # noqa: PLC0415

    return at_once(question(ControlClient(socket_path(settings), Blocking)))


def converse(settings: Settings, question: "Callable[[ControlClient], Awaitable[Answer]]") -> Answer:
    """Ask the daemon, where more is to happen than that. ControlError.

    anyio's asyncio backend: it is imported in 45 ms less than the other.
    """
    import anyio  # noqa: PLC0415

    from supervisor.control.client import ControlClient  # noqa: PLC0415

    async def conversation() -> Answer:
        return await question(ControlClient(socket_path(settings)))

    return anyio.run(conversation, backend="asyncio")


def say(text: str) -> None:
    """Words for people, on stderr."""
    print(text, file=sys.stderr)


def route_of(name: str) -> str:
    """Where the daemon tells of this worker or instance. UnknownName, of what cannot be one."""
    if not name or "/" in name:
        from supervisor.spec.names import UnknownName  # noqa: PLC0415

        raise UnknownName(name)
    return f"/v1/instances/{name}"


def in_journal(instances: Sequence[str]) -> str:
    """The command that shows what these printed, where their log.sink is journald."""
    whose = " ".join(f"NSVISOR_INSTANCE={name}" for name in instances) if len(instances) <= NAMED else "-t NAME"
    return f"journalctl {whose}" if os.getuid() == 0 else f"journalctl --user {whose}"


def complete_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Workers and instances of the living daemon; nothing without one."""
    root = ctx.find_root().params
    path = socket_path(Settings(root.get("config"), root.get("socket") or os.environ.get("NSVISOR_SOCKET")))
    return [CompletionItem(name) for name in names(path, TIMEOUT_S) if name.startswith(incomplete)]


def names_argument(required: bool = False) -> Callable[[Decorated], Decorated]:
    """NAME…: workers or instances."""
    return click.argument("names", metavar="NAME...", nargs=-1, required=required, shell_complete=complete_names)


def name_argument() -> Callable[[Decorated], Decorated]:
    """NAME: one worker or instance."""
    return click.argument("name", shell_complete=complete_names)


def json_option() -> Callable[[Decorated], Decorated]:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")
