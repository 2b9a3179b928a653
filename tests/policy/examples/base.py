"""The statuses, rules and words that the examples are written with."""

from msgspec import Struct
from msgspec.structs import replace

from supervisor.policy.restart import (
    Action,
    Event,
    Exited,
    Launch,
    Level,
    Report,
    Rules,
    State,
    Status,
)
from supervisor.spec.records import Cause, ExitRecord

Changes = dict[str, object]

NOW = 1000.0
JITTER = 0.5

PLAIN = Rules(delay_s=1.0, reset_after_s=60.0)
PROBED = Rules(delay_s=1.0, reset_after_s=60.0, probed=True, ready_timeout_s=30.0)
NEEDY = Rules(delay_s=1.0, reset_after_s=60.0, has_requirements=True)
NEVER = Rules(policy="never")
LIMITED = Rules(delay_s=1.0, max_restarts=2, window_s=100.0)
WINDOWLESS = Rules(delay_s=1.0, max_restarts=2)

STOPPED = Status(state=State.STOPPED, since=900.0, incarnation=3, failures=6, crash_loop=True, stopped_by="operator")
COMPLETED = Status(
    state=State.COMPLETED, since=900.0, incarnation=3, failures=6, crash_loop=True, stopped_by="operator"
)
FAILED = Status(state=State.FAILED, since=900.0, incarnation=3, failures=6, crash_loop=True, stopped_by="operator")
WAITING = Status(state=State.WAITING, since=900.0, incarnation=3, wanted=True, failures=6, crash_loop=True)
BACKOFF = Status(
    state=State.BACKOFF,
    since=999.0,
    incarnation=3,
    wanted=True,
    failures=6,
    crash_loop=True,
    deadline=1003.0,
    restarts=5,
)
CREATING = Status(state=State.CREATING, since=990.0, incarnation=3, wanted=True, failures=2, launched_at=990.0)
RUNNING = Status(
    state=State.RUNNING, since=995.0, incarnation=3, wanted=True, failures=2, launched_at=990.0, deadline=1025.0
)
READY = Status(
    state=State.READY,
    since=996.0,
    incarnation=3,
    wanted=True,
    failures=2,
    launched_at=990.0,
    ready_at=996.0,
    deadline=1056.0,
)
STOPPING = Status(
    state=State.STOPPING,
    since=998.0,
    incarnation=3,
    stopped_by="operator",
    failures=2,
    launched_at=990.0,
    ready_at=996.0,
    deadline=1008.0,
    requested_by="operator",
)
UNKILLABLE = Status(
    state=State.UNKILLABLE,
    since=998.0,
    incarnation=3,
    stopped_by="operator",
    failures=2,
    launched_at=990.0,
    killed=True,
    requested_by="operator",
)

GONE: Changes = {
    "launched_at": None,
    "ready_at": None,
    "killed": False,
    "requested_by": None,
    "deadline": None,
    "since": NOW,
}
NEXT: Changes = {
    "state": State.CREATING,
    "incarnation": 4,
    "launched_at": NOW,
    "ready_at": None,
    "deadline": None,
    "since": NOW,
    "again": False,
    "killed": False,
    "requested_by": None,
}
FORGIVEN: Changes = {"failures": 0, "crash_loop": False}


class Example(Struct, frozen=True):
    name: str
    before: Status
    event: Event
    after: Status
    actions: tuple[Action, ...]
    rules: Rules = PLAIN
    now: float = NOW
    illegal: bool = False  # it raises


def example(
    before: Status,
    event: Event,
    changes: Changes,
    *actions: Action,
    rules: Rules = PLAIN,
    now: float = NOW,
    note: str = "",
) -> Example:
    name = f"{before.state}-{type(event).__name__}{note and '-'}{note}"
    return Example(name, before, event, replace(before, **changes), actions, rules, now)


def ended(
    cause: Cause = "exit",
    *,
    code: int | None = None,
    signal: str | None = None,
    clean: bool = False,
    uptime_s: float = 4.0,
) -> Exited:
    return Exited(3, ExitRecord(3, cause, 1.7e9, uptime_s=uptime_s, code=code, signal=signal, clean=clean))


def said(event: str, level: Level = "info", **fields: str | float) -> Report:
    return Report(f"worker.{event}", level, fields)


CRASH = ended(code=3)
CLEAN = ended(code=0, clean=True)
LAUNCHED = (Launch(4), said("launching", incarnation=4))
