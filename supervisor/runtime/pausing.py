"""One instance's processes, frozen and let go on; its deadlines wait as long."""

import errno
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from supervisor.policy.restart import State
from supervisor.runtime.cgroup import Cgroup
from supervisor.spec import remedies

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance

PAUSABLE = (State.RUNNING, State.READY)


class CannotPause(Exception):  # noqa: N818  (the name says what happened)
    """It cannot be paused, or unpaused, in the state that it is in or on this host: why."""


class Pausing:
    """Of one instance, for one incarnation after the other."""

    def __init__(self, instance: "Instance") -> None:
        self._instance = instance
        self.since: float | None = None  # CLOCK_MONOTONIC

    @property
    def holds_deadline(self) -> bool:
        """Whether the instance's deadline waits."""
        return self.since is not None and self._instance.status.state in PAUSABLE

    def adopt(self, cgroup: Cgroup | None) -> None:
        """What an earlier daemon paused may go on meanwhile, and the other way round: the cgroup has the last word."""
        if cgroup is not None and cgroup.is_frozen():
            self.since = self.since or time.monotonic()
            self._instance.monitor.paused()
        else:
            self.since = None

    async def pause(self) -> None:
        """Freeze its processes. CannotPause."""
        instance, current = self._instance, self._instance.incarnation
        if current is None or instance.status.state not in PAUSABLE:
            raise CannotPause(f"cannot pause {instance.name}: it is {instance.status.state}, not running")
        if self.since is not None:
            return
        self.since = time.monotonic()
        instance.monitor.paused()
        instance.set_timer()
        try:
            await current.pause()
        except OSError as error:
            self._resume()
            hint = f"; {remedies.DELEGATED_SCOPE}" if error.errno == errno.ENOTSUP else ""
            raise CannotPause(f"cannot pause {instance.name}: {error.strerror or error}{hint}") from None
        if current is instance.incarnation and instance.paused:
            self._tell("worker.paused")

    def unpause(self) -> None:
        """Let them go on. CannotPause."""
        instance = self._instance
        if self.since is None or instance.incarnation is None:
            raise CannotPause(f"cannot unpause {instance.name}: it is not paused")
        try:
            instance.incarnation.unpause()
        except OSError as error:
            raise CannotPause(f"cannot unpause {instance.name}: {error.strerror or error}") from None
        self._resume()
        self._tell("worker.unpaused")

    def let_hear(self) -> None:
        """A frozen process does not get the signal that asks it to leave."""
        if self.since is not None and self._instance.incarnation is not None:
            with suppress(OSError):
                self._instance.incarnation.unpause()
            self.since = None

    def _resume(self) -> None:
        """The time that it was frozen is added to its deadline."""
        instance, status = self._instance, self._instance.status
        if self.since is not None and status.deadline is not None and status.state in PAUSABLE:
            instance.status = replace(status, deadline=status.deadline + time.monotonic() - self.since)
        self.since = None
        instance.monitor.resumed()
        instance.set_timer()

    def _tell(self, event: str) -> None:
        instance = self._instance
        instance.save()
        number = instance.status.incarnation
        instance.services.bus.publish(event, worker=instance.worker.name, instance=instance.name, incarnation=number)
        instance.tell()
