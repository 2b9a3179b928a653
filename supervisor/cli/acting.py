"""start, stop and restart: the same request with another verb."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from supervisor.cli.common import Decorated, ask, json_option, names_argument, say
from supervisor.cli.group import Settings
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.models import Accepted, Condition, WaitResult


def acting_options(condition: str) -> Callable[[Decorated], Decorated]:
    """NAME…, --all, --wait, --timeout, --json."""

    def decorate(function: Decorated) -> Decorated:
        for option in reversed(
            (
                names_argument(),
                click.option("--all", "everything", is_flag=True, help="All workers."),
                click.option("--wait", is_flag=True, help=f"Return when all of them are {condition}."),
                click.option("--timeout", metavar="TIME", help="With --wait: give up after this time, as in 30s."),
                json_option(),
            )
        ):
            function = option(function)
        return function

    return decorate


def request(
    settings: Settings,
    verb: str,
    *,
    names: tuple[str, ...],
    everything: bool,
    condition: "Condition | None",
    timeout: str | None,
    as_json: bool,
) -> int:
    """Ask for it, print the instances that are concerned, and wait if told to. The exit status."""
    if bool(names) == everything:
        raise click.UsageError("name workers or instances, or give --all")
    if timeout is not None and condition is None:
        raise click.UsageError("--timeout is for --wait")
    timeout_s = seconds(timeout)

    from supervisor.cli.waiting import wait_on  # noqa: PLC0415
    from supervisor.control.models import Accepted, Names, WaitResult  # noqa: PLC0415

    async def question(client: "ControlClient") -> "tuple[Accepted, WaitResult]":
        accepted = await client.post(f"/v1/{verb}", Names(names), Accepted)
        if condition is None:
            return accepted, WaitResult(met=True)
        return accepted, await wait_on(client, names, condition, timeout_s)

    accepted, waited = ask(settings, question)
    if as_json:
        met = {} if condition is None else {"met": waited.met, "missing": waited.missing}
        print_json({"instances": accepted.instances, **met})
    else:
        print("\n".join(accepted.instances))
    return report_missing(waited, condition, timeout)


def report_missing(waited: "WaitResult", condition: str | None, timeout: str | None) -> int:
    """Say who is not there; the exit status."""
    if waited.met:
        return 0
    bound = f" within {timeout}" if timeout else ""
    say(f"cannot see {', '.join(waited.missing) or 'all of them'} {condition}{bound}: try `nsvisor explain`")
    return 1


def seconds(text: str | None) -> float | None:
    """A duration as typed. Raises click.UsageError."""
    if text is None:
        return None
    from supervisor.spec.units import DURATION_FORM, UnitError, parse_duration  # noqa: PLC0415

    try:
        value = parse_duration(text)
    except UnitError as error:
        raise click.UsageError(f"cannot read {text!r} as a time: {error} ({DURATION_FORM})") from error
    if value < 0:
        raise click.UsageError(f"cannot use {text!r}: a time is not negative")
    return value
