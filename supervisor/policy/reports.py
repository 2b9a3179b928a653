"""What the table's `do` column says to the log: one event each, constant names, variables as fields."""

from collections.abc import Callable
from typing import Final

from supervisor.policy.actions import Level
from supervisor.policy.guards import limit_reached
from supervisor.policy.rules import KILL_TIMEOUT_S
from supervisor.policy.turn import Turn
from supervisor.policy.verdict import Verdict, describe, signal_name, verdict


def _launching(turn: Turn) -> None:
    turn.report("worker.launching", "info", incarnation=turn.status.incarnation)


def _ready(turn: Turn) -> None:
    launched_at = turn.now if turn.status.launched_at is None else turn.status.launched_at
    turn.report("worker.ready", "info", after_ms=round((turn.now - launched_at) * 1000))


def _ready_timeout(turn: Turn) -> None:
    turn.report("worker.ready_timeout", "error", timeout_s=turn.rules.ready_timeout_s)


def _stable(turn: Turn) -> None:
    level: Level = "info" if turn.before.failures else "debug"
    turn.report("worker.stable", level, failures=turn.before.failures)


def _stopping(turn: Turn) -> None:
    signal = signal_name(turn.rules.stop_signal)
    turn.report("worker.stopping", "info", by=turn.by, signal=signal, grace_s=turn.rules.grace_s)


def _stopping_by_kill(turn: Turn) -> None:
    turn.report("worker.stopping", "info", by=turn.by, signal="SIGKILL", grace_s=0.0)


def _stopped(turn: Turn) -> None:
    turn.report("worker.stopped", "info", by=turn.status.stopped_by or turn.by)


def _completed(turn: Turn) -> None:
    turn.report("worker.completed", "info", reason=describe(turn.exit))


def _failed(turn: Turn) -> None:
    reason = describe(turn.exit, timed_out=turn.timed_out)
    rules = turn.rules
    if verdict(turn.exit, rules, timed_out=turn.timed_out) is Verdict.RESTART and limit_reached(turn):
        window = "since the last stable run" if rules.window_s is None else f"in {rules.window_s:g} s"
        reason = f"{reason}; {rules.max_restarts} restarts {window} are the limit"
    turn.report("worker.failed", "error", reason=reason)


REPORTS: Final[dict[str, Callable[[Turn], None]]] = {
    "report worker.waiting": lambda turn: turn.report("worker.waiting", "info", by=turn.by),
    "report worker.launching": _launching,
    "report worker.running": lambda turn: turn.report("worker.running", "info"),
    "report worker.ready": _ready,
    "report worker.ready_timeout": _ready_timeout,
    "report worker.stable": _stable,
    "report worker.stopping": _stopping,
    "report worker.stopping by kill": _stopping_by_kill,
    "report worker.killing": lambda turn: turn.report("worker.killing", "warning", by=turn.by),
    "report worker.unkillable": lambda turn: turn.report("worker.unkillable", "error", after_s=KILL_TIMEOUT_S),
    "report worker.stopped": _stopped,
    "report worker.completed": _completed,
    "report worker.failed": _failed,
}
