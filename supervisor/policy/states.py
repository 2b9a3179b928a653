"""The states of an instance, and everything that the restart policy remembers between two events."""

from enum import StrEnum
from typing import Final

import msgspec


class State(StrEnum):
    """Where an instance is. OCI's words where OCI has them."""

    STOPPED = "stopped"
    WAITING = "waiting"
    CREATING = "creating"
    RUNNING = "running"
    READY = "ready"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKILLABLE = "unkillable"


# A child may exist in exactly these: nothing is launched from them but by the exit of that child.
LIVE: Final = frozenset({State.CREATING, State.RUNNING, State.READY, State.STOPPING, State.UNKILLABLE})

# Only a request leaves these.
TERMINAL: Final = frozenset({State.STOPPED, State.COMPLETED, State.FAILED})


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `step()` knows of one instance. Instants are CLOCK_MONOTONIC, so they hold for the next daemon too."""

    state: State = State.STOPPED
    since: float = 0.0  # when this state was entered
    incarnation: int = 0  # the one launched last; 0: none yet
    wanted: bool = False  # an operator or the fleet wants it up
    stopped_by: str | None = None  # who wanted it down first
    again: bool = False  # launch anew once the present incarnation has ended
    failures: int = 0  # exits that the policy answered with a restart, since the last stable run
    stable: bool = False  # a stable run came before these failures: the first of them is answered at once
    restarts: int = 0  # by policy, ever
    starts: tuple[float, ...] = ()  # restarts by policy that count against max_restarts
    crash_loop: bool = False
    launched_at: float | None = None  # when the present incarnation was launched or adopted
    ready_at: float | None = None
    deadline: float | None = None  # the one timer
    killed: bool = False  # the whole tree was killed already, while stopping
    requested_by: str | None = None  # who asked for the exit now awaited
    unhealthy: str | None = None  # what the probe saw that it is stopped for
    kill_signal: str | None = None  # the last signal sent by `kill` to the present incarnation, while it was up


def initial(now: float, incarnation: int = 0) -> Status:
    """Status of an instance that was never seen; `incarnation` is the highest number known to be used already."""
    return Status(since=now, incarnation=incarnation)
