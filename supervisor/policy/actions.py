"""What is to be done about an event. The runtime does it, in the order given, after it has kept the new status."""

from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]


class Action(msgspec.Struct, frozen=True):
    """The base of all actions."""


class Launch(Action, frozen=True):
    """Build the sandbox and execute the workload."""

    incarnation: int


class Signal(Action, frozen=True):
    """Send one signal to the workload."""

    incarnation: int
    signal: str  # "SIGTERM"


class KillTree(Action, frozen=True):
    """End every process of the sandbox. Harmless when repeated."""

    incarnation: int


class Probe(Action, frozen=True):
    """Begin to probe for readiness."""

    incarnation: int


class Report(Action, frozen=True):
    """Say so in the log and to whoever follows the events."""

    event: str
    level: Level
    fields: dict[str, str | int | float]
