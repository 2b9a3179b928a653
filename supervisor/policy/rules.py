"""The part of a worker's spec that the restart policy reads, every default resolved."""

from typing import Literal

import msgspec

from supervisor.policy.order import dependencies
from supervisor.spec.model import ExitName, Worker

RESET_AFTER_S = 60.0
ADOPTED_PROBES_S = 5.0  # at least, to become ready in: while there was no daemon nobody probed
KILL_TIMEOUT_S = 5.0  # what outlives the kill of its whole tree by this is unkillable
LONGEST_EXTENSION = 10  # times ready.timeout or stop.grace: what EXTEND_TIMEOUT_USEC may make of them
CRASH_LOOP_FAILURES = 5  # in a row, with no stable run in between


class Rules(msgspec.Struct, frozen=True):
    """Knobs of one worker; spec.model gives their meaning and defaults."""

    policy: Literal["never", "on-failure", "on-abnormal", "always"] = "on-failure"
    delay_s: float = 0.5
    factor: float = 2.0
    max_delay_s: float = 60.0
    jitter: float = 0.1
    reset_after_s: float = RESET_AFTER_S
    max_restarts: int | None = None
    window_s: float | None = None  # None: max_restarts counts since the last stable run
    success_exit: tuple[ExitName, ...] = ()
    never_after: tuple[ExitName, ...] = ()
    always_after: tuple[ExitName, ...] = ()
    stop_signal: str = "SIGTERM"
    grace_s: float = 10.0
    probed: bool = False  # ready by a probe; else as soon as the workload executes
    ready_timeout_s: float = 30.0
    has_requirements: bool = False  # others come before it: `after`, `requires`, or a namespace joined


def rules(worker: Worker) -> Rules:
    """Rules of a worker. `reset_after` is never below `max_delay` unless set by hand."""
    restart = worker.restart
    reset_after_s = restart.reset_after_s
    return Rules(
        policy=restart.policy,
        delay_s=restart.delay_s,
        factor=restart.factor,
        max_delay_s=restart.max_delay_s,
        jitter=restart.jitter,
        reset_after_s=max(RESET_AFTER_S, restart.max_delay_s) if reset_after_s is None else reset_after_s,
        max_restarts=restart.max_restarts,
        window_s=restart.window_s,
        success_exit=restart.success_exit,
        never_after=restart.never_after,
        always_after=restart.always_after,
        stop_signal=worker.stop.signal,
        grace_s=worker.stop.grace_s,
        probed=worker.ready.kind != "started",
        ready_timeout_s=worker.ready.timeout_s,
        has_requirements=bool(dependencies(worker)),
    )
