"""A sandbox's first process, as the daemon knows it: by its pidfd, and by the keeper that tells its exit."""

import os
import select
import signal

import msgspec
import trio

from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_link import KeeperLink


class Child(msgspec.Struct):
    """A sandbox's first process, alive or not yet forgotten."""

    name: str  # web-0#17
    pid: int
    pidfd: int
    keeper: KeeperLink

    async def exited(self) -> ExitStatus | None:
        """Wait until it has ended: its status, or None where its keeper is gone and nobody knows."""
        await trio.lowlevel.wait_readable(self.pidfd)
        return await self.keeper.exit_status(self.name)

    def has_ended(self) -> bool:
        """Whether it is dead, told or not."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Let go of the pidfd."""
        os.close(self.pidfd)


def send_signal(pidfd: int, number: int) -> bool:
    """Send a signal through a pidfd; False where the process has ended, or has become another user (set-user-ID)."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
