"""What `nsvisor run` has beside a worker's keys."""

import os
import stat
from collections.abc import Mapping
from typing import Any

from supervisor.runtime.foreground import Extras
from supervisor.spec.options import option_error
from supervisor.spec.units import DURATION_FORM, UnitError, parse_duration


def extras(given: Mapping[str, Any]) -> Extras:
    """Of the options. ConfigError."""
    for number in given["pass_fd"]:
        _inherited(number, f"--pass-fd {number}")
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise option_error(f"--pass-fd {number}", "a directory, which leads out of the sandbox; bind it")
    if given["status_fd"] is not None:
        _inherited(given["status_fd"], f"--status-fd {given['status_fd']}")
    return Extras(
        index=0 if given["worker"] else None,
        pass_fds=tuple(dict.fromkeys(given["pass_fd"])),
        time_limit_s=_duration(given["time_limit"]),
        status_fd=given["status_fd"],
        dies_with_parent=given["die_with_parent"],
    )


def _inherited(number: int, written: str) -> None:
    """A descriptor of the caller's: those of our own are closed on exec."""
    if number <= 2:
        raise option_error(written, "the standard streams are passed on anyway", "a number from 3 on")
    try:
        ours = not os.get_inheritable(number)
    except (OSError, OverflowError):
        ours = True
    if ours:
        raise option_error(written, "no such descriptor is open", f"one that the caller opened, as {number}<FILE does")


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except UnitError as error:
        raise option_error(f"--time-limit {text}", str(error), DURATION_FORM) from None
    if seconds <= 0:
        raise option_error(f"--time-limit {text}", "no time at all", DURATION_FORM)
    return seconds
