"""Conditions in the table's `when` column."""

from collections.abc import Callable
from typing import Final

from supervisor.policy.events import Adopted, Kill, Requirements
from supervisor.policy.rules import Rules
from supervisor.policy.states import Status
from supervisor.policy.turn import Turn
from supervisor.policy.verdict import Verdict, signal_name, verdict

ALWAYS: Final = ""


def counted_starts(status: Status, rules: Rules, now: float) -> tuple[float, ...]:
    """Restarts by policy that still count against max_restarts."""
    if rules.max_restarts is None:
        return ()
    if rules.window_s is None:
        return status.starts
    oldest = now - rules.window_s
    return tuple(start for start in status.starts if start > oldest)


def limit_reached(turn: Turn) -> bool:
    """Whether one more restart by policy would be more than max_restarts within the window."""
    limit = turn.rules.max_restarts
    return limit is not None and len(counted_starts(turn.status, turn.rules, turn.now)) >= limit


def restart_at_once(turn: Turn) -> bool:
    """Whether this is the first failure after a stable run."""
    return turn.status.stable and turn.status.failures == 0


def _verdict(turn: Turn) -> Verdict:
    return verdict(turn.exit, turn.rules, timed_out=turn.timed_out)


def _is_sigkill(turn: Turn) -> bool:
    return isinstance(turn.event, Kill) and signal_name(turn.event.signal) == "SIGKILL"


def _is_met(turn: Turn) -> bool:
    return isinstance(turn.event, Requirements) and turn.event.met


def _is_ready(turn: Turn) -> bool:
    return not turn.rules.probed or (isinstance(turn.event, Adopted) and turn.event.ready)


GUARDS: Final[dict[str, Callable[[Turn], bool]]] = {
    ALWAYS: lambda _: True,
    "something comes before it": lambda turn: turn.rules.has_requirements,
    "requirements met": _is_met,
    "wanted, requirement gone": lambda turn: turn.status.wanted and not _is_met(turn),
    "ready without a probe": lambda turn: not turn.rules.probed,
    "ready": _is_ready,
    "SIGKILL": _is_sigkill,
    "SIGKILL, first": lambda turn: _is_sigkill(turn) and not turn.status.killed,
    "killed already": lambda turn: turn.status.killed,
    "not killed yet": lambda turn: not turn.status.killed,
    "not wanted": lambda turn: not turn.status.wanted,
    "to be launched again, something comes before it": lambda turn: turn.status.again and turn.rules.has_requirements,
    "to be launched again": lambda turn: turn.status.again,
    "interrupted": lambda turn: turn.exit.cause == "interrupted",
    "complete": lambda turn: _verdict(turn) is Verdict.COMPLETE,
    "no restart": lambda turn: _verdict(turn) is Verdict.FAIL,
    "limit reached": limit_reached,
    "first failure after a stable run": restart_at_once,
}
