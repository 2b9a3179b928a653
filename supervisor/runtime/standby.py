"""The next incarnation's sandbox, built while this one runs, held before its command until it is its turn."""

import time
from typing import TYPE_CHECKING, Literal

import trio

from supervisor.policy.restart import TERMINAL, State
from supervisor.runtime.ahead import Ahead

if TYPE_CHECKING:
    from supervisor.runtime.incarnation import Incarnation
    from supervisor.runtime.instance import Instance

SETTLE_S = 0.25  # up for so long, before the next one is built
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0  # after one that failed
UP = (State.RUNNING, State.READY)

Mark = Literal["building", "ready"]


class Standby:
    """Of one instance. follow() after every change of its status; nothing runs and nothing wakes while one is held."""

    def __init__(self, instance: "Instance") -> None:
        self._instance = instance
        self._ahead: Ahead | None = None
        self._pending = False  # one is to be built after a pause
        self._pause = trio.CancelScope()
        self._failures = 0  # in a row
        self._shut = False
        self._left = 0  # dropped, and not yet gone
        self._none_left = trio.Event()
        self._none_left.set()

    @property
    def mark(self) -> Mark | None:
        """What there is of the next incarnation."""
        if self._ahead is None:
            return None
        return "ready" if self._ahead.is_held else "building"

    @property
    def number(self) -> int | None:
        """Of the incarnation that is held; None where none is."""
        return self._ahead.number if self._ahead is not None and self._ahead.is_held else None

    # -- building ---------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Have one built, or let go of it, as the instance's status is now."""
        instance = self._instance
        status = instance.status
        if not self._is_wanted():
            self._pause.cancel()
            self.drop("it is not wanted any more", level="debug")
        elif self._ahead is not None and self._ahead.number != status.incarnation + 1:
            self.drop("another incarnation came before it")
        if self._ahead is None and not self._pending and self._may_build():
            self._pending = True
            instance.services.nursery.start_soon(self._build)

    def _is_wanted(self) -> bool:
        instance = self._instance
        wanted = instance.status.wanted and instance.status.state not in TERMINAL and not instance.leaving
        return instance.worker.restart.standby and wanted and not instance.removed and not self._shut

    def _may_build(self) -> bool:
        instance = self._instance
        return self._is_wanted() and instance.status.state in UP and instance.next_worker is None

    async def _build(self) -> None:
        pressure = self._instance.services.pressure
        try:
            with trio.CancelScope() as self._pause:
                pause_s = min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S) if self._failures else 0.0
                await trio.sleep(pause_s)
                while (left_s := self._instance.status.since + SETTLE_S - time.monotonic()) > 0:  # noqa: ASYNC110
                    await trio.sleep(left_s)
                await pressure.relieved()
                await self._none_left.wait()
            if self._pause.cancelled_caught or not self._may_build() or self._ahead is not None:
                return
            ahead = self._ahead = Ahead(self._instance, self._ended)
        finally:
            self._pending = False
        self._left += 1
        if self._none_left.is_set():
            self._none_left = trio.Event()
        pressure.watch(self)
        self._instance.services.nursery.start_soon(ahead.live)

    def _ended(self, ahead: Ahead) -> None:
        """It is no standby any more: it has gone on as an incarnation, was dropped, or has failed."""
        self._left -= 1
        if not self._left:
            self._none_left.set()
        if self._ahead is not ahead:
            return
        self._ahead = None
        self._instance.services.pressure.forget(self)
        if ahead.failed:
            self._failures += 1
        self._instance.tell()
        self.follow()

    # -- its end ----------------------------------------------------------------------------------------------------

    def drop(self, why: str, level: str = "info") -> None:
        """End it, if there is one."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._instance.services.pressure.forget(self)
            ahead.drop(why, level)

    def review(self) -> None:
        """After a reload: drop it where a launch would now build something else."""
        if self._ahead is not None and not self._ahead.is_as_planned():
            self.drop("the configuration has changed")
        self.follow()

    def relieve(self, why: str) -> None:
        """Memory is short: drop it, and build another once there is enough."""
        self.drop(why, level="warning")
        self.follow()

    def shut(self) -> None:
        """Have none from now on."""
        self._shut = True
        self.follow()

    def reopen(self) -> None:
        """Undo shut()."""
        self._shut = False
        self.follow()

    async def gone(self) -> None:
        """Wait for the end of those that were dropped: the next one bears the same number."""
        if self._left:
            await self._none_left.wait()

    # -- its turn ---------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Its turn is about to come: find out whether it is still what a launch would build."""
        if self._ahead is not None and self._ahead.is_held:
            self._ahead.look()

    def take(self, number: int) -> "Incarnation | None":
        """Let the one that is held execute its command, where it is what a launch would build now. Else it is dropped.

        `told()` must follow: until then it tells nothing of itself.
        """
        ahead = self._ahead
        if ahead is None:
            return None
        if not ahead.is_held:  # what is half built helps nobody
            self.drop("it was not ready in time")
            return None
        why = "another incarnation came before it" if ahead.number != number else ahead.stale()
        if why is not None:
            self.drop(why)
            return None
        ahead.go()
        self._ahead, self._failures = None, 0
        self._instance.services.pressure.forget(self)
        return ahead.incarnation
