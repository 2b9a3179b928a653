"""Trio's clock, less the time for which this process was not run: stopped, swapped out, or starved of processors.

Deadlines are there to judge others: a probe that was not answered, a set-up that hangs. What this process could not
look at, it does not hold against them. Else all deadlines that passed meanwhile would be found over at once, before
the answers that wait in the sockets. (CLOCK_MONOTONIC itself stands still while the machine is suspended.)
"""

import time
from collections.abc import Callable

import trio

SLEPT_S = 1.0  # to wake so much later than asked for, or to be so long between two waits, is no load but a stop


class WakingClock(trio.abc.Clock, trio.abc.Instrument):
    """Give it to `trio.run` twice: as its clock, and as an instrument."""

    def __init__(self, told: Callable[[float], None] = lambda _: None) -> None:
        """told: called with the seconds for which nothing ran, as soon as something runs again."""
        self.told = told
        self._lost_s = 0.0
        self._asleep_since = self._awake_since = time.monotonic()

    def start_clock(self) -> None:
        """As in trio."""

    def current_time(self) -> float:
        """As in trio: seconds in which this process could have run."""
        return time.monotonic() - self._lost_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """As in trio."""
        return deadline - self.current_time()

    def before_io_wait(self, timeout: float) -> None:
        """As in trio."""
        del timeout
        self._asleep_since = time.monotonic()
        busy_s = self._asleep_since - self._awake_since
        self._note(busy_s, late_s=busy_s)

    def after_io_wait(self, timeout: float) -> None:
        """As in trio: deadlines are looked at after this."""
        self._awake_since = time.monotonic()
        asleep_s = self._awake_since - self._asleep_since
        self._note(asleep_s, late_s=asleep_s - timeout)

    def _note(self, passed_s: float, *, late_s: float) -> None:
        """All of it is lost: the deadline that was awaited has still to be given its time."""
        if late_s >= SLEPT_S:
            self._lost_s += passed_s
            trio.lowlevel.current_trio_token().run_sync_soon(self.told, passed_s)
