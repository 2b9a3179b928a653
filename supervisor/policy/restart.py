"""The restart policy: one pure function over the table in table.py.

The runtime keeps the new status (where the next daemon finds it) before it does the actions, delivers Deadline when
`status.deadline` has come, and Requirements(met=True) as soon as an instance in `waiting` may start.
"""

from supervisor.policy.actions import Action, KillTree, Launch, Level, Probe, Report, Signal
from supervisor.policy.effects import EFFECTS, enter, forget_child
from supervisor.policy.events import (
    Adopted,
    BecameReady,
    Deadline,
    Event,
    Exited,
    Extend,
    HandedOver,
    Kill,
    Requirements,
    Restart,
    Start,
    Stop,
    Unhealthy,
)
from supervisor.policy.guards import GUARDS
from supervisor.policy.rules import CRASH_LOOP_FAILURES, KILL_TIMEOUT_S, Rules, rules
from supervisor.policy.states import LIVE, TERMINAL, State, Status, initial
from supervisor.policy.table import TRANSITIONS, WAITS_FOR, Rule, Table
from supervisor.policy.turn import Turn
from supervisor.policy.verdict import READY_TIMEOUT, Verdict, complete_exit, describe, is_clean, verdict

__all__ = [
    "CRASH_LOOP_FAILURES",
    "KILL_TIMEOUT_S",
    "LIVE",
    "READY_TIMEOUT",
    "TERMINAL",
    "TRANSITIONS",
    "WAITS_FOR",
    "Action",
    "Adopted",
    "BecameReady",
    "Deadline",
    "Event",
    "Exited",
    "Extend",
    "HandedOver",
    "IllegalMove",
    "Kill",
    "KillTree",
    "Launch",
    "Level",
    "Probe",
    "Report",
    "Requirements",
    "Restart",
    "Rule",
    "Rules",
    "Signal",
    "Start",
    "State",
    "Status",
    "Stop",
    "Table",
    "Unhealthy",
    "Verdict",
    "complete_exit",
    "describe",
    "initial",
    "is_clean",
    "rules",
    "step",
    "verdict",
]


class IllegalMove(Exception):  # noqa: N818 - a move, as in h11; the status is as it was
    """This event cannot happen in this state."""

    def __init__(self, status: Status, event: Event, why: str = "") -> None:
        self.state = status.state
        self.event = event
        what = f"send {event.signal}" if isinstance(event, Kill) else f"take the event {type(event).__name__}"
        super().__init__(f"cannot {what} in state {status.state}{why and ': '}{why}")


def step(
    status: Status, event: Event, rules: Rules, now: float, jitter: float, *, table: Table = TRANSITIONS
) -> tuple[Status, tuple[Action, ...]]:
    """Return the status after the event, and what is to be done. `now` is CLOCK_MONOTONIC, `jitter` from [0, 1).

    Late events of dead incarnations, and deadlines that have not come, change nothing. Raises IllegalMove.
    """
    if _is_late(status, event):
        return status, ()
    due = status.deadline is not None and now >= status.deadline
    if isinstance(event, Deadline) and not due:
        return status, ()
    if status.state is State.READY and due and _outlived(event, rules):
        # The run was stable before this happened; the timer only lost the race.
        status, settled = _take(Turn(status, Deadline(), rules, now, jitter), table)
        status, actions = _take(Turn(status, event, rules, now, jitter), table)
        return status, (*settled, *actions)
    return _take(Turn(status, event, rules, now, jitter), table)


def _take(turn: Turn, table: Table) -> tuple[Status, tuple[Action, ...]]:
    status, event = turn.before, turn.event
    for rule in table.get((status.state, type(event)), ()):
        if GUARDS[rule.guard](turn):
            _apply(turn, rule)
            return turn.status, tuple(turn.actions)
    raise IllegalMove(status, event)


def _outlived(event: Event, rules: Rules) -> bool:
    """Whether the worker was up until this event. An exit may be old news: its daemon was dead when it happened."""
    if isinstance(event, Exited):
        return event.exit.uptime_s >= rules.reset_after_s
    return not isinstance(event, Deadline)


def _apply(turn: Turn, rule: Rule) -> None:
    if rule.target is not None:
        enter(turn, rule.target)
    for effect in rule.effects:
        EFFECTS[effect](turn)
    if rule.target is not None and rule.target not in LIVE:
        forget_child(turn)


def _is_late(status: Status, event: Event) -> bool:
    """Whether it tells of an incarnation that is over. Raises IllegalMove for one that was never launched."""
    if isinstance(event, Adopted) and status.state not in LIVE:
        return event.incarnation <= status.incarnation  # a higher one was launched after this status was kept
    if not isinstance(event, HandedOver | BecameReady | Unhealthy | Extend | Exited | Adopted):
        return False
    if event.incarnation > status.incarnation:
        raise IllegalMove(status, event, f"incarnation {event.incarnation} was never launched")
    return event.incarnation < status.incarnation or status.state not in LIVE
