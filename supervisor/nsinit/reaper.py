"""PID 1 of a sandbox: forwards signals to the workload, reaps, reports the workload's exact status, leaves.

Where the pid namespace is not the sandbox's own it is a subreaper instead, and ends what is left by hand.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.descendants import kill_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervisor.nsinit.box import Box

CAP_KILL = 1 << 5
KEEPER_DIED = 64  # SIGRTMAX: the death signal where no pid namespace ends with PID 1; otherwise forwarded as all are


def reap(box: Box, workload: int) -> NoReturn:
    """Stay until the workload has ended. The status goes to the keeper as waitpid(2) gave it, then as exit code."""
    try:
        status = _serve(box, workload)
        with contextlib.suppress(BrokenPipeError):  # keeper and daemon are gone: the exit code has to do
            os.write(box.report_fd, status.to_bytes(4, "little"))
        if not box.owns_pid_namespace:
            _end_descendants()
        os._exit(status >> 8 if status & 0x7F == 0 else 128 + (status & 0x7F))
    finally:
        os._exit(125)


def _serve(box: Box, workload: int) -> int:
    kept = [box.report_fd] if box.owns_pid_namespace else sorted((box.report_fd, box.keeper_pidfd))
    for below, fd in zip([-1, *kept], [*kept, 1 << 32], strict=True):  # the channel with it: its end tells that the
        if fd > below + 1:  # workload executes
            kernel.close_range(below + 1, fd - 1)
    if not box.owns_pid_namespace:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, KEEPER_DIED)  # not SIGKILL: what is below would stay
        _leave_without_keeper(box)
    os.chdir("/")
    # It needs nothing but to signal a workload of another id.
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    try:
        kernel.capset(CAP_KILL, CAP_KILL, 0)
    except KernelError:  # in the supervisor's own user namespace there is none to have; the workload has our id there
        kernel.capset(0, 0, 0)
    everything = signal.valid_signals()  # the keeper blocked them all: none was lost since the fork
    while True:
        number = signal.sigwait(everything)
        if number == KEEPER_DIED and not box.owns_pid_namespace:
            _leave_without_keeper(box)
        if number != signal.SIGCHLD:
            with contextlib.suppress(PermissionError):  # it has become another user, and we may not: it stays deaf
                os.kill(workload, number)  # our own child and not yet reaped: the pid is nobody else's
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == workload:
                return status
            if pid == 0:
                break


def _leave_without_keeper(box: Box) -> None:
    poll = select.poll()
    poll.register(box.keeper_pidfd, select.POLLIN)
    if poll.poll(0):
        _end_descendants()
        os._exit(125)


def _end_descendants() -> None:
    """Kill and reap children until none is left; orphans below come to us, the subreaper."""
    while True:
        with contextlib.suppress(OSError):
            if os.readlink("/proc/self") == str(os.getpid()):  # else these are numbers of another pid namespace
                kill_below(os.getpid())
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
