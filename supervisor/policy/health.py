"""What a row of probes means: pure, as the restart policy."""

from typing import Literal

import msgspec

Word = Literal["starting", "healthy", "unhealthy"]


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one incarnation. `since` is when it was first probed, CLOCK_MONOTONIC."""

    since: float
    state: Word = "starting"
    failures: int = 0  # in a row
    seen: str = ""  # by the last probe


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the worker told by sd_notify(3)."""

    status: str | None = None
    main_pid: int | None = None  # in its own pid namespace
    state: Literal["ready", "reloading", "stopping"] | None = None
    watchdog_s: float | None = None  # by WATCHDOG_USEC=


def observe(
    health: Health, *, ok: bool, seen: str, now: float, retries: int, start_period_s: float
) -> tuple[Health, Word | None]:
    """Take one probe's answer: the health after it, and its new state where that is another.

    Until it was healthy once, failures within the start period do not count.
    """
    if ok:
        return Health(health.since, "healthy", 0, seen), None if health.state == "healthy" else "healthy"
    if health.state == "starting" and now - health.since < start_period_s:
        return Health(health.since, "starting", 0, seen), None
    failures = health.failures + 1
    if health.state == "unhealthy" or failures < retries:
        return Health(health.since, health.state, failures, seen), None
    return Health(health.since, "unhealthy", failures, seen), "unhealthy"
