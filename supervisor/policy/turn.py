"""One event at one status, while it is being decided."""

from msgspec.structs import replace

from supervisor.policy.actions import Action, Level, Report
from supervisor.policy.events import Deadline, Event, Exited, Kill, Requirements, Restart, Start, Stop, Unhealthy
from supervisor.policy.rules import Rules
from supervisor.policy.states import State, Status
from supervisor.policy.verdict import READY_TIMEOUT, UNHEALTHY
from supervisor.spec.records import ExitRecord


class Turn:
    """Guards read it; effects change `status` and append to `actions`."""

    def __init__(self, status: Status, event: Event, rules: Rules, now: float, jitter: float) -> None:
        self.before = status
        self.status = status
        self.event = event
        self.rules = rules
        self.now = now
        self.jitter = jitter
        self.actions: list[Action] = []

    @property
    def exit(self) -> ExitRecord:
        """The record of the exit that this event tells of."""
        if not isinstance(self.event, Exited):
            raise TypeError(f"{type(self.event).__name__} tells of no exit")
        return self.event.exit

    @property
    def timed_out(self) -> bool:
        """Whether the exit was asked for because the worker did not become ready."""
        return self.before.requested_by == READY_TIMEOUT

    @property
    def by(self) -> str:
        """Who is behind this event."""
        match self.event:
            case Start(by=by) | Stop(by=by) | Restart(by=by) | Kill(by=by) | Requirements(why=by):
                return by
            case Unhealthy():
                return UNHEALTHY
            case Deadline():
                return READY_TIMEOUT if self.before.state is State.RUNNING else "grace"
            case _:
                return self.before.requested_by or "policy"

    def set(self, **changes: object) -> None:
        """Change the status."""
        self.status = replace(self.status, **changes)

    def act(self, action: Action) -> None:
        """Append an action."""
        self.actions.append(action)

    def report(self, event: str, level: Level, **fields: str | float) -> None:
        """Append a Report."""
        self.act(Report(event, level, fields))
