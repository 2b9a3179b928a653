"""A worker that outlived the keeper which forked it, in the hands of the next one: held, but nobody's child here."""

from __future__ import annotations

import select

from supervisor.kernel import pidfd_info
from supervisor.nsinit.held import Held

UNKNOWN = -1  # no wait status is negative


class Orphan(Held):
    """Its exit is told by whoever reaped it: PIDFD_GET_INFO; by PIDFD's end alone it is unknown."""

    def __init__(
        self, name: str, pid: int, pidfd: int, report: int, kept: list[int], stop_signal: int, grace_s: float
    ) -> None:
        """As of any that is held."""
        super().__init__(name, pid, pidfd, report, kept, stop_signal, grace_s)
        self.is_released = True
        if pidfd_info.is_offered(pidfd):
            self.events = 0  # POLLHUP comes unasked for, and when it comes the status can be read; at POLLIN it cannot

    def reap(self) -> tuple[int, int, int, int] | None:
        """Read the exit status; UNKNOWN where the kernel does not tell. None where it has not ended."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(0):
            return None
        status = pidfd_info.exit_status(self.pidfd)
        return self._ended(UNKNOWN if status is None else status, 0, 0, 0)
