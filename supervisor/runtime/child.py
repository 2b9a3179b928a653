"""A sandbox's first process, as the daemon knows it: by its pidfd, and by the keeper that tells its exit."""

import os
import select
import signal
from contextlib import suppress

import msgspec
import trio

from supervisor.kernel import pidfd_info
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_link import KeeperLink

REAP_TIMEOUT_S = 2.0  # for whoever reaps an orphan, so that its status can be read
REAP_PAUSE_S = 0.002


class Child(msgspec.Struct):
    """A sandbox's first process, alive or not yet forgotten.

    report: the reading end of where PID 1 writes the workload's status, of one that outlives its keeper; else -1.
    """

    name: str  # web-0#17
    pid: int
    pidfd: int
    keeper: KeeperLink  # the one that has it now
    report: int = -1

    async def exited(self) -> ExitStatus | None:
        """Wait until it has ended: its status, or None where its keeper is gone and nobody knows."""
        await trio.lowlevel.wait_readable(self.pidfd)
        return await self.keeper.exit_status(self.name)

    async def ended(self) -> ExitStatus | None:
        """Wait until one that may have outlived its keeper has ended: its status, as far as anybody knows it."""
        status = await self.exited()
        if status is not None or self.report < 0:
            return status
        wait_status: int | None = None
        if pidfd_info.is_offered(self.pidfd):
            with trio.move_on_after(REAP_TIMEOUT_S):
                while (wait_status := pidfd_info.exit_status(self.pidfd)) is None:  # noqa: ASYNC110  (POLLHUP: see there)
                    await trio.sleep(REAP_PAUSE_S)
        with suppress(BlockingIOError):
            told = os.read(self.report, 4)
            wait_status = int.from_bytes(told, "little") if len(told) == 4 else wait_status
        return ExitStatus.from_wait(-1 if wait_status is None else wait_status, 0, 0, 0)

    def has_ended(self) -> bool:
        """Whether it is dead, told or not."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Let go of the descriptors."""
        os.close(self.pidfd)
        if self.report >= 0:
            os.close(self.report)


def send_signal(pidfd: int, number: int) -> bool:
    """Send a signal through a pidfd; False where the process has ended, or has become another user (set-user-ID)."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
