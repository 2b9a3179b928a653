"""What may happen to an instance."""

import msgspec

from supervisor.spec.records import ExitRecord


class Event(msgspec.Struct, frozen=True):
    """The base of all events."""


class Start(Event, frozen=True):
    """Somebody wants it up. Nothing happens where it is up already."""

    by: str


class Stop(Event, frozen=True):
    """Somebody wants it down, and to stay down."""

    by: str


class Restart(Event, frozen=True):
    """Somebody wants a new incarnation, now."""

    by: str


class Kill(Event, frozen=True):
    """Somebody sends a signal; the policy treats an exit that follows like any other."""

    by: str
    signal: str  # "SIGKILL"


class Requirements(Event, frozen=True):
    """What it waits for is there, or something that it `requires` is gone: `why` is "requires:NAME" then."""

    met: bool
    why: str


class HandedOver(Event, frozen=True):
    """Set-up is over: the workload executes."""

    incarnation: int


class BecameReady(Event, frozen=True):
    """The readiness probe has succeeded."""

    incarnation: int


class Unhealthy(Event, frozen=True):
    """Its health probe has failed often enough, or its readiness probe as often as it may: what the last one saw."""

    incarnation: int
    why: str


class Extend(Event, frozen=True):
    """It asks for so much time from now on, to become ready or to leave (EXTEND_TIMEOUT_USEC)."""

    incarnation: int
    seconds: float


class Exited(Event, frozen=True):
    """The incarnation is gone. `exit.clean` is filled in already (`verdict.complete_exit`)."""

    incarnation: int
    exit: ExitRecord


class Deadline(Event, frozen=True):
    """The one timer has fired. Too early, or with no timer set, it changes nothing."""


class Adopted(Event, frozen=True):
    """A new daemon has found this incarnation executing its workload."""

    incarnation: int
    ready: bool


EVENTS: tuple[type[Event], ...] = (
    Start,
    Stop,
    Restart,
    Kill,
    Requirements,
    HandedOver,
    BecameReady,
    Unhealthy,
    Extend,
    Exited,
    Deadline,
    Adopted,
)
