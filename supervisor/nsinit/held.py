"""One worker in the keeper's hands."""

from __future__ import annotations

import contextlib
import os
import select
import signal

from supervisor.nsinit.descendants import kill_below


class Held:
    """A sandbox that was forked here: its pid, what is kept for the next daemon, how it is to be stopped."""

    def __init__(
        self, name: str, pid: int, pidfd: int, report: int, kept: list[int], stop_signal: int, grace_s: float
    ) -> None:
        """name: `web-0#17`. kept: output pipes' read ends. report: where PID 1 writes the workload's status, or -1."""
        self.name = name
        self.pid = pid
        self.pidfd = pidfd
        self.report = report
        self.kept = kept
        self.stop_signal = stop_signal
        self.grace_s = grace_s
        self.owns_pid_namespace = True
        self.events = select.POLLIN  # of its pidfd: they tell its end
        self.is_released = False  # it outlives this keeper: the daemon has all that the next one needs
        self.locks: list[int] = []  # of directories that are mounted in it: free once it has ended, for the next one
        self.is_helper = False  # a program of the host's beside the worker whose name its own begins with
        self.exit: tuple[int, int, int, int] | None = None  # wait status, user us, system us, max RSS KiB

    @property
    def told_report(self) -> list[int]:
        """Its report's reading end, where the daemon is to have one: of who outlives this keeper."""
        return [self.report] if self.is_released and self.report >= 0 else []

    def reap(self) -> tuple[int, int, int, int] | None:
        """Take the exit status and the resource usage; the workload's own status where PID 1 reported one.

        Never waits: None where it has not ended.
        """
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        return self._ended(status, int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss)

    def _ended(self, status: int, user_us: int, system_us: int, max_rss_kib: int) -> tuple[int, int, int, int]:
        if self.report >= 0:
            status = self._reported_status(status)
        for fd in self.locks:
            os.close(fd)
        self.locks.clear()
        self.exit = (status, user_us, system_us, max_rss_kib)
        return self.exit

    def _reported_status(self, status: int) -> int:
        try:
            reported = os.read(self.report, 4)
        except BlockingIOError:  # a workload on its way out still holds the writing end; PID 1 reported nothing
            reported = b""
        os.close(self.report)
        self.report = -1
        return int.from_bytes(reported, "little") if len(reported) == 4 else status

    def signal(self, number: int) -> None:
        """Send a signal to the first process."""
        with contextlib.suppress(ProcessLookupError):  # a zombie: about to be reaped
            signal.pidfd_send_signal(self.pidfd, number)

    def kill(self) -> None:
        """End it and all that is below it: its pid namespace does that, or its PID 1 once the workload is dead."""
        if self.owns_pid_namespace or not kill_below(self.pid):
            self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of the descriptors."""
        for fd in (self.pidfd, *self.kept, *self.locks, *([self.report] if self.report >= 0 else [])):
            os.close(fd)
