"""The restart policy as a table: for each state and event, the rules in order; the first whose guard holds is taken.

A pair that is not in the table is an illegal move. A rule with no target stays in its state (and in its timer).
"""

from typing import Final

import msgspec

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
from supervisor.policy.guards import ALWAYS
from supervisor.policy.states import State


class Rule(msgspec.Struct, frozen=True):
    """When `guard` holds, go to `target` and do `effects` in this order. Names from guards.py and effects.py."""

    guard: str = ALWAYS
    target: State | None = None
    effects: tuple[str, ...] = ()


Rows = dict[type[Event], tuple[Rule, ...]]
Table = dict[tuple[State, type[Event]], tuple[Rule, ...]]

IGNORE: Final = (Rule(),)
BEFORE: Final = "something comes before it"
LAUNCH: Final = ("launch", "report worker.launching")
WAIT: Final = ("report worker.waiting",)
PROBE: Final = ("probe", "ready timer", "report worker.running")
BECOME_READY: Final = ("ready", "report worker.ready")
STOP: Final = ("ask", "stop signal", "grace timer", "report worker.stopping")
KILL: Final = ("ask", "kill tree", "kill timer", "report worker.stopping by kill")

# No child, and none to come unless somebody asks.
PARKED: Final[Rows] = {
    Start: (
        Rule(BEFORE, State.WAITING, ("want", "forgive failures", *WAIT)),
        Rule(ALWAYS, State.CREATING, ("want", "forgive failures", *LAUNCH)),
    ),
    Restart: (
        Rule(BEFORE, State.WAITING, ("want", *WAIT)),
        Rule(ALWAYS, State.CREATING, ("want", *LAUNCH)),
    ),
    Stop: (Rule(ALWAYS, None, ("unwant",)),),
    Requirements: IGNORE,
    Adopted: (
        Rule("ready", State.READY, ("want", "adopt", "ready")),
        Rule(ALWAYS, State.RUNNING, ("want", "adopt", "probe", "ready timer")),
    ),
}

# No child, but one is to come: no need to want it again.
PENDING: Final[Rows] = {
    Stop: (Rule(ALWAYS, State.STOPPED, ("unwant", "report worker.stopped")),),
    Adopted: (
        Rule("ready", State.READY, ("adopt", "ready")),
        Rule(ALWAYS, State.RUNNING, ("adopt", "probe", "ready timer")),
    ),
}

# What the policy makes of an exit that nobody asked for.
AFTER_EXIT: Final = (
    Rule("complete", State.COMPLETED, ("report worker.completed",)),
    Rule("no restart", State.FAILED, ("report worker.failed",)),
    Rule("limit reached", State.FAILED, ("report worker.failed",)),
    Rule("first failure after a stable run", State.CREATING, ("count failure", "count restart", *LAUNCH)),
    Rule(ALWAYS, State.BACKOFF, ("count failure", "back off")),
)

# The same where somebody may have asked for it.
AFTER_STOP: Final = (
    Rule("not wanted", State.STOPPED, ("report worker.stopped",)),
    Rule("to be launched again, something comes before it", State.WAITING, WAIT),
    Rule("to be launched again", State.CREATING, LAUNCH),
    *AFTER_EXIT,
)

UP: Final[Rows] = {
    Start: IGNORE,
    Stop: (Rule(ALWAYS, State.STOPPING, ("unwant", *STOP)),),
    Restart: (Rule(ALWAYS, State.STOPPING, ("launch again later", *STOP)),),
    Kill: (Rule(ALWAYS, None, ("send signal", "note signal")),),
    Requirements: (Rule("requirements met"), Rule(ALWAYS, State.STOPPING, ("launch again later", *STOP))),
    Unhealthy: (Rule(ALWAYS, State.STOPPING, ("note what is wrong", *STOP)),),
    Exited: AFTER_EXIT,
}

# On its way down, by the stop signal or by force.
LEAVING: Final[Rows] = {
    Start: (Rule(ALWAYS, None, ("want", "forgive failures", "launch again later")),),
    Stop: (Rule(ALWAYS, None, ("unwant",)),),
    Restart: (Rule(ALWAYS, None, ("want", "launch again later")),),
    Requirements: (Rule("wanted, requirement gone", None, ("launch again later",)), *IGNORE),
    HandedOver: IGNORE,
    BecameReady: IGNORE,
    Unhealthy: IGNORE,
    Extend: IGNORE,
    Exited: AFTER_STOP,
}

STATES: Final[dict[State, Rows]] = {
    State.STOPPED: PARKED,
    State.COMPLETED: PARKED,
    State.FAILED: PARKED,
    State.WAITING: {
        **PENDING,
        Start: (Rule(ALWAYS, None, ("forgive failures",)),),
        Restart: IGNORE,
        Requirements: (Rule("requirements met", State.CREATING, LAUNCH), *IGNORE),
    },
    State.BACKOFF: {
        **PENDING,
        Start: (
            Rule(BEFORE, State.WAITING, ("forgive failures", *WAIT)),
            Rule(ALWAYS, State.CREATING, ("forgive failures", *LAUNCH)),
        ),
        Restart: (Rule(BEFORE, State.WAITING, WAIT), Rule(ALWAYS, State.CREATING, LAUNCH)),
        Requirements: (Rule("requirements met"), Rule(ALWAYS, State.WAITING, WAIT)),
        Deadline: (Rule(ALWAYS, State.CREATING, ("count restart", *LAUNCH)),),
    },
    State.CREATING: {
        Start: IGNORE,
        Stop: (Rule(ALWAYS, State.STOPPING, ("unwant", *KILL)),),
        Restart: (Rule(ALWAYS, State.STOPPING, ("launch again later", *KILL)),),
        Kill: (Rule("SIGKILL", State.STOPPING, KILL),),
        Requirements: (Rule("requirements met"), Rule(ALWAYS, State.STOPPING, ("launch again later", *KILL))),
        HandedOver: (
            Rule("ready without a probe", State.READY, BECOME_READY),
            Rule(ALWAYS, State.RUNNING, PROBE),
        ),
        Adopted: (
            Rule("ready", State.READY, BECOME_READY),
            Rule(ALWAYS, State.RUNNING, PROBE),
        ),
        Exited: (Rule("interrupted", State.CREATING, LAUNCH), *AFTER_EXIT),
    },
    State.RUNNING: {
        **UP,
        BecameReady: (Rule(ALWAYS, State.READY, BECOME_READY),),
        Extend: (Rule(ALWAYS, None, ("extend ready timer",)),),
        Adopted: (Rule("ready", State.READY, BECOME_READY), Rule(ALWAYS, None, ("probe", "go on with ready timer"))),
        Deadline: (Rule(ALWAYS, State.STOPPING, ("report worker.ready_timeout", *STOP)),),
    },
    State.READY: {
        **UP,
        BecameReady: IGNORE,
        Extend: IGNORE,
        Adopted: IGNORE,
        Deadline: (Rule(ALWAYS, None, ("settle", "report worker.stable")),),
    },
    State.STOPPING: {
        **LEAVING,
        Kill: (
            Rule("SIGKILL, first", None, ("kill tree", "kill timer", "report worker.killing")),
            Rule("SIGKILL", None, ("kill tree",)),
            Rule("not killed yet", None, ("send signal",)),
        ),
        Extend: (Rule("not killed yet", None, ("extend grace timer",)), *IGNORE),
        Adopted: (Rule("killed already", None, ("kill tree",)), *IGNORE),  # the last daemon may not have come to it
        Deadline: (
            Rule("killed already", State.UNKILLABLE, ("report worker.unkillable",)),
            Rule(ALWAYS, None, ("kill tree", "kill timer", "report worker.killing")),
        ),
    },
    State.UNKILLABLE: {
        **LEAVING,
        Kill: (Rule("SIGKILL", None, ("kill tree",)),),
        Adopted: (Rule(ALWAYS, None, ("kill tree",)),),
    },
}

TRANSITIONS: Final[Table] = {(state, event): rules for state, rows in STATES.items() for event, rules in rows.items()}

# What each state waits for. The timer runs in those that wait for Deadline, in READY only until the run is stable.
WAITS_FOR: Final[dict[State, tuple[type[Event], ...]]] = {
    State.STOPPED: (Start, Restart),
    State.WAITING: (Requirements,),
    State.CREATING: (HandedOver, Exited),  # the launcher has the set-up time-out
    State.RUNNING: (BecameReady, Unhealthy, Exited, Deadline),
    State.READY: (Unhealthy, Exited, Deadline),  # Deadline until the run counts as stable
    State.STOPPING: (Exited, Deadline),
    State.BACKOFF: (Deadline,),
    State.COMPLETED: (Start, Restart),
    State.FAILED: (Start, Restart),
    State.UNKILLABLE: (Exited,),
}
