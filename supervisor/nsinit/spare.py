"""A process cloned ahead of the next launch: fork, first page faults and namespaces cost it before anybody waits.

It is in new user and pid namespaces, has done what the last plans have in common to begin with (ahead.py), knows of no
worker, and dies with the keeper.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import os
import signal
import struct
import time

from supervisor.kernel import clone as flags
from supervisor.kernel import mounts
from supervisor.kernel import process as kernel
from supervisor.kernel.clone import clone
from supervisor.kernel.title import set_title
from supervisor.nsinit import ahead
from supervisor.nsinit.box import Box
from supervisor.nsinit.child import Descriptors, close_others, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervisor.nsinit.ahead import Step

FLAGS = flags.CLONE_NEWUSER | flags.CLONE_NEWPID


class Spare:
    """The keeper's side of it. KernelError where it cannot be cloned: then the launch will say why."""

    def __init__(self, keeper_pidfd: int, steps: list[Step]) -> None:
        """steps: what it does ahead."""
        self.steps = steps
        self.sees_mounts = any(phase == "ns.mount" for phase, _ in steps)
        self.sources = ahead.Sources(steps)
        self._socket, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.report, report_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        outside = (os.geteuid(), os.getegid())
        try:
            self.pid, self.pidfd = clone(FLAGS)
            if self.pid == 0:
                _wait(theirs, report_writer, keeper_pidfd, outside, steps)
        except BaseException:
            os.close(self.report)
            self._socket.close()
            raise
        finally:
            os.close(report_writer)
            theirs.close()

    def give(self, plan: int, channel: int, stdio: list[int]) -> bool:
        """Make it the launch that these belong to; false where it has died."""
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("5i", plan, channel, *stdio))
        try:
            self._socket.sendmsg([b"go"], [rights], _socket.MSG_NOSIGNAL)
        except OSError:
            return False
        self._socket.close()
        return True

    def discard(self) -> None:
        """Be rid of it; it has died, or cannot be talked to."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.wait4(self.pid, 0)
        self._socket.close()
        os.close(self.pidfd)
        os.close(self.report)


def _wait(theirs: _socket.socket, report: int, keeper: int, outside: tuple[int, int], steps: list[Step]) -> NoReturn:
    try:
        gc.disable()
        close_others(2, (theirs.fileno(), report, keeper))
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        set_title("nsinit: spare")
        mounts.ask()  # here, where it costs no launch
        box = Box(report, keeper, outside)
        done = ahead.do(box, steps)
        message, control, _, _ = theirs.recvmsg(16, _socket.CMSG_SPACE(5 * 4), _socket.MSG_CMSG_CLOEXEC)
        if message and control:
            plan, channel, *stdio = struct.unpack("5i", control[0][2])
            given = Descriptors(plan, channel, (stdio[0], stdio[1], stdio[2]), report, keeper)
            start = time.monotonic_ns()
            run(given, outside, 1, start, own_pid_namespace=True, note="done ahead", begun=(box, done))
    finally:
        os._exit(0)
