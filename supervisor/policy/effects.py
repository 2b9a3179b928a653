"""What the table's `do` column does to the status, and the actions it asks for."""

from collections.abc import Callable
from typing import Final

from supervisor.policy.actions import KillTree, Launch, Probe, Signal
from supervisor.policy.backoff import delay_s
from supervisor.policy.events import Adopted, Extend, Kill, Unhealthy
from supervisor.policy.guards import counted_starts
from supervisor.policy.reports import REPORTS
from supervisor.policy.rules import ADOPTED_PROBES_S, CRASH_LOOP_FAILURES, KILL_TIMEOUT_S, LONGEST_EXTENSION
from supervisor.policy.states import State
from supervisor.policy.turn import Turn
from supervisor.policy.verdict import signal_name


def _want(turn: Turn) -> None:
    turn.set(wanted=True, stopped_by=None)


def _unwant(turn: Turn) -> None:
    # Who stopped it first is who stopped it: a shutdown does not take over what an operator stopped by hand.
    stopped_by = turn.by if turn.status.wanted or turn.status.stopped_by is None else turn.status.stopped_by
    turn.set(wanted=False, again=False, stopped_by=stopped_by)


def _forgive(turn: Turn) -> None:
    turn.set(failures=0, stable=False, crash_loop=False, starts=())


def _launch(turn: Turn) -> None:
    incarnation = turn.status.incarnation + 1
    turn.set(
        incarnation=incarnation,
        launched_at=turn.now,
        ready_at=None,
        again=False,
        killed=False,
        requested_by=None,
        unhealthy=None,
        kill_signal=None,
    )
    turn.act(Launch(incarnation))


def _adopt(turn: Turn) -> None:
    if isinstance(turn.event, Adopted):
        turn.set(incarnation=turn.event.incarnation, launched_at=turn.now)


def _ready(turn: Turn) -> None:
    turn.set(ready_at=turn.now, deadline=turn.now + turn.rules.reset_after_s)


def _go_on_with_ready_timer(turn: Turn) -> None:
    """Not begun anew: a daemon that crashes again and again must not give a worker all the time there is."""
    least = min(ADOPTED_PROBES_S, turn.rules.ready_timeout_s)
    turn.set(deadline=max(turn.status.deadline or 0.0, turn.now + least))


def _note_unhealthy(turn: Turn) -> None:
    if isinstance(turn.event, Unhealthy):
        turn.set(unhealthy=turn.event.why)


def _extend(turn: Turn, allowed_s: float) -> None:
    """Never shorten it, and not for ever: a worker is not to decide whether it leaves."""
    if isinstance(turn.event, Extend) and turn.status.deadline is not None:
        latest = turn.status.since + LONGEST_EXTENSION * allowed_s
        turn.set(deadline=max(turn.status.deadline, min(turn.now + turn.event.seconds, latest)))


def _settle(turn: Turn) -> None:
    starts = turn.status.starts if turn.rules.window_s is not None else ()
    turn.set(failures=0, stable=True, crash_loop=False, starts=starts, deadline=None)


def _send(turn: Turn) -> None:
    if isinstance(turn.event, Kill):
        turn.act(Signal(turn.status.incarnation, signal_name(turn.event.signal)))


def _note_kill(turn: Turn) -> None:
    if isinstance(turn.event, Kill):
        turn.set(requested_by=turn.by, kill_signal=signal_name(turn.event.signal))


def _kill(turn: Turn) -> None:
    turn.set(killed=True)
    turn.act(KillTree(turn.status.incarnation))


def _count_failure(turn: Turn) -> None:
    failures = turn.status.failures + 1
    turn.set(failures=failures)
    if failures >= CRASH_LOOP_FAILURES and not turn.status.crash_loop:
        turn.set(crash_loop=True)
        turn.report("worker.crash_loop", "warning", failures=failures)


def _count_restart(turn: Turn) -> None:
    starts = counted_starts(turn.status, turn.rules, turn.now)
    if turn.rules.max_restarts is not None:
        starts = (*starts, turn.now)
    turn.set(restarts=turn.status.restarts + 1, starts=starts)


def _back_off(turn: Turn) -> None:
    status = turn.status
    attempt = status.failures - (1 if status.stable else 0)  # the one that was answered at once is not counted
    seconds = delay_s(attempt, turn.rules, turn.jitter)
    turn.set(deadline=turn.now + seconds)
    turn.report(
        "worker.backoff", "warning", delay_s=round(seconds, 3), failures=status.failures, next=status.incarnation + 1
    )


EFFECTS: Final[dict[str, Callable[[Turn], None]]] = {
    "want": _want,
    "unwant": _unwant,
    "forgive failures": _forgive,
    "launch": _launch,
    "launch again later": lambda turn: turn.set(again=True),
    "adopt": _adopt,
    "probe": lambda turn: turn.act(Probe(turn.status.incarnation)),
    "ready timer": lambda turn: turn.set(deadline=turn.now + turn.rules.ready_timeout_s),
    "go on with ready timer": _go_on_with_ready_timer,
    "extend ready timer": lambda turn: _extend(turn, turn.rules.ready_timeout_s),
    "extend grace timer": lambda turn: _extend(turn, turn.rules.grace_s),
    "ready": _ready,
    "note what is wrong": _note_unhealthy,
    "settle": _settle,
    "ask": lambda turn: turn.set(requested_by=turn.by),
    "stop signal": lambda turn: turn.act(Signal(turn.status.incarnation, signal_name(turn.rules.stop_signal))),
    "grace timer": lambda turn: turn.set(deadline=turn.now + turn.rules.grace_s),
    "kill tree": _kill,
    "kill timer": lambda turn: turn.set(deadline=turn.now + KILL_TIMEOUT_S),
    "send signal": _send,
    "note signal": _note_kill,
    "count failure": _count_failure,
    "count restart": _count_restart,
    "back off": _back_off,
    **REPORTS,
}


def enter(turn: Turn, state: State) -> None:
    """Enter a state: the timer of the one that is left goes with it."""
    turn.set(state=state, since=turn.now, deadline=None)


def forget_child(turn: Turn) -> None:
    """Forget what belonged to the incarnation that has ended."""
    turn.set(again=False, killed=False, requested_by=None, unhealthy=None, kill_signal=None)
    turn.set(launched_at=None, ready_at=None)
